#include "formats/devices.h"
#include "io/file.h"
#include "io/h5file.h"
#include "io/mpx_comm.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/program.h"
#include "train/checkpoint.h"
#include "train/cmd.h"
#include "train/measure.h"
#include "train/trace.h"
#include "train/watch.h"

#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *inputs, *data, *output, *checkpoint, *resume, *trace;
    int backend, comm, steps, warmup, threads, seed, evaluate, every, trace_step;
    double rate, decay, memory_gib, peak_tflops;
    bool json, force, quiet, overlap;
} o = {.steps = 10, .warmup = 3, .comm = COMM_DEFAULT, .seed = 1, .rate = 1e-3, .decay = 0.1};

static struct opt options[] = {
    {0, "what to run", OPT_GROUP, NULL, NULL, NULL, 0, 0, NULL},
    {0, "backend", OPT_CHOICE, NULL, "what computes: the CPU (default), or a GPU of NVIDIA", &o.backend, 0, 0,
     train_backends},
    {0, "comm", OPT_CHOICE, NULL,
     "what carries messages between ranks; default: nccl where each rank has a GPU of its own, else mpi",
     &o.comm, 0, 0, train_comms},
    {0, "steps", OPT_INT, "N", "steps to do; default 10", &o.steps, 1, 1e9, NULL},
    {0, "warmup", OPT_INT, "N", "first steps that are measured but not counted; default 3", &o.warmup, 0, 1e9,
     NULL},
    {0, "data", OPT_TEXT, "FILE",
     "tokens: the bytes of any file, or a .bin of token ids as llm.c writes them; default: a made-up "
     "sequence",
     &o.data, 0, 0, NULL},
    {0, "overlap", OPT_FLAG, NULL,
     "sum a layer's gradients beside the backward pass of the others; default: after it. No use with "
     "--backend cuda --comm mpi, where the host waits for each sum",
     &o.overlap, 0, 0, NULL},
    {0, "evaluate", OPT_INT, "N", "also the loss on held-out sequences, every N steps", &o.evaluate, 1, 1e9,
     NULL},
    {0, "learning-rate", OPT_REAL, "X", "of AdamW, constant; default 0.001", &o.rate, 0, 1, NULL},
    {0, "weight-decay", OPT_REAL, "X", "of AdamW, on matrices; default 0.1", &o.decay, 0, 1, NULL},
    {0, "seed", OPT_INT, "N", "of initial weights and data; default 1", &o.seed, 0, 1 << 30, NULL},
    {0, "threads", OPT_INT, "N", "per rank; default: the CPUs of the machine, shared out among its ranks",
     &o.threads, 1, 4096, NULL},
    {0, "memory-limit", OPT_REAL, "GiB", "of each rank; default: what the plan's site says of its GPU type",
     &o.memory_gib, 1e-6, 1e6, NULL},
    {0, "peak-tflops", OPT_REAL, "X",
     "peak of one device, for the utilisation (mfu); default: what inputs/devices.json says of a GPU",
     &o.peak_tflops, 1e-6, 1e6, NULL},
    {0, "inputs", OPT_TEXT, "DIR",
     "where models/ and sites/ are; default $SAILOR_INPUTS, then beside the program", &o.inputs, 0, 0, NULL},
    {0, "output", OPT_GROUP, NULL, NULL, NULL, 0, 0, NULL},
    {'o', "output", OPT_TEXT, "MEAS.h5", "everything measured, for sailor validate and for h5py", &o.output,
     0, 0, NULL},
    {'f', "force", OPT_FLAG, NULL, "overwrite files", &o.force, 0, 0, NULL},
    {0, "checkpoint", OPT_TEXT, "CKPT.h5",
     "write parameters, optimizer and data position at the end, and after a signal; replaced whole, never in "
     "part",
     &o.checkpoint, 0, 0, NULL},
    {0, "checkpoint-every", OPT_INT, "N", "also after every N steps", &o.every, 1, 1e9, NULL},
    {0, "resume", OPT_TEXT, "CKPT.h5",
     "go on from a checkpoint, under this or another plan; --steps counts from there", &o.resume, 0, 0, NULL},
    {0, "trace", OPT_TEXT, "FILE.json",
     "the timeline of one step, of all ranks, for Perfetto (ui.perfetto.dev) or chrome://tracing", &o.trace,
     0, 0, NULL},
    {0, "trace-step", OPT_INT, "N", "which step, by its number; default: the last one", &o.trace_step, 1, 1e9,
     NULL},
    {0, "json", OPT_FLAG, NULL, "one JSON object per step on stdout", &o.json, 0, 0, NULL},
    {'q', "quiet", OPT_FLAG, NULL, "no progress on stderr", &o.quiet, 0, 0, NULL},
};
const struct opt_command run_command = {
    .program = "sailor-train",
    .name = "run",
    .usage = "PLAN.json [options]     (under mpirun or srun, one rank per GPU of the plan)",
    .about = "Train by a plan and measure it. Loss, times and memory of every step; one batch is exactly the "
             "plan's.",
    .details =
        "examples:\n"
        "  mpirun -n 2 sailor-train run plan.json --steps 20 -o run.h5    train, keep what was measured\n"
        "  sailor validate run.h5                                         how good the estimate was\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
    .min_files = 1,
    .max_files = 1,
};

