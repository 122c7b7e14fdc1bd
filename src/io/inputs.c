#include "io/inputs.h"
#include "base/nearest.h"
#include "io/json.h"
#include "io/measured.h"
#include "io/planjson.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const objective_name[OBJECTIVE_N] = {"throughput", "cost", "frontier"};

enum { BATCH_MAX = 100000000, MICRO_BATCH_MAX = 65536, COUNT_MAX = 1000000, REPLICAS_MAX = 1000000 };

/* ---- files -----------------------------------------------------------------------------------------------
 */

static char *read_open(int fd, const char *path, size_t *size, struct arena *a, struct err *e) {
    struct stat st;
    if (fstat(fd, &st)) return err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno)), NULL;
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
        return err_set(e, EXIT_INPUT, "%s: %s; expected a file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device"),
               NULL;
    size_t room = S_ISREG(st.st_mode) && st.st_size <= JSON_TEXT_MAX ? (size_t)st.st_size + 1 : 1 << 16,
           n = 0;
    char *buf = arena_alloc(a, room);
    for (;;) {
        if (n + 1 >= room) { /* a pipe, or a file that grows under our hands */
            char *more = arena_alloc(a, 2 * room + 2);
            memcpy(more, buf, n);
            buf = more, room = 2 * room + 2;
        }
        ssize_t got = read(fd, buf + n, room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno)), NULL;
        if (got == 0) break;
        n += (size_t)got;
        if (n > JSON_TEXT_MAX)
            return err_set(e, EXIT_INPUT, "%s: more than %d bytes; expected at most that", path,
                           JSON_TEXT_MAX),
                   NULL;
    }
    buf[n] = '\0';
    *size = n;
    return buf;
}

char *read_text(const char *path, size_t *size, struct arena *a, struct err *e) {
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, EXIT_INPUT, "%s: %s; expected a file that can be read", path, strerror(errno)),
               NULL;
    char *text = read_open(fd, path, size ? size : &n, a, e);
    close(fd);
    return text;
}

static bool is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/** The part before the last '/', "." if there is none. */
static char *dir_of(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/');
    if (!slash) return arena_strdup(a, ".");
    return slash == path ? arena_strdup(a, "/") : arena_printf(a, "%.*s", (int)(slash - path), path);
}

/** File name without directory and .json. */
static char *stem_of(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".json") == 0) n -= 5;
    return arena_printf(a, "%.*s", (int)n, base);
}

const char *inputs_dir(const char *dir, struct arena *a, struct err *e) {
    static const char *const beside[] = {"../inputs", "../../inputs", "../share/sailor/inputs"};
    const char *from = "--inputs", *env = getenv("SAILOR_INPUTS");
    char exe[4000];
    if (!dir && env && *env) dir = env, from = "SAILOR_INPUTS";
    if (dir) {
        if (is_dir(dir)) return arena_strdup(a, dir);
        return err_set(e, EXIT_INPUT,
                       "%s %s: not a directory; expected one with models/, profiles/ and sites/", from, dir),
               NULL;
    }
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *bin = dir_of(exe, a);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *path = arena_printf(a, "%s/%s", bin, beside[i]);
        if (is_dir(arena_printf(a, "%s/models", path))) return path;
    }
    err_set(e, EXIT_INPUT, "no inputs/ beside %s; expected --inputs DIR or SAILOR_INPUTS=DIR",
            n > 0 ? exe : "the program");
    return NULL;
}

/* Where names are looked up; the directory is only asked for when a name needs it. */
struct lookup {
    const char *inputs; /* as given, may be NULL */
    const char *beside; /* directory of the file that names things, or NULL */
    const char *dir;    /* resolved */
    struct arena *arena;
    struct err *e;
};

static int resolve_dir(struct lookup *k) {
    if (!k->dir) k->dir = inputs_dir(k->inputs, k->arena, k->e);
    return k->dir ? 0 : -1;
}

static bool is_path(const char *ref) {
    size_t n = strlen(ref);
    return strchr(ref, '/') || (n > 5 && strcmp(ref + n - 5, ".json") == 0);
}

static int by_name(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }

enum { LISTED_MAX = 64 };

/** Stems of the .json files in a directory, sorted. */
static int list_stems(const char *dir, const char *stems[LISTED_MAX], struct arena *a) {
    DIR *d = opendir(dir);
    int n = 0;
    if (!d) return 0;
    for (struct dirent *f; n < LISTED_MAX && (f = readdir(d));) {
        size_t len = strlen(f->d_name);
        if (f->d_name[0] != '.' && len > 5 && strcmp(f->d_name + len - 5, ".json") == 0)
            stems[n++] = stem_of(f->d_name, a);
    }
    closedir(d);
    qsort(stems, (size_t)n, sizeof *stems, by_name);
    return n;
}

static int unknown_name(const struct json_at *at, const char *ref, const char *folder, struct lookup *k) {
    const char *stems[LISTED_MAX];
    char list[300] = "";
    char *dir = arena_printf(k->arena, "%s/%s", k->dir, folder);
    int n = list_stems(dir, stems, k->arena);
    size_t used = 0;
    for (int i = 0; i < n && used + 1 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", stems[i]);
    return json_fail(at, k->e, "no \"%.60s\" in %.150s; expected %s%s", ref, dir,
                     n ? "one of " : "a name or the path of a file", list);
}

/** The file that a name or a path in `at` means. */
static int locate(const struct json_at *at, const char *ref, const char *folder, struct lookup *k,
                  const char **path) {
    if (is_path(ref)) {
        char *near = ref[0] == '/' || !k->beside ? NULL : arena_printf(k->arena, "%s/%s", k->beside, ref);
        *path = near && exists(near) ? near : arena_strdup(k->arena, ref);
        if (exists(*path)) return 0;
        return json_fail(at, k->e, "no file \"%.200s\"; expected the path of a file, or a name", ref);
    }
    if (resolve_dir(k)) return -1;
    *path = arena_printf(k->arena, "%s/%s/%s.json", k->dir, folder, ref);
    return exists(*path) ? 0 : unknown_name(at, ref, folder, k);
}

/** Read and parse a file. The text lives in the arena, the tree until cJSON_Delete. */
static cJSON *read_tree(const char *path, const char **text, struct arena *a, struct err *e) {
    size_t size;
    char *s = read_text(path, &size, a, e);
    cJSON *tree = s ? json_parse(path, s, size, e) : NULL;
    if (text) *text = s;
    return tree;
}

/* ---- models ----------------------------------------------------------------------------------------------
 */

/** An array of n numbers in [0, hi]. */
static const double *read_reals(const struct json_at *at, int n, double hi, struct arena *a, struct err *e) {
    int have, i = 0;
    if (json_array(at, n, n, &have, e)) return NULL;
    double *v = ARENA_ARRAY(a, double, n);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_real(&here, 0, hi, &v[i], e)) return NULL;
    }
    return v;
}

