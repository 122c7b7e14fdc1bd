#include "import/kinds.h"
#include "formats/inputs.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

/* Turns traces of available GPUs into jobs. */

static int trace_fail(const char *file, int line, struct err *e, const char *what, const char *found) {
    return err_set(e, EXIT_INPUT, "%.250s: line %d: %s%s%.60s", file, line, what, *found ? ", not " : "",
                   found);
}

/** One field of a comma-separated line; moves *p past the comma, or to NULL after the last field. */
static char *next_field(char **p) {
    char *start = *p, *comma = start ? strchr(start, ',') : NULL;
    if (comma) *comma = '\0';
    *p = comma ? comma + 1 : NULL;
    return start;
}

static char *next_line(char **p) {
    char *start = *p, *nl = start ? strchr(start, '\n') : NULL;
    if (nl) *nl = '\0';
    *p = nl ? nl + 1 : NULL;
    size_t n = start ? strlen(start) : 0;
    if (n && start[n - 1] == '\r') start[n - 1] = '\0';
    return start;
}

struct trace_column {
    int zone, gpu;
};

/** Header ",Timestamp,GPU_zone,...". Returns the number of GPU columns, or -1. */
static int read_header(char *line, const char *file, struct trace_column col[], int max, struct import *m) {
    char *p = line, *field;
    int n = 0;
    next_field(&p); /* index */
    field = next_field(&p);
    if (!field || strcmp(field, "Timestamp") != 0)
        return trace_fail(file, 1, m->e, "expected the columns \"\", \"Timestamp\", \"GPU_zone\", ...",
                          field ? field : "");
    while ((field = next_field(&p))) {
        char *cut = strchr(field, '_');
        if (!cut || n == max) return trace_fail(file, 1, m->e, "expected a column named GPU_zone", field);
        *cut = '\0';
        col[n].gpu = name_index(m->gpu, m->n_gpu, field);
        col[n].zone = name_index(m->zone, m->n_zone, cut + 1);
        if (col[n].gpu < 0) return trace_fail(file, 1, m->e, "expected a GPU type of the facts file", field);
        if (col[n].zone < 0) return trace_fail(file, 1, m->e, "expected a zone of the facts file", cut + 1);
        n++;
    }
    return n ? n : trace_fail(file, 1, m->e, "expected at least one column named GPU_zone", "");
}

static cJSON *read_trace_row(char *line, int number, const char *file, const struct trace_column *col, int n,
                             struct import *m) {
    char *p = line, *field, *end;
    next_field(&p);
    field = next_field(&p);
    double time = field ? strtod(field, &end) : NAN;
    if (!field || end == field || *end || !(time >= 0 && time < 1e18)) {
        trace_fail(file, number, m->e, "expected a time in seconds", field ? field : "");
        return NULL;
    }
    cJSON *row = cJSON_CreateObject();
    cJSON_AddItemToObject(row, "time_s", json_double(time));
    cJSON *gpus = cJSON_AddArrayToObject(row, "gpus");
    for (int i = 0; i < n || p; i++) {
        field = next_field(&p);
        long count = field ? strtol(field, &end, 10) : -1;
        if (i >= n || !field || end == field || *end || count < 0 || count > 1000000) {
            trace_fail(file, number, m->e,
                       i >= n ? "expected no more fields than the header has"
                              : "expected a count from 0 to 1000000",
                       field ? field : "");
            cJSON_Delete(row);
            return NULL;
        }
        cJSON *g = cJSON_CreateObject();
        cJSON_AddStringToObject(g, "zone", m->zone[col[i].zone]);
        cJSON_AddStringToObject(g, "gpu", m->gpu[col[i].gpu]);
        cJSON_AddItemToObject(g, "count", json_double((double)count));
        cJSON_AddItemToArray(gpus, g);
    }
    return row;
}

cJSON *import_read_trace(const char *file, const char *text, struct import *m) {
    struct trace_column col[ZONES_MAX * GPUS_MAX];
    char *p = arena_strdup(&m->arena, text);
    int n = read_header(next_line(&p), file, col, ZONES_MAX * GPUS_MAX, m), number = 1;
    if (n < 0) return NULL;
    cJSON *pools = cJSON_CreateArray();
    for (char *line; (line = next_line(&p));) {
        number++;
        if (!*line) continue;
        cJSON *row = read_trace_row(line, number, file, col, n, m);
        if (!row) {
            cJSON_Delete(pools);
            return NULL;
        }
        cJSON_AddItemToArray(pools, row);
    }
    if (pools->child) return pools;
    cJSON_Delete(pools);
    trace_fail(file, number, m->e, "expected at least one row", "");
    return NULL;
}

static int import_job(const char *dir, const struct json_at *at, struct import *m) {
    static const char *const keys[] = {"trace",
                                       "model",
                                       "site",
                                       "global_batch_size",
                                       "objective",
                                       "max_usd_per_iteration",
                                       "min_iterations_per_s",
                                       NULL};
    struct json_at name = json_member(at, "name"), trace = json_member(at, "trace");
    const char *own, *file;
    size_t size;
    if (json_object(at, keys, m->e) || json_string(&name, &own, &m->arena, m->e) ||
        import_check_safe(&name, own, m->e))
        return -1;
    if (json_string(&trace, &file, &m->arena, m->e) || import_check_safe(&trace, file, m->e)) return -1;
    const char *rel = arena_printf(&m->arena, "Planner/simulations/configs/%s", file);
    const char *path = import_find_under(dir, rel, &m->arena);
    if (!path) return 0;
    char *text = file_read_text(path, &size, &m->arena, m->e);
    cJSON *pools = text ? import_read_trace(path, text, m) : NULL;
    if (!pools) return -1;
    const cJSON *about = cJSON_GetObjectItemCaseSensitive(at->node, "source");
    cJSON *o = import_new_file("sailor-job/1", own,
                               arena_printf(&m->arena, "%s, %s%s%s", m->source, rel, about ? "; " : "",
                                            cJSON_IsString(about) ? about->valuestring : ""));
    for (int i = 1; keys[i]; i++) import_copy(o, keys[i], at->node, keys[i]);
    cJSON_AddItemToObject(o, "pools", pools);
    import_put(m, arena_printf(&m->arena, "%s.json", own), o);
    return 0;
}

int import_jobs(const char *dir, struct import *m) { return import_each(dir, "jobs", m, import_job); }
