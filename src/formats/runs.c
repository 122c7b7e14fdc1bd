#include "formats/runs.h"
#include "base/names.h"
#include "base/opt.h"
#include "base/text.h"
#include "io/csv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_MAX = 64 };

/* The columns of our own format and of vTrain's. */
enum column {
    SOURCE,
    MODEL,
    LAYERS,
    HIDDEN,
    FFN,
    HEADS,
    KV_HEADS,
    VOCABULARY,
    SEQUENCE,
    ACTIVATION,
    GPU,
    GPUS_PER_NODE,
    DTYPE,
    FRAMEWORK,
    TP,
    PP,
    DP,
    CP,
    VP,
    SEQUENCE_PARALLEL,
    MICRO_BATCH,
    GLOBAL_BATCH,
    RECOMPUTE,
    ZERO,
    TIME_S,
    PEAK_BYTES,
    GPUS,
    TIME_MS,
    COLUMN_N
};
static const char *const column_name[COLUMN_N] = {"source",
                                                  "model",
                                                  "layers",
                                                  "hidden",
                                                  "ffn",
                                                  "heads",
                                                  "kv_heads",
                                                  "vocabulary",
                                                  "sequence",
                                                  "activation",
                                                  "gpu",
                                                  "gpus_per_node",
                                                  "dtype",
                                                  "framework",
                                                  "tp",
                                                  "pp",
                                                  "dp",
                                                  "cp",
                                                  "vp",
                                                  "sequence_parallel",
                                                  "micro_batch",
                                                  "global_batch",
                                                  "recompute",
                                                  "zero",
                                                  "iteration_time_s",
                                                  "peak_allocated_bytes",
                                                  "gpus",
                                                  "iteration_ms"};

struct table_row {
    const char *file;
    int line;
    const char *cell[COLUMN_N]; /* NULL: no such column */
    struct err *e;
};

static int fail(const struct table_row *r, enum column c, const char *expected) {
    const char *text = r->cell[c];
    if (!text) return err_set(r->e, EXIT_INPUT, "%s: no column %s; expected it", r->file, column_name[c]);
    return err_set(r->e, EXIT_INPUT, "%s:%d: %s: \"%.60s\"; expected %s", r->file, r->line, column_name[c],
                   text, expected);
}

bool runs_is_table(const char *text, size_t size) {
    const char *end = memchr(text, '\n', size);
    size_t n = end ? (size_t)(end - text) : size;
    char line[2048];
    if (n >= sizeof line || memchr(text, '\0', n)) return false;
    memcpy(line, text, n);
    line[n] = '\0';
    return line[0] != '{' && line[0] != '[' && strstr(line, "micro_batch") && strstr(line, "iteration_");
}

/* ---- cells as values ---------------------------------------------------------------- */

static int whole(const struct table_row *r, enum column c, int lo, int hi, int *out) {
    double v;
    char expected[80];
    snprintf(expected, sizeof expected, "a whole number from %d to %d", lo, hi);
    if (!r->cell[c] || !opt_number(r->cell[c], &v) || v < lo || v > hi || v != floor(v))
        return fail(r, c, expected);
    *out = (int)v;
    return 0;
}

/* The column may be missing, the cell empty. */
static int whole_or(const struct table_row *r, enum column c, int lo, int hi, int without, int *out) {
    *out = without;
    return r->cell[c] && *r->cell[c] ? whole(r, c, lo, hi, out) : 0;
}

static int measured(const struct table_row *r, enum column c, double unit, double *out) {
    *out = NAN;
    if (!r->cell[c] || !*r->cell[c]) return 0;
    if (!opt_number(r->cell[c], out) || *out <= 0) return fail(r, c, "a number above 0, or nothing");
    *out *= unit;
    return 0;
}

static int choice(const struct table_row *r, enum column c, const char *const *names, int n, const char *list,
                  int *out) {
    *out = r->cell[c] ? name_index(names, n, r->cell[c]) : -1;
    return *out < 0 ? fail(r, c, list) : 0;
}

static const char *text_or(const struct table_row *r, enum column c, const char *without, struct arena *a) {
    return arena_strdup(a, r->cell[c] && *r->cell[c] ? r->cell[c] : without);
}

/* ---- rows --------------------------------------------------------------------------- */

static int read_model(const struct table_row *r, struct transformer *x) {
    static const char *const activations[] = {"gelu", "relu", "relu2", "swiglu", "geglu"};
    int activation = 0;
    if (whole(r, LAYERS, 1, 100000, &x->layers) || whole(r, HIDDEN, 1, 1 << 20, &x->hidden) ||
        whole(r, HEADS, 1, 1 << 16, &x->heads) || whole(r, SEQUENCE, 1, 1 << 28, &x->sequence) ||
        whole_or(r, FFN, 1, 1 << 24, 4 * x->hidden, &x->ffn) ||
        whole_or(r, KV_HEADS, 1, 1 << 16, x->heads, &x->kv_heads) ||
        whole_or(r, VOCABULARY, 1, 1 << 28, 51200, &x->vocabulary))
        return -1;
    if (r->cell[ACTIVATION] &&
        choice(r, ACTIVATION, activations, 5, "gelu, relu, relu2, swiglu or geglu", &activation))
        return -1;
    if (x->hidden % x->heads) return fail(r, HEADS, "a divisor of hidden");
    if (x->heads % x->kv_heads) return fail(r, KV_HEADS, "a divisor of heads");
    bool gpt = activation < 2;
    x->head_size = x->hidden / x->heads;
    x->gated = activation > 2;
    x->tied = gpt;
    x->positions = gpt ? x->sequence : 0;
    x->qkv_biases = x->out_biases = x->ffn_biases = gpt;
    x->rms_norm = x->gated;
    return 0;
}