/** A tensor-parallel degree as a key ("1", "2", "4", "8"). */
static int tp_key(const struct json_at *at, int *ti, struct err *e) {
    const char *k = at->key;
    *ti = k && strlen(k) == 1 ? tp_index(k[0] - '0') : -1;
    return *ti >= 0
               ? 0
               : json_fail(at, e, "unknown tensor-parallel degree; expected \"1\", \"2\", \"4\" or \"8\"");
}

static int read_memory(const struct json_at *at, struct model *m, struct arena *a, struct err *e) {
    static const char *const keys[] = {"act_out", "tp", NULL}, *const tp_keys[] = {"params", "act_mem", NULL};
    if (json_object(at, keys, e)) return -1;
    struct json_at act_out = json_member(at, "act_out"), tps = json_member(at, "tp");
    if (!(m->act_out = read_reals(&act_out, m->n_layer, 1e15, a, e))) return -1;
    if (!cJSON_IsObject(tps.node))
        return json_fail(&tps, e, "no object; expected one with the sizes per degree");
    int i = 0, ti;
    for (const cJSON *x = tps.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&tps, i, x);
        if (json_key_ignored(x->string)) continue;
        if (tp_key(&here, &ti, e) || json_object(&here, tp_keys, e)) return -1;
        struct json_at params = json_member(&here, "params"), act = json_member(&here, "act_mem");
        if (!(m->params[ti] = read_reals(&params, m->n_layer, 1e15, a, e))) return -1;
        if (!(m->act_mem[ti] = read_reals(&act, m->n_layer, 1e15, a, e))) return -1;
    }
    if (!m->params[0])
        return json_fail(&tps, e, "no degree \"1\"; expected it (gradients and egress are counted with it)");
    return 0;
}

/** `name`: what the file must call itself, or NULL if any name will do; `stem`: its name if it gives none. */
static int read_model(const struct json_at *at, const char *name, const char *stem, struct model *m,
                      struct arena *a, struct err *e) {
    static const char *const keys[] = {"format",          "num_layers", "num_blocks", "hidden_size",
                                       "sequence_length", "heads",      "vocabulary", "architecture",
                                       "as_built",        "memory",     NULL};
    if (json_object(at, keys, e) || json_format(at, "sailor-model/1", e)) return -1;
    struct json_at own = json_member(at, "name"), source = json_member(at, "source");
    m->name = arena_strdup(a, stem);
    if (own.node && json_string(&own, &m->name, a, e)) return -1;
    if (name && strcmp(name, m->name) != 0)
        return json_fail(&own, e, "\"%.60s\"; expected \"%.60s\", the name of the file", m->name, name);
    if (source.node && json_string(&source, &m->source, a, e)) return -1;
    struct {
        const char *key;
        int lo, hi, *out;
    } sizes[] = {{"num_layers", 1, LAYERS_MAX, &m->n_layer},
                 {"num_blocks", 1, LAYERS_MAX, &m->n_block},
                 {"hidden_size", 1, 10000000, &m->hidden_size},
                 {"sequence_length", 1, 100000000, &m->sequence_length},
                 {"heads", 1, 1000000, &m->heads},
                 {"vocabulary", 1, 1000000000, &m->vocabulary}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct json_at here = json_member(at, sizes[i].key);
        if (json_int(&here, sizes[i].lo, sizes[i].hi, sizes[i].out, e)) return -1;
    }
    struct json_at blocks = json_member(at, "num_blocks"), memory = json_member(at, "memory");
    if (m->n_block > m->n_layer)
        return json_fail(&blocks, e, "%d; expected at most num_layers, %d", m->n_block, m->n_layer);
    for (int i = 0; i < 2;
         i++) { /* for people and for the trainer: the planner only sees that they are objects */
        struct json_at free_form = json_member(at, i ? "as_built" : "architecture");
        if (free_form.node && !cJSON_IsObject(free_form.node))
            return json_fail(&free_form, e, "no object; expected one");
    }
    const cJSON *built = cJSON_GetObjectItemCaseSensitive(at->node, "architecture");
    if (built) {
        char *text = cJSON_PrintUnformatted(built);
        m->architecture = arena_strdup(a, text);
        cJSON_free(text);
    }
    return read_memory(&memory, m, a, e);
}

/* ---- profiles --------------------------------------------------------------------------------------------
 */

struct profile_row {
    int micro_batch, ti, index;
    struct layer_times times;
};

static int by_micro_batch(const void *x, const void *y) {
    const struct profile_row *a = x, *b = y;
    if (a->micro_batch != b->micro_batch) return a->micro_batch < b->micro_batch ? -1 : 1;
    return a->ti - b->ti;
}

static int read_profile_row(const struct json_at *at, int n_layer, struct profile_row *row, struct arena *a,
                            struct err *e) {
    static const char *const keys[] = {"micro_batch_size",
                                       "tp",
                                       "forward_s",
                                       "backward_s",
                                       "update_s",
                                       "forward_spread_s",
                                       "backward_spread_s",
                                       "update_spread_s",
                                       NULL};
    if (json_object(at, keys, e)) return -1;
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp");
    struct json_at fwd = json_member(at, "forward_s"), bwd = json_member(at, "backward_s"),
                   upd = json_member(at, "update_s");
    int degree;
    if (json_int(&mb, 1, MICRO_BATCH_MAX, &row->micro_batch, e) || json_int(&tp, 1, TP_MAX, &degree, e))
        return -1;
    if ((row->ti = tp_index(degree)) < 0) return json_fail(&tp, e, "%d; expected 1, 2, 4 or 8", degree);
    if (!(row->times.fwd_s = read_reals(&fwd, n_layer, 1e6, a, e))) return -1;
    if (!(row->times.bwd_s = read_reals(&bwd, n_layer, 1e6, a, e))) return -1;
    row->times.update_by_layer = cJSON_IsArray(upd.node);
    if (row->times.update_by_layer)
        return (row->times.update_s = read_reals(&upd, n_layer, 1e6, a, e)) ? 0 : -1;
    double one, *all = ARENA_ARRAY(a, double, n_layer);
    if (json_real(&upd, 0, 1e6, &one, e)) return -1;
    for (int l = 0; l < n_layer; l++) all[l] = one;
    row->times.update_s = all;
    return 0;
}

