#include "cli/warm.h"
#include "base/names.h"
#include "formats/results_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST = 4, PLANS_OF_ONE = 64 }; /* pools that seeds come from, plans from each */

static struct warm_row *append(struct warm *w, struct arena *a) {
    if (w->n == w->room) {
        w->room = 2 * w->room + 16;
        struct warm_row *more = ARENA_ARRAY(a, struct warm_row, w->room);
        if (w->n) memcpy(more, w->row, sizeof *more * (size_t)w->n);
        w->row = more;
    }
    w->row[w->n] = (struct warm_row){0};
    return &w->row[w->n++];
}

void warm_add(struct warm *w, const struct results *r, int i, struct arena *a) {
    if (!show_best(&r->row[i])) return;
    struct warm_row *x = append(w, a);
    x->nodes = r->job->pool[i].nodes;
    x->count = r->job->pool[i].count;
    x->answer = r->row[i];
    x->answer.n_unit = 0;
    x->proven = true;
    x->where = arena_printf(a, "row %d", i);
}

/* ---- another file's rows ------------------------------------------------------------ */

/* Maps indices of one site to those of another, -1 if the name is absent. */
struct translation {
    int zone[ZONES_MAX], gpu[GPUS_MAX];
};

static int index_of(const char *name, const struct site *s, bool zone) {
    for (int i = 0; i < (zone ? s->n_zone : s->n_gpu); i++)
        if (!strcmp(name, zone ? s->zone[i] : s->gpu[i].name)) return i;
    return -1;
}

static struct translation translate(const struct site *from, const struct site *to) {
    struct translation t;
    for (int z = 0; z < from->n_zone; z++) t.zone[z] = index_of(from->zone[z], to, true);
    for (int g = 0; g < from->n_gpu; g++) t.gpu[g] = index_of(from->gpu[g].name, to, false);
    return t;
}

/* Translates a plan; NULL if it makes no sense here. Zones that are gone become zone 0, even if the pool has
 * no GPUs there: the search moves what does not fit. */
static struct plan *plan_here(const struct plan *p, const struct translation *t, const struct workload *w,
                              struct arena *a) {
    struct plan *q = plan_copy(p, a);
    int layers = w->model->n_layer;
    q->model = w->model->name;
    q->site = w->site->name;
    q->global_batch_size = w->global_batch_size;
    for (int i = 0; i < q->n_pipeline; i++)
        for (int k = 0; k < q->pipeline[i].n_stage; k++) {
            struct stage *st = &q->pipeline[i].stage[k];
            if (k + 1 == q->pipeline[i].n_stage && st->end != layers) return NULL;
            for (int g = 0; g < st->n_group; g++) {
                struct replicas *r = &st->group[g];
                if (t->zone[r->zone] < 0 || t->gpu[r->gpu] < 0) return NULL;
                r->zone = t->zone[r->zone];
                r->gpu = t->gpu[r->gpu];
                r->n_vm = 0;
            }
        }
    return q;
}

static int plans_here(struct found_plan *to, const struct found_plan *from, int n,
                      const struct translation *t, const struct workload *w, struct arena *a) {
    int kept = 0;
    for (int k = 0; k < n; k++) {
        struct plan *p = plan_here(from[k].plan, t, w, a);
        if (!p) continue;
        to[kept] = from[k];
        to[kept++].plan = p;
    }
    return kept;
}

static bool same_but_for_pools(const char *there, const char *here) {
    cJSON *x = cJSON_Parse(there), *y = cJSON_Parse(here), *of[] = {x, y};
    for (int i = 0; i < 2; i++) {
        cJSON *job = cJSON_GetObjectItemCaseSensitive(of[i], "job");
        cJSON_DeleteItemFromObjectCaseSensitive(of[i], "name");
        cJSON_DeleteItemFromObjectCaseSensitive(job, "name");
        cJSON_DeleteItemFromObjectCaseSensitive(job, "pools");
        cJSON_DeleteItemFromObjectCaseSensitive(job, "objective"); /* an option may override it */
        cJSON_DeleteItemFromObjectCaseSensitive(of[i], "profiles");
    }
    bool same = x && y && cJSON_Compare(x, y, 1);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return same;
}

/* Each file has profiles of the GPU types in its pools. For types in both, all profiles in the older file
 * must be in the newer one. */
static bool same_profiles(const char *there, const char *here) {
    cJSON *x = cJSON_Parse(there), *y = cJSON_Parse(here), *p, *q;
    bool same = true;
    cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(x, "profiles")) {
        bool type = false, equal = false;
        cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(y, "profiles")) {
            type |= cJSON_Compare(cJSON_GetObjectItemCaseSensitive(p, "gpu"),
                                  cJSON_GetObjectItemCaseSensitive(q, "gpu"), 1);
            equal |= cJSON_Compare(p, q, 1);
        }
        same &= equal || !type;
    }
    cJSON_Delete(x);
    cJSON_Delete(y);
    return same;
}

/* An older file does not say which residuals its risk was of. */
static bool same_risk(const struct results *old, const struct results *now) {
    if (old->risk != now->risk) return false;
    return old->risk <= 0 || (old->residuals && !strcmp(old->residuals, now->residuals));
}

static bool same_question(const struct results *old, const struct results *now) {
    return old->objective == now->objective && same_risk(old, now) && old->top_k == now->top_k &&
           !strcmp(old->planner, now->planner) && !strcmp(old->estimator, now->estimator) &&
           !strcmp(old->version, now->version) && same_but_for_pools(old->inputs_json, now->inputs_json) &&
           same_profiles(old->inputs_json, now->inputs_json);
}

