#include "train/measure.h"
#include "io/h5file.h"
#include "formats/measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TIMES = 1 + PHASE_N };

struct measured_step *measure_add(struct measure *m) {
    size_t row = (size_t)m->ranks * TIMES;
    if (m->steps == m->room) {
        int room = 2 * m->room + 64;
        struct measured_step *step = realloc(m->step, sizeof *step * (size_t)room);
        if (step) m->step = step;
        double *time = realloc(m->time_s, sizeof *time * (size_t)room * row);
        if (time) m->time_s = time;
        if (!step || !time) return NULL;
        m->room = room;
    }
    memset(m->time_s + (size_t)m->steps * row, 0, sizeof(double) * row);
    m->step[m->steps] = (struct measured_step){.held_out_loss = NAN, .mfu = NAN};
    return &m->step[m->steps++];
}

double measure_iteration_s(const struct measure *m) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < m->steps; i++)
        if (!m->step[i].warmup) {
            sum += m->step[i].iteration_time_s;
            n++;
        }
    return n ? sum / n : NAN;
}

double measure_peak_bytes(const struct measure *m) {
    double peak = 0;
    for (int r = 0; r < m->ranks; r++) peak = fmax(peak, m->rank[r].peak_total_bytes);
    return peak;
}

/* ---- the file: one dataset per quantity ---- */

static void step_column(struct h5file *f, const struct measure *m, const char *name, const char *units,
                        const char *about, double (*value)(const struct measured_step *)) {
    double *v = calloc((size_t)m->steps + 1, sizeof *v);
    for (int i = 0; v && i < m->steps; i++) v[i] = value(&m->step[i]);
    if (!v) f->failed = true;
    h5_dataset(f, name, units, about, 1, &(hsize_t){(hsize_t)m->steps}, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, v);
    free(v);
}

static double of_loss(const struct measured_step *s) { return s->loss; }
static double of_held_out(const struct measured_step *s) { return s->held_out_loss; }
static double of_rate(const struct measured_step *s) { return s->learning_rate; }
static double of_norm(const struct measured_step *s) { return s->gradient_norm; }
static double of_time(const struct measured_step *s) { return s->iteration_time_s; }
static double of_tokens(const struct measured_step *s) { return s->tokens_per_s; }
static double of_flops(const struct measured_step *s) { return s->flops_per_s; }
static double of_mfu(const struct measured_step *s) { return s->mfu; }

static void write_steps(struct h5file *f, const struct measure *m) {
    hsize_t n = (hsize_t)m->steps;
    int *number = calloc((size_t)m->steps + 1, sizeof *number);
    unsigned char *warmup = calloc((size_t)m->steps + 1, 1);
    if (!number || !warmup) f->failed = true;
    for (int i = 0; !f->failed && i < m->steps; i++) {
        number[i] = (int)m->step[i].step;
        warmup[i] = m->step[i].warmup;
    }
    h5_group(f, "step", "one entry per step, in order");
    h5_dataset(f, "step/step", "1", "number of the step, the first one is 1", 1, &n, H5T_NATIVE_INT,
               H5T_STD_I32LE, number);
    h5_dataset(f, "step/warmup", "1", "1: not counted in the mean", 1, &n, H5T_NATIVE_UCHAR, H5T_STD_U8LE,
               warmup);
    step_column(f, m, "step/loss", "1", "cross entropy per token, nats, mean of the step's batch", of_loss);
    step_column(f, m, "step/held_out_loss", "1",
                "the same on held-out sequences after the step; NaN: not evaluated", of_held_out);
    step_column(f, m, "step/learning_rate", "1", "of AdamW", of_rate);
    step_column(f, m, "step/gradient_norm", "1",
                "of all gradients of the model, before clipping; NaN: they are not clipped", of_norm);
    step_column(f, m, "step/iteration_time_s", "s", "wall time of the step, slowest rank", of_time);
    step_column(f, m, "step/tokens_per_s", "s-1", "tokens of the batch per second", of_tokens);
    step_column(f, m, "step/flops_per_s", "s-1",
                "model FLOP per second, all ranks: matrix products, 3 x forward", of_flops);
    step_column(f, m, "step/mfu", "1", "model FLOP utilisation: of the devices' peak; NaN: peak unknown",
                of_mfu);
    free(number);
    free(warmup);
}

