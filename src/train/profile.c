/* sailor-train profile: what the planner needs to know about a model on this device. What is timed is
 * training: passes forward and backward through an embedding, blocks and a head, then an update, with a stamp
 * at every border. A layer by itself would find its weights, and what it kept, in the caches. As many
 * replicas as fit on the ranks work at the same time, as in training: neighbours share memory and caches. */
#include "base/stats.h"
#include "io/file.h"
#include "formats/inputs.h"
#include "io/json.h"
#include "io/mpx_comm.h"
#include "io/program.h"
#include "train/cmd.h"
#include "train/net.h"

#include <hdf5.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *inputs, *gpu, *output;
    int backend, comm, dtype, repeat, largest, threads, tp;
    double memory_gib;
    bool force, quiet;
} o = {.comm = COMM_DEFAULT, .repeat = 7, .largest = 64};

static struct opt options[] = {
    OPTION_TEXT(0, "gpu", "NAME", &o.gpu,
                "name of the device in the site file; \"cpu\" for the CPUs of this machine (required)"),
    OPTION_TEXT('o', "output", "PROFILE.json", &o.output, "write the profile to this file; default: stdout"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_INT(0, "largest", "M", 1, 65536, &o.largest,
               "time microbatches of 1, 2, 4 ... up to M, or as many as memory holds; default 64"),
    OPTION_INT(0, "tp", "T", 1, 8, &o.tp,
               "time tensor-parallel degrees 1, 2, 4, 8 up to T; default: as many as there are ranks"),
    OPTION_INT(0, "repeat", "N", 1, 1000, &o.repeat,
               "time training N times and take the median of each layer; default 7"),
    OPTION_REAL(0, "memory-limit", "GiB", 1e-6, 1e6, &o.memory_gib,
                "memory that each rank may use; default: 4 on a CPU; on a GPU, 15/16 of its memory, divided "
                "among the ranks that use it"),
    OPTION_CHOICE(0, "backend", train_backends, &o.backend,
                  "device that computes: the CPU (default) or an NVIDIA GPU"),
    TRAIN_OPTION_COMM(&o.comm),
    OPTION_CHOICE(0, "dtype", train_dtypes, &o.dtype, "element type of the model, as in a job; default fp32"),
    TRAIN_OPTION_THREADS(&o.threads),
    PROGRAM_OPTION_INPUTS(&o.inputs),
    OPTION_FLAG('q', "quiet", &o.quiet, "show no progress on stderr"),
};
const struct opt_command profile_command = {
    .usage = "MODEL --gpu NAME [-o PROFILE.json]     (under mpirun or srun, for degrees above 1)",
    .about = "Time the layers of a model on this device. MODEL is a name in inputs/models, or the path of a "
             "model file.",
    .details = "example:\n  mkdir -p inputs/profiles/gpt-tiny\n"
               "  mpirun -n 2 sailor-train profile gpt-tiny --gpu cpu -o inputs/profiles/gpt-tiny/cpu.json\n",
    TRAIN_COMMAND("profile", options, 1, 1),
};

enum { FORWARD, BACKWARD, UPDATE, TIMED, ITEMS = LAYER_KINDS * TIMED, PASSES_MAX = 1000 };
static const double LEAST_S = 0.06; /* for a timed run */
/* Blocks are alike, and so many leave nothing of the last pass in a cache. */
static const double ENOUGH_BYTES = 256 << 20;

struct row { /* of one microbatch and degree: median and spread, by kind of layer; memory taken from the
              * ledger */
    int micro_batch, tp;
    double held[LAYER_KINDS][MEMORY_N];
    double median[LAYER_KINDS][TIMED], spread[LAYER_KINDS][TIMED];
};

struct profiler {
    const char *path; /* of the model, or its name */
    struct mpx mpx;
    struct backend backend;
    struct comm comm;
    struct arch arch;
    const char *model;
    int rows;
    struct row row[17 * TP_N];
    double driver_bytes;  /* device memory of libraries and the driver, beside the blocks */
    double process_bytes; /* the same for the process, on a CPU */
};

/* The slowest rank's time: what the others would wait for. */
static double slowest(const struct profiler *p, double s) {
    if (p->mpx.comm) MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, p->mpx.comm->mpi);
    return s;
}

static void enter(struct net *n, int i, int what) {
    static const enum phase phases[TIMED] = {PHASE_FORWARD, PHASE_BACKWARD, PHASE_UPDATE};
    n->clock->item = (int)n->layer[i].kind * TIMED + what;
    clock_enter(n->clock, phases[what]);
}