static const char *const dtypes[] = {"fp32", "bf16", "fp16"};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static int read_profile(const struct json_at *at, const struct model *m, struct profile *p, struct arena *a,
                        struct err *e) {
    static const char *const keys[] = {"format", "model", "gpu", "dtype", "times", NULL};
    int n, i = 0, dtype;
    if (json_object(at, keys, e) || json_format(at, "sailor-profile/1", e)) return -1;
    struct json_at model = json_member(at, "model"), gpu = json_member(at, "gpu"),
                   times = json_member(at, "times");
    struct json_at source = json_member(at, "source"), in = json_member(at, "dtype");
    if (in.node && json_name(&in, dtypes, DTYPES, "an element type", &dtype, e)) return -1;
    if (in.node) p->dtype = dtypes[dtype];
    if (json_string(&model, &p->model, a, e) || json_string(&gpu, &p->gpu, a, e)) return -1;
    if (source.node && json_string(&source, &p->source, a, e)) return -1;
    if (strcmp(p->model, m->name) != 0)
        return json_fail(&model, e, "\"%.60s\"; expected \"%.60s\", the model it was looked up for", p->model,
                         m->name);
    if (json_array(&times, 1, 10000, &n, e)) return -1;
    struct profile_row *row = ARENA_ARRAY(a, struct profile_row, n);
    for (const cJSON *x = times.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&times, i, x);
        row[i].index = i;
        if (read_profile_row(&here, m->n_layer, &row[i], a, e)) return -1;
    }
    qsort(row, (size_t)n, sizeof *row, by_micro_batch);
    int *mb = ARENA_ARRAY(a, int, n);
    struct layer_times *t = ARENA_ARRAY(a, struct layer_times, (size_t)n * TP_N);
    for (i = 0; i < n; i++) {
        if (i && by_micro_batch(&row[i - 1], &row[i]) == 0) {
            struct json_at twice = {
                .up = &times, .index = row[i].index > row[i - 1].index ? row[i].index : row[i - 1].index};
            return json_fail(&twice, e, "microbatch %d at tp %d appears twice; expected it once",
                             row[i].micro_batch, 1 << row[i].ti);
        }
        if (!i || row[i - 1].micro_batch != row[i].micro_batch) mb[p->n_mb++] = row[i].micro_batch;
        t[(p->n_mb - 1) * TP_N + row[i].ti] = row[i].times;
    }
    p->mb = mb, p->times = t;
    return 0;
}

/* ---- sites -----------------------------------------------------------------------------------------------
 */

static int find_name(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

/** What a site file is read into before it becomes const. */
struct site_reader {
    struct site *s;
    const char *gpu[GPUS_MAX]; /* names */
    struct arena *arena;
    struct err *e;
};

static int read_zones(const struct json_at *at, struct site_reader *r) {
    int i = 0;
    if (json_array(at, 1, ZONES_MAX, &r->s->n_zone, r->e)) return -1;
    r->s->zone = ARENA_ARRAY(r->arena, const char *, r->s->n_zone);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_string(&here, &r->s->zone[i], r->arena, r->e)) return -1;
        if (find_name(r->s->zone, i, r->s->zone[i]) >= 0)
            return json_fail(&here, r->e, "zone \"%.60s\" appears twice; expected it once", r->s->zone[i]);
    }
    return 0;
}

static int read_gpus(const struct json_at *at, struct site_reader *r) {
    static const char *const keys[] = {"name", "memory_bytes", "planner_memory_bytes", "gpus_per_node", NULL};
    int i = 0;
    if (json_array(at, 1, GPUS_MAX, &r->s->n_gpu, r->e)) return -1;
    struct gpu_type *g = ARENA_ARRAY(r->arena, struct gpu_type, r->s->n_gpu);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_object(&here, keys, r->e)) return -1;
        struct json_at name = json_member(&here, "name"), memory = json_member(&here, "memory_bytes");
        struct json_at told = json_member(&here, "planner_memory_bytes"),
                       node = json_member(&here, "gpus_per_node");
        if (json_string(&name, &g[i].name, r->arena, r->e)) return -1;
        if (find_name(r->gpu, i, g[i].name) >= 0)
            return json_fail(&name, r->e, "GPU type \"%.60s\" appears twice; expected it once", g[i].name);
        r->gpu[i] = g[i].name;
        if (json_real(&memory, 1, 1e15, &g[i].memory_bytes, r->e)) return -1;
        g[i].planner_memory_bytes = g[i].memory_bytes;
        if (told.node && json_real(&told, 1, 1e15, &g[i].planner_memory_bytes, r->e)) return -1;
        if (json_int(&node, 1, 1024, &g[i].gpus_per_node, r->e)) return -1;
    }
    r->s->gpu = g;
    return 0;
}

/** A table {row: {column: number or null}}; cells that are not there keep their value. NULL: unknown (NAN).
 */
static int read_table(const struct json_at *at, const char *const *rows, int n_row, const char *const *cols,
                      int n_col, const char *row_what, const char *col_what, double hi, double *out,
                      struct err *e) {
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "no object; expected one, with %s as keys", row_what);
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at row = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int zi = find_name(rows, n_row, x->string), j = 0;
        if (zi < 0) return json_fail(&row, e, "unknown name; expected one of %s", row_what);
        if (!cJSON_IsObject(x))
            return json_fail(&row, e, "no object; expected one, with %s as keys", col_what);
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&row, j, y);
            if (json_key_ignored(y->string)) continue;
            int ci = find_name(cols, n_col, y->string);
            if (ci < 0) return json_fail(&cell, e, "unknown name; expected one of %s", col_what);
            if (json_null(&cell)) continue;
            if (json_real(&cell, 0, hi, &out[zi * n_col + ci], e)) return -1;
        }
    }
    return 0;
}

static double *unknowns(int n, struct arena *a) {
    double *v = ARENA_ARRAY(a, double, n);
    for (int i = 0; i < n; i++) v[i] = NAN;
    return v;
}

/** [c2, c1, c0, peak] */
static int read_fit(const struct json_at *at, struct link *l, struct err *e) {
    double v[4];
    int n, i = 0;
    if (json_array(at, 4, 4, &n, e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_real(&here, i < 3 ? -1e12 : 0, i < 3 ? 1e12 : 1e18, &v[i], e)) return -1;
    }
    *l = (struct link){.c2 = v[0], .c1 = v[1], .c0 = v[2], .peak_Bps = v[3], .known = true};
    return 0;
}

/** [zone, gpu, n, zone, gpu, n, fit] */
static int read_link_row(const struct json_at *at, struct site_reader *r, const struct link *fit, int n_fit,
                         struct link *table, unsigned char *counts) {
    static const char *const what[] = {"a zone of this site", "a GPU type of this site", "a count"};
    const struct site *s = r->s;
    int v[7], n, i = 0;
    if (json_array(at, 7, 7, &n, r->e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        int rc = i == 6       ? json_int(&here, 0, n_fit - 1, &v[i], r->e)
                 : i % 3 == 0 ? json_name(&here, s->zone, s->n_zone, what[0], &v[i], r->e)
                 : i % 3 == 1 ? json_name(&here, r->gpu, s->n_gpu, what[1], &v[i], r->e)
                              : json_int(&here, 1, TP_MAX, &v[i], r->e);
        if (rc) return -1;
        if (i == 6 || i % 3 != 2) continue;
        if (tp_index(v[i]) < 0) return json_fail(&here, r->e, "%d; expected 1, 2, 4 or 8", v[i]);
        v[i] = tp_index(v[i]);
    }
    struct link *l = &table[site_link_slot(s, v[0], v[1], v[2], v[3], v[4], v[5])];
    if (l->known) return json_fail(at, r->e, "the same link as an earlier row; expected it once");
    *l = fit[v[6]];
    counts[v[0] * s->n_gpu + v[1]] |= (unsigned char)(1 << v[2]);
    return 0;
}

static int read_links(const struct json_at *at, struct site_reader *r) {
    static const char *const keys[] = {"fits", "rows", NULL};
    struct site *s = r->s;
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    struct link *table = ARENA_ARRAY(r->arena, struct link, side * side);
    unsigned char *counts = ARENA_ARRAY(r->arena, unsigned char, s->n_zone * s->n_gpu);
    s->link = table, s->counts = counts;
    if (!at->node || json_null(at)) return 0;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at fits = json_member(at, "fits"), rows = json_member(at, "rows");
    int n_fit, n_row, i = 0;
    if (json_array(&fits, 0, 1 << 20, &n_fit, r->e) || json_array(&rows, 0, 1 << 20, &n_row, r->e)) return -1;
    struct link *fit = ARENA_ARRAY(r->arena, struct link, n_fit);
    for (const cJSON *x = fits.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&fits, i, x);
        if (read_fit(&here, &fit[i], r->e)) return -1;
    }
    i = 0;
    for (const cJSON *x = rows.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&rows, i, x);
        if (read_link_row(&here, r, fit, n_fit, table, counts)) return -1;
    }
    return 0;
}

