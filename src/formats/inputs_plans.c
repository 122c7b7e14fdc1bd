#include "formats/inputs_priv.h"
#include "formats/measured.h"
#include "formats/planjson.h"

#include <string.h>

/* Files of plans, to be estimated or run, and of measured plans. */

/** A plan with its model and site, without profiles. */
static int read_training_plan(const struct json_at *plan, struct loaded *l, struct training *t,
                              struct arena *a, struct err *e) {
    t->workload = inputs_workload(l);
    t->workload.profile = NULL;
    if (plan_read(plan, l->site, &t->plan, a, e)) return -1;
    if (inputs_training(plan, &t->dtype, &t->optimizer, &t->workload, e)) return -1;
    struct option_choices c;
    struct options_mode *mode;
    if (inputs_options(plan, false, l->model, &c, e)) return -1;
    inputs_modes(&c, l->model, &mode, a);
    t->plan->options = mode->o;
    t->plan->options.zero = c.zero[1];
    t->workload.options = t->plan->options;
    t->workload.global_batch_size = t->plan->global_batch_size;
    const char *where = json_where(plan, a);
    if (plan_check(t->plan, &t->workload, where, e)) {
        inputs_join_paths(where, e);
        return -1;
    }
    return 0;
}

const char *training_refusal(const struct plan *p, const char *dtype, const char *optimizer,
                             struct arena *a) {
    const char *lacks = plan_parts(p) > 1                 ? "virtual_stages"
                        : context_groups(&p->options) > 1 ? "context_parallel"
                        : p->options.sequence_parallel    ? "sequence_parallel"
                                                          : NULL;
    if (lacks) return arena_printf(a, "/%s: not supported; expected a plan without it", lacks);
    if (strcmp(dtype, "fp32") != 0 && strcmp(dtype, "bf16") != 0)
        return arena_printf(a, "/dtype: \"%s\"; expected \"fp32\" or \"bf16\"", dtype);
    if (strcmp(optimizer, "adam") != 0)
        return arena_printf(a, "/optimizer: \"%s\"; expected \"adam\"", optimizer);
    return NULL;
}

int training_load(const char *path, const char *inputs, struct training *t, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = inputs_dir_of(path, a), .arena = a, .e = e};
    struct loaded l = {0};
    const char *text;
    cJSON *tree = inputs_tree(path, &text, a, e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), model = json_member(&root, "model"),
                   site = json_member(&root, "site");
    int rc = 0;
    if (cJSON_IsArray(tree) || cJSON_GetObjectItemCaseSensitive(tree, "plans"))
        rc = json_fail(&root, e, "several plans; expected one");
    else if (!cJSON_IsObject(tree))
        rc = json_fail(&root, e, "not an object; expected a plan");
    if (rc || json_format(&root, "sailor-plan/1", e) || inputs_load_model(&model, &k, &l) ||
        inputs_load_site(&site, &k, &l) || inputs_load_framework(&root, &k, &l) ||
        read_training_plan(&root, &l, t, a, e))
        rc = -1;
    cJSON_Delete(tree);
    if (rc) return -1;
    t->json = arena_printf(a, "{\"plan\":%s,\"model\":%s,\"site\":%s%s}", json_compact(text, a),
                           json_compact(l.model_text, a), json_compact(l.site_text, a),
                           inputs_frameworks_member(&l, a));
    return 0;
}

int training_from_json(const char *text, const char *where, struct training *t, struct arena *a,
                       struct err *e) {
    static const char *const keys[] = {"plan", "model", "site", "frameworks", NULL};
    struct loaded l = {.model = ARENA_NEW(a, struct model), .site = ARENA_NEW(a, struct site)};
    struct lookup k = {.arena = a, .e = e};
    cJSON *tree = json_parse(where, text, strlen(text), e);
    if (!tree) return -1;
    struct json_at root = json_root(where, tree), plan = json_member(&root, "plan"),
                   model = json_member(&root, "model"), site = json_member(&root, "site");
    int rc = json_object(&root, keys, e) || json_format(&plan, "sailor-plan/1", e) ||
             inputs_model(&model, NULL, "model", l.model, a, e) ||
             inputs_site(&site, NULL, "site", l.site, a, e) ||
             inputs_stored_framework(&root, &plan, &k, &l) || read_training_plan(&plan, &l, t, a, e);
    cJSON_Delete(tree);
    t->json = arena_strdup(a, text);
    return rc ? -1 : 0;
}

/* Workloads already loaded for the plans of one file. */
struct known_workload {
    const cJSON *plan; /* the first plan that needed it */
    struct workload w;
    struct known_workload *next;
};