/* A step of `passes` microbatches, which all ranks begin at once: seconds by item, of one layer and pass.
 * Returns how long it took. */
static double time_step(struct profiler *p, struct net *n, int passes, double s[ITEMS]) {
    static const struct adam_options adam = {1e-4, 0.9, 0.95, 1e-8, 0.1, 0};
    struct slot *slot = &n->slot[0];
    int layers = n->end - n->first;
    double phase_s[PHASE_N], layers_of[LAYER_KINDS] = {0};
    /* a block adds to the gradient it is given */
    if (n->end < n->arch->layers) net_random_gradient(n, n->dy[0]);
    p->backend.sync(&p->backend);
    if (p->mpx.comm) MPI_Barrier(p->mpx.comm->mpi);
    clock_start(n->clock);
    for (int i = 0; i < layers; i++) {
        layers_of[n->layer[i].kind]++;
        enter(n, i, UPDATE);
        net_zero_layer(n, i);
    }
    for (int k = 0; k < passes; k++) {
        for (int i = 0; i < layers; i++) {
            enter(n, i, FORWARD);
            net_forward_layer(n, slot, i);
            if (n->first + i + 1 == n->arch->layers) net_loss(n, slot, n->tokens, 1.0 / n->tokens);
        }
        for (int i = layers - 1; i >= 0; i--) {
            enter(n, i, BACKWARD);
            net_backward_layer(n, slot, i, n->dy[0]);
        }
    }
    for (int i = 0; i < layers; i++) {
        enter(n, i, UPDATE);
        net_update_layer(n, i, adam, 1);
    }
    double all_s = clock_stop(n->clock, phase_s);
    for (int i = 0; i < ITEMS; i++) s[i] = 0;
    clock_items(n->clock, s, ITEMS);
    for (int i = 0; i < ITEMS; i++)
        s[i] /= fmax(1, layers_of[i / TIMED]) * (i % TIMED == UPDATE ? 1 : passes);
    return all_s;
}

/* The time of every replica, that is, of its slowest rank: s[ranks / tp]. */
static void of_replicas(const struct profiler *p, double mine, int tp, double *s) {
    double rank_s[p->mpx.size];
    if (p->mpx.comm)
        MPI_Allgather(&mine, 1, MPI_DOUBLE, rank_s, 1, MPI_DOUBLE, p->mpx.comm->mpi);
    else
        rank_s[0] = mine;
    for (int r = 0; r < p->mpx.size; r++) s[r / tp] = r % tp ? fmax(s[r / tp], rank_s[r]) : rank_s[r];
}

/* What a rank may take. Not all of a GPU: kernels are loaded and libraries take work space on first use,
 * which would end the process if there were no room. Ranks that share it get equal parts. */
static double limit_bytes(struct profiler *p) {
    size_t used, total;
    p->backend.device_bytes(&p->backend, &used, &total);
    if (o.memory_gib > 0) return o.memory_gib * (1 << 30);
    if (!total) return 4.0 * (1 << 30);
    return 15.0 / 16 * (double)total / (p->backend.shared ? p->mpx.node_ranks : 1);
}

/* A file in memory, with a table in it. */
static void warm_up_files(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 16, false);
    hid_t file = H5Fcreate("warm-up", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hsize_t n = 1;
    double x = 0;
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &x);
    H5Dclose(set);
    H5Sclose(space);
    H5Fclose(file);
    H5Pclose(access);
}

/* HDF5 takes memory on first use, and MPI with the first large messages and sums: a run does all of this. */
static void warm_up(const struct profiler *p) {
    enum { SOME = 1 << 19, TIMES = 16 };
    double *sum = p->mpx.comm ? calloc(2 * SOME, sizeof *sum) : NULL;
    warm_up_files();
    if (p->mpx.comm && slowest(p, sum ? 0 : 1) == 0) {
        MPI_Comm comm = p->mpx.comm->mpi;
        int next = (p->mpx.rank + 1) % p->mpx.size, last = (p->mpx.rank + p->mpx.size - 1) % p->mpx.size;
        MPI_Allreduce(MPI_IN_PLACE, sum, SOME, MPI_DOUBLE, MPI_SUM, comm);
        for (int n = 1; n <= SOME; n *= TIMES) {
            MPI_Request sent[2];
            MPI_Status done[2];
            MPI_Irecv(sum + SOME, n, MPI_DOUBLE, last, 0, comm, &sent[0]);
            MPI_Isend(sum, n, MPI_DOUBLE, next, 0, comm, &sent[1]);
            MPI_Waitall(2, sent, done);
        }
    }
    free(sum);
}