/* Is each plan estimated here as it was there? */
static bool same_estimates(const char *path, const struct row_result *r, const struct results *now) {
    const struct workload *w = &now->job->workload;
    bool same = true;
    struct err none;
    for (int k = 0; k < r->n_plan && same; k++)
        same = !results_recheck(path, w, now->estimator, &r->plan[k], &none);
    for (int k = 0; k < r->n_frontier && same; k++)
        same = !results_recheck(path, w, now->estimator, &r->frontier[k], &none);
    return same;
}

void warm_add_file(struct warm *w, const char *path, const struct results *old, const struct results *now,
                   struct arena *a) {
    const struct site *from = old->job->workload.site, *to = now->job->workload.site;
    struct translation t = translate(from, to);
    struct job stored;
    struct err none;
    bool same = same_question(old, now) && !job_from_json(old->inputs_json, &stored, a, &none) &&
                stored.n_pool == old->n_row;
    for (int i = 0; i < old->n_row; i++) {
        const struct row_result *r = &old->row[i];
        if (!show_best(r)) continue;
        struct warm_row *x = append(w, a);
        int *count = ARENA_ARRAY(a, int, to->n_zone * to->n_gpu);
        for (int k = 0; k < from->n_zone * from->n_gpu; k++) {
            int z = t.zone[k / from->n_gpu], g = t.gpu[k % from->n_gpu];
            if (z >= 0 && g >= 0) count[site_at(to, z, g)] = old->job->pool[i].count[k];
        }
        x->count = count;
        x->answer = *r;
        x->answer.n_unit = 0;
        x->answer.plan = ARENA_ARRAY(a, struct found_plan, r->n_plan + 1);
        x->answer.frontier = ARENA_ARRAY(a, struct found_plan, r->n_frontier + 1);
        x->answer.n_plan = plans_here(x->answer.plan, r->plan, r->n_plan, &t, &now->job->workload, a);
        x->answer.n_frontier =
            plans_here(x->answer.frontier, r->frontier, r->n_frontier, &t, &now->job->workload, a);
        x->nodes = same ? stored.pool[i].nodes : NULL;
        x->proven = same && same_estimates(path, &x->answer, now);
        x->where = arena_printf(a, "%s: row %d", path, i);
    }
}

/* ---- their uses: seeds and answers --------------------------------------------------------- */

/* The number of GPUs that would have to be added or removed. */
static long distance(const int *x, const int *y, int n) {
    long sum = 0;
    for (int k = 0; k < n; k++) sum += labs((long)x[k] - y[k]);
    return sum;
}

int warm_seeds(const struct warm *w, const struct job *job, int row, const struct plan *const **seed,
               struct arena *a) {
    const struct site *s = job->workload.site;
    int near[NEAREST + 1], n_near = 0, n = 0;
    long far[NEAREST + 1];
    for (int i = w->n - 1; i >= 0; i--) { /* latest first among equals */
        long d = distance(w->row[i].count, job->pool[row].count, s->n_zone * s->n_gpu);
        int at = n_near;
        for (; at > 0 && far[at - 1] > d; at--) {
            far[at] = far[at - 1];
            near[at] = near[at - 1];
        }
        far[at] = d;
        near[at] = i;
        if (n_near < NEAREST) n_near++;
    }
    const struct plan **list = ARENA_ARRAY(a, const struct plan *, NEAREST * 2 * PLANS_OF_ONE);
    for (int i = 0; i < n_near; i++) {
        const struct row_result *x = &w->row[near[i]].answer;
        for (int k = 0; k < x->n_plan && k < PLANS_OF_ONE; k++) list[n++] = x->plan[k].plan;
        for (int k = 0; k < x->n_frontier && k < PLANS_OF_ONE; k++) list[n++] = x->frontier[k].plan;
    }
    *seed = list;
    return n;
}

/* Does everything that fits into y fit into x? */
static bool holds(const struct nodes *x, const struct nodes *y, int n) {
    for (int k = 0; k < n; k++)
        for (int ti = 0; ti < TP_N; ti++)
            if (x[k].room[ti] < y[k].room[ti]) return false;
    return true;
}

bool warm_answers(const struct warm *w, const struct job *job, int row, double gap, struct row_result *out,
                  struct arena *a) {
    const struct site *s = job->workload.site;
    const struct pool *pool = &job->pool[row];
    for (int i = w->n - 1; i >= 0 && pool->nodes; i--) {
        const struct warm_row *x = &w->row[i];
        const struct row_result *r = &x->answer;
        bool within = r->status == ROW_OPTIMAL || (r->status == ROW_FEASIBLE && r->gap <= gap);
        if (!x->proven || !within || !x->nodes || !holds(x->nodes, pool->nodes, s->n_zone * s->n_gpu))
            continue;
        bool fits = true;
        struct err none;
        for (int k = 0; k < r->n_plan && fits; k++)
            fits = !plan_check_pool(r->plan[k].plan, s, pool->count, pool->nodes, "", &none);
        for (int k = 0; k < r->n_frontier && fits; k++)
            fits = !plan_check_pool(r->frontier[k].plan, s, pool->count, pool->nodes, "", &none);
        if (!fits) continue;
        *out = *r;
        out->search_s = 0;
        out->plans_evaluated = 0;
        out->note = arena_printf(a, "proven by %s, whose pool contains this one", x->where);
        return true;
    }
    return false;
}
