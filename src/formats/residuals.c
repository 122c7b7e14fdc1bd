#include "formats/residuals.h"
#include "io/json.h"

#include <string.h>

struct named_residual {
    int n_name;
    const char **name;
    struct residual of;
};

static int read_percent(const struct json_at *at, const char *key, double *out, struct err *e) {
    struct json_at one = json_member(at, key);
    if (json_real(&one, 0, 1000, out, e)) return -1;
    *out /= 100;
    return 0;
}

static int read_one(const struct json_at *at, struct residual *r, struct err *e) {
    return read_percent(at, "time_percent", &r->time, e) || read_percent(at, "memory_percent", &r->memory, e)
               ? -1
               : 0;
}

static int read_named(const struct json_at *at, struct named_residual *r, struct arena *a, struct err *e) {
    static const char *const keys[] = {"names", "time_percent", "memory_percent", "runs", NULL};
    struct json_at names = json_member(at, "names"), runs = json_member(at, "runs");
    int i = 0, n;
    if (json_object(at, keys, e) || json_array(&names, 1, 100, &r->n_name, e)) return -1;
    r->name = ARENA_ARRAY(a, const char *, r->n_name);
    for (const cJSON *x = names.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&names, i, x);
        if (json_string(&here, &r->name[i], a, e)) return -1;
    }
    if (json_int(&runs, 1, 1000000000, &n, e)) return -1; /* only people read it */
    return read_one(at, &r->of, e);
}

static const struct named_residual *read_list(const struct json_at *at, int *n, struct arena *a,
                                              struct err *e) {
    if (json_array(at, 0, 1000, n, e)) return NULL;
    struct named_residual *list = ARENA_ARRAY(a, struct named_residual, *n + 1);
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_named(&here, &list[i], a, e)) return NULL;
    }
    return list;
}

static int read_all(const struct json_at *root, struct residuals *r, struct arena *a, struct err *e) {
    static const char *const keys[] = {"format", "estimators", "sheets", "other_sheets", NULL},
                             *const other_keys[] = {"time_percent", "memory_percent", NULL};
    struct json_at estimators = json_member(root, "estimators"), sheets = json_member(root, "sheets"),
                   others = json_member(root, "other_sheets");
    if (json_object(root, keys, e) || json_format(root, "sailor-residuals/1", e)) return -1;
    if (!(r->estimator = read_list(&estimators, &r->n_estimator, a, e))) return -1;
    if (!(r->sheet = read_list(&sheets, &r->n_sheet, a, e))) return -1;
    if (json_object(&others, other_keys, e)) return -1;
    return read_one(&others, &r->other_sheets, e);
}

int residuals_read(const char *file, const char *text, struct residuals *r, struct arena *a, struct err *e) {
    cJSON *tree = json_parse(file, text, strlen(text), e);
    *r = (struct residuals){0};
    if (!tree) return -1;
    struct json_at root = json_root(file, tree);
    int rc = read_all(&root, r, a, e);
    cJSON_Delete(tree);
    return rc;
}

static const struct residual *find(const struct named_residual *list, int n, const char *name) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < list[i].n_name; k++)
            if (!strcmp(list[i].name[k], name)) return &list[i].of;
    return NULL;
}

const struct residual *residuals_estimator(const struct residuals *r, const char *name) {
    return find(r->estimator, r->n_estimator, name);
}

const struct residual *residuals_sheet(const struct residuals *r, const char *gpu) {
    const struct residual *known = find(r->sheet, r->n_sheet, gpu);
    return known ? known : &r->other_sheets;
}
