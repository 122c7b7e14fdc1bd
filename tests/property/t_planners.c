/* The published planners against the exact search, on random small pools of the site gcp: every plan on their
 * lists is valid and uses no more GPUs than there are, and none in the declared plan space beats the proven
 * optimum under the same estimator. Usage: t_planners [INSTANCES [SEED]]; SAILOR_LONG=1: 200 instances. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/inputs.h"
#include "brute.h"
#include "planners/planner.h"
#include "random.h"

enum { LOOKED_AT = 300, ENTRIES = 4 }; /* plans per list; (zone, type) pairs per pool */

static const char *fault; /* the first fault of the current instance */
static struct { long lists, plans, in_space, refused; } total;

static void wrong(struct arena *a, const char *planner, bool corrected, const char *what) {
    if (!fault) fault = arena_printf(a, "%s%s: %s", planner, corrected ? " --corrected" : "", what);
}

static bool more_than(const int *used, const struct pool *pool, const struct site *s, bool by_zone) {
    for (int g = 0; g < s->n_gpu; g++) {
        int sum = 0, have = 0;
        for (int z = 0; z < s->n_zone; z++) {
            int k = z * s->n_gpu + g;
            if (by_zone && used[k] > pool->count[k]) return true;
            sum += used[k];
            have += pool->count[k];
        }
        if (sum > have) return true;
    }
    return false;
}

/* One pipeline, equal D, no VM lists, and in every stage each zone in one piece with its types in the site's
 * order, the zones of all stages in one order. */
static bool in_space(const struct plan *p, const struct workload *w) {
    int before[ZONES_MAX][ZONES_MAX] = {{0}};
    if (p->n_pipeline != 1) return false;
    const struct pipeline *l = &p->pipeline[0];
    for (int i = 0; i < l->n_stage; i++) {
        const struct stage *s = &l->stage[i];
        int degree[GPUS_MAX] = {0}, merged_zone[64], merged_gpu[64], n = 0;
        if (stage_replicas(s) != stage_replicas(&l->stage[0])) return false;
        for (int g = 0; g < s->n_group; g++) {
            const struct replicas *r = &s->group[g];
            if (r->n_vm > 1 || (degree[r->gpu] && degree[r->gpu] != r->tp)) return false;
            degree[r->gpu] = r->tp;
            if (n && merged_zone[n - 1] == r->zone && merged_gpu[n - 1] == r->gpu) continue;
            if (n && merged_zone[n - 1] == r->zone && merged_gpu[n - 1] > r->gpu) return false;
            for (int k = 0; k < n; k++)
                if (merged_zone[k] == r->zone && (merged_gpu[k] == r->gpu || merged_zone[n - 1] != r->zone))
                    return false;
            if (n == 64) return false;
            merged_zone[n] = r->zone;
            merged_gpu[n++] = r->gpu;
        }
        for (int x = 0; x < n; x++)
            for (int y = x + 1; y < n; y++)
                if (merged_zone[x] != merged_zone[y]) before[merged_zone[x]][merged_zone[y]] = 1;
    }
    for (int k = 0; k < ZONES_MAX; k++) /* one order exists if "before" has no cycle */
        for (int x = 0; x < ZONES_MAX; x++)
            for (int y = 0; y < ZONES_MAX; y++) before[x][y] |= before[x][k] & before[k][y];
    for (int x = 0; x < ZONES_MAX; x++)
        if (before[x][x]) return false;
    return brute_links_usable(w, p, ESTIMATOR_SAILOR);
}

static double optimum(const struct job *j, const struct pool *pool, enum objective objective,
                      struct arena *a) {
    struct search_problem p = {.w = &j->workload,
                               .pool = pool->count,
                               .estimator = ESTIMATOR_SAILOR,
                               .objective = objective,
                               .max_usd_per_iteration = INFINITY,
                               .pin = &j->pin,
                               .top_k = 1};
    struct row_result row = {0};
    struct err e;
    if (search_row(&p, &row, NULL, NULL, 2, a, &e)) return NAN;
    if (row.status == ROW_INFEASIBLE) return INFINITY;
    return objective == OBJECTIVE_COST ? row.plan[0].est.cost_usd : row.plan[0].est.iteration_time_s;
}