/* The process's resident memory, 0 if unknown: blocks of a ledger, the program, libraries and their
 * buffers. */
static double resident_bytes(void) {
    double pages[2];
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    FILE *f = fopen("/proc/self/statm", "r");
    bool read = f && fscanf(f, "%lf %lf", &pages[0], &pages[1]) == 2;
    if (f) fclose(f);
    return read ? pages[1] * (double)sysconf(_SC_PAGESIZE) : 0;
}

/* A row's degree and microbatch on this rank. */
struct place {
    int tp, micro_batch;
    struct group *group;
};

static int make(struct profiler *p, struct net *n, const struct arch *arch, int first, int end,
                struct place at, struct clock *clock, struct ledger *l, struct arena *a) {
    struct net_shape shape = {first,          end, at.tp,          p->mpx.rank % at.tp,
                              at.micro_batch, 1,   RECOMPUTE_NONE, false};
    struct err e;
    ledger_open(l, &p->backend, limit_bytes(p));
    return net_make(n, arch, shape, &p->backend, &p->comm, at.group, clock, l, a, &e);
}

/* Takes the memory of one layer, and gives it back. 1: some rank has not enough. */
static int hold_layer(struct profiler *p, int layer, struct place at, double held[MEMORY_N]) {
    struct arena a = {0};
    struct ledger l;
    struct net n;
    int rc = make(p, &n, &p->arch, layer, layer + 1, at, NULL, &l, &a);
    for (int i = 0; i < MEMORY_N; i++) held[i] = (double)l.held[i];
    ledger_close(&l);
    arena_free(&a);
    return slowest(p, rc ? 1 : 0) > 0;
}

/* Layers [first, end), `repeat` times, each time as many passes as it takes for the clock, and for what else
 * the machine does, not to decide. 1: some rank ran out of memory. */
static int time_layers(struct profiler *p, const struct arch *arch, int first, int end, struct place at,
                       struct row *row) {
    struct arena a = {0};
    struct ledger l;
    struct clock clock = {.backend = &p->backend};
    struct net n;
    int replicas = p->mpx.size / at.tp, samples = replicas * o.repeat;
    double *s = ARENA_ARRAY(&a, double, ITEMS *samples), mine[ITEMS];
    int rc = slowest(p, make(p, &n, arch, first, end, at, &clock, &l, &a) ? 1 : 0) > 0;
    if (!rc) {
        double once_s = INFINITY; /* the fastest of several: a delayed one would ask for too few passes */
        net_random(&n);
        for (int r = 0; r < 4 && !(r && once_s > 10 * LEAST_S); r++)
            once_s = fmin(once_s, slowest(p, time_step(p, &n, 1, mine)));
        int passes = once_s * PASSES_MAX < LEAST_S ? PASSES_MAX : (int)ceil(LEAST_S / once_s);
        for (int r = 0; r < o.repeat; r++) {
            time_step(p, &n, passes, mine);
            for (int i = 0; i < ITEMS; i++) of_replicas(p, mine[i], at.tp, s + i * samples + r * replicas);
        }
        for (int i = first; i < end; i++) {
            int kind = (int)arch_kind(arch, i);
            for (int what = 0; what < TIMED; what++) {
                double *of = s + (kind * TIMED + what) * samples;
                row->median[kind][what] = median(of, samples);
                row->spread[kind][what] = interquartile_range(of, samples);
            }
        }
    }
    ledger_driver(&l);
    p->driver_bytes = fmax(p->driver_bytes, (double)l.peak[MEMORY_DRIVER]);
    if (o.backend == BACKEND_CPU)
        p->process_bytes = fmax(p->process_bytes, resident_bytes() - (double)l.total);
    ledger_close(&l);
    clock_free(&clock);
    arena_free(&a);
    return rc;
}

static double sum(const double held[MEMORY_N]) {
    double all = 0;
    for (int i = 0; i < MEMORY_N; i++) all += held[i];
    return all;
}

/* The model with fewer blocks, and a head of its own, as it is where the embedding is on other ranks. */
static struct arch shortened(const struct arch *arch, int blocks) {
    struct arch a = *arch;
    a.blocks = blocks;
    a.layers = blocks + 2;
    a.tied = a.tensor[LAYER_HEAD][HEAD_MATRIX].tied = false;
    return a;
}

/* The whole model, if it fits and is not larger than it takes; or else with fewer blocks, or layer by layer.
 */
