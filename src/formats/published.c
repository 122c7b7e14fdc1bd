#include "formats/published.h"
#include "formats/inputs.h"
#include "io/json.h"
#include "io/file.h"

#include <string.h>

enum { ENTRIES_MAX = 100000 };

static int read_walk(const struct json_at *at, struct published_walk *w, struct arena *a, struct err *e) {
    static const char *const keys[] = {
        "figure",    "row",      "planner", "throughput_per_s", "cost_usd_per_iteration",
        "oom_plans", "search_s", NULL};
    struct json_at figure = json_member(at, "figure"), row = json_member(at, "row"),
                   planner = json_member(at, "planner"), rate = json_member(at, "throughput_per_s"),
                   usd = json_member(at, "cost_usd_per_iteration"), oom = json_member(at, "oom_plans"),
                   search = json_member(at, "search_s");
    if (json_object(at, keys, e) || json_string(&figure, &w->figure, a, e) ||
        json_int(&row, 0, 1000000, &w->row, e) || json_string(&planner, &w->planner, a, e) ||
        json_real(&rate, 0, 1e9, &w->throughput_per_s, e) ||
        json_real(&usd, 0, 1e12, &w->cost_usd_per_iteration, e) ||
        json_int(&oom, 0, 1 << 30, &w->oom_plans, e))
        return -1;
    return json_real(&search, 0, 1e9, &w->search_s, e);
}

static int read_estimate(const struct json_at *at, struct published_estimate *x, struct arena *a,
                         struct err *e) {
    static const char *const keys[] = {"run", "estimator", "iteration_time_s", "peak_memory_bytes", NULL};
    struct json_at run = json_member(at, "run"), estimator = json_member(at, "estimator"),
                   time = json_member(at, "iteration_time_s"), peak = json_member(at, "peak_memory_bytes");
    x->iteration_time_s = x->peak_memory_bytes = NAN;
    if (json_object(at, keys, e) || json_string(&run, &x->run, a, e) ||
        json_string(&estimator, &x->estimator, a, e))
        return -1;
    if (time.node && json_positive(&time, &x->iteration_time_s, e)) return -1;
    return peak.node ? json_positive(&peak, &x->peak_memory_bytes, e) : 0;
}

static int read_published(const struct json_at *at, struct published *p, struct arena *a, struct err *e) {
    static const char *const keys[] = {"format", "walks", "estimates", NULL};
    struct json_at walks = json_member(at, "walks"), estimates = json_member(at, "estimates");
    if (json_object(at, keys, e) || json_format(at, "sailor-published/1", e)) return -1;
    if (json_array(&walks, 0, ENTRIES_MAX, &p->n_walk, e) ||
        json_array(&estimates, 0, ENTRIES_MAX, &p->n_estimate, e))
        return -1;
    struct published_walk *w = ARENA_ARRAY(a, struct published_walk, p->n_walk);
    struct published_estimate *x = ARENA_ARRAY(a, struct published_estimate, p->n_estimate);
    int i = 0;
    for (const cJSON *c = walks.node->child; c; c = c->next, i++) {
        struct json_at here = json_element(&walks, i, c);
        if (read_walk(&here, &w[i], a, e)) return -1;
    }
    i = 0;
    for (const cJSON *c = estimates.node->child; c; c = c->next, i++) {
        struct json_at here = json_element(&estimates, i, c);
        if (read_estimate(&here, &x[i], a, e)) return -1;
    }
    p->walk = w;
    p->estimate = x;
    return 0;
}

int published_load(const char *path, struct published *p, struct arena *a, struct err *e) {
    size_t size;
    const char *text = file_read_text(path, &size, a, e);
    cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    int rc = read_published(&root, p, a, e);
    cJSON_Delete(tree);
    return rc;
}

const struct published_walk *published_walk(const struct published *p, const char *figure, int row,
                                            const char *planner) {
    for (int i = 0; i < p->n_walk; i++)
        if (p->walk[i].row == row && !strcmp(p->walk[i].figure, figure) &&
            !strcmp(p->walk[i].planner, planner))
            return &p->walk[i];
    return NULL;
}

const struct published_estimate *published_estimate(const struct published *p, const char *run,
                                                    const char *estimator) {
    for (int i = 0; i < p->n_estimate; i++)
        if (!strcmp(p->estimate[i].run, run) && !strcmp(p->estimate[i].estimator, estimator))
            return &p->estimate[i];
    return NULL;
}