static int read_intra(const struct json_at *at, struct site_reader *r) {
    struct link *table = ARENA_ARRAY(r->arena, struct link, r->s->n_gpu * TP_N);
    r->s->intra = table;
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, r->e, "no object; expected one, with GPU types as keys");
    int i = 0, ti;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at gpu = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int g = find_name(r->gpu, r->s->n_gpu, x->string), j = 0;
        if (g < 0) return json_fail(&gpu, r->e, "unknown name; expected a GPU type of this site");
        if (!cJSON_IsObject(x)) return json_fail(&gpu, r->e, "no object; expected one, with counts as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&gpu, j, y);
            if (json_key_ignored(y->string)) continue;
            if (tp_key(&cell, &ti, r->e) || read_fit(&cell, &table[g * TP_N + ti], r->e)) return -1;
        }
    }
    return 0;
}

/** GPUs that exist, {zone: {gpu: n}}; -1 where not stated. */
static int read_available(const struct json_at *at, struct site_reader *r) {
    struct site *s = r->s;
    int cells = s->n_zone * s->n_gpu, *n = ARENA_ARRAY(r->arena, int, cells);
    double *v = unknowns(cells, r->arena);
    if (read_table(at, s->zone, s->n_zone, r->gpu, s->n_gpu, "the zones", "the GPU types", COUNT_MAX, v,
                   r->e))
        return -1;
    for (int i = 0; i < cells; i++) {
        n[i] = isnan(v[i]) ? -1 : (int)v[i];
        if (!isnan(v[i]) && v[i] != floor(v[i]))
            return json_fail(at, r->e, "%g GPUs; expected integers", v[i]);
    }
    s->available = n;
    return 0;
}

static int read_site(const struct json_at *at, const char *name, const char *stem, struct site *s,
                     struct arena *a, struct err *e) {
    static const char *const keys[] = {
        "format", "zones",      "gpus", "usd_per_gpu_hour", "egress_usd_per_GB", "available",
        "links",  "intra_node", NULL};
    struct site_reader r = {.s = s, .arena = a, .e = e};
    if (json_object(at, keys, e) || json_format(at, "sailor-site/1", e)) return -1;
    struct json_at own = json_member(at, "name"), source = json_member(at, "source"),
                   zones = json_member(at, "zones");
    struct json_at gpus = json_member(at, "gpus"), usd = json_member(at, "usd_per_gpu_hour");
    struct json_at egress = json_member(at, "egress_usd_per_GB"), available = json_member(at, "available");
    struct json_at links = json_member(at, "links"), intra = json_member(at, "intra_node");
    s->name = arena_strdup(a, stem);
    if (own.node && json_string(&own, &s->name, a, e)) return -1;
    if (name && strcmp(name, s->name) != 0)
        return json_fail(&own, e, "\"%.60s\"; expected \"%.60s\", the name of the file", s->name, name);
    if (source.node && json_string(&source, &s->source, a, e)) return -1;
    if (read_zones(&zones, &r) || read_gpus(&gpus, &r)) return -1;
    double *price = unknowns(s->n_zone * s->n_gpu, a), *out = unknowns(s->n_zone * s->n_zone, a);
    if (read_table(&usd, s->zone, s->n_zone, r.gpu, s->n_gpu, "the zones", "the GPU types", 1e6, price, e))
        return -1;
    if (read_table(&egress, s->zone, s->n_zone, s->zone, s->n_zone, "the zones", "the zones", 1e6, out, e))
        return -1;
    s->usd_per_gpu_hour = price, s->egress_usd_per_GB = out;
    return read_available(&available, &r) || read_links(&links, &r) || read_intra(&intra, &r) ? -1 : 0;
}

/* ---- model + site + profiles -----------------------------------------------------------------------------
 */

/* A workload while it is being put together, with the texts it came from (for job->json). */
struct loaded {
    struct model *model;
    struct site *site;
    const struct profile **profile;     /* [n_gpu] */
    const char *model_text, *site_text; /* NULL if not kept */
    const char *profile_text[GPUS_MAX];
    const char *profile_dir[3]; /* where profiles of this model lie, first match wins */
};

/** A model or site file: `as` is the name it must carry, NULL for a path. */
static cJSON *open_named(const struct json_at *at, const char *folder, struct lookup *k, const char **path,
                         const char **as, const char **text) {
    const char *ref;
    if (json_string(at, &ref, k->arena, k->e)) return NULL;
    *as = is_path(ref) ? NULL : ref;
    if (locate(at, ref, folder, k, path)) return NULL;
    return read_tree(*path, text, k->arena, k->e);
}

static int load_model(const struct json_at *at, struct lookup *k, struct loaded *l) {
    const char *path, *as;
    cJSON *tree = open_named(at, "models", k, &path, &as, &l->model_text);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    l->model = ARENA_NEW(k->arena, struct model);
    int rc = read_model(&root, as, stem_of(path, k->arena), l->model, k->arena, k->e);
    cJSON_Delete(tree);
    if (rc) return -1;
    int n = 0;
    if (!as) { /* a model of the user's own: its profiles lie beside it, as they do in inputs/ */
        l->profile_dir[n++] =
            arena_printf(k->arena, "%s/../profiles/%s", dir_of(path, k->arena), l->model->name);
        l->profile_dir[n++] =
            arena_printf(k->arena, "%s/profiles/%s", dir_of(path, k->arena), l->model->name);
    }
    struct err none; /* without inputs/ there is just one place less to look */
    const char *dir = k->dir ? k->dir : inputs_dir(k->inputs, k->arena, &none);
    if (dir) l->profile_dir[n] = arena_printf(k->arena, "%s/profiles/%s", dir, l->model->name);
    return 0;
}

