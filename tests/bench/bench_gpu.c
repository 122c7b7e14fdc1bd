/* One GPU (or, as bench_train, the CPU): training steps and single layers of the models that others publish
 * numbers for. Needs neither MPI nor HDF5, so that it runs on a machine with nothing but a driver and cuBLAS.
 *   bench_gpu [MODEL fp32|bf16 MICROBATCH BATCH STEPS]      without arguments: all of them
 * Tokens per second and memory of the steps after the first 3 (median); two utilisations: FLOP of the matrix
 * products with attention over all of S x S, and as llm.c counts (6 per parameter with embedding and head
 * one, and 6 L H S, per token). Then seconds of one microbatch by layer, median of 5. */
#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/stats.h"
#include "formats/devices.h"
#include "train/cuda.h"
#include "train/die.h"
#include "train/trainer.h"

static const struct shape {
    const char *name;
    int blocks, hidden, heads, sequence, vocabulary;
    const char *activation;
} shapes[] = {
    {"gpt2-124m", 12, 768, 12, 1024, 50257, "gelu"},  {"gpt2-350m", 24, 1024, 16, 1024, 50257, "gelu"},
    {"gpt2-774m", 36, 1280, 20, 1024, 50257, "gelu"}, {"gpt2-1.5b", 48, 1600, 25, 1024, 50257, "gelu"},
    {"opt-350m", 24, 1024, 16, 2048, 50272, "relu"},  {"gpt-10m", 6, 384, 6, 256, 4096, "gelu"},
    {"gpt-tiny", 4, 128, 8, 128, 512, "gelu"},        {"tiny", 2, 64, 4, 32, 300, "gelu"}};
enum { SHAPES = sizeof shapes / sizeof *shapes, WARMUP = 3, REPEAT = 5 };

static const struct job {
    const char *model, *dtype;
    int micro_batch, batch, steps;
} suite[] = {{"gpt2-124m", "bf16", 64, 256, 10}, {"gpt2-350m", "bf16", 32, 128, 10},
             {"gpt2-774m", "bf16", 16, 64, 8},   {"gpt2-1.5b", "bf16", 16, 64, 8},
             {"opt-350m", "bf16", 16, 64, 8},    {"opt-350m", "fp32", 8, 32, 6}};

/* Without MPI there are no other ranks to tell. */
void die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(EXIT_INTERNAL);
}

static double first_thread_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The device's peak from inputs/devices.json; NAN without the file. */
static double peak_of(const struct backend *b) {
    static char text[1 << 16];
    double peak = NAN;
    struct err e;
    FILE *f = fopen("inputs/devices.json", "r");
    if (!f || !b->products) return NAN;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    if (devices_peak("devices.json", text, b->device, NULL, b->products, &peak, &e))
        fprintf(stderr, "%s\n", e.text);
    return peak;
}

static int open_backend(struct backend *b, enum elem t, struct err *e) {
#ifdef BENCH_CPU
    return (t == ELEM_BF16 ? backend_cpu_bf16_open : backend_cpu_open)(b, omp_get_max_threads(), e);
#else
    return backend_cuda_open(b, t, 0, e);
#endif
}