static void look(const struct planner *pl, const struct question *q, double time_s, double usd,
                 struct arena *a) {
    const struct workload *w = q->w;
    struct answer x = {0};
    struct err e;
    if (pl->propose(q, &x, a, &e)) {
        if (e.code != EXIT_INPUT) wrong(a, pl->name, q->corrected, e.text);
        total.refused++;
        return;
    }
    total.lists++;
    bool by_zone = strcmp(pl->name, "sailor") || q->corrected; /* [Q4] of the published heuristic */
    int *used = ARENA_ARRAY(a, int, w->site->n_zone * w->site->n_gpu);
    for (int i = 0; i < x.n && i < LOOKED_AT; i++) {
        const struct plan *p = x.proposal[i].plan ? x.proposal[i].plan : x.build(&x, x.proposal[i].id, a);
        struct estimate est = {0};
        total.plans++;
        if (!plan_fits(w, p, ESTIMATOR_SAILOR)) continue; /* a plan that does not fit may lack a profile */
        if (plan_check(p, w, "plan", &e)) {
            if (!strstr(e.text, "profile")) wrong(a, pl->name, q->corrected, arena_printf(a, "%s", e.text));
            continue;
        }
        plan_gpus(p, w->site, used);
        /* [Q] planners that see types, not zones, may take all from one zone */
        bool zones_hold =
            by_zone && (q->corrected || !strcmp(pl->name, "dtfm") || !strcmp(pl->name, "atlas"));
        if (more_than(used, q->pool, w->site, zones_hold))
            wrong(a, pl->name, q->corrected, "more GPUs than there are");
        if (more_than(used, q->pool, w->site, true) ||
            plan_check_pool(p, w->site, q->pool->count, q->pool->nodes, "plan", &e))
            continue;
        if (estimate_plan(w, p, ESTIMATOR_SAILOR, &est, &e) || !est.fits || !in_space(p, w)) continue;
        total.in_space++;
        if (est.iteration_time_s < time_s * (1 - 1e-9))
            wrong(a, pl->name, q->corrected,
                  arena_printf(a, "%.9g s; the optimum is %.9g", est.iteration_time_s, time_s));
        if (est.cost_usd < usd * (1 - 1e-9))
            wrong(a, pl->name, q->corrected,
                  arena_printf(a, "%.9g USD; the optimum is %.9g", est.cost_usd, usd));
    }
}

static struct pool draw_pool(const struct site *s, struct rng *r, struct arena *a) {
    int *count = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu), n = rng_int(r, 1, ENTRIES), k = 0;
    struct pool_entry *entry = ARENA_ARRAY(a, struct pool_entry, ENTRIES);
    for (int tries = 0; tries < 40 && k < n; tries++) { /* A100-40 and V100-16 in the first two zones */
        struct pool_entry x = {rng_int(r, 0, 1), rng_int(r, 0, 1),
                               rng_chance(r, .1) ? 0 : 4 * rng_int(r, 1, 5)};
        bool again = false;
        for (int i = 0; i < k; i++) again |= entry[i].zone == x.zone && entry[i].gpu == x.gpu;
        if (again) continue;
        entry[k++] = x;
        count[x.zone * s->n_gpu + x.gpu] = x.count;
    }
    return (struct pool){.time_s = NAN, .count = count, .n_entry = k, .entry = entry};
}

int main(int argc, char **argv) {
    int want = argc > 1 ? atoi(argv[1]) : getenv("SAILOR_LONG") ? 200 : 24, failed = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static const int batches[] = {32, 64, 128, 256, 96};
    struct arena base = {0};
    struct job j;
    struct err e;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (job_load("inputs/fig11.json", NULL, "inputs", true, &j, &base, &e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    printf("1..%d\n", want);
    for (int i = 0; i < want; i++) {
        struct arena a = {0};
        struct rng r = {.seed = (seed + (uint64_t)i) * 7919};
        struct pool pool = draw_pool(j.workload.site, &r, &a);
        j.workload.global_batch_size = batches[rng_int(&r, 0, 4)];
        fault = NULL;
        double time_s = optimum(&j, &pool, OBJECTIVE_THROUGHPUT, &a),
               usd = optimum(&j, &pool, OBJECTIVE_COST, &a);
        if (isnan(time_s) || isnan(usd)) wrong(&a, "exact", false, "did not answer");
        for (int k = 0; planners[k]; k++)
            for (int corrected = 0; planners[k]->propose && corrected < 2; corrected++) {
                struct question q = {.w = &j.workload,
                                     .pool = &pool,
                                     .corrected = corrected,
                                     .max_usd_per_iteration = INFINITY,
                                     .objective = rng_chance(&r, .5) ? OBJECTIVE_COST : OBJECTIVE_THROUGHPUT,
                                     .states = 3000};
                struct arena scratch = {0};
                if (planners[k]->load && planners[k]->load(q.w, "inputs", &q.extra, &scratch, &e))
                    wrong(&a, planners[k]->name, corrected, e.text);
                if (!fault) look(planners[k], &q, time_s, usd, &scratch);
                if (fault) fault = arena_strdup(&a, fault);
                arena_free(&scratch);
            }
        if (fault)
            printf("# FAULT: %s\n#   reproduce: t_planners 1 %llu\n", fault,
                   (unsigned long long)(seed + (uint64_t)i));
        printf("%s %d - pool %llu\n", fault ? "not ok" : "ok", i + 1,
               (unsigned long long)(seed + (uint64_t)i));
        failed += fault != NULL;
        arena_free(&a);
    }
    printf("# %ld lists, %ld plans, %ld of them in the declared space; %ld questions refused\n", total.lists,
           total.plans, total.in_space, total.refused);
    if (!failed && total.in_space < 10L * want) {
        printf("# too few plans in the declared space\n");
        failed = 1;
    }
    arena_free(&base);
    return failed != 0;
}