static int load_site(const struct json_at *at, struct lookup *k, struct loaded *l) {
    const char *path, *as;
    cJSON *tree = open_named(at, "sites", k, &path, &as, &l->site_text);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    l->site = ARENA_NEW(k->arena, struct site);
    int rc = read_site(&root, as, stem_of(path, k->arena), l->site, k->arena, k->e);
    cJSON_Delete(tree);
    if (rc == 0) l->profile = ARENA_ARRAY(k->arena, const struct profile *, l->site->n_gpu);
    return rc;
}

/** The profile of one GPU type, GPU.DTYPE.json or GPU.json; stays NULL if there is no file. */
static int load_profile(int gpu, const char *dtype, struct lookup *k, struct loaded *l) {
    const char *name = l->site->gpu[gpu].name;
    if (strchr(name, '/')) return 0;
    for (int i = 0; i < 3 && l->profile_dir[i]; i++) {
        char *path = arena_printf(k->arena, "%s/%s.%s.json", l->profile_dir[i], name, dtype);
        if (!exists(path)) path = arena_printf(k->arena, "%s/%s.json", l->profile_dir[i], name);
        if (!exists(path)) continue;
        cJSON *tree = read_tree(path, &l->profile_text[gpu], k->arena, k->e);
        if (!tree) return -1;
        struct json_at root = json_root(path, tree), at = json_member(&root, "gpu"),
                       in = json_member(&root, "dtype");
        struct profile *p = ARENA_NEW(k->arena, struct profile);
        int rc = read_profile(&root, l->model, p, k->arena, k->e);
        if (rc == 0 && strcmp(p->gpu, name) != 0)
            rc = json_fail(&at, k->e, "\"%.60s\"; expected \"%.60s\", the name of the file", p->gpu, name);
        if (rc == 0 && p->dtype && strcmp(p->dtype, dtype) != 0)
            rc = json_fail(&in, k->e, "\"%s\"; expected \"%s\", what is planned in (or a file %s.%s.json)",
                           p->dtype, dtype, name, dtype);
        cJSON_Delete(tree);
        l->profile[gpu] = p;
        return rc;
    }
    return 0;
}

static struct workload workload_of(const struct loaded *l) {
    return (struct workload){.site = l->site,
                             .model = l->model,
                             .profile = l->profile,
                             .element_bytes = 4,
                             .state_bytes_per_param = 24};
}

static int load_workload(const struct json_at *model, const struct json_at *site, const char *dtype,
                         struct lookup *k, struct workload *w) {
    struct loaded l = {0};
    if (load_model(model, k, &l) || load_site(site, k, &l)) return -1;
    for (int g = 0; g < l.site->n_gpu; g++)
        if (load_profile(g, dtype, k, &l)) return -1;
    *w = workload_of(&l);
    return 0;
}

int workload_load(const char *model, const char *site, const char *inputs, struct workload *w,
                  struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct json_at root = json_root("arguments", NULL), m = {.up = &root, .key = "model"},
                   s = {.up = &root, .key = "site"};
    cJSON *model_node = cJSON_CreateString(model), *site_node = cJSON_CreateString(site);
    m.node = model_node, s.node = site_node;
    int rc = load_workload(&m, &s, dtypes[0], &k, w);
    cJSON_Delete(model_node);
    cJSON_Delete(site_node);
    return rc;
}

int model_load(const char *model, const char *inputs, struct workload *w, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct json_at root = json_root("arguments", NULL), m = {.up = &root, .key = "model"};
    struct loaded l = {0};
    cJSON *node = cJSON_CreateString(model);
    m.node = node;
    int rc = load_model(&m, &k, &l);
    cJSON_Delete(node);
    *w = (struct workload){.model = l.model};
    return rc;
}

int site_load(const char *site, const char *inputs, struct workload *w, const char **text, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct json_at root = json_root("arguments", NULL), s = {.up = &root, .key = "site"};
    struct loaded l = {0};
    cJSON *node = cJSON_CreateString(site);
    s.node = node;
    int rc = load_site(&s, &k, &l);
    cJSON_Delete(node);
    *w = (struct workload){.site = l.site};
    *text = l.site_text;
    return rc;
}

/** dtype and optimizer of a job or a plan. */
static int read_training(const struct json_at *at, const char **dtype, const char **optimizer,
                         struct workload *w, struct err *e) {
    static const char *const optimizers[] = {"adam", "sgd"};
    struct json_at d = json_member(at, "dtype"), o = json_member(at, "optimizer");
    int di = 0, oi = 0;
    if (d.node && json_name(&d, dtypes, DTYPES, "an element type", &di, e)) return -1;
    if (o.node && json_name(&o, optimizers, 2, "an optimizer", &oi, e)) return -1;
    if (dtype) *dtype = dtypes[di];
    if (optimizer) *optimizer = optimizers[oi];
    w->element_bytes = di == 0 ? 4 : 2;
    w->state_bytes_per_param = oi == 0 ? 24 : 20;
    return 0;
}

/* ---- jobs ------------------------------------------------------------------------------------------------
 */

struct job_reader {
    struct job *job;
    struct loaded *l;
    const char *gpu[GPUS_MAX];
    char gpu_what[100], zone_what[100];
    struct arena *arena;
    struct err *e;
};

static int read_pin_tp(const struct json_at *at, struct job_reader *r) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, r->e, "no object; expected {GPU type: degree}");
    int i = 0, tp;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int g = find_name(r->gpu, r->l->site->n_gpu, x->string);
        if (g < 0) {
            const char *near = nearest_name(x->string, r->gpu, r->l->site->n_gpu);
            return json_fail(&here, r->e, "unknown GPU type; expected %s%s%s", near ? "\"" : r->gpu_what,
                             near ? near : "", near ? "\"?" : "");
        }
        if (json_int(&here, 1, TP_MAX, &tp, r->e)) return -1;
        if (tp_index(tp) < 0) return json_fail(&here, r->e, "%d; expected 1, 2, 4 or 8", tp);
        if (tp > r->l->site->gpu[g].gpus_per_node)
            return json_fail(&here, r->e, "%d; expected at most %d, the GPUs of a node", tp,
                             r->l->site->gpu[g].gpus_per_node);
        r->job->pin.tp[g] = tp;
    }
    return 0;
}

static int read_pin(const struct json_at *at, struct job_reader *r) {
    static const char *const keys[] = {"micro_batch_size", "tp", "stages", "data_parallel", "zones", NULL};
    struct pin *p = &r->job->pin;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp"),
                   stages = json_member(at, "stages");
    struct json_at dp = json_member(at, "data_parallel"), zones = json_member(at, "zones");
    if (mb.node && json_int(&mb, 1, MICRO_BATCH_MAX, &p->micro_batch_size, r->e)) return -1;
    if (stages.node && json_int(&stages, 1, r->l->model->n_layer, &p->stages, r->e)) return -1;
    if (dp.node && json_int(&dp, 1, COUNT_MAX, &p->data_parallel, r->e)) return -1;
    if (tp.node && read_pin_tp(&tp, r)) return -1;
    if (!zones.node) return 0;
    int n, i = 0, z;
    if (json_array(&zones, 1, ZONES_MAX, &n, r->e)) return -1;
    for (const cJSON *x = zones.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&zones, i, x);
        if (json_name(&here, r->l->site->zone, r->l->site->n_zone, r->zone_what, &z, r->e)) return -1;
        if (p->zones >> z & 1)
            return json_fail(&here, r->e, "zone \"%s\" appears twice; expected it once", x->valuestring);
        p->zones |= 1u << z;
    }
    return 0;
}