/* Do two plans agree on everything that a workload depends on? */
static bool same_workload(const cJSON *x, const cJSON *y) {
    static const char *const keys[] = {"model",           "site",      "framework", "dtype",
                                       "optimizer",       "recompute", "zero",      "sequence_parallel",
                                       "context_parallel"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *a = cJSON_GetObjectItemCaseSensitive(x, keys[i]),
                    *b = cJSON_GetObjectItemCaseSensitive(y, keys[i]);
        if (!a != !b || (a && !cJSON_Compare(a, b, true))) return false;
    }
    return true;
}

static const struct workload *workload_for(const struct json_at *plan, const char *dtype, struct lookup *k,
                                           struct known_workload **list) {
    for (struct known_workload *x = *list; x; x = x->next)
        if (same_workload(x->plan, plan->node)) return &x->w;
    struct known_workload *x = ARENA_NEW(k->arena, struct known_workload);
    if (inputs_load_workload(plan, dtype, k, &x->w)) return NULL;
    x->plan = plan->node;
    x->next = *list;
    *list = x;
    return &x->w;
}

static int read_measured(const struct json_at *at, struct plan_entry *p, struct err *e) {
    p->measured_time_s = p->measured_peak_bytes = NAN;
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "not an object; expected one with iteration_time_s, peak_memory_bytes");
    struct json_at time = json_member(at, "iteration_time_s"), peak = json_member(at, "peak_memory_bytes");
    if (time.node && !json_null(&time) && json_positive(&time, &p->measured_time_s, e)) return -1;
    if (peak.node && !json_null(&peak) && json_positive(&peak, &p->measured_peak_bytes, e)) return -1;
    return 0;
}

static int read_entry(const struct json_at *at, struct lookup *k, struct known_workload **list,
                      struct plan_entry *p) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, k->e, "not an object; expected a plan");
    if (json_format(at, "sailor-plan/1", k->e)) return -1;
    struct workload *w = ARENA_NEW(k->arena, struct workload), in = {0};
    struct json_at measured = json_member(at, "measured");
    const char *dtype;
    if (inputs_training(at, &dtype, NULL, &in, k->e)) return -1;
    const struct workload *base = workload_for(at, dtype, k, list);
    if (!base) return -1;
    *w = *base;
    if (plan_read(at, w->site, &p->plan, k->arena, k->e)) return -1;
    p->plan->options = w->options;
    if (read_measured(&measured, p, k->e)) return -1;
    w->global_batch_size = p->plan->global_batch_size;
    p->workload = w;
    p->where = json_where(at, k->arena);
    if (plan_check(p->plan, w, p->where, k->e)) {
        inputs_join_paths(p->where, k->e);
        return -1;
    }
    return 0;
}

static int read_entries(const char *path, const cJSON *tree, struct lookup *k, struct plan_entry **entries,
                        int *n) {
    static const char *const keys[] = {"plans", NULL};
    struct json_at root = json_root(path, tree), list = root;
    struct known_workload *known = NULL;
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

/** Loads what `sailor-train run -o` wrote: one plan, and what was measured. */
static int load_measured(const char *path, struct lookup *k, struct plan_entry **entries, int *n) {
    struct measured m;
    struct known_workload *known = NULL;
    if (measured_read(path, &m, k->arena, k->e)) return -1;
    cJSON *tree = json_parse(path, m.inputs_json, strlen(m.inputs_json), k->e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), plan = json_member(&root, "plan");
    *n = 1;
    *entries = ARENA_NEW(k->arena, struct plan_entry);
    int rc = read_entry(&plan, k, &known, *entries);
    cJSON_Delete(tree);
    (*entries)->where = path;
    (*entries)->measured_time_s = m.iteration_time_s;
    (*entries)->measured_peak_bytes = m.peak_memory_bytes;
    return rc;
}

int plans_load(const char *path, const char *inputs, struct plan_entry **entries, int *n, struct arena *a,
               struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = inputs_dir_of(path, a), .arena = a, .e = e};
    if (measured_is_hdf5(path)) {
        int rc = load_measured(path, &k, entries, n);
        if (rc && strstr(e->text, ": schema sailor-results/"))
            err_set(e, EXIT_INPUT,
                    "%s: a file of results; expected plans, or what sailor-train measured (sailor export "
                    "extracts a plan from it)",
                    path);
        return rc;
    }
    cJSON *tree = inputs_tree(path, NULL, a, e);
    if (!tree) return -1;
    int rc = read_entries(path, tree, &k, entries, n);
    cJSON_Delete(tree);
    return rc;
}