static int train(const struct job *job, const struct shape *s, const struct arch *arch, struct backend *b,
                 struct arena *a, struct err *e) {
    struct replicas one = {.tp = 1, .count = 1};
    struct stage stage = {0, arch->layers, 1, &one};
    struct pipeline pipeline = {1, &stage};
    struct plan plan = {
        .model = s->name, .global_batch_size = job->batch, .micro_batch_size = job->micro_batch};
    struct comm comm = {.name = "none", .size = 1};
    struct train_options o = {
        .adam = {1e-4, 0.9, 0.95, 1e-8, 0.1, 0}, .seed = 1, .threads = omp_get_max_threads()};
    struct grid grid;
    struct data data;
    struct trainer t;
    struct step_result r;
    double flops = 0, parameters = 0, first_s = 0, phase[PHASE_N] = {0},
           *time = ARENA_ARRAY(a, double, job->steps);
    size_t used, total;
    clock_t began = 0;
    plan.n_pipeline = 1;
    plan.pipeline = &pipeline;
    if (grid_make(&grid, &plan, arch, 1, s->name, a, e)) return -1;
    data_synthetic(&data, arch->vocabulary, arch->sequence, 1, a);
    int rc = trainer_make(&t, &grid, &data, b, &comm, o, a, e);
    for (int i = 0; i < WARMUP + job->steps && !rc; i++) {
        if (i == WARMUP) {
            began = clock();
            first_s = first_thread_s();
        }
        trainer_step(&t, &r);
        if (i < WARMUP) continue;
        time[i - WARMUP] = r.time_s;
        for (int p = 0; p < PHASE_N; p++) phase[p] += r.phase_s[p] / job->steps;
    }
    first_s = (first_thread_s() - first_s) / job->steps;
    if (rc) return trainer_free(&t), -1;
    double cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC / job->steps;
    double s_step = median(time, job->steps), peak = peak_of(b), tokens = (double)job->batch * arch->sequence;
    for (int l = 0; l < arch->layers; l++)
        flops += job->batch * arch_flops(arch, l), parameters += (double)arch_params(arch, l, 1);
    double one_table =
        parameters - (double)arch_part(&arch->tensor[LAYER_HEAD][HEAD_MATRIX], 1, 0).room * arch->hidden;
    double as_llmc = tokens * (6 * one_table + 6.0 * arch->blocks * arch->hidden * arch->sequence);
    ledger_driver(&t.ledger);
    b->device_bytes(b, &used, &total);
    printf("%s %s, microbatch %d, batch %d: %.2f ms (%.2f to %.2f), %.0f tokens/s, %.1f TFLOP/s", s->name,
           job->dtype, job->micro_batch, job->batch, 1e3 * s_step, 1e3 * time[0], 1e3 * time[job->steps - 1],
           tokens / s_step, 1e-12 * flops / s_step);
    if (peak > 0)
        printf(", mfu %.1f %% (as llm.c counts: %.1f %%)", 100 * flops / s_step / peak,
               100 * as_llmc / s_step / peak);
    if (b->threads) printf(", %d threads", b->threads);
    printf(", processor %.2f ms (first thread %.2f), loss %.4f\n  %.0f parameters; peak GiB:", 1e3 * cpu_s,
           1e3 * first_s, r.loss, parameters);
    for (int m = 0; m < MEMORY_N; m++)
        printf(" %s %.3f,", memory_name[m], (double)t.ledger.peak[m] / (1 << 30));
    printf(" all %.3f; device in use %.3f\n  ms:", (double)t.ledger.total_peak / (1 << 30),
           (double)used / (1 << 30));
    for (int p = 0; p < PHASE_N; p++)
        if (phase[p] > 0) printf(" %s %.3f", phase_name[p], 1e3 * phase[p]);
    printf("\n");
    fflush(stdout);
    trainer_free(&t);
    return 0;
}

enum { TIMED = 3 }; /* forward, backward, update */

