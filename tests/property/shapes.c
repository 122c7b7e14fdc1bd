#include "shapes.h"

#include "brute.h"

const struct shape medium_shape[MEDIUM_SHAPES] = {
    {.gpu_types = 1,
     .zones = 1,
     .layers_min = 8,
     .layers_max = 16,
     .gpus_min = 8,
     .gpus_max = 24,
     .plain = true},
    {.gpu_types = 2,
     .zones = 1,
     .layers_min = 6,
     .layers_max = 12,
     .gpus_min = 8,
     .gpus_max = 16,
     .plain = true},
    {.gpu_types = 1,
     .zones = 2,
     .layers_min = 6,
     .layers_max = 10,
     .gpus_min = 8,
     .gpus_max = 14,
     .plain = true},
    {.gpu_types = 2,
     .zones = 2,
     .layers_min = 5,
     .layers_max = 8,
     .gpus_min = 6,
     .gpus_max = 12,
     .plain = true},
    {.gpu_types = 3, .zones = 1, .layers_min = 5, .layers_max = 8, .gpus_min = 6, .gpus_max = 12},
    {.gpu_types = 1, .zones = 3, .layers_min = 4, .layers_max = 8, .gpus_min = 6, .gpus_max = 10},
};

struct instance *small_instance(uint64_t seed, long plans_max, struct arena *a) {
    static const struct shape shapes[] = {
        {.gpu_types = 1, .zones = 1, .layers_min = 1, .layers_max = 8, .gpus_min = 1, .gpus_max = 12},
        {.gpu_types = 2, .zones = 1, .layers_min = 3, .layers_max = 7, .gpus_min = 4, .gpus_max = 10},
        {.gpu_types = 1, .zones = 2, .layers_min = 3, .layers_max = 7, .gpus_min = 4, .gpus_max = 12},
        {.gpu_types = 2, .zones = 2, .layers_min = 2, .layers_max = 5, .gpus_min = 5, .gpus_max = 9},
        {.gpu_types = 3, .zones = 1, .layers_min = 2, .layers_max = 5, .gpus_min = 4, .gpus_max = 10},
        {.gpu_types = 3, .zones = 2, .layers_min = 2, .layers_max = 4, .gpus_min = 5, .gpus_max = 9},
        {.gpu_types = 1, .zones = 3, .layers_min = 1, .layers_max = 5, .gpus_min = 4, .gpus_max = 10},
        {.gpu_types = 2, .zones = 2, .layers_min = 5, .layers_max = 8, .gpus_min = 3, .gpus_max = 6},
        {.gpu_types = 2, .zones = 1, .layers_min = 5, .layers_max = 8, .gpus_min = 4, .gpus_max = 8},
        {.gpu_types = 2, .zones = 3, .layers_min = 2, .layers_max = 4, .gpus_min = 5, .gpus_max = 8},
    };
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    long plans_min = (const long[]){0, 300, 3000}[seed / SHAPES % 3];
    for (uint64_t attempt = 0;; attempt++) {
        struct instance *in = instance_random(seed * 1000 + attempt, &shapes[seed % SHAPES], a);
        struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
        long n = brute_count(&p, plans_max);
        if (n <= plans_max && (n >= plans_min || attempt > 100)) return in;
        arena_free(a);
    }
}
