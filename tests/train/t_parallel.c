/* Every form of parallelism gives the losses of a single rank: under mpirun -n 1, 2, 4, 5 or 8, all plans
 * below for that many ranks. The same holds in bf16, except that sums over split tensors are rounded too.
 * Each rank also trains the reference alone. Prints TAP; all ranks first agree on each verdict. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "io/mpx.h"
#include "small.h"

enum { STEPS = 4 };

static struct mpx m;
static int tests;

static bool everywhere(bool good) {
    int all = good;
    if (m.comm) MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    tests++;
    return all;
}

static void ok(bool good, const char *what, const char *plan, int batch, int micro_batch) {
    good = everywhere(good);
    if (m.rank == 0)
        printf("%sok %d - %s: %s, batch %d of %d\n", good ? "" : "not ", tests, what, plan, batch,
               micro_batch);
}

static bool near(const struct small_run *x, const struct small_run *y, double tolerance) {
    double off = fabs(x->held_out - y->held_out) / y->held_out;
    for (int i = 0; i < x->steps; i++) off = fmax(off, fabs(x->loss[i] - y->loss[i]) / y->loss[i]);
    for (int i = 0; i < x->steps && small_clip > 0; i++)
        off = fmax(off, fabs(x->norm[i] - y->norm[i]) / y->norm[i]);
    return off <= tolerance;
}

static bool same(const struct small_run *x, const struct small_run *y) {
    return !memcmp(x->loss, y->loss, sizeof x->loss) && x->held_out == y->held_out &&
           x->weights == y->weights;
}

static bool splits(const struct plan *p) {
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++)
            for (int g = 0; g < p->pipeline[i].stage[k].n_group; g++)
                if (p->pipeline[i].stage[k].group[g].tp > 1) return true;
    return false;
}

/* MPI knows no bf16: sums and maxima over all ranks, of short and long messages, are right, and the same bits
 * everywhere. */
static void sums_of_bf16(int n, struct arena *a) {
    struct comm c;
    bf16 *sum = ARENA_ARRAY(a, bf16, n), *max = ARENA_ARRAY(a, bf16, n), *first = ARENA_ARRAY(a, bf16, n);
    int rank[8];
    bool good = true;
    comm_mpi_open(&c, m.comm);
    for (int k = 0; k < m.size; k++) rank[k] = k;
    struct group *all = c.group(&c, rank, m.size, a);
    for (int i = 0; i < n; i++) max[i] = sum[i] = bf16_round((float)sin(i + 17 * m.rank));
    c.sum(&c, all, sum, (size_t)n, ELEM_BF16);
    c.max(&c, all, max, (size_t)n, ELEM_BF16);
    for (int i = 0; i < n; i++) {
        double total = 0, most = -1;
        for (int k = 0; k < m.size; k++) {
            double x = (double)bf16_value(bf16_round((float)sin(i + 17 * k)));
            total += x;
            most = fmax(most, x);
        }
        /* one rounding per addition, of sums no larger than the number of ranks */
        good = good && fabs((double)bf16_value(sum[i]) - total) <= (m.size - 1) * m.size * 0x1p-9;
        good = good && (double)bf16_value(max[i]) == most;
    }
    memcpy(first, sum, sizeof *sum * (size_t)n);
    MPI_Bcast(first, n, MPI_UINT16_T, 0, MPI_COMM_WORLD);
    good = everywhere(good && !memcmp(first, sum, sizeof *sum * (size_t)n));
    if (m.rank == 0) printf("%sok %d - sums and maxima of %d bf16\n", good ? "" : "not ", tests, n);
    c.close(&c);
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
    {5, "0-1:1,1;1-4:1,1,1", 12, 1},      /* two feed three: each of them meets all of those */
    {8, "0-2:2,2;2-4:2,2", 4, 1},         /* data, tensor and pipeline */
};

/* Values recomputed in the backward pass have the same bits, and take less memory. */
static void recomputed(const struct arch *arch, const char *text, int batch, int micro,
                       const struct small_run *x, struct arena *a) {
    struct plan *plan = small_plan(text, batch, micro, a);
    size_t least = x->category_bytes[MEMORY_ACTIVATIONS];
    for (int mode = RECOMPUTE_SELECTIVE; mode <= RECOMPUTE_FULL; mode++) {
        struct small_run y;
        plan->options.recompute = (enum recompute)mode;
        small_train(arch, plan, m.comm, m.size, x->steps, false, backend_cpu_open, &y);
        bool less = y.category_bytes[MEMORY_ACTIVATIONS] <= least;
        least = y.category_bytes[MEMORY_ACTIVATIONS];
        ok(same(x, &y) && less,
           mode == RECOMPUTE_FULL ? "the same bits, recomputed in full"
                                  : "the same bits, attention recomputed",
           text, batch, micro);
    }
}