static int time_row(struct profiler *p, struct place at, struct row *row) {
    static const enum layer_kind kinds[] = {LAYER_EMBEDDING, LAYER_BLOCK, LAYER_HEAD};
    int layer[] = {0, 1, p->arch.layers - 1};
    for (int k = 0; k < 3; k++)
        if (hold_layer(p, layer[k], at, row->held[kinds[k]])) return 1;
    double enough = ceil(-slowest(p, -ENOUGH_BYTES / sum(row->held[LAYER_BLOCK])));
    int blocks = (int)fmin(fmax(2, enough), p->arch.blocks);
    for (; blocks > 0; blocks /= 2) {
        struct arch arch = shortened(&p->arch, blocks);
        if (!time_layers(p, &arch, 0, arch.layers, at, row)) return 0;
    }
    for (int k = 0; k < 3; k++)
        if (time_layers(p, &p->arch, layer[k], layer[k] + 1, at, row)) return 1;
    return 0;
}

static int time_all(struct profiler *p, struct arena *a, struct err *e) {
    for (int tp = 1; tp <= p->mpx.size && tp <= TP_MAX && (!o.tp || tp <= o.tp); tp *= 2) {
        struct group *g = NULL;
        struct err no;
        int rank[TP_MAX], first = p->mpx.rank / tp * tp;
        if (arch_check_tp(&p->arch, tp, "", &no) || p->mpx.size % tp) continue;
        for (int k = 0; k < tp; k++) rank[k] = first + k;
        if (tp > 1) g = p->comm.group(&p->comm, rank, tp, a);
        if (mpx_agree(&p->mpx, p->comm.ready ? p->comm.ready(&p->comm, e) : 0, e)) return -1;
        for (int m = 1; m <= o.largest; m *= 2) {
            struct row *row = &p->row[p->rows];
            *row = (struct row){.micro_batch = m, .tp = tp};
            if ((long long)m * p->arch.sequence * p->arch.hidden > 1 << 30) break;
            if (time_row(p, (struct place){tp, m, g}, row)) break;
            p->rows++;
            if (p->mpx.rank == 0 && !o.quiet)
                fprintf(stderr, "tp %d, microbatch %3d: block %.3g s forward, %.3g s backward\n", tp, m,
                        row->median[LAYER_BLOCK][0], row->median[LAYER_BLOCK][1]);
        }
    }
    return 0;
}

static void add_times(struct text *t, const struct arch *a, const char *key, double value[LAYER_KINDS][TIMED],
                      int what) {
    text_add(t, ", \"%s\": [", key);
    for (int l = 0; l < a->layers; l++) {
        if (l) text_add(t, ", ");
        text_add(t, "%.5g", value[arch_kind(a, l)][what]);
    }
    text_add(t, "]");
}

/* Elements per sequence, and elements whatever the microbatch: two rows of one degree tell them apart. */
static double per_sequence(const struct row *r, const struct row *more, enum layer_kind kind,
                           enum memory what, double *fixed_bytes) {
    double bytes = r->held[kind][what] / r->micro_batch;
    if (more) bytes = (more->held[kind][what] - r->held[kind][what]) / (more->micro_batch - r->micro_batch);
    *fixed_bytes = r->held[kind][what] - bytes * r->micro_batch;
    return bytes / (o.dtype ? 2 : 4);
}

/* What a rank of a plan holds, from the ledgers of single layers (docs/trainer.md, How a plan is run). Adds
 * nothing if the system does not report memory. */
static void add_memory(const struct profiler *p, struct text *t) {
    static const enum layer_kind kinds[] = {LAYER_EMBEDDING, LAYER_BLOCK, LAYER_HEAD};
    double process = p->process_bytes + p->driver_bytes, most_fixed = 0, fixed, message = 0;
    struct text tps = {0};
    const double *of = p->row[0].held[LAYER_EMBEDDING];
    if (!(process > 0)) return;
    for (int i = 0; i < p->rows; i++) {
        const struct row *r = &p->row[i], *more = i + 1 < p->rows && r[1].tp == r->tp ? r + 1 : NULL;
        double act[LAYER_KINDS] = {0}, work = 0;
        if (i && r[-1].tp == r->tp) continue;
        for (int k = 0; k < 3; k++) {
            act[kinds[k]] = per_sequence(r, more, kinds[k], MEMORY_ACTIVATIONS, &fixed);
            work = fmax(work, per_sequence(r, more, kinds[k], MEMORY_WORKSPACE, &fixed));
            most_fixed = fmax(most_fixed, fixed);
        }
        double two = per_sequence(r, more, LAYER_HEAD, MEMORY_COMMUNICATION, &fixed);
        message = per_sequence(r, more, LAYER_EMBEDDING, MEMORY_COMMUNICATION, &fixed) - two;
        text_add(&tps, "%s\n      \"%d\": {\"act_mem\": [", i ? "," : "", r->tp);
        for (int l = 0; l < p->arch.layers; l++)
            text_add(&tps, "%s%.8g", l ? ", " : "", act[arch_kind(&p->arch, l)]);
        text_add(&tps, "], \"work\": %.8g}", work + two);
    }
    text_add(t,
             ",\n  \"memory\": {\n    \"process_bytes\": %.0f, \"state_bytes_per_param\": %.8g, \"message\": "
             "%.8g,\n",
             process + most_fixed,
             (of[MEMORY_PARAMETERS] + of[MEMORY_GRADIENTS] + of[MEMORY_OPTIMIZER]) / of[MEMORY_PARAMETERS] *
                 (o.dtype ? 2 : 4),
             message);
    text_add(t, "    \"tp\": {%s\n    }\n  }", tps.s);
    text_free(&tps);
}