/* A signal asks for an end after the current step; a second one ends the process. */
static volatile sig_atomic_t stop_asked;
static void on_signal(int number) {
    stop_asked = 1;
    signal(number, SIG_DFL);
}

struct session {
    const char *path;
    struct training training;
    int dtype; /* of train_dtypes */
    struct arch arch;
    struct grid grid;
    struct data data;
    struct backend backend;
    struct comm comm;
    struct trainer trainer;
    struct measure measure;
    struct trace trace;
    struct mpx mpx;
    struct arena *arena;
};

/* ---- reading, all before any memory of the device is taken ---- */

static char *read_inputs(const char *path, size_t *size, struct arena *a, struct err *e) {
    struct training t;
    if (training_load(path, o.inputs, &t, a, e)) return NULL;
    *size = strlen(t.json);
    return arena_strdup(a, t.json);
}

static int load_plan(struct session *j, struct err *e) {
    size_t size = 0;
    char *text = mpx_read(&j->mpx, read_inputs, j->path, &size, j->arena, e);
    if (!text) return -1;
    text[size] = 0;
    if (training_from_json(text, j->path, &j->training, j->arena, e)) return -1;
    while (train_dtypes[j->dtype] && strcmp(j->training.dtype, train_dtypes[j->dtype])) j->dtype++;
    if (!train_dtypes[j->dtype])
        return err_set(e, EXIT_INPUT, "%s: /dtype: \"%s\"; expected \"fp32\" or \"bf16\"", j->path,
                       j->training.dtype);
    if (strcmp(j->training.optimizer, "adam"))
        return err_set(e, EXIT_INPUT, "%s: /optimizer: \"%s\"; expected \"adam\"", j->path,
                       j->training.optimizer);
    if (arch_make(&j->arch, j->training.workload.model, e)) return -1;
    return grid_make(&j->grid, j->training.plan, &j->arch, j->mpx.size, j->path, j->arena, e);
}

static int load_data(struct session *j, struct err *e) {
    if (!o.data) {
        data_synthetic(&j->data, j->arch.vocabulary, j->arch.sequence, (unsigned long long)o.seed, j->arena);
        return 0;
    }
    size_t size = 0;
    char *bytes = mpx_read(&j->mpx, data_bytes, o.data, &size, j->arena, e);
    if (!bytes) return -1;
    return data_parse(&j->data, o.data, bytes, size, j->arch.vocabulary, j->arch.sequence,
                      (unsigned long long)o.seed, j->arena, e);
}

static const char *command_line(int argc, char **argv, struct arena *a) {
    const char *line = "sailor-train";
    for (int i = 0; i < argc; i++) line = arena_printf(a, "%s %s", line, argv[i]);
    return line;
}