static int read_pool(const struct json_at *at, struct job_reader *r, struct pool *pool) {
    static const char *const keys[] = {"time_s", "gpus", NULL}, *const gpu_keys[] = {"zone", "gpu", "count",
                                                                                     NULL};
    const struct site *s = r->l->site;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at time = json_member(at, "time_s"), gpus = json_member(at, "gpus");
    pool->time_s = NAN;
    if (time.node && json_real(&time, 0, 1e18, &pool->time_s, r->e)) return -1;
    int *count = ARENA_ARRAY(r->arena, int, s->n_zone * s->n_gpu), n, i = 0;
    bool seen[ZONES_MAX * GPUS_MAX] = {false};
    if (json_array(&gpus, 0, ZONES_MAX * GPUS_MAX, &n, r->e)) return -1;
    struct pool_entry *entry = ARENA_ARRAY(r->arena, struct pool_entry, n);
    for (const cJSON *x = gpus.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&gpus, i, x);
        if (json_object(&here, gpu_keys, r->e)) return -1;
        struct json_at zone = json_member(&here, "zone"), gpu = json_member(&here, "gpu"),
                       num = json_member(&here, "count");
        int z, g, c;
        if (json_name(&zone, s->zone, s->n_zone, r->zone_what, &z, r->e)) return -1;
        if (json_name(&gpu, r->gpu, s->n_gpu, r->gpu_what, &g, r->e)) return -1;
        if (json_int(&num, 0, COUNT_MAX, &c, r->e)) return -1;
        if (seen[z * s->n_gpu + g])
            return json_fail(&here, r->e,
                             "zone \"%s\" and GPU \"%s\" appear twice in a row; expected each pair once",
                             s->zone[z], r->gpu[g]);
        seen[z * s->n_gpu + g] = true;
        count[z * s->n_gpu + g] = c;
        entry[i] = (struct pool_entry){z, g, c};
    }
    pool->count = count, pool->entry = entry, pool->n_entry = n;
    return 0;
}

static int read_pools(const struct json_at *at, struct job_reader *r) {
    int i = 0;
    if (json_array(at, 1, 1000000, &r->job->n_pool, r->e)) return -1;
    struct pool *pool = ARENA_ARRAY(r->arena, struct pool, r->job->n_pool);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_pool(&here, r, &pool[i])) return -1;
    }
    r->job->pool = pool;
    return 0;
}

static const char *const job_keys[] = {"format",
                                       "model",
                                       "site",
                                       "global_batch_size",
                                       "dtype",
                                       "optimizer",
                                       "exact_batch",
                                       "train_tokens",
                                       "pin",
                                       "objective",
                                       "max_usd_per_iteration",
                                       "min_iterations_per_s",
                                       "pools",
                                       NULL};

/** Everything a job says itself; model and site are loaded. */
static int read_job(const struct json_at *at, struct job_reader *r) {
    struct job *j = r->job;
    struct workload w = workload_of(r->l);
    int objective = OBJECTIVE_THROUGHPUT;
    for (int g = 0; g < r->l->site->n_gpu; g++) r->gpu[g] = r->l->site->gpu[g].name;
    snprintf(r->gpu_what, sizeof r->gpu_what, "a GPU type of site %.60s", r->l->site->name);
    snprintf(r->zone_what, sizeof r->zone_what, "a zone of site %.60s", r->l->site->name);
    struct json_at name = json_member(at, "name"), batch = json_member(at, "global_batch_size");
    struct json_at exact = json_member(at, "exact_batch"), tokens = json_member(at, "train_tokens");
    struct json_at pin = json_member(at, "pin"), goal = json_member(at, "objective"),
                   pools = json_member(at, "pools");
    struct json_at usd = json_member(at, "max_usd_per_iteration"),
                   rate = json_member(at, "min_iterations_per_s");
    if (name.node && json_string(&name, &j->name, r->arena, r->e)) return -1;
    if (json_int(&batch, 1, BATCH_MAX, &j->global_batch_size, r->e)) return -1;
    if (read_training(at, &j->dtype, &j->optimizer, &w, r->e)) return -1;
    if (exact.node && json_bool(&exact, &j->exact_batch, r->e)) return -1;
    if (tokens.node && json_positive(&tokens, &j->train_tokens, r->e)) return -1;
    if (goal.node && json_name(&goal, objective_name, OBJECTIVE_N, "an objective", &objective, r->e))
        return -1;
    j->objective = (enum objective)objective;
    j->max_usd_per_iteration = INFINITY;
    if (usd.node && json_positive(&usd, &j->max_usd_per_iteration, r->e)) return -1;
    if (rate.node && json_positive(&rate, &j->min_iterations_per_s, r->e)) return -1;
    if (pin.node && read_pin(&pin, r)) return -1;
    if (read_pools(&pools, r)) return -1;
    w.global_batch_size = j->global_batch_size;
    j->workload = w;
    return 0;
}

/** Does any row have GPUs of this type? The first such (row, zone) into *row, *zone. */
static bool pools_have(const struct job *j, const struct site *s, int gpu, int *row, int *zone) {
    for (*row = 0; *row < j->n_pool; ++*row)
        for (*zone = 0; *zone < s->n_zone; ++*zone)
            if (j->pool[*row].count[*zone * s->n_gpu + gpu]) return true;
    return false;
}

static int no_profile(const struct json_at *root, int row, const struct loaded *l, int gpu, struct err *e) {
    struct json_at pools = json_member(root, "pools"), here = {.up = &pools, .index = row},
                   gpus = {.up = &here, .key = "gpus"};
    return json_fail(
        &gpus, e,
        "model %s has no profile on GPU %s; expected a file profiles/%s/%s.json (sailor-train profile "
        "measures one)",
        l->model->name, l->site->gpu[gpu].name, l->model->name, l->site->gpu[gpu].name);
}