static void write_text(const struct profiler *p, struct text *t) {
    static const char *const keys[] = {"forward_s",        "backward_s",        "update_s",
                                       "forward_spread_s", "backward_spread_s", "update_spread_s"};
    char source[400], host[64] = "";
    gethostname(host, sizeof host - 1);
    snprintf(source, sizeof source,
             "measured: sailor-train %s profile, backend %s on %s (%s), %d ranks at work; median of %d, "
             "spread: interquartile range",
             program_version(), p->backend.name, host, p->backend.device, p->mpx.size, o.repeat);
    text_add(t, "{\n  \"format\": \"sailor-profile/1\",\n  \"source\": ");
    text_string(t, source);
    text_add(t, ",\n  \"model\": ");
    text_string(t, p->model);
    text_add(t, ",\n  \"gpu\": ");
    text_string(t, o.gpu);
    text_add(t, ",\n  \"dtype\": \"%s\"", train_dtypes[o.dtype]);
    add_memory(p, t);
    text_add(t, ",\n  \"times\": [\n");
    for (int i = 0; i < p->rows; i++) {
        struct row r = p->row[i];
        text_add(t, "    {\"micro_batch_size\": %d, \"tp\": %d", r.micro_batch, r.tp);
        for (int k = 0; k < 2 * TIMED; k++)
            add_times(t, &p->arch, keys[k], k < TIMED ? r.median : r.spread, k % TIMED);
        text_add(t, "}%s\n", i + 1 < p->rows ? "," : "");
    }
    text_add(t, "  ]\n}\n");
}

static int profile(void *ctx, struct arena *a, struct err *e) {
    struct profiler *p = ctx;
    const char *model = p->path;
    int rc = 0;
    if (p->mpx.rank == 0 && o.output)
        rc = file_spare(o.output, model, e) || file_can_create(o.output, o.force, "-f overwrites it", e) ? -1
                                                                                                         : 0;
    struct workload w;
    if (!o.gpu) return err_set(e, EXIT_INPUT, "profile: --gpu: missing; expected the name of the device");
    if (!rc) rc = model_load(model, o.inputs, &w, a, e);
    if (!rc) rc = arch_make(&p->arch, w.model, e);
    if (!rc && p->mpx.rank == 0) rc = file_spare_read(o.output, NULL, e);
    if (mpx_agree(&p->mpx, rc, e)) return -1;
    p->model = w.model->name;
    struct train_choice choice = {o.backend, o.comm, o.threads, train_elem(o.dtype)};
    if (mpx_agree(&p->mpx, train_open(&p->mpx, choice, &p->backend, &p->comm, e), e)) return -1;
    rc = arch_check_parts(&p->arch, p->backend.parts, p->backend.name, e);
    warm_up(p);
    if (!rc) rc = time_all(p, a, e);
    if (!rc && !p->rows)
        rc = err_set(e, EXIT_NOPLAN, "out of memory: microbatch 1 does not fit; see --memory-limit");
    p->process_bytes = slowest(p, p->process_bytes);
    if (!rc && p->mpx.rank == 0) {
        struct text t = {0};
        write_text(p, &t);
        rc = file_write(o.output, t.s, t.n, e);
        text_free(&t);
    }
    p->comm.close(&p->comm);
    p->backend.close(&p->backend);
    return mpx_agree(&p->mpx, rc, e);
}

int cmd_profile(int argc, char **argv) {
    struct arena a = {0};
    static struct profiler p;
    const char **file;
    int n, status = EXIT_OK;
    if (!program_parse(&profile_command, argc, argv, &file, &n, &a, &status)) return status;
    p.path = file[0];
    return train_command(&profile_command, &p.mpx, profile, &p, &a);
}
