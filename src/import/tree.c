#include "import/tree.h"
#include "formats/inputs.h"
#include "io/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool import_safe_name(const char *s) {
    if (!*s || *s == '.' || strlen(s) > 100) return false;
    for (; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-", *s)) return false;
    return true;
}

int import_check_safe(const struct json_at *at, const char *name, struct err *e) {
    return import_safe_name(name)
               ? 0
               : json_fail(at, e, "\"%.60s\" as a name; expected letters, digits, '.', '_', '+' and '-'",
                           name);
}

/* ---- building trees ---- */

int import_each(const char *dir, const char *key, struct import *m,
                int (*one)(const char *dir, const struct json_at *at, struct import *m)) {
    struct json_at list = json_member(&m->facts, key);
    int n, i = 0;
    if (!list.node) return 0;
    if (json_array(&list, 0, 1000, &n, m->e)) return -1;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (one(dir, &here, m)) return -1;
    }
    return 0;
}

cJSON *import_new_file(const char *format, const char *name, const char *source) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "format", format);
    if (name) cJSON_AddStringToObject(o, "name", name);
    cJSON_AddStringToObject(o, "source", source);
    return o;
}

void import_copy(cJSON *to, const char *key, const cJSON *from, const char *from_key) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(from, from_key);
    if (x) cJSON_AddItemToObject(to, key, cJSON_Duplicate(x, 1));
}

cJSON *import_reals(const double *v, int n) {
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(array, json_double(v[i]));
    return array;
}

void import_put(struct import *m, const char *path, cJSON *tree) {
    struct output *o = ARENA_NEW(&m->arena, struct output);
    o->path = path;
    o->tree = tree;
    *m->last = o;
    m->last = &o->next;
}

/* ---- finding files ---- */

const char *import_find_under(const char *dir, const char *rel, struct arena *a) {
    static const char *const roots[] = {"", "sailor/"};
    for (const char *tail = rel; tail; tail = strchr(tail, '/') ? strchr(tail, '/') + 1 : NULL)
        for (size_t r = 0; r < sizeof roots / sizeof *roots; r++) {
            char *path = arena_printf(a, "%s/%s%s", dir, roots[r], tail);
            if (access(path, F_OK) == 0) return path;
        }
    return NULL;
}

int import_by_name(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }

int import_list_dir(const char *path, const char ***names, struct arena *a) {
    DIR *d = opendir(path);
    int n = 0, room = 64;
    if (!d) return 0;
    const char **v = ARENA_ARRAY(a, const char *, room);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        if (n == room) {
            const char **more = ARENA_ARRAY(a, const char *, 2 * room);
            memcpy(more, v, sizeof *v * (size_t)n);
            v = more;
            room *= 2;
        }
        v[n++] = arena_strdup(a, f->d_name);
    }
    closedir(d);
    qsort(v, (size_t)n, sizeof *v, import_by_name);
    *names = v;
    return n;
}

cJSON *import_open(const char *dir, const char *rel, struct json_at *at, bool *missing, struct import *m) {
    const char *path = import_find_under(dir, rel, &m->arena);
    size_t size;
    *missing = !path;
    *at = json_root(path, NULL);
    char *text = path ? file_read_text(path, &size, &m->arena, m->e) : NULL;
    cJSON *tree = text ? json_parse(path, text, size, m->e) : NULL;
    at->node = tree;
    return tree;
}

/* ---- links: the published table repeats most fits ---- */

cJSON *import_fit(const struct link *l) {
    const double v[4] = {l->c2, l->c1, l->c0, l->peak_Bps};
    return import_reals(v, 4);
}

static bool same_fit(const struct link *a, const struct link *b) {
    return a->c2 == b->c2 && a->c1 == b->c1 && a->c0 == b->c0 && a->peak_Bps == b->peak_Bps;
}

cJSON *import_links(const struct link *table, const char *const *zone, int n_zone, const char *const *gpu,
                    int n_gpu, struct arena *scratch) {
    int side = n_zone * n_gpu * TP_N, n_fit = 0;
    const struct link **fit = ARENA_ARRAY(scratch, const struct link *, side * side);
    cJSON *o = cJSON_CreateObject(), *fits = cJSON_AddArrayToObject(o, "fits"),
          *rows = cJSON_AddArrayToObject(o, "rows");
    for (int from = 0; from < side; from++)
        for (int to = 0; to < side; to++) {
            const struct link *l = &table[(size_t)from * (size_t)side + (size_t)to];
            int f = 0;
            if (!l->known) continue;
            while (f < n_fit && !same_fit(fit[f], l)) f++;
            if (f == n_fit) {
                fit[n_fit++] = l;
                cJSON_AddItemToArray(fits, import_fit(l));
            }
            cJSON *row = cJSON_CreateArray();
            for (int k = 0; k < 2; k++) {
                int end = k ? to : from;
                cJSON_AddItemToArray(row, cJSON_CreateString(zone[end / TP_N / n_gpu]));
                cJSON_AddItemToArray(row, cJSON_CreateString(gpu[end / TP_N % n_gpu]));
                cJSON_AddItemToArray(row, json_double(1 << end % TP_N));
            }
            cJSON_AddItemToArray(row, json_double(f));
            cJSON_AddItemToArray(rows, row);
        }
    return o;
}

/* ---- writing ---- */

static bool all_numbers(const cJSON *array) {
    for (const cJSON *x = array->child; x; x = x->next)
        if (!cJSON_IsNumber(x) && !cJSON_IsRaw(x)) return false;
    return true;
}

/** One line: {"a": 1, "b": [1, 2]}. */
static void write_line(struct text *t, const cJSON *node) {
    if (cJSON_IsRaw(node))
        text_add(t, "%s", node->valuestring);
    else if (cJSON_IsNumber(node))
        text_number(t, node->valuedouble);
    else if (cJSON_IsString(node))
        text_string(t, node->valuestring);
    else if (cJSON_IsBool(node))
        text_add(t, cJSON_IsTrue(node) ? "true" : "false");
    else if (cJSON_IsNull(node))
        text_add(t, "null");
    else {
        bool object = cJSON_IsObject(node);
        text_add(t, object ? "{" : "[");
        for (const cJSON *x = node->child; x; x = x->next) {
            if (x != node->child) text_add(t, ", ");
            if (object) {
                text_string(t, x->string);
                text_add(t, ": ");
            }
            write_line(t, x);
        }
        text_add(t, object ? "}" : "]");
    }
}

void import_write_value(struct text *t, const cJSON *node, int indent) {
    enum { WIDTH = 110 };
    size_t start = t->n;
    write_line(t, node);
    if (!cJSON_IsObject(node) && !cJSON_IsArray(node)) return;
    if (node->child && indent == 0)
        t->n = start; /* the file's own object: always one line per member */
    else if (t->n - start + (size_t)indent <= WIDTH || !node->child ||
             (cJSON_IsArray(node) && all_numbers(node)))
        return;
    t->n = start;
    bool object = cJSON_IsObject(node);
    text_add(t, object ? "{\n" : "[\n");
    for (const cJSON *x = node->child; x; x = x->next) {
        text_add(t, "%*s", indent + 2, "");
        if (object) {
            text_string(t, x->string);
            text_add(t, ": ");
        }
        import_write_value(t, x, indent + 2);
        text_add(t, x->next ? ",\n" : "\n");
    }
    text_add(t, "%*s%s", indent, "", object ? "}" : "]");
}