/* Times of one layer by itself, medians in seconds; false: it does not fit. */
static bool layer_times(const struct arch *arch, int layer, int micro_batch, struct backend *b,
                        double s[TIMED]) {
    struct comm comm = {.name = "none", .size = 1};
    struct arena a = {0};
    struct clock clock = {.backend = b};
    struct ledger l;
    struct net n;
    struct err e;
    double took[TIMED][REPEAT];
    ledger_open(&l, b, 0);
    bool fits =
        !net_make(&n, arch, (struct net_shape){layer, layer + 1, 1, 0, micro_batch, 1, RECOMPUTE_NONE, false},
                  b, &comm, NULL, &clock, &l, &a, &e);
    for (int r = -1; r < REPEAT && fits; r++) {
        if (r < 0) net_random(&n);
        net_random_gradient(&n, n.dy[0]);
        b->sync(b);
        b->stamp(b, 0);
        net_forward(&n, &n.slot[0]);
        if (layer == arch->layers - 1) net_loss(&n, &n.slot[0], n.tokens, 1.0 / n.tokens);
        b->stamp(b, 1);
        net_backward_layer(&n, &n.slot[0], 0, n.dy[0]);
        b->stamp(b, 2);
        net_update(&n, (struct adam_options){1e-4, 0.9, 0.95, 1e-8, 0.1, 0}, 1);
        b->stamp(b, 3);
        for (int i = 0; i < TIMED && r >= 0; i++) took[i][r] = b->stamp_s(b, i + 1) - b->stamp_s(b, i);
    }
    for (int i = 0; i < TIMED && fits; i++) s[i] = median(took[i], REPEAT);
    ledger_close(&l);
    clock_free(&clock);
    arena_free(&a);
    return fits;
}

static void layers(const struct job *job, const struct arch *arch, struct backend *b) {
    static const char *const kind[] = {"embedding", "block", "head"};
    for (int m = 1; m <= job->micro_batch; m *= 2) {
        printf("  microbatch %3d, ms:", m);
        for (int k = 0; k < 3; k++) {
            double s[TIMED];
            if (!layer_times(arch, k == 2 ? arch->layers - 1 : k, m, b, s)) {
                printf(" out of memory\n");
                return;
            }
            printf(" %s %.3f + %.3f + %.3f%s", kind[k], 1e3 * s[0], 1e3 * s[1], 1e3 * s[2],
                   k == 2 ? "\n" : ",");
        }
        fflush(stdout);
    }
}

static int bench(const struct job *job, struct err *e) {
    const struct shape *s = shapes;
    struct arena a = {0};
    struct arch arch;
    struct backend b;
    while (s < shapes + SHAPES && strcmp(s->name, job->model)) s++;
    if (s == shapes + SHAPES)
        return err_set(e, EXIT_INPUT, "%s: expected gpt2-124m, gpt2-350m, ...", job->model);
    struct model model = {.name = s->name,
                          .n_layer = s->blocks + 2,
                          .n_block = s->blocks,
                          .hidden_size = s->hidden,
                          .sequence_length = s->sequence,
                          .heads = s->heads,
                          .vocabulary = s->vocabulary,
                          .architecture =
                              arena_printf(&a, "{\"family\":\"gpt\",\"activation\":\"%s\",\"ffn_size\":%d}",
                                           s->activation, 4 * s->hidden)};
    int rc = arch_make(&arch, &model, e);
    if (!rc) rc = open_backend(&b, strcmp(job->dtype, "bf16") ? ELEM_F32 : ELEM_BF16, e);
    if (!rc) {
        rc = train(job, s, &arch, &b, &a, e);
        if (!rc) layers(job, &arch, &b);
        b.close(&b);
    }
    arena_free(&a);
    return rc;
}

int main(int argc, char **argv) {
    struct err e;
    int bad = 0;
    if (argc == 6) {
        struct job job = {argv[1], argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5])};
        if (job.micro_batch < 1 || job.batch < 1 || job.steps < 1) argc = 0;
        if (argc && (bad = bench(&job, &e))) fprintf(stderr, "bench_gpu: %s\n", e.text);
    } else if (argc == 1) {
        for (size_t i = 0; i < sizeof suite / sizeof *suite; i++)
            if (bench(&suite[i], &e)) bad = 1, fprintf(stderr, "bench_gpu: %s: %s\n", suite[i].model, e.text);
    } else {
        argc = 0;
    }
    if (!argc) fprintf(stderr, "usage: bench_gpu [MODEL fp32|bf16 MICROBATCH BATCH STEPS]\n"), bad = 2;
    return bad ? bad < 0 ? 1 : bad : 0;
}
