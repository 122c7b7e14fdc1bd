/* Every form of parallelism gives the losses of a single rank: under mpirun -n 1, 2 or 4, all plans below
 * that need so many ranks. Each rank also trains the reference, alone. Speaks TAP; what a rank saw is made
 * the same everywhere first. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "io/mpx.h"
#include "small.h"

enum { STEPS = 4 };

static struct mpx m;
static int tests;

static void ok(bool good, const char *what, const char *plan, int batch, int micro_batch) {
    int all = good;
    if (m.comm) MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    tests++;
    if (m.rank == 0)
        printf("%sok %d - %s: %s, batch %d of %d\n", all ? "" : "not ", tests, what, plan, batch,
               micro_batch);
}

static bool near(const struct small_run *x, const struct small_run *y) {
    double off = fabs(x->held_out - y->held_out) / y->held_out;
    for (int i = 0; i < STEPS; i++) off = fmax(off, fabs(x->loss[i] - y->loss[i]) / y->loss[i]);
    return off <= 1e-5;
}

/* ranks, plan, global batch, microbatch */
static const struct {
    int ranks;
    const char *plan;
    int batch, micro_batch;
} cases[] = {
    {1, "0-4:1", 6, 2},
    {1, "0-4:1", 5, 2},       /* a batch that does not divide */
    {1, "0-4:1", 3, 8},       /* less than a microbatch */
    {2, "0-4:1,1", 8, 2},     /* data */
    {2, "0-4:2", 8, 2},       /* tensor */
    {2, "0-2:1;2-4:1", 8, 2}, /* pipeline */
    {2, "0-1:1;1-4:1", 7, 2}, /* unequal stages, a batch that does not divide */
    {2, "0-4:1,1", 5, 2},     /* a replica with nothing but masked sequences in its last microbatch */
    {2, "0-4:1|0-4:1", 8, 2}, /* two pipelines of one stage */
    {4, "0-4:1,1,1,1", 9, 1}, /* data */
    {4, "0-4:4", 4, 2},       /* tensor */
    {4, "0-1:1;1-2:1;2-3:1;3-4:1", 8, 1},
    {4, "0-2:1,1;2-4:1,1", 10, 2},  /* data and pipeline */
    {4, "0-4:2,2", 6, 2},           /* data and tensor */
    {4, "0-2:2;2-4:2", 6, 2},       /* tensor and pipeline */
    {4, "0-3:2;3-4:1,1", 6, 1},     /* degrees and replicas differ between stages */
    {4, "0-4:2,1,1", 7, 1},         /* degrees differ between replicas */
    {4, "0-1:1;1-3:2;3-4:1", 6, 2}, /* one to two and back */
    {4, "0-2:1,1,1;2-4:1", 7, 1},   /* three feed one */
    {4, "0-2:1;2-4:1,1,1", 7, 1},   /* one feeds three */
    {4, "0-2:1,1;2-4:2", 6, 1},
    {4, "0-2:1;2-4:1|0-3:1;3-4:1", 6, 1}, /* two pipelines that are cut differently */
};

int main(void) {
    struct err e;
    struct arena a = {0};
    if (mpx_start(&m, &e)) {
        fprintf(stderr, "%s\n", e.text);
        mpx_finish(&m);
        return 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].ranks != m.size) continue;
        int batch = cases[i].batch, micro = cases[i].micro_batch;
        struct arch arch = small_arch(i % 2 ? ACTIVATION_RELU : ACTIVATION_GELU);
        struct small_run alone, twice, whole, x;
        /* the reference takes the whole batch as one microbatch: nothing is masked, nothing divided */
        small_train(&arch, small_plan("0-4:1", batch, batch, &a), NULL, 1, STEPS, backend_cpu_open, &alone);
        small_train(&arch, small_plan(cases[i].plan, batch, micro, &a), m.comm, m.size, STEPS,
                    backend_cpu_open, &x);
        small_train(&arch, small_plan(cases[i].plan, batch, micro, &a), m.comm, m.size, STEPS,
                    backend_cpu_open, &twice);
        ok(near(&x, &alone), "as one rank", cases[i].plan, batch, micro);
        ok(!memcmp(x.loss, twice.loss, sizeof x.loss) && x.held_out == twice.held_out, "the same bits twice",
           cases[i].plan, batch, micro);
        if (m.size > 2) continue; /* four ranks on two cores wait for each other most of the time */
        small_train(&arch, small_plan(cases[i].plan, batch, micro, &a), m.comm, m.size, STEPS,
                    backend_f64_open, &whole);
        ok(near(&alone, &whole), "single precision as double", cases[i].plan, batch, micro);
    }
    if (m.rank == 0) printf("1..%d\n", tests);
    arena_free(&a);
    mpx_finish(&m);
    return 0;
}