/* The file of what vendors promise; nothing if there is none. */
static char *read_devices(const char *inputs, size_t *size, struct arena *a, struct err *e) {
    const char *dir = inputs_dir(inputs, a, e), *path = dir ? arena_printf(a, "%s/devices.json", dir) : NULL;
    *size = 0;
    return path && !access(path, F_OK) ? file_read_text(path, size, a, e) : arena_strdup(a, "");
}

/* Peak of this rank's device, NAN if unknown. */
static int find_peak(struct session *j, double *flops_per_s, struct err *e) {
    const struct grid_cell *c = &j->grid.cell[j->grid.cell_of[j->mpx.rank]];
    size_t size = 0;
    *flops_per_s = o.peak_tflops > 0 ? 1e12 * o.peak_tflops : NAN;
    if (o.peak_tflops > 0 || !j->backend.products) return 0;
    char *text = mpx_read(&j->mpx, read_devices, o.inputs, &size, j->arena, e);
    if (!text) return -1;
    text[size] = 0;
    if (!size) return 0;
    return devices_peak("devices.json", text, j->backend.device, j->training.workload.site->gpu[c->gpu].name,
                        j->backend.products, flops_per_s, e);
}

/* ---- measuring ---- */

/* Gather n bytes of every rank on rank 0. */
static void gather(const struct session *j, const void *mine, void *all, size_t n) {
    if (j->mpx.comm)
        MPI_Gather(mine, (int)n, MPI_BYTE, all, (int)n, MPI_BYTE, 0, j->mpx.comm->mpi);
    else
        memcpy(all, mine, n);
}

/* Of what the numbers depend on, beside this program. */
static const char *versions(const struct session *j) {
    unsigned major = 0, minor = 0, release = 0;
    char mpi[120];
    const char *backend = j->backend.versions;
    H5get_libversion(&major, &minor, &release);
    mpx_version(mpi, sizeof mpi);
    return arena_printf(j->arena, "%s; HDF5 %u.%u.%u%s%s", mpi, major, minor, release, *backend ? "; " : "",
                        backend);
}

static double sum_of_ranks(const struct session *j, double value) {
    if (j->mpx.comm) MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, j->mpx.comm->mpi);
    return value;
}

static int gather_ranks(struct session *j, struct err *e) {
    struct measure *m = &j->measure;
    struct trainer *t = &j->trainer;
    size_t used, total;
    ledger_driver(&t->ledger);
    j->backend.device_bytes(&j->backend, &used, &total);
    struct measured_rank mine = {.pipeline = t->cell->pipeline,
                                 .stage = t->cell->stage,
                                 .replica = t->cell->replica,
                                 .tp = t->cell->tp,
                                 .tp_rank = t->net.tp_rank,
                                 .peak_total_bytes = (double)t->ledger.total_peak,
                                 .device_bytes = (double)used};
    struct rusage usage;
    gethostname(mine.host, sizeof mine.host - 1);
    memcpy(mine.device, j->backend.device, sizeof mine.device);
    for (int i = 0; i < MEMORY_N; i++) mine.peak_bytes[i] = (double)t->ledger.peak[i];
    if (!getrusage(RUSAGE_SELF, &usage)) mine.process_peak_bytes = 1024.0 * (double)usage.ru_maxrss;
    int rc = 0;
    if (j->mpx.rank == 0 && !m->rank && !(m->rank = calloc((size_t)j->mpx.size, sizeof *m->rank)))
        rc = err_set(e, EXIT_INTERNAL, "out of memory");
    if (mpx_agree(&j->mpx, rc, e)) return -1;
    gather(j, &mine, m->rank, sizeof mine);
    return 0;
}