int job_check_prices(const struct job *j, const char *where, struct err *e) {
    const struct site *s = j->workload.site;
    bool limit = isfinite(j->max_usd_per_iteration);
    if (j->objective == OBJECTIVE_THROUGHPUT && !limit) return 0;
    const char *why =
        j->objective == OBJECTIVE_THROUGHPUT ? "max_usd_per_iteration" : objective_name[j->objective];
    for (int row = 0; row < j->n_pool; row++) {
        bool used[ZONES_MAX] = {false};
        for (int z = 0; z < s->n_zone; z++)
            for (int g = 0; g < s->n_gpu; g++) {
                if (!j->pool[row].count[z * s->n_gpu + g]) continue;
                used[z] = true;
                if (isnan(s->usd_per_gpu_hour[z * s->n_gpu + g]))
                    return err_set(
                        e, EXIT_INPUT,
                        "%.250s: /pools/%d/gpus: site %s has no price of GPU %s in zone %s; expected "
                        "one, because %s needs it",
                        where, row, s->name, s->gpu[g].name, s->zone[z], why);
            }
        for (int z = 0; z < s->n_zone; z++)
            for (int y = 0; y < s->n_zone; y++)
                if (used[z] && used[y] && isnan(s->egress_usd_per_GB[z * s->n_zone + y]))
                    return err_set(e, EXIT_INPUT,
                                   "%.250s: /pools/%d/gpus: site %s has no egress price from zone %s to %s; "
                                   "expected one, because %s needs it",
                                   where, row, s->name, s->zone[z], s->zone[y], why);
    }
    return 0;
}

/** The texts of everything that was read, as one JSON object: enough to rebuild the job anywhere. */
static const char *job_text(const struct job *j, const char *text, const struct loaded *l, struct arena *a) {
    struct text t = {0};
    text_add(&t, "{\"name\":");
    text_string(&t, j->name);
    text_add(&t, ",\"job\":%s,\"model\":%s,\"site\":%s,\"profiles\":[", json_compact(text, a),
             json_compact(l->model_text, a), json_compact(l->site_text, a));
    const char *comma = "";
    for (int g = 0; g < l->site->n_gpu; g++)
        if (l->profile_text[g]) text_add(&t, "%s%s", comma, json_compact(l->profile_text[g], a)), comma = ",";
    text_add(&t, "]}");
    char *out = arena_strdup(a, t.s);
    text_free(&t);
    return out;
}

static int job_from_tree(const char *path, const cJSON *tree, const char *text, bool every_profile,
                         struct lookup *k, struct job *job) {
    struct loaded l = {0};
    struct job_reader r = {.job = job, .l = &l, .arena = k->arena, .e = k->e};
    struct json_at root = json_root(path, tree), model = json_member(&root, "model"),
                   site = json_member(&root, "site");
    int row, zone;
    if (json_object(&root, job_keys, k->e) || json_format(&root, "sailor-job/1", k->e)) return -1;
    *job = (struct job){.name = stem_of(path, k->arena)};
    if (load_model(&model, k, &l) || load_site(&site, k, &l) || read_job(&root, &r)) return -1;
    for (int g = 0; g < l.site->n_gpu; g++) {
        bool needed = pools_have(job, l.site, g, &row, &zone);
        if (!needed && !every_profile) continue;
        if (load_profile(g, job->dtype, k, &l)) return -1;
        if (needed && !l.profile[g]) return no_profile(&root, row, &l, g, k->e);
    }
    if (job_check_prices(job, path, k->e)) return -1;
    job->json = job_text(job, text, &l, k->arena);
    return 0;
}

int job_load(const char *path, const char *text, const char *inputs, bool every_profile, struct job *job,
             struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = dir_of(path, a), .arena = a, .e = e};
    size_t size = text ? strlen(text) : 0;
    if (!text && !(text = read_text(path, &size, a, e))) return -1;
    cJSON *tree = json_parse(path, text, size, e);
    if (!tree) return -1;
    int rc = job_from_tree(path, tree, text, every_profile, &k, job);
    cJSON_Delete(tree);
    return rc;
}

static int stored_profiles(const struct json_at *at, struct loaded *l, struct arena *a, struct err *e) {
    int n, i = 0;
    if (json_array(at, 0, GPUS_MAX, &n, e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x), gpu = json_member(&here, "gpu");
        struct profile *p = ARENA_NEW(a, struct profile);
        int g = 0;
        if (read_profile(&here, l->model, p, a, e)) return -1;
        while (g < l->site->n_gpu && strcmp(l->site->gpu[g].name, p->gpu) != 0) g++;
        if (g == l->site->n_gpu)
            return json_fail(&gpu, e, "\"%.60s\"; expected a GPU type of site %s", p->gpu, l->site->name);
        l->profile[g] = p;
    }
    return 0;
}

static int job_from_stored(const char *file, const cJSON *tree, struct job *job, struct arena *a,
                           struct err *e) {
    static const char *const keys[] = {"job", "model", "site", "profiles", NULL};
    struct loaded l = {.model = ARENA_NEW(a, struct model), .site = ARENA_NEW(a, struct site)};
    struct job_reader r = {.job = job, .l = &l, .arena = a, .e = e};
    struct json_at root = json_root(file, tree), own = json_member(&root, "job"),
                   model = json_member(&root, "model");
    struct json_at site = json_member(&root, "site"), profiles = json_member(&root, "profiles"),
                   name = json_member(&root, "name");
    int row, zone;
    *job = (struct job){.name = "job"};
    if (json_object(&root, keys, e) || json_object(&own, job_keys, e) || json_format(&own, "sailor-job/1", e))
        return -1;
    if (name.node && json_string(&name, &job->name, a, e)) return -1;
    if (read_model(&model, NULL, "model", l.model, a, e) || read_site(&site, NULL, "site", l.site, a, e))
        return -1;
    l.profile = ARENA_ARRAY(a, const struct profile *, l.site->n_gpu);
    if (stored_profiles(&profiles, &l, a, e) || read_job(&own, &r)) return -1;
    for (int g = 0; g < l.site->n_gpu; g++)
        if (!l.profile[g] && pools_have(job, l.site, g, &row, &zone)) return no_profile(&own, row, &l, g, e);
    return job_check_prices(job, file, e);
}

int job_from_json(const char *text, struct job *job, struct arena *a, struct err *e) {
    static const char file[] = "stored inputs";
    cJSON *tree = json_parse(file, text, strlen(text), e);
    if (!tree) return -1;
    int rc = job_from_stored(file, tree, job, a, e);
    cJSON_Delete(tree);
    if (rc == 0) job->json = arena_strdup(a, text);
    return rc;
}

/* ---- plan files ------------------------------------------------------------------------------------------
 */

/** plan_check() appends ": /pipelines/..." to what it is given; one path reads better than two. */
static void join_paths(const char *where, struct err *e) {
    size_t n = strlen(where);
    if (strncmp(e->text, where, n) != 0 || strncmp(e->text + n, ": /", 3) != 0) return;
    bool at_root = n >= 3 && strcmp(where + n - 3, ": /") == 0;
    char *to = e->text + n - (at_root ? 1 : 0), *from = e->text + n + 2;
    memmove(to, from, strlen(from) + 1);
}

/** A plan with its model and site, without profiles. */
static int read_training_plan(const struct json_at *plan, struct loaded *l, struct training *t, struct arena *a,
                              struct err *e) {
    t->workload = workload_of(l);
    t->workload.profile = NULL;
    if (plan_read(plan, l->site, &t->plan, a, e)) return -1;
    if (read_training(plan, &t->dtype, &t->optimizer, &t->workload, e)) return -1;
    t->workload.global_batch_size = t->plan->global_batch_size;
    const char *where = json_where(plan, a);
    if (plan_check(t->plan, &t->workload, where, e)) return join_paths(where, e), -1;
    return 0;
}

