#include "import/kinds.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Aceso's operator profiles: one table per (GPU type, microbatch, degree) ->
 * inputs/planners/aceso/MODEL/GPU.json, one per GPU type. The operators of a transformer block are listed
 * once. The published row for links between nodes is omitted: it is the site's fit at those sizes. */

enum { OPS_MAX = 64, COLUMNS = 8, LINK_SIZES = 11 };

static const char *const column_key[COLUMNS] = {
    "forward_us",           "backward_us",          "input_MiB",
    "output_MiB",           "weights_MiB",          "activations_MiB",
    "forward_reserved_MiB", "backward_reserved_MiB"};

struct op_table {
    int n;
    const char *name[OPS_MAX];
    double column[COLUMNS][OPS_MAX];
};

static int table_fail(const char *path, int line, const char *what, struct import *m) {
    return err_set(m->e, EXIT_INPUT, "%.250s: line %d: %s", path, line, what);
}

/** n numbers >= 0 separated by commas, and nothing after them. */
static bool read_numbers(char *p, double *v, int n) {
    for (int i = 0; i < n; i++) {
        char *end;
        v[i] = strtod(p, &end);
        if (end == p || !(v[i] >= 0 && v[i] < 1e12) || *end != (i + 1 < n ? ',' : '\0')) return false;
        p = end + 1;
    }
    return true;
}

static int read_ops(const char *path, struct op_table *t, struct import *m) {
    char *save, *text = file_read_text(path, NULL, &m->arena, m->e);
    if (!text) return -1;
    *t = (struct op_table){0};
    int line = 1;
    char *p = strtok_r(text, "\r\n", &save);
    if (!p || strncmp(p, "op_name,", 8))
        return table_fail(path, 1, "expected the columns op_name, forward-compute, ...", m);
    while ((p = strtok_r(NULL, "\r\n", &save))) {
        char *comma = strchr(p, ',');
        double v[COLUMNS];
        line++;
        if (t->n == OPS_MAX) return table_fail(path, line, "more operators than expected", m);
        if (!comma || !read_numbers(comma + 1, v, COLUMNS))
            return table_fail(path, line, "expected a name and 8 numbers", m);
        *comma = '\0';
        for (int c = 0; c < COLUMNS; c++) t->column[c][t->n] = v[c];
        t->name[t->n++] = p;
    }
    return t->n ? 0 : table_fail(path, line, "expected operators", m);
}

/** GB/s at 1, 2, 4, ... 1024 MiB: two lines, sizes and speeds. */
static int read_intra(const char *path, double GBps[LINK_SIZES], struct import *m) {
    char *save, *text = file_read_text(path, NULL, &m->arena, m->e);
    double size[LINK_SIZES];
    if (!text) return -1;
    char *first = strtok_r(text, "\r\n", &save), *second = first ? strtok_r(NULL, "\r\n", &save) : NULL;
    bool good = second && read_numbers(first, size, LINK_SIZES) && read_numbers(second, GBps, LINK_SIZES);
    for (int i = 0; good && i < LINK_SIZES; i++) good = size[i] == 1 << i && GBps[i] > 0;
    return good ? 0 : table_fail(path, 1, "expected the sizes 1, 2, ... 1024, and below each a speed", m);
}

/** The operators "enc-..." are those of a block. */
static int block_ends(const struct op_table *t, int ends[2], const char *path, struct import *m) {
    int i = 0;
    while (i < t->n && strncmp(t->name[i], "enc-", 4)) i++;
    ends[0] = i;
    while (i < t->n && !strncmp(t->name[i], "enc-", 4)) i++;
    ends[1] = i;
    return 0 < ends[0] && ends[0] < ends[1] && ends[1] < t->n
               ? 0
               : table_fail(path, 2, "expected \"enc-\" operators in the middle", m);
}

static cJSON *table_row(const struct op_table *t, int micro_batch, int tp) {
    cJSON *row = cJSON_CreateObject();
    cJSON_AddItemToObject(row, "micro_batch_size", json_double(micro_batch));
    cJSON_AddItemToObject(row, "tp", json_double(tp));
    for (int c = 0; c < COLUMNS; c++)
        cJSON_AddItemToObject(row, column_key[c], import_reals(t->column[c], t->n));
    return row;
}

static int import_pair(const char *folder, int model, const char *gpu, struct import *m) {
    struct op_table first = {0}, t;
    double GBps[LINK_SIZES];
    int ends[2] = {0};
    cJSON *rows = cJSON_CreateArray();
    for (int mb = 1; mb <= 1024; mb *= 2)
        for (int tp = 1; tp <= TP_MAX; tp *= 2) {
            const char *path =
                arena_printf(&m->arena, "%s/%s_mbs%d_tp%d_algo0.csv", folder, m->published[model], mb, tp);
            if (access(path, F_OK)) continue;
            int rc = read_ops(path, &t, m);
            if (!rc && !first.n) {
                first = t;
                rc = block_ends(&t, ends, path, m);
            }
            for (int i = 0; !rc && (i < t.n || i < first.n); i++)
                if (i >= t.n || i >= first.n || strcmp(t.name[i], first.name[i]))
                    rc = table_fail(path, i + 2, "other operators than in the first table", m);
            if (rc) {
                cJSON_Delete(rows);
                return -1;
            }
            cJSON_AddItemToArray(rows, table_row(&t, mb, tp));
        }
    if (!first.n || read_intra(arena_printf(&m->arena, "%s/p2p_intra_node.csv", folder), GBps, m)) {
        cJSON_Delete(rows);
        return first.n ? -1 : 0;
    }
    cJSON *o = import_new_file(
        "sailor-aceso/1", NULL,
        arena_printf(&m->arena,
                     "%s, Planner/baselines/Aceso/profiler/%s/profiled-data-fp32: %s_mbs*_tp*_algo0.csv, "
                     "p2p_intra_node.csv",
                     m->source, gpu, m->published[model]));
    const double block[2] = {ends[0], ends[1]};
    cJSON_AddStringToObject(o, "model", m->model[model]);
    cJSON_AddStringToObject(o, "gpu", gpu);
    cJSON_AddItemToObject(o, "intra_node_GBps", import_reals(GBps, LINK_SIZES));
    cJSON_AddItemToObject(o, "operators", cJSON_CreateStringArray(first.name, first.n));
    cJSON_AddItemToObject(o, "block", import_reals(block, 2));
    cJSON_AddItemToObject(o, "profiles", rows);
    import_put(m, arena_printf(&m->arena, "planners/aceso/%s/%s.json", m->model[model], gpu), o);
    return 0;
}

int import_aceso(const char *dir, struct import *m) {
    const char **gpus, *root = import_find_under(dir, "Planner/baselines/Aceso/profiler", &m->arena);
    int n = root ? import_list_dir(root, &gpus, &m->arena) : 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m->n_model && name_index(m->gpu, m->n_gpu, gpus[i]) >= 0; k++)
            if (import_pair(arena_printf(&m->arena, "%s/%s/profiled-data-fp32", root, gpus[i]), k, gpus[i],
                            m))
                return -1;
    return 0;
}