/* Everything about a step, on rank 0; *stop on all ranks: has someone asked for the end? */
static int record(struct session *j, const struct step_result *r, double held_out, int done, bool *stop,
                  struct err *e) {
    struct measure *m = &j->measure;
    enum { PHASES = 2, STOP = PHASES + PHASE_N, PEAK, N };
    ledger_driver(&j->trainer.ledger);
    double mine[N] = {r->loss, r->time_s, [STOP] = stop_asked, [PEAK] = (double)j->trainer.ledger.total_peak};
    memcpy(mine + PHASES, r->phase_s, sizeof r->phase_s);
    bool first = j->mpx.rank == 0;
    double *all = first ? calloc((size_t)j->mpx.size * N, sizeof *all) : NULL;
    struct measured_step *s = first ? measure_add(m) : NULL;
    int rc = first && (!all || !s) ? err_set(e, EXIT_INTERNAL, "out of memory") : 0;
    if (mpx_agree(&j->mpx, rc, e)) return free(all), -1;
    gather(j, mine, all, sizeof mine);
    double flops = 0, batch = j->training.plan->global_batch_size;
    for (int l = 0; l < j->arch.layers; l++) flops += batch * arch_flops(&j->arch, l);
    *stop = false;
    if (first) {
        s->step = j->trainer.step;
        s->warmup = done < o.warmup;
        s->held_out_loss = held_out;
        double *time = m->time_s + (size_t)(m->steps - 1) * (size_t)m->ranks * (1 + PHASE_N);
        for (int k = 0; k < m->ranks; k++) {
            const double *of = all + k * N;
            s->loss += of[0];
            s->iteration_time_s = fmax(s->iteration_time_s, of[1]);
            memcpy(time + k * (1 + PHASE_N), of + 1, sizeof(double) * (1 + PHASE_N));
            *stop |= of[STOP] != 0;
            m->rank[k].peak_total_bytes = of[PEAK];
        }
        s->tokens_per_s = batch * j->arch.sequence / s->iteration_time_s;
        s->flops_per_s = flops / s->iteration_time_s;
        s->mfu = s->flops_per_s / m->peak_flops_per_s;
    }
    free(all);
    *stop = mpx_same_int(&j->mpx, *stop);
    return 0;
}

static void show(const struct session *j) {
    const struct measured_step *s = &j->measure.step[j->measure.steps - 1];
    if (o.json) {
        cJSON *x = cJSON_CreateObject();
        cJSON_AddItemToObject(x, "step", json_double((double)s->step));
        cJSON_AddItemToObject(x, "loss", json_double(s->loss));
        if (!isnan(s->held_out_loss))
            cJSON_AddItemToObject(x, "held_out_loss", json_double(s->held_out_loss));
        cJSON_AddItemToObject(x, "iteration_time_s", json_double(s->iteration_time_s));
        cJSON_AddItemToObject(x, "tokens_per_s", json_double(s->tokens_per_s));
        cJSON_AddItemToObject(x, "mfu", json_double(s->mfu));
        cJSON_AddItemToObject(x, "peak_memory_bytes", json_double(measure_peak_bytes(&j->measure)));
        char *text = cJSON_PrintUnformatted(x);
        puts(text ? text : "null");
        fflush(stdout);
        cJSON_free(text);
        cJSON_Delete(x);
    }
    if (o.quiet || (o.json && isatty(STDERR_FILENO))) return;
    char held[40] = "", mfu[40] = "";
    if (!isnan(s->held_out_loss)) snprintf(held, sizeof held, "  held out %.5f", s->held_out_loss);
    if (!isnan(s->mfu)) snprintf(mfu, sizeof mfu, "  mfu %.1f %%", 100 * s->mfu);
    fprintf(stderr, "step %6ld  loss %.5f%s  %.4f s  %.0f tokens/s%s%s\n", s->step, s->loss, held,
            s->iteration_time_s, s->tokens_per_s, mfu, s->warmup ? "  (warm-up)" : "");
}