int training_load(const char *path, const char *inputs, struct training *t, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = dir_of(path, a), .arena = a, .e = e};
    struct loaded l = {0};
    const char *text;
    cJSON *tree = read_tree(path, &text, a, e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), model = json_member(&root, "model"), site = json_member(&root, "site");
    int rc = 0;
    if (cJSON_IsArray(tree) || cJSON_GetObjectItemCaseSensitive(tree, "plans"))
        rc = json_fail(&root, e, "several plans; expected one");
    else if (!cJSON_IsObject(tree))
        rc = json_fail(&root, e, "no object; expected a plan");
    if (rc || json_format(&root, "sailor-plan/1", e) || load_model(&model, &k, &l) || load_site(&site, &k, &l) ||
        read_training_plan(&root, &l, t, a, e))
        rc = -1;
    cJSON_Delete(tree);
    if (rc) return -1;
    t->json = arena_printf(a, "{\"plan\":%s,\"model\":%s,\"site\":%s}", json_compact(text, a),
                           json_compact(l.model_text, a), json_compact(l.site_text, a));
    return 0;
}

int training_from_json(const char *text, const char *where, struct training *t, struct arena *a, struct err *e) {
    static const char *const keys[] = {"plan", "model", "site", NULL};
    struct loaded l = {.model = ARENA_NEW(a, struct model), .site = ARENA_NEW(a, struct site)};
    cJSON *tree = json_parse(where, text, strlen(text), e);
    if (!tree) return -1;
    struct json_at root = json_root(where, tree), plan = json_member(&root, "plan"), model = json_member(&root, "model"),
                   site = json_member(&root, "site");
    int rc = json_object(&root, keys, e) || json_format(&plan, "sailor-plan/1", e) ||
             read_model(&model, NULL, "model", l.model, a, e) || read_site(&site, NULL, "site", l.site, a, e) ||
             read_training_plan(&plan, &l, t, a, e);
    cJSON_Delete(tree);
    t->json = arena_strdup(a, text);
    return rc ? -1 : 0;
}

/* Workloads already loaded for the plans of one file. */
struct known {
    const char *model, *site, *dtype;
    struct workload w;
    struct known *next;
};

static const struct workload *workload_for(const struct json_at *plan, const char *dtype, struct lookup *k,
                                           struct known **list) {
    struct json_at model = json_member(plan, "model"), site = json_member(plan, "site");
    const char *m, *s;
    if (json_string(&model, &m, k->arena, k->e) || json_string(&site, &s, k->arena, k->e)) return NULL;
    for (struct known *x = *list; x; x = x->next)
        if (!strcmp(x->model, m) && !strcmp(x->site, s) && !strcmp(x->dtype, dtype)) return &x->w;
    struct known *x = ARENA_NEW(k->arena, struct known);
    if (load_workload(&model, &site, dtype, k, &x->w)) return NULL;
    x->model = m, x->site = s, x->dtype = dtype, x->next = *list;
    *list = x;
    return &x->w;
}

static int read_measured(const struct json_at *at, struct plan_entry *p, struct err *e) {
    p->measured_time_s = p->measured_peak_bytes = NAN;
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "no object; expected one with iteration_time_s, peak_memory_bytes");
    struct json_at time = json_member(at, "iteration_time_s"), peak = json_member(at, "peak_memory_bytes");
    if (time.node && !json_null(&time) && json_positive(&time, &p->measured_time_s, e)) return -1;
    if (peak.node && !json_null(&peak) && json_positive(&peak, &p->measured_peak_bytes, e)) return -1;
    return 0;
}

static int read_entry(const struct json_at *at, struct lookup *k, struct known **list, struct plan_entry *p) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, k->e, "no object; expected a plan");
    if (json_format(at, "sailor-plan/1", k->e)) return -1;
    struct workload *w = ARENA_NEW(k->arena, struct workload), in;
    struct json_at measured = json_member(at, "measured");
    const char *dtype;
    if (read_training(at, &dtype, NULL, &in, k->e)) return -1;
    const struct workload *base = workload_for(at, dtype, k, list);
    if (!base) return -1;
    *w = *base;
    w->element_bytes = in.element_bytes, w->state_bytes_per_param = in.state_bytes_per_param;
    if (plan_read(at, w->site, &p->plan, k->arena, k->e)) return -1;
    if (read_measured(&measured, p, k->e)) return -1;
    w->global_batch_size = p->plan->global_batch_size;
    p->workload = w;
    p->where = json_where(at, k->arena);
    if (plan_check(p->plan, w, p->where, k->e)) return join_paths(p->where, k->e), -1;
    return 0;
}

static int read_entries(const char *path, const cJSON *tree, struct lookup *k, struct plan_entry **entries,
                        int *n) {
    static const char *const keys[] = {"plans", NULL};
    struct json_at root = json_root(path, tree), list = root;
    struct known *known = NULL;
    int i = 0;
    if (cJSON_IsObject(tree) && cJSON_GetObjectItemCaseSensitive(tree, "plans")) {
        if (json_object(&root, keys, k->e)) return -1;
        list = json_member(&root, "plans");
    } else if (!cJSON_IsArray(tree)) {
        *n = 1;
        *entries = ARENA_NEW(k->arena, struct plan_entry);
        return read_entry(&root, k, &known, *entries);
    }
    if (json_array(&list, 1, 10000000, n, k->e)) return -1;
    *entries = ARENA_ARRAY(k->arena, struct plan_entry, *n);
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (read_entry(&here, k, &known, &(*entries)[i])) return -1;
    }
    return 0;
}

/** What `sailor-train run -o` wrote is one plan, with what it measured beside it. */
static int load_measured(const char *path, struct lookup *k, struct plan_entry **entries, int *n) {
    struct measured m;
    struct known *known = NULL;
    if (measured_read(path, &m, k->arena, k->e)) return -1;
    cJSON *tree = json_parse(path, m.inputs_json, strlen(m.inputs_json), k->e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), plan = json_member(&root, "plan");
    *n = 1;
    *entries = ARENA_NEW(k->arena, struct plan_entry);
    int rc = read_entry(&plan, k, &known, *entries);
    cJSON_Delete(tree);
    (*entries)->where = path;
    (*entries)->measured_time_s = m.iteration_time_s, (*entries)->measured_peak_bytes = m.peak_memory_bytes;
    return rc;
}

int plans_load(const char *path, const char *inputs, struct plan_entry **entries, int *n, struct arena *a,
               struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = dir_of(path, a), .arena = a, .e = e};
    if (measured_is_hdf5(path)) return load_measured(path, &k, entries, n);
    cJSON *tree = read_tree(path, NULL, a, e);
    if (!tree) return -1;
    int rc = read_entries(path, tree, &k, entries, n);
    cJSON_Delete(tree);
    return rc;
}