/* ZeRO gives the same bits as without it, and no more optimizer state: less if a stage has replicas. */
static void sharded(const struct arch *arch, const char *text, int batch, int micro,
                    const struct small_run *x, int (*open)(struct backend *, int, struct err *),
                    struct arena *a) {
    struct plan *plan = small_plan(text, batch, micro, a);
    struct small_run y;
    plan->options.zero = 1;
    small_train(arch, plan, m.comm, m.size, x->steps, strpbrk(text, ",|"), open, &y);
    bool less = y.category_bytes[MEMORY_OPTIMIZER] <= x->category_bytes[MEMORY_OPTIMIZER];
    ok(same(x, &y) && less, "the same bits with ZeRO", text, batch, micro);
}

/* The parts of other families in double precision, so that rounding cannot hide an error. */
static void families(int number, const char *text, int batch, int micro, struct arena *a) {
    const struct plan *plan = small_plan(text, batch, micro, a), *one = small_plan("0-4:1", batch, batch, a);
    struct plan *again = small_plan(text, batch, micro, a);
    bool replicas = strpbrk(text, ",|");
    small_clip = 0.25; /* below the norm on every step: all plans compute the same norm */
    for (int i = 0; small_families[i]; i++) {
        struct arch arch = small_family(small_families[i]);
        struct small_run alone, x, y;
        if (m.size > 2 && (i + number) % 3) continue; /* four ranks on two cores are slow */
        small_train(&arch, one, NULL, 1, 2, false, backend_f64_open, &alone);
        small_train(&arch, plan, m.comm, m.size, 2, false, backend_f64_open, &x);
        ok(near(&x, &alone, 1e-9), arena_printf(a, "%s, as one rank", small_families[i]), text, batch, micro);
        again->options.zero = 1;
        again->options.recompute = i % 2 ? RECOMPUTE_FULL : RECOMPUTE_SELECTIVE;
        small_train(&arch, again, m.comm, m.size, 2, replicas, backend_f64_open, &y);
        ok(same(&x, &y) && x.norm[0] > small_clip,
           replicas ? "the same bits with overlap" : "the same bits twice", text, batch, micro);
    }
    small_clip = 0;
}

int main(void) {
    struct err e;
    struct arena a = {0};
    if (mpx_start(&m, &e)) {
        fprintf(stderr, "%s\n", e.text);
        mpx_finish(&m);
        return 1;
    }
    for (int n = 3; n <= 300000 && m.size > 1; n *= 100) sums_of_bf16(n, &a);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].ranks != m.size) continue;
        int batch = cases[i].batch, micro = cases[i].micro_batch;
        const struct plan *plan = small_plan(cases[i].plan, batch, micro, &a),
                          *one = small_plan("0-4:1", batch, batch, &a);
        struct arch arch = small_arch(i % 2 ? ACTIVATION_RELU : ACTIVATION_GELU);
        int steps = m.size > 4 ? 2 : STEPS;
        bool replicas = strpbrk(cases[i].plan, ",|");
        const char *again = replicas ? "the same bits with overlap" : "the same bits twice";
        struct small_run alone, x, y, whole, half_alone, half, half_again;
        /* the reference takes the batch as one microbatch: nothing is masked or divided */
        small_train(&arch, one, NULL, 1, steps, false, backend_cpu_open, &alone);
        small_train(&arch, plan, m.comm, m.size, steps, false, backend_cpu_open, &x);
        ok(near(&x, &alone, 1e-5), "as one rank", cases[i].plan, batch, micro);
        if (m.size <= 4 && (m.size > 1 || !i)) families((int)i, cases[i].plan, batch, micro, &a);
        if (m.size > 4) continue; /* more ranks than cores mostly wait for each other */
        small_train(&arch, plan, m.comm, m.size, steps, replicas, backend_cpu_open, &y);
        ok(same(&x, &y), again, cases[i].plan, batch, micro);
        if (m.size <= 2 || i % 3 == 0) recomputed(&arch, cases[i].plan, batch, micro, &x, &a);
        sharded(&arch, cases[i].plan, batch, micro, &x, backend_cpu_open, &a);
        small_train(&arch, one, NULL, 1, steps, false, backend_cpu_bf16_open, &half_alone);
        small_train(&arch, plan, m.comm, m.size, steps, false, backend_cpu_bf16_open, &half);
        if (m.size <= 2 || i % 3 == 1)
            sharded(&arch, cases[i].plan, batch, micro, &half, backend_cpu_bf16_open, &a);
        ok(near(&half, &half_alone, splits(plan) ? 1e-3 : 1e-5), "bf16 as one rank", cases[i].plan, batch,
           micro);
        if (splits(plan)) {
            small_train(&arch, plan, m.comm, m.size, steps, replicas, backend_cpu_bf16_open, &half_again);
            ok(same(&half, &half_again), again, cases[i].plan, batch, micro);
        }
        if (m.size > 2) continue;
        ok(near(&half_alone, &alone, 3e-3), "bf16 as single precision", cases[i].plan, batch, micro);
        small_train(&arch, plan, m.comm, m.size, steps, false, backend_f64_open, &whole);
        ok(near(&alone, &whole, 1e-5), "single precision as double", cases[i].plan, batch, micro);
    }
    if (m.rank == 0) printf("1..%d\n", tests);
    arena_free(&a);
    mpx_finish(&m);
    return 0;
}