static void summary(const struct session *j) {
    const struct measure *m = &j->measure;
    double phase[PHASE_N] = {0}, all = 0, GiB = 1 << 30;
    for (int i = 0; i < m->steps; i++)
        for (int k = 0; k < m->ranks && !m->step[i].warmup; k++)
            for (int p = 0; p < PHASE_N; p++) {
                double s =
                    m->time_s[((size_t)i * (size_t)m->ranks + (size_t)k) * (1 + PHASE_N) + 1 + (size_t)p];
                phase[p] += s;
                all += s;
            }
    if (!(all > 0)) {
        printf("loss %.5f, peak memory %.4f GiB; nothing measured after %d warm-up steps\n",
               m->step[m->steps - 1].loss, measure_peak_bytes(m) / GiB, m->steps);
        return;
    }
    printf("iteration %.5f s, %.0f tokens/s, loss %.5f, peak memory %.4f GiB\n", measure_iteration_s(m),
           j->training.plan->global_batch_size * (double)j->arch.sequence / measure_iteration_s(m),
           m->step[m->steps - 1].loss, measure_peak_bytes(m) / GiB);
    printf("time of a rank, mean:");
    for (int p = 0; p < PHASE_N; p++)
        printf(" %s %.1f %%%s", phase_name[p], 100 * phase[p] / all, p + 1 < PHASE_N ? "," : "\n");
}

/* ---- the run ---- */

static int take_part(struct session *j, struct err *e) {
    struct train_options t = {.adam = {o.rate, 0.9, 0.95, 1e-8, o.decay},
                              .seed = (unsigned long long)o.seed,
                              .overlap = o.overlap,
                              .threads = j->measure.threads};
    const struct grid_cell *c = &j->grid.cell[j->grid.cell_of[j->mpx.rank]];
    t.memory_limit_bytes =
        o.memory_gib > 0 ? o.memory_gib * (1 << 30) : j->training.workload.site->gpu[c->gpu].memory_bytes;
    if (trainer_make(&j->trainer, &j->grid, &j->data, &j->backend, &j->comm, t, j->arena, e)) {
        struct err why = *e;
        char host[64] = "";
        gethostname(host, sizeof host - 1);
        return err_set(e, why.code, "rank %d on %s: %s", j->mpx.rank, host, why.text);
    }
    return 0;
}

static int write_measurement(struct session *j, struct err *e) {
    int rc = 0;
    if (!o.output) return 0;
    if (j->mpx.rank == 0) rc = measure_write(&j->measure, o.output, e);
    return mpx_agree(&j->mpx, rc, e);
}

/* Keep each step until it is the one asked for: which is the last one is not known before a signal. */
static void keep_trace(struct session *j) {
    long step = j->trainer.step;
    if (o.trace && (!o.trace_step || step <= o.trace_step)) trace_take(&j->trace, &j->trainer.clock, step);
}

static int write_trace(struct session *j, bool last, struct err *e) {
    long step = j->trainer.step;
    bool now = !o.trace_step ? last : step == o.trace_step || (last && step < o.trace_step);
    if (!o.trace || !now) return 0;
    return trace_write(&j->trace, &j->grid, &j->mpx, o.trace, j->measure.version, e);
}

static int train(struct session *j, struct err *e) {
    struct step_result r;
    bool stop = false;
    long before = j->trainer.step;
    if (o.trace_step && (o.trace_step <= before || o.trace_step > before + o.steps))
        return err_set(e, EXIT_INPUT, "run: --trace-step %d; expected one of this run's, %ld to %ld",
                       o.trace_step, before + 1, before + o.steps);
    for (int i = 0; i < o.steps && !stop; i++) {
        trainer_step(&j->trainer, &r);
        keep_trace(j);
        double held_out = NAN;
        if (o.evaluate && (i + 1) % o.evaluate == 0)
            held_out = sum_of_ranks(j, trainer_evaluate(&j->trainer));
        if (record(j, &r, held_out, i, &stop, e)) return -1;
        if (j->mpx.rank == 0) show(j);
        bool last = stop || i + 1 == o.steps;
        if (write_trace(j, last, e)) return -1;
        if (o.checkpoint && (last || (o.every && (i + 1) % o.every == 0)) &&
            checkpoint_write(&j->trainer, &j->mpx, o.checkpoint, j->measure.version, e))
            return -1;
    }
    if (gather_ranks(j, e) || write_measurement(j, e)) return -1;
    if (stop) return err_set(e, EXIT_STOPPED, "stopped by a signal after step %ld", j->trainer.step);
    if (j->mpx.rank == 0 && !o.json) summary(j);
    return 0;
}