static int read_shard(const struct table_row *r, struct run_setup *s) {
    static const char *const dtypes[] = {"fp32", "tf32", "bf16", "fp16"};
    struct shard *x = &s->shard;
    int dtype = ELEMENT_FP16, recompute = RECOMPUTE_FULL, sequence_parallel;
    if (whole(r, TP, 1, 1024, &x->tp) || whole(r, PP, 1, 100000, &s->pp) ||
        whole(r, DP, 1, 1 << 20, &s->dp) || whole_or(r, CP, 1, 1024, 1, &x->cp) ||
        whole_or(r, VP, 1, 1024, 1, &s->vp) || whole_or(r, SEQUENCE_PARALLEL, 0, 1, 0, &sequence_parallel) ||
        whole(r, MICRO_BATCH, 1, 1 << 20, &x->micro_batch) ||
        whole(r, GLOBAL_BATCH, 1, 1 << 28, &s->global_batch) || whole_or(r, ZERO, 0, 1, 0, &s->zero) ||
        whole_or(r, GPUS_PER_NODE, 1, 1024, 8, &x->gpus_per_node))
        return -1;
    if (r->cell[DTYPE] && choice(r, DTYPE, dtypes, 4, "fp32, tf32, bf16 or fp16", &dtype)) return -1;
    if (r->cell[RECOMPUTE] &&
        choice(r, RECOMPUTE, recompute_name, RECOMPUTE_N, "none, selective or full", &recompute))
        return -1;
    x->sequence_parallel = sequence_parallel && x->tp > 1;
    x->element = (enum element)dtype;
    x->recompute = (enum recompute)recompute;
    return 0;
}

static int read_row(const struct table_row *r, struct measured_run *run, struct arena *a) {
    double ms;
    run->line = r->line;
    run->model = text_or(r, MODEL, "gpt", a);
    run->gpu = text_or(r, GPU, "A100-80", a);
    run->framework = text_or(r, FRAMEWORK, "megatron-deepspeed", a);
    if (read_model(r, &run->setup.model) || read_shard(r, &run->setup) ||
        measured(r, TIME_S, 1, &run->time_s) || measured(r, TIME_MS, 1e-3, &ms) ||
        measured(r, PEAK_BYTES, 1, &run->peak_bytes))
        return -1;
    if (!isnan(ms)) run->time_s = ms;
    const char *fault = run_setup_fault(&run->setup);
    if (fault)
        return err_set(r->e, EXIT_INPUT, "%s:%d: %s; expected a run that is possible", r->file, r->line,
                       fault);
    return 0;
}

static int read_header(const char *file, char *line, int column[COLUMNS_MAX], struct err *e) {
    char *cell[COLUMNS_MAX], *other = strpbrk(line, ";\t");
    /* as a spreadsheet saves it where the comma belongs to numbers */
    if (other && !strchr(line, ','))
        return err_set(e, EXIT_INPUT, "%s:1: columns between %s; expected commas, and points in numbers",
                       file, *other == ';' ? "semicolons" : "tabs");
    int n = csv_split(line, cell, COLUMNS_MAX);
    bool seen[COLUMN_N] = {false};
    if (n < 0)
        return err_set(e, EXIT_INPUT, "%s:1: not a header of comma-separated names; expected one", file);
    for (int i = 0; i < n; i++) {
        column[i] = name_index(column_name, COLUMN_N, cell[i]);
        if (column[i] < 0) {
            const char *near = name_nearest(cell[i], column_name, COLUMN_N);
            return err_set(e, EXIT_INPUT, "%s:1: unknown column \"%.60s\"%s%s%s", file, cell[i],
                           near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        }
        if (seen[column[i]])
            return err_set(e, EXIT_INPUT, "%s:1: column %s appears twice; expected it once", file, cell[i]);
        seen[column[i]] = true;
    }
    return n;
}

int runs_read(const char *file, const char *text, struct measured_run **runs, int *n, struct arena *a,
              struct err *e) {
    char *at = arena_strdup(a, text_after_mark(text)), *line = csv_line(&at);
    int column[COLUMNS_MAX], n_column, lines = 1;
    *n = 0;
    for (const char *c = text; (c = strchr(c, '\n')); c++) lines++;
    *runs = ARENA_ARRAY(a, struct measured_run, lines);
    if (!line) return err_set(e, EXIT_INPUT, "%s: empty; expected a header", file);
    if ((n_column = read_header(file, line, column, e)) < 0) return -1;
    for (int number = 2; (line = csv_line(&at)); number++) {
        struct table_row r = {.file = file, .line = number, .e = e};
        char *cell[COLUMNS_MAX];
        if (!*line) continue;
        int have = csv_split(line, cell, COLUMNS_MAX);
        if (have != n_column)
            return err_set(e, EXIT_INPUT, "%s:%d: %d columns; expected %d, as in the header", file, number,
                           have < 0 ? 0 : have, n_column);
        for (int i = 0; i < n_column; i++) r.cell[column[i]] = cell[i];
        if (read_row(&r, &(*runs)[*n], a)) return -1;
        ++*n;
    }
    if (!*n) return err_set(e, EXIT_INPUT, "%s: a header but no runs; expected at least one", file);
    return 0;
}
