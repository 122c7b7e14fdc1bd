/* comm nccl above a NCCL of shared memory (tests/train/nccl): plans train as one rank does, though two ranks
 * meet at their first message; if a device has no memory for a communicator, all ranks learn of it. Under
 * mpirun -n 2, 4 or 5. Prints TAP. `t_nccl CALL` is for nccl.t. */
#include <math.h>
#include <mpi.h>
#include <nccl.h>
#include <stdio.h>
#include <string.h>

#include "io/mpx.h"
#include "small.h"
#include "train/cuda.h"

static struct mpx m;
static int tests;

static void ok(bool good, const char *what) {
    int all = good;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (m.rank == 0) printf("%sok %d - %s\n", all ? "" : "not ", ++tests, what);
}

/* comm_nccl.c asks the CUDA backend for these. */
void *backend_cuda_stream(const struct backend *b) { return b->own; }
void backend_cuda_poll(struct backend *b, void (*poll)(void *), void *own) {
    (void)b, (void)own;
    if (poll) poll(own);
}

static int open_nccl(struct comm *c, const struct mpx_comm *world, struct backend *b) {
    struct err e;
    return comm_nccl_open(c, world, b, &e);
}

static const struct {
    int ranks;
    const char *plan;
} plans[] = {{2, "0-2:1;2-4:1"},
             {2, "0-4:1,1"},
             {2, "0-4:2"},
             {4, "0-1:1;1-3:2;3-4:1"},
             {4, "0-2:2;2-4:1,1"},
             {4, "0-4:2,1,1"},
             {4, "0-2:1;2-4:1|0-3:1;3-4:1"},
             {5, "0-1:1,1;1-4:1,1,1"}};

static void training(const char *text, struct arena *a) {
    enum { STEPS = 2, BATCH = 12 };
    struct arch arch = small_arch(ACTIVATION_GELU);
    struct small_run one, x, y, z;
    double off = 0;
    const struct plan *plan = small_plan(text, BATCH, 1, a);
    struct plan *sharded = small_plan(text, BATCH, 1, a);
    sharded->options.zero = 1;
    small_comm = NULL;
    small_train(&arch, small_plan("0-4:1", BATCH, BATCH, a), NULL, 1, STEPS, false, backend_cpu_open, &one);
    small_comm = open_nccl;
    small_train(&arch, plan, m.comm, m.size, STEPS, false, backend_cpu_open, &x);
    small_train(&arch, plan, m.comm, m.size, STEPS, true, backend_cpu_open, &y);
    small_train(&arch, sharded, m.comm, m.size, STEPS, true, backend_cpu_open, &z);
    for (int i = 0; i < STEPS; i++) off = fmax(off, fabs(x.loss[i] - one.loss[i]) / one.loss[i]);
    ok(off <= 1e-5 && fabs(x.held_out - one.held_out) <= 1e-5 * one.held_out,
       arena_printf(a, "%s: as one rank", text));
    ok(!memcmp(x.loss, y.loss, sizeof *x.loss * STEPS) && x.held_out == y.held_out && x.weights == y.weights,
       arena_printf(a, "%s: the same bits with overlap", text));
    ok(!memcmp(x.loss, z.loss, sizeof *x.loss * STEPS) && x.weights == z.weights,
       arena_printf(a, "%s: the same bits with ZeRO", text));
}

/* One rank's device is full from the start, or once the groups are made. */
static void out_of_memory(bool groups_first, struct arena *a) {
    struct backend b;
    struct comm c;
    struct err e;
    int all[8], others[8], n = 0;
    for (int r = 0; r < m.size; r++) {
        all[r] = r;
        if (r != m.rank) others[n++] = r;
    }
    if (backend_cpu_open(&b, 1, &e) || comm_nccl_open(&c, m.comm, &b, &e)) fprintf(stderr, "%s\n", e.text);
    if (groups_first) c.group(&c, all, m.size, a);
    ok(!c.ready(&c, &e), "nothing has failed yet");
    device_is_full = m.rank == 1;
    if (!groups_first) c.group(&c, all, m.size, a);
    c.connect(&c, others, n);
    ok(c.ready(&c, &e) && e.code == EXIT_NOPLAN && strstr(e.text, "out of memory") &&
           strstr(e.text, "rank 1"),
       groups_first ? "a device too full for a connection is known to its peers"
                    : "one too full for a group is known to all");
    device_is_full = false;
    c.close(&c), b.close(&b);
}

/* This call of rank 1 fails while rank 0 waits for it in NCCL: ends the job. */
static int failure(const char *call) {
    static const char *const name[] = {"none", "init", "send", "sum"};
    struct arena a = {0};
    struct backend b;
    struct comm c;
    struct err e = {0};
    if (backend_cpu_open(&b, 1, &e) || comm_nccl_open(&c, m.comm, &b, &e)) fprintf(stderr, "%s\n", e.text);
    for (int i = 0; i < 4 && m.rank == 1; i++)
        if (!strcmp(call, name[i])) nccl_fails = (enum nccl_call)i;
    c.group(&c, (int[]){0, 1}, 2, &a);
    c.connect(&c, (int[]){!m.rank}, 1);
    printf("%s\n", c.ready(&c, &e) ? e.text : "all is made");
    c.close(&c), b.close(&b);
    arena_free(&a);
    mpx_finish(&m);
    return 0;
}

int main(int argc, char **argv) {
    struct arena a = {0};
    struct err e;
    if (mpx_start(&m, &e)) {
        fprintf(stderr, "%s\n", e.text);
        mpx_finish(&m);
        return 1;
    }
    if (argc == 2) return failure(argv[1]);
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (plans[i].ranks == m.size) training(plans[i].plan, &a);
    if (m.size > 1) {
        out_of_memory(false, &a);
        out_of_memory(true, &a);
    }
    if (m.size == 1) printf("ok %d - NCCL # skip one rank has nobody to talk to\n", ++tests);
    if (m.rank == 0) printf("1..%d\n", tests);
    arena_free(&a);
    mpx_finish(&m);
    return 0;
}
