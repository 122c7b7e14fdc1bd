#include "base/clock.h"
#include "formats/devices.h"
#include "io/file.h"
#include "io/h5file.h"
#include "io/mpx_comm.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/program.h"
#include "train/cadence.h"
#include "train/checkpoint.h"
#include "train/cmd.h"
#include "train/finite.h"
#include "train/record.h"
#include "train/saver.h"
#include "train/trace.h"
#include "train/weights.h"

#include <errno.h>
#include <hdf5.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *inputs, *data, *output, *checkpoint, *every, *mtbf, *resume, *weights, *trace;
    int backend, comm, steps, until, warmup, threads, seed, evaluate, trace_step;
    int order, schedule, rate_warmup, rate_steps, rate_decay;
    double rate, rate_end, clip, decay, memory_gib, peak_tflops;
    bool json, force, quiet, overlap, apart;
} o = {.warmup = 3, .comm = COMM_DEFAULT, .seed = 1, .rate = 1e-3, .rate_end = 0.1, .decay = 0.1};

static const char *const orders[] = {"places", "documents", NULL};
static struct opt options[] = {
    OPTION_GROUP("what to run"),
    OPTION_CHOICE(0, "backend", train_backends, &o.backend,
                  "device that computes: the CPU (default) or an NVIDIA GPU"),
    TRAIN_OPTION_COMM(&o.comm),
    OPTION_INT(0, "steps", "N", 1, 1e9, &o.steps, "number of steps to train; default 10"),
    OPTION_INT(
        0, "until", "N", 1, 1e9, &o.until,
        "stop at step N, counted from the first step of the whole training, instead of after --steps more; "
        "a resumed run then ends where an uninterrupted one would"),
    OPTION_INT(0, "warmup", "N", 0, 1e9, &o.warmup, "leave the first N steps out of the means; default 3"),
    OPTION_TEXT(
        0, "data", "FILE", &o.data,
        "file to train on: any file (each byte is a token), a .bin of token ids as llm.c writes them, or the "
        ".idx of a Megatron dataset, with its .bin next to it; default: synthetic data"),
    OPTION_CHOICE(0, "order", orders, &o.order,
                  "where sequences come from: random offsets (the default), or, for a Megatron "
                  "dataset, the documents in an order drawn for each epoch, so that an epoch has every "
                  "token once"),
    OPTION_FLAG(0, "separate-documents", &o.apart,
                "for a Megatron dataset: attention does not go beyond a token's document, and learned "
                "positions count from its beginning (--backend cpu only)"),
    OPTION_FLAG(
        0, "overlap", &o.overlap,
        "all-reduce a layer's gradients while the backward pass of the others goes on; default: after it. "
        "No use with --backend cuda --comm mpi, where the host waits for each sum"),
    OPTION_INT(0, "evaluate", "N", 1, 1e9, &o.evaluate,
               "also compute the loss on held-out sequences, every N steps"),
    OPTION_REAL(0, "learning-rate", "X", 0, 1, &o.rate, "AdamW learning rate, at its peak; default 0.001"),
    OPTION_CHOICE(0, "schedule", rate_shapes, &o.schedule,
                  "how the learning rate falls from its peak: not at all (constant, the default), linearly, "
                  "as a cosine, or only at the end (wsd: warm-up, stable, decay)"),
    OPTION_INT(0, "rate-warmup", "N", 0, 1e9, &o.rate_warmup,
               "steps over which the learning rate rises to its peak; default 0"),
    OPTION_INT(0, "rate-steps", "N", 1, 1e9, &o.rate_steps,
               "step at which the schedule ends; default: the last step of this run. Needed if the run is to "
               "be continued later"),
    OPTION_INT(0, "rate-decay", "N", 1, 1e9, &o.rate_decay,
               "steps over which the learning rate of wsd falls; default: a tenth of --rate-steps"),
    OPTION_REAL(0, "rate-end", "X", 0, 1, &o.rate_end,
                "learning rate at the end of the schedule, as a fraction of its peak; default 0.1"),
    OPTION_REAL(0, "clip", "X", 0, 1e9, &o.clip,
                "scale all gradients down to this global norm if theirs is larger (a usual value is 1); "
                "default: no clipping"),
    OPTION_REAL(0, "weight-decay", "X", 0, 1, &o.decay,
                "AdamW weight decay, applied to matrices only; default 0.1"),
    OPTION_INT(0, "seed", "N", 0, 1 << 30, &o.seed,
               "seed for the initial weights and the order of the data; default 1"),
    TRAIN_OPTION_THREADS(&o.threads),
    OPTION_REAL(0, "memory-limit", "GiB", 1e-6, 1e6, &o.memory_gib,
                "memory that each rank may use; default: what the plan's site says about its GPU type"),
    OPTION_REAL(0, "peak-tflops", "X", 1e-6, 1e6, &o.peak_tflops,
                "peak TFLOP/s of one device, used to compute the utilisation (mfu); default: the figure in "
                "inputs/devices.json for a GPU"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
    OPTION_GROUP("output"),
    OPTION_TEXT('o', "output", "MEAS.h5", &o.output,
                "write all measurements to this file, for sailor validate and h5py"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_TEXT(
        0, "checkpoint", "CKPT.h5", &o.checkpoint,
        "write parameters, optimizer state and data position to this file at the end, and after a signal; "
        "the file is replaced as a whole, never in part"),
    OPTION_TEXT(0, "checkpoint-every", "N|TIME|auto", &o.every,
                "also write the checkpoint every N steps, at this interval (30s, 5m, 2h), or as often as is "
                "worthwhile for --mtbf (auto); training goes on while it is written"),
    OPTION_TEXT(0, "mtbf", "TIME", &o.mtbf,
                "mean time between failures of the whole job, for --checkpoint-every auto: the interval is "
                "sqrt(2 x time to write x this)"),
    OPTION_TEXT(0, "resume", "CKPT.h5", &o.resume,
                "continue from a checkpoint, under this or another plan; --steps counts from there"),
    OPTION_TEXT(
        0, "weights", "FILE.safetensors", &o.weights,
        "start from these weights, with the names of Hugging Face's transformers, or from the files named by "
        "an index, model.safetensors.index.json; default: random weights"),
    OPTION_TEXT(
        0, "trace", "FILE.json", &o.trace,
        "write the timeline of one step of all ranks, for Perfetto (ui.perfetto.dev) or chrome://tracing"),
    OPTION_INT(0, "trace-step", "N", 1, 1e9, &o.trace_step,
               "number of the step that --trace writes; default: the last step"),
    OPTION_FLAG(0, "json", &o.json, "print one JSON object per step to stdout"),
    OPTION_FLAG('q', "quiet", &o.quiet, "show no progress on stderr"),
};
const struct opt_command run_command = {
    .usage = "PLAN.json [options]     (under mpirun or srun, one rank per GPU of the plan)",
    .about = "Train under a plan and measure it: loss, times and memory of every step. The batch is exactly "
             "that of the plan.",
    .details =
        "examples:\n"
        "  mpirun -n 2 sailor-train run plan.json --steps 20 -o run.h5    train and keep the measurements\n"
        "  sailor validate run.h5                                         how good the estimate was\n",
    TRAIN_COMMAND("run", options, 1, 1),
};

/* A signal asks to end after the current step. It can arrive twice, from a terminal or a script and from
 * mpirun; one that comes again a second later ends the process, but for SIGHUP. */
static volatile sig_atomic_t stop_asked;
static volatile double asked_s[NSIG]; /* when each came first; 0: not yet */
static void on_signal(int number) {
    int saved = errno;
    double s = now_s();
    stop_asked = 1;
    if (!(asked_s[number] > 0)) {
        asked_s[number] = s;
    } else if (number != SIGHUP && s - asked_s[number] >= 1) {
        signal(number, SIG_DFL);
        raise(number);
    }
    errno = saved;
}

struct run_session {
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
    struct cadence cadence;
    struct saver saver;       /* of rank 0 */
    double lap_s;             /* when the last part of the start ended */
    double saved_s, gather_s; /* when the last checkpoint, or the run, began; how long all waited for it */
    struct err overflow;      /* the first tensor that was not finite; code 0: none so far */
    struct err failure;       /* the first result that could not be written; code 0: none so far */
    struct mpx mpx;
    struct arena *arena;
};

/* A part of the start is done. */
static void lap(struct run_session *j, enum start_part part) {
    double s = now_s();
    j->measure.start_s[part] = s - j->lap_s;
    j->lap_s = s;
}

/* ---- reading, all before any memory of the device is taken ---- */

static char *read_inputs(const char *path, size_t *size, struct arena *a, struct err *e) {
    struct training t;
    struct arch arch;
    if (training_load(path, o.inputs, &t, a, e)) return NULL;
    if (arch_read(&arch, t.workload.model, e)) return NULL; /* here its file is known */
    *size = strlen(t.json);
    return arena_strdup(a, t.json);
}

static int load_plan(struct run_session *j, struct err *e) {
    size_t size = 0;
    char *text = mpx_read(&j->mpx, read_inputs, j->path, &size, j->arena, e);
    if (!text) return -1;
    text[size] = 0;
    if (training_from_json(text, j->path, &j->training, j->arena, e)) return -1;
    const struct training *t = &j->training;
    const char *why = training_refusal(t->plan, t->dtype, t->optimizer, j->arena);
    if (why) return err_set(e, EXIT_INPUT, "%s: %s", j->path, why);
    while (strcmp(t->dtype, train_dtypes[j->dtype]) != 0) j->dtype++;
    if (arch_make(&j->arch, j->training.workload.model, e)) return -1;
    return grid_make(&j->grid, j->training.plan, &j->arch, j->mpx.size, j->path, j->arena, e);
}

static int load_data(struct run_session *j, struct err *e) {
    size_t size = 0, ids = 0, n = o.data ? strlen(o.data) : 0;
    bool indexed = n > 4 && !strcmp(o.data + n - 4, ".idx");
    const char *needs = o.order ? "order documents" : "separate-documents";
    if ((o.order || o.apart) && !o.data)
        return err_set(e, EXIT_INPUT, "run: --%s without --data; expected Megatron's .idx", needs);
    if ((o.order || o.apart) && !indexed)
        return err_set(e, EXIT_INPUT, "run: --%s: --data %s has none; expected Megatron's .idx", needs,
                       o.data);
    if (!o.data) {
        data_synthetic(&j->data, j->arch.vocabulary, j->arch.sequence, (unsigned long long)o.seed, j->arena);
        return 0;
    }
    char *bytes = mpx_read(&j->mpx, file_read_bytes, o.data, &size, j->arena, e);
    unsigned long long seed = (unsigned long long)o.seed;
    if (!bytes) return -1;
    if (!indexed)
        return data_parse(&j->data, o.data, bytes, size, j->arch.vocabulary, j->arch.sequence, seed, j->arena,
                          e);
    const char *beside = arena_printf(j->arena, "%.*s.bin", (int)n - 4, o.data);
    char *tokens = mpx_read(&j->mpx, file_read_bytes, beside, &ids, j->arena, e);
    if (!tokens) return -1;
    if (data_parse_indexed(&j->data, o.data, bytes, size, tokens, ids, j->arch.vocabulary, j->arch.sequence,
                           seed, j->arena, e))
        return -1;
    if (o.order) data_by_documents(&j->data, bytes, j->arena);
    if (o.apart) data_keep_apart(&j->data, bytes, j->arena);
    return 0;
}

static const char *command_line(int argc, char **argv, struct arena *a) {
    const char *line = "sailor-train";
    for (int i = 0; i < argc; i++) line = arena_printf(a, "%s %s", line, argv[i]);
    return line;
}

/* The file of data sheets; empty if there is none. */
static char *read_devices(const char *inputs, size_t *size, struct arena *a, struct err *e) {
    const char *dir = inputs_dir(inputs, a, e), *path = dir ? arena_printf(a, "%s/devices.json", dir) : NULL;
    *size = 0;
    return path && !access(path, F_OK) ? file_read_text(path, size, a, e) : arena_strdup(a, "");
}

/* Peak of this rank's device, NAN if unknown. */
static int find_peak(struct run_session *j, double *flops_per_s, struct err *e) {
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

/* What the results depend on besides this program. */
static const char *versions(const struct run_session *j) {
    unsigned major = 0, minor = 0, release = 0;
    char mpi[120];
    const char *backend = j->backend.versions;
    H5get_libversion(&major, &minor, &release);
    mpx_version(mpi, sizeof mpi);
    return arena_printf(j->arena, "%s; HDF5 %u.%u.%u%s%s", mpi, major, minor, release, *backend ? "; " : "",
                        backend);
}

static double sum_of_ranks(const struct run_session *j, double value) {
    if (j->mpx.comm) MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, j->mpx.comm->mpi);
    return value;
}

/* ---- the run ---- */

static int take_part(struct run_session *j, struct err *e) {
    struct train_options t = {.adam = {o.rate, 0.9, 0.95, 1e-8, o.decay, 0},
                              .clip = o.clip,
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

static int write_measurement(struct run_session *j, struct err *e) {
    int rc = 0;
    if (!o.output) return 0;
    if (j->mpx.rank == 0) rc = measure_write(&j->measure, o.output, e);
    return mpx_agree(&j->mpx, rc, e);
}

/* Keep each step's trace up to the one asked for: a signal may make any step the last. */
static void keep_trace(struct run_session *j) {
    long step = j->trainer.step;
    if (o.trace && (!o.trace_step || step <= o.trace_step)) trace_take(&j->trace, &j->trainer.clock, step);
}

static int write_trace(struct run_session *j, bool last, struct err *e) {
    long step = j->trainer.step;
    bool now = !o.trace_step ? last : step == o.trace_step || (last && step < o.trace_step);
    if (!o.trace || !now) return 0;
    return trace_write(&j->trace, &j->grid, &j->mpx, o.trace, j->measure.version, e);
}

static void show(const struct run_session *j) {
    if (j->mpx.rank) return;
    if (o.json) record_print_json(&j->measure, stdout);
    if (!o.quiet && !(o.json && isatty(STDERR_FILENO))) record_print_line(&j->measure, stderr);
}

/* Whether a line can be printed at once, however slow its reader is. */
static bool ready_to_show(void) {
    struct pollfd to[] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = STDERR_FILENO, .events = POLLOUT}};
    return poll(to, 2, 0) == 2;
}

/* What goes wrong beside the error that ends the run. */
static void warn(const struct run_session *j, const struct err *why) {
    if (j->mpx.rank == 0) fprintf(stderr, "sailor-train: warning: run: %s\n", why->text);
}

/* A result could not be written, which keeps no other from being written. */
static void fail(struct run_session *j, const struct err *why) {
    if (j->failure.code)
        warn(j, why);
    else
        j->failure = *why;
}

/* Rank 0 has the clock, and the file. While that is written, how long it takes is its thread's to say. */
static bool checkpoint_due(struct run_session *j, int done) {
    bool by_time = j->cadence.kind == CADENCE_TIME || j->cadence.kind == CADENCE_AUTO;
    bool busy = by_time && saver_busy(&j->saver);
    double write_s = by_time && !busy && j->saver.time_s > 0 ? j->gather_s + j->saver.time_s : -1;
    int due = cadence_due(&j->cadence, done, now_s() - j->saved_s, write_s, busy);
    if (by_time && j->mpx.comm) MPI_Bcast(&due, 1, MPI_INT, 0, j->mpx.comm->mpi);
    return due;
}

/* Waits for the file being written, and reports failure. */
static int wait_for_checkpoint(struct run_session *j, struct err *e) {
    return mpx_agree(&j->mpx, saver_wait(&j->saver, e), e);
}

/* The state is copied while all wait; rank 0 writes the copy while training goes on. One copy at a time. */
static int save_aside(struct run_session *j, struct err *e) {
    char *bytes;
    size_t size;
    if (wait_for_checkpoint(j, e)) return -1;
    j->saved_s = now_s();
    if (checkpoint_image(&j->trainer, &j->mpx, o.checkpoint, j->measure.version, &bytes, &size, e)) return -1;
    j->gather_s = now_s() - j->saved_s;
    return mpx_agree(&j->mpx, bytes ? saver_start(&j->saver, o.checkpoint, bytes, size, e) : 0, e);
}

static int write_checkpoint(struct run_session *j, int done, bool last, struct err *e) {
    if (!o.checkpoint || !(last || checkpoint_due(j, done))) return 0;
    if (j->overflow.code)
        return err_set(e, EXIT_INTERNAL, "%s: not written after step %ld: %s", o.checkpoint, j->trainer.step,
                       j->overflow.text);
    struct err before;
    if (!last) {
        if (!save_aside(j, e)) return 0;
        /* the run ends here: there may be room by now */
        checkpoint_write(&j->trainer, &j->mpx, o.checkpoint, j->measure.version, &before);
        return -1;
    }
    if (wait_for_checkpoint(j, &before)) warn(j, &before); /* this one may fare better */
    return checkpoint_write(&j->trainer, &j->mpx, o.checkpoint, j->measure.version, e);
}

/* A gradient that is not finite spoils the weights: this step's loss is still sound, but not the next one's,
 * and by then everything else is spoiled too. So look for the cause at the first sign. */
static int one_step(struct run_session *j, int done, bool *stop, struct err *e) {
    struct step_result r;
    struct verdict v;
    trainer_step(&j->trainer, &r);
    keep_trace(j);
    if (record_step(&j->measure, &j->trainer, &j->mpx, &r, done < o.warmup, stop_asked, &v, e)) {
        j->measure.status = "out of memory";
        return -1;
    }
    *stop = v.stop;
    if (!v.finite && !j->overflow.code) finite_explain(&j->trainer, &j->mpx, &j->overflow);
    if (isfinite(v.loss) && o.evaluate && (done + 1) % o.evaluate == 0) {
        v.loss = record_held_out(&j->measure, &j->mpx, trainer_evaluate(&j->trainer));
        if (!isfinite(v.loss) && !j->overflow.code) finite_explain(&j->trainer, &j->mpx, &j->overflow);
    }
    if (isfinite(v.loss)) return 0;
    j->measure.status = "loss not finite";
    return err_set(e, EXIT_INTERNAL, "step %ld: the loss is %s; %s", j->trainer.step,
                   isnan(v.loss) ? "not a number" : "infinite", j->overflow.text);
}

/* Keeps what was measured so far, with the reason. */
static void keep_measurement(struct run_session *j, const char *reason) {
    struct err why;
    j->measure.reason = reason;
    if (record_ranks(&j->measure, &j->trainer, &j->mpx, &why) || write_measurement(j, &why)) fail(j, &why);
}

static int end_early(struct run_session *j, struct err *e) {
    struct err why = *e;
    fail(j, &why);
    keep_measurement(j, why.text);
    *e = j->failure;
    return -1;
}

/* The files of a step, the checkpoint first. A checkpoint that cannot be written makes the step the last. */
static void save(struct run_session *j, int done, bool *last) {
    struct err why = {.text = ""}, trace;
    if (write_checkpoint(j, done, *last, &why)) {
        j->measure.status = "checkpoint not written";
        fail(j, &why);
        *last = true;
    }
    if (*last) keep_measurement(j, why.text);
    if (write_trace(j, *last, &trace)) fail(j, &trace);
}

static int train(struct run_session *j, struct err *e) {
    bool stop = false, last = false;
    long before = j->trainer.step;
    j->saved_s = now_s();
    if (o.trace_step && (o.trace_step <= before || o.trace_step > before + o.steps))
        return err_set(e, EXIT_INPUT, "run: --trace-step %d; expected a step of this run, %ld to %ld",
                       o.trace_step, before + 1, before + o.steps);
    for (int done = 0; !last;) {
        if (one_step(j, done, &stop, e)) return end_early(j, e);
        done++;
        last = stop || done == o.steps;
        /* A step that a checkpoint holds is not done again, so its line comes first; but no file waits for
         * whoever reads the lines. */
        bool shown = ready_to_show();
        if (shown) show(j);
        save(j, done, &last);
        if (!shown) show(j);
    }
    if (j->overflow.code && !o.checkpoint) warn(j, &j->overflow); /* else the checkpoint's error says so */
    *e = j->failure;
    if (e->code) return -1;
    if (stop) return err_set(e, EXIT_STOPPED, "stopped by a signal after step %ld", j->trainer.step);
    if (j->mpx.rank == 0 && !o.json) record_print_summary(&j->measure, stdout);
    return 0;
}

/* Checks everything possible about options and output files before any work. */
static int check_options(struct run_session *j, struct err *e) {
    int rc = 0;
    if (o.every && !o.checkpoint)
        return err_set(e, EXIT_INPUT, "run: --checkpoint-every without --checkpoint; expected both");
    if (o.steps && o.until) return err_set(e, EXIT_INPUT, "run: --steps and --until; expected one of them");
    if (cadence_read(&j->cadence, o.every, o.mtbf, e)) return -1;
    if (!o.schedule && (o.rate_steps || o.rate_decay))
        return err_set(e, EXIT_INPUT, "run: --rate-%s with --schedule constant; expected another schedule",
                       o.rate_steps ? "steps" : "decay");
    if (o.rate_decay && o.schedule != RATE_WSD)
        return err_set(e, EXIT_INPUT, "run: --rate-decay with --schedule %s; expected wsd",
                       rate_shapes[o.schedule]);
    if (o.weights && o.resume)
        return err_set(
            e, EXIT_INPUT,
            "run: --weights and --resume: a checkpoint has weights of its own; expected one of them");
    if (o.trace_step && !o.trace)
        return err_set(e, EXIT_INPUT, "run: --trace-step without --trace; expected both");
    const char *to[] = {o.output, o.checkpoint, o.trace};
    for (int i = 0; i < 3; i++)
        if (j->mpx.rank == 0 && to[i] && to[(i + 1) % 3] && file_same(to[i], to[(i + 1) % 3]))
            rc = err_set(e, EXIT_INPUT, "run: %s: the same path for two results; expected one for each",
                         to[i]);
    const char *in[] = {j->path, o.data, o.weights, o.resume};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++) /* a continued run may replace the file it started from */
            if (j->mpx.rank == 0 && !rc && !(to[i] == o.checkpoint && in[k] == o.resume))
                rc = file_spare(to[i], in[k], e);
    bool same = o.checkpoint && o.resume && file_same(o.checkpoint, o.resume);
    if (j->mpx.rank == 0 && !rc && o.output) rc = h5_can_create(o.output, o.force, e);
    if (j->mpx.rank == 0 && !rc && o.checkpoint) rc = h5_can_create(o.checkpoint, o.force || same, e);
    if (j->mpx.rank == 0 && !rc && o.trace) rc = file_can_create(o.trace, o.force, "-f overwrites it", e);
    return mpx_agree(&j->mpx, rc, e);
}

/* Nor may files named only by the plan or the data be replaced. */
static int spare_inputs(const struct run_session *j, struct err *e) {
    const char *to[] = {o.output, o.checkpoint, o.trace};
    int rc = 0;
    for (int i = 0; i < 3 && j->mpx.rank == 0 && !rc; i++) rc = file_spare_read(to[i], NULL, e);
    return mpx_agree(&j->mpx, rc, e);
}

/* What the measurement records about the run as a whole. */
static void describe(struct run_session *j) {
    struct measure *m = &j->measure;
    double batch = j->training.plan->global_batch_size;
    m->status = "ok";
    m->reason = "";
    m->ranks = j->mpx.size;
    m->inputs_json = j->training.json;
    m->backend = j->backend.name;
    m->dtype = train_dtypes[j->dtype];
    m->comm = j->comm.name;
    m->versions = versions(j);
    m->device = j->backend.device;
    m->data = j->data.name;
    m->threads = j->backend.threads;
    if (!m->threads) m->threads = o.threads ? o.threads : mpx_threads(&j->mpx);
    m->seed = o.seed;
    m->tokens_per_step = batch * j->arch.sequence;
    for (int l = 0; l < j->arch.layers; l++) m->flops_per_step += batch * arch_flops(&j->arch, l);
}

/* Only now is it known which steps these are. */
static int set_rate(struct run_session *j, struct err *e) {
    struct rate *r = &j->trainer.options.rate;
    long total = o.rate_steps ? o.rate_steps : j->trainer.step + o.steps, tenth = (total + 9) / 10;
    *r = (struct rate){.shape = (enum rate_shape)o.schedule,
                       .peak = o.rate,
                       .end = o.rate_end,
                       .warmup = o.rate_warmup,
                       .total = total,
                       .decay = o.rate_decay ? o.rate_decay : tenth};
    return rate_check(r, e);
}

/* The number of steps of this run; none if the checkpoint is already past them. */
static void count_steps(struct run_session *j) {
    long step = j->trainer.step;
    if (o.until)
        o.steps = step < o.until ? (int)(o.until - step) : 0;
    else if (!o.steps)
        o.steps = 10;
    if (!o.steps && j->mpx.rank == 0 && !o.quiet)
        fprintf(stderr, "sailor-train: run: %s: at step %ld already; nothing to do\n", o.resume, step);
}

static int work(struct run_session *j, struct err *e) {
    if (find_peak(j, &j->measure.peak_flops_per_s, e)) return -1; /* the same on all ranks */
    j->measure.peak_flops_per_s = sum_of_ranks(j, j->measure.peak_flops_per_s);
    if (mpx_agree(&j->mpx, take_part(j, e), e)) {
        j->measure.status = "out of memory";
        return e->code == EXIT_NOPLAN && o.output ? end_early(j, e) : -1;
    }
    if (record_ranks(&j->measure, &j->trainer, &j->mpx, e)) return -1;
    lap(j, START_MODEL);
    if (o.weights && weights_read(&j->trainer, &j->mpx, o.weights, e)) return -1;
    if (o.resume && checkpoint_read(&j->trainer, &j->mpx, o.resume, e)) return -1;
    lap(j, START_LOAD);
    count_steps(j);
    return !o.steps ? 0 : set_rate(j, e) ? -1 : train(j, e);
}

static int run(void *ctx, struct arena *a, struct err *e) {
    struct run_session *j = ctx;
    (void)a; /* the session has it */
    lap(j, START_MPI);
    if (check_options(j, e)) return -1;
    if (load_plan(j, e) || load_data(j, e)) return -1; /* the same on all ranks */
    if (spare_inputs(j, e)) return -1;
    lap(j, START_DATA);
    struct train_choice choice = {
        .backend = o.backend, .comm = o.comm, .threads = o.threads, .elem = train_elem(j->dtype)};
    if (mpx_agree(&j->mpx, train_open(&j->mpx, choice, &j->backend, &j->comm, e), e)) return -1;
    lap(j, START_DEVICES);
    describe(j);
    int rc = arch_check_parts(&j->arch, j->backend.parts, j->backend.name, e); /* the same on all ranks */
    if (!rc && o.apart && !j->backend.place)
        rc = err_set(e, EXIT_INPUT, "run: --separate-documents: not built for --backend %s; expected cpu",
                     j->backend.name);
    if (!rc) rc = work(j, e);
    struct err why; /* of a failed run; others have waited already */
    if (saver_wait(&j->saver, &why)) warn(j, &why);
    trainer_free(&j->trainer);
    trace_free(&j->trace);
    measure_free(&j->measure);
    j->comm.close(&j->comm);
    j->backend.close(&j->backend);
    return rc;
}

int cmd_run(int argc, char **argv) {
    struct arena a = {0};
    struct run_session j = {.arena = &a, .lap_s = now_s()};
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
    if (signal(SIGHUP, on_signal) == SIG_IGN) signal(SIGHUP, SIG_IGN); /* nohup */
    return train_command(&run_command, &j.mpx, run, &j, &a);
}