static void write_ranks(struct h5file *f, const struct measure *m) {
    hsize_t dims[] = {(hsize_t)m->ranks, MEMORY_N}, n = (hsize_t)m->ranks;
    struct {
        const char *name, *about;
        size_t at;
    } place[] = {{"rank/pipeline", "pipeline of the plan", offsetof(struct measured_rank, pipeline)},
                 {"rank/stage", "stage of the pipeline", offsetof(struct measured_rank, stage)},
                 {"rank/replica", "replica of the stage", offsetof(struct measured_rank, replica)},
                 {"rank/tp", "tensor-parallel degree of the replica", offsetof(struct measured_rank, tp)},
                 {"rank/tp_rank", "place in the replica", offsetof(struct measured_rank, tp_rank)}};
    int *number = calloc((size_t)m->ranks, sizeof *number);
    double *bytes = calloc((size_t)m->ranks * MEMORY_N, sizeof *bytes);
    const char **host = calloc((size_t)m->ranks, sizeof *host),
               **device = calloc((size_t)m->ranks, sizeof *device);
    if (!number || !bytes || !host || !device) f->failed = true;
    h5_group(f, "rank", "one entry per rank");
    for (size_t p = 0; !f->failed && p < sizeof place / sizeof *place; p++) {
        for (int r = 0; r < m->ranks; r++)
            memcpy(&number[r], (const char *)&m->rank[r] + place[p].at, sizeof(int));
        h5_dataset(f, place[p].name, "1", place[p].about, 1, &n, H5T_NATIVE_INT, H5T_STD_I32LE, number);
    }
    for (int r = 0; !f->failed && r < m->ranks; r++) {
        host[r] = m->rank[r].host;
        device[r] = m->rank[r].device;
        memcpy(bytes + r * MEMORY_N, m->rank[r].peak_bytes, sizeof m->rank[r].peak_bytes);
    }
    if (!f->failed) h5_texts(f, "rank/host", "machine", m->ranks, host);
    if (!f->failed) h5_texts(f, "rank/device", "what it runs on, as it says itself", m->ranks, device);
    h5_texts(f, "rank/category", "names of the memory categories", MEMORY_N, memory_name);
    h5_dataset(f, "rank/peak_bytes", "B", "largest held at once, by rank and category, from the ledger", 2,
               dims, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, bytes);
    for (int r = 0; !f->failed && r < m->ranks; r++) bytes[r] = m->rank[r].peak_total_bytes;
    h5_dataset(f, "rank/peak_total_bytes", "B", "largest total held at once, from the ledger", 1, &n,
               H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, bytes);
    for (int r = 0; !f->failed && r < m->ranks; r++) bytes[r] = m->rank[r].process_peak_bytes;
    h5_dataset(f, "rank/process_peak_bytes", "B", "high-water mark of the process, libraries and all", 1, &n,
               H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, bytes);
    for (int r = 0; !f->failed && r < m->ranks; r++) bytes[r] = m->rank[r].device_bytes;
    h5_dataset(f, "rank/device_bytes", "B", "in use on the device at the end, as it says itself; 0 on a CPU",
               1, &n, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, bytes);
    free(number);
    free(bytes);
    free(host);
    free(device);
}

static void write_times(struct h5file *f, const struct measure *m) {
    hsize_t dims[] = {(hsize_t)m->steps, (hsize_t)m->ranks, TIMES};
    const char *name[TIMES] = {"all"};
    for (int p = 0; p < PHASE_N; p++) name[p + 1] = phase_name[p];
    h5_group(f, "time", "what each rank spent its time on");
    h5_texts(f, "time/phase", "names of the phases; the first is their sum", TIMES, name);
    h5_dataset(f, "time/time_s", "s", "wall time by step, rank and phase", 3, dims, H5T_NATIVE_DOUBLE,
               H5T_IEEE_F64LE, m->time_s ? m->time_s : (double[1]){0});
}

int measure_write(const struct measure *m, const char *path, struct err *e) {
    struct h5file f;
    if (h5_begin(&f, path, e)) return -1;
    h5_text(&f, "schema", measured_schema);
    h5_text(&f, "title", "a training run, measured");
    h5_text(&f, "source", m->version);
    h5_text(&f, "versions", m->versions);
    h5_text(&f, "history", m->command_line);
    h5_text(&f, "started_utc", m->started_utc);
    h5_text(&f, "inputs_json", m->inputs_json);
    h5_text(&f, "backend", m->backend);
    h5_text(&f, "dtype", m->dtype);
    h5_text(&f, "comm", m->comm);
    h5_text(&f, "device", m->device);
    h5_text(&f, "data", m->data);
    h5_text(&f, "status", m->status);
    h5_text(&f, "reason", m->reason);
    h5_integer(&f, "ranks", m->ranks);
    h5_integer(&f, "threads", m->threads);
    h5_integer(&f, "seed", m->seed);
    h5_number(&f, "iteration_time_s", measure_iteration_s(m));
    h5_number(&f, "peak_memory_bytes", measure_peak_bytes(m));
    h5_number(&f, "peak_flops_per_s", m->peak_flops_per_s);
    write_steps(&f, m);
    write_ranks(&f, m);
    write_times(&f, m);
    return h5_finish(&f, e);
}

void measure_free(struct measure *m) {
    free(m->step);
    free(m->time_s);
    free(m->rank);
    m->step = NULL;
    m->time_s = NULL;
    m->rank = NULL;
}