static int run(struct session *j, struct err *e) {
    int rc = 0;
    if (o.every && !o.checkpoint)
        return err_set(e, EXIT_INPUT, "run: --checkpoint-every without --checkpoint; expected both");
    if (o.trace_step && !o.trace)
        return err_set(e, EXIT_INPUT, "run: --trace-step without --trace; expected both");
    const char *to[] = {o.output, o.checkpoint, o.trace};
    for (int i = 0; i < 3; i++)
        if (to[i] && to[(i + 1) % 3] && !strcmp(to[i], to[(i + 1) % 3]))
            return err_set(e, EXIT_INPUT, "run: %s: two results; expected a path of its own for each", to[i]);
    /* a run that goes on may replace the file it started from */
    bool same = o.checkpoint && o.resume && !strcmp(o.checkpoint, o.resume);
    if (j->mpx.rank == 0 && o.output) rc = h5_can_create(o.output, o.force, e);
    if (j->mpx.rank == 0 && !rc && o.checkpoint) rc = h5_can_create(o.checkpoint, o.force || same, e);
    if (j->mpx.rank == 0 && !rc && o.trace) rc = file_can_create(o.trace, o.force, "-f overwrites it", e);
    if (mpx_agree(&j->mpx, rc, e)) return -1;
    if (load_plan(j, e) || load_data(j, e)) return -1; /* the same on all ranks */
    struct train_choice choice = {o.backend, o.comm, o.threads, train_elem(j->dtype)};
    if (mpx_agree(&j->mpx, train_open(&j->mpx, choice, &j->backend, &j->comm, e), e)) return -1;
    struct measure *m = &j->measure;
    m->ranks = j->mpx.size, m->inputs_json = j->training.json, m->backend = j->backend.name,
    m->dtype = train_dtypes[j->dtype], m->comm = j->comm.name;
    m->versions = versions(j), m->device = j->backend.device, m->data = j->data.name,
    m->threads = o.threads ? o.threads : j->mpx.cpus, m->seed = o.seed;
    rc = find_peak(j, &m->peak_flops_per_s, e); /* the same on all ranks */
    if (!rc) {
        m->peak_flops_per_s = sum_of_ranks(j, m->peak_flops_per_s);
        rc = mpx_agree(&j->mpx, take_part(j, e), e);
    }
    if (rc && e->code == EXIT_NOPLAN && o.output) { /* out of memory is a result */
        struct err why = *e;
        m->out_of_memory = why.text;
        if (gather_ranks(j, e) || write_measurement(j, e)) return -1;
        *e = why;
    }
    if (!rc) {
        if (gather_ranks(j, e)) return -1;
        if (o.resume) rc = checkpoint_read(&j->trainer, &j->mpx, o.resume, e);
        if (!rc) rc = train(j, e);
    }
    trainer_free(&j->trainer);
    trace_free(&j->trace);
    measure_free(m);
    j->comm.close(&j->comm);
    j->backend.close(&j->backend);
    return rc;
}

int cmd_run(int argc, char **argv) {
    struct arena a = {0};
    struct session j = {.arena = &a};
    struct err e;
    const char **file;
    int n, status = EXIT_OK;
    char started[40];
    time_t now = time(NULL);
    if (!program_parse(&run_command, argc, argv, &file, &n, &a, &status)) return status;
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    j.path = file[0];
    j.measure.command_line = command_line(argc, argv, &a);
    j.measure.started_utc = started;
    j.measure.version = arena_printf(&a, "sailor-train %s", program_version());
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGUSR1, on_signal);
    watch_begin();
    if (mpx_start(&j.mpx, &e) || run(&j, &e)) {
        status = e.code;
        if (j.mpx.rank == 0) program_fail(&run_command, &e);
    }
    arena_free(&a);
    watch_end();
    mpx_finish(&j.mpx);
    return status;
}
