/* DT-FM: its parts against plain definitions, the published results, and what must hold for every plan. */
#define dtfm_planner dtfm_inside /* its functions are looked at, too */
#define dtfm_cost own_cost_s
#define dtfm_sum_to own_sum_to
#define dtfm_count_groups own_count_groups
#define dtfm_least_matching own_least_matching
#define dtfm_net_of own_net_of
#define dtfm_compute_s own_compute_s
#define dtfm_set_sizes own_set_sizes
#include "planners/dtfm_cost.c"
#include "planners/dtfm.c"
#undef dtfm_planner
#include "fig.h"

extern const struct planner dtfm_planner;

/* ---- parts ------------------------------------------------------------------------------------------------
 */

/* The next permutation of v[n] in order; false after the last. */
static bool next_permutation(int *v, int n) {
    int i = n - 2, j = n - 1;
    while (i >= 0 && v[i] >= v[i + 1]) i--;
    if (i < 0) return false;
    while (v[j] <= v[i]) j--;
    int x = v[i];
    v[i] = v[j];
    v[j] = x;
    for (i++, j = n - 1; i < j; i++, j--) x = v[i], v[i] = v[j], v[j] = x;
    return true;
}

static void identity(int *v, int n) {
    for (int i = 0; i < n; i++) v[i] = i;
}

static void matching_is_least(void **state) {
    struct arena a = {0};
    uint64_t random = 7;
    (void)state;
    for (int c = 0; c < 600; c++) {
        int n = 1 + below(&random, 6), range = c % 2 ? 4 : 1000, match[6], v[6];
        double cost_s[36], best = INFINITY, sum = 0;
        unsigned taken = 0;
        for (int i = 0; i < n * n; i++) cost_s[i] = below(&random, range);
        identity(v, n);
        do {
            double x = 0;
            for (int i = 0; i < n; i++) x += cost_s[i * n + v[i]];
            best = fmin(best, x);
        } while (next_permutation(v, n));
        dtfm_least_matching(n, cost_s, match, &a);
        for (int i = 0; i < n; i++) sum += cost_s[i * n + match[i]], taken |= 1u << match[i];
        assert_true(sum == best && taken == (1u << n) - 1);
    }
    arena_free(&a);
}

static void path_is_shortest(void **state) {
    struct arena a = {0};
    uint64_t random = 3;
    int greedy_fails = 0;
    (void)state;
    for (int c = 0; c < 400; c++) {
        int P = 2 + below(&random, 6), range = c % 2 ? 3 : 100, path[7], v[7];
        double d[49], best = INFINITY, sum = 0, greedy = INFINITY;
        unsigned taken = 0;
        for (int i = 0; i < P; i++)
            for (int j = 0; j <= i; j++) d[i * P + j] = d[j * P + i] = 1 + below(&random, range);
        identity(v, P);
        do {
            double x = 0;
            for (int i = 1; i < P; i++) x += d[v[i - 1] * P + v[i]];
            best = fmin(best, x);
        } while (next_permutation(v, P));
        for (int i = 0; i < P; i++) greedy = fmin(greedy, nearest_path(P, d, i, path));
        greedy_fails += greedy > best;
        assert_true(tree_weight(P, d) <= best);
        assert_true(shortest_path(P, d, path, &a) == best);
        for (int i = 0; i < P; i++) taken |= 1u << path[i], sum += i ? d[path[i - 1] * P + path[i]] : 0;
        assert_true(sum == best && taken == (1u << P) - 1);
    }
    assert_true(greedy_fails > 20); /* else the table was never needed */
    arena_free(&a);
}

/* A small pool of figure 11's site: `n` GPUs, in nodes of four, dealt into P groups at random. */
struct sample {
    struct dtfm_task task;
    struct question q;
    struct pool pool;
    struct pool_entry entry[4];
    int *label;
};

static struct sample *sample(const struct job *j, uint64_t *random, bool corrected, struct arena *a) {
    struct sample *s = ARENA_NEW(a, struct sample);
    int P = 2 + below(random, 3), D = 2 + below(random, 4), left = P * D;
    for (int i = 0; i < 4; i++) {
        s->entry[i] = j->pool[0].entry[i];
        s->entry[i].count = i == 3 ? left : below(random, left + 1);
        left -= s->entry[i].count;
    }
    s->pool = (struct pool){.n_entry = 4, .entry = s->entry};
    s->q = (struct question){.w = &j->workload, .pool = &s->pool, .corrected = corrected};
    struct dtfm_net *x = dtfm_net_of(&s->q, a);
    s->task = (struct dtfm_task){.q = &s->q, .net = x, .P = P, .D = D, .m = 1, .random = draw(random)};
    s->task.count = ARENA_ARRAY(a, int, P * x->K);
    s->task.mates = ARENA_ARRAY(a, int, P * x->N);
    s->task.size = ARENA_ARRAY(a, int, P);
    s->task.path = ARENA_ARRAY(a, int, P);
    s->task.cross = ARENA_ARRAY(a, double, P * P);
    dtfm_set_sizes(&s->task);
    int *member = ARENA_ARRAY(a, int, x->G);
    s->label = ARENA_ARRAY(a, int, x->G);
    identity(member, x->G);
    shuffle(member, x->G, x->G, random);
    label_of(&s->task, member, s->label);
    return s;
}

static double plain_cross(const struct sample *s, int p, int q) {
    const struct dtfm_net *x = s->task.net;
    int v[8], w[8], order[8], D = 0, E = 0;
    double best = INFINITY, worst = 0;
    for (int i = 0; i < x->G; i++)
        if (s->label[i] == p)
            v[D++] = i;
        else if (s->label[i] == q)
            w[E++] = i;
    identity(order, D);
    do {
        double dearest = 0;
        for (int i = 0; i < D; i++) dearest = fmax(dearest, pair_s(x, v[i], w[order[i]]));
        best = fmin(best, dearest);
        worst = fmax(worst, dearest);
    } while (next_permutation(order, D));
    return s->q.corrected ? best : worst;
}

/* Sums over classes and nodes equal sums over pairs of GPUs. */
static void cost_is_that_of_pairs(void **state) {
    struct arena all = {0};
    const struct job *j = fig_job("fig11", &all);
    uint64_t random = 5;
    (void)state;
    for (int c = 0; c < 400; c++) {
        struct arena a = {0};
        struct sample *s = sample(j, &random, c % 2, &a);
        struct dtfm_task *t = &s->task;
        double all_reduce = 0, sum = dtfm_cost(t, s->label, &a), path = 0;
        for (int v = 0; v < t->net->G; v++) {
            double x = 0;
            for (int w = 0; w < t->net->G; w++)
                if (w != v && s->label[w] == s->label[v]) x += 2 * pair_s(t->net, v, w) / t->D;
            all_reduce = fmax(all_reduce, x);
        }
        for (int p = 0; p < t->P; p++)
            for (int q = p + 1; q < t->P; q++)
                fig_near(t->cross[p * t->P + q], plain_cross(s, p, q), 1e-12, "cross cost", c);
        for (int i = 1; i < t->P; i++) path += t->cross[t->path[i - 1] * t->P + t->path[i]];
        fig_near(sum, all_reduce * t->gradient_bytes + 2 * path * t->message_bytes, 1e-12, "cost", c);
        arena_free(&a);
    }
    arena_free(&all);
}

static void check_sizes(const struct sample *s) {
    int size[8] = {0};
    for (int v = 0; v < s->task.net->G; v++) size[s->label[v]]++;
    for (int p = 0; p < s->task.P; p++) assert_int_equal(size[p], s->task.D);
}

/* Groups stay groups of D; GPUs of groups that are not too large stay where they are. */
static void deals_stay_deals(void **state) {
    struct arena all = {0};
    const struct job *j = fig_job("fig11", &all);
    uint64_t random = 9;
    int moved = 0;
    (void)state;
    for (int c = 0; c < 300; c++) {
        struct arena a = {0};
        struct sample *s = sample(j, &random, false, &a);
        int G = s->task.net->G, *before = ARENA_ARRAY(&a, int, G), size[8] = {0};
        for (int v = 0; v < G; v++) s->label[v] = below(&random, s->task.P), size[s->label[v]]++;
        memcpy(before, s->label, sizeof *before * (size_t)G);
        rebalance(&s->task, s->label);
        check_sizes(s);
        for (int v = 0; v < G; v++)
            if (size[before[v]] <= s->task.D) assert_int_equal(s->label[v], before[v]);
        memcpy(before, s->label, sizeof *before * (size_t)G);
        improve(&s->task, s->label, &a);
        check_sizes(s);
        moved += memcmp(before, s->label, sizeof *before * (size_t)G) != 0;
        arena_free(&a);
    }
    assert_true(moved > 100);
    arena_free(&all);
}

/* ---- the figures ------------------------------------------------------------------------------------------
 */

static struct answer ask(const struct question *q, struct arena *a) {
    struct answer x;
    struct err e;
    if (dtfm_planner.propose(q, &x, a, &e)) fail_msg("%s", e.text);
    return x;
}

/* The published runs are not seeded; that does not matter if all links are alike. */
static void published_results(void **state) {
    static const struct {
        const char *job;
        int row;
        double iterations_per_s, usd, tolerance;
    } want[] = {{"fig7", 0, 0.11681292302361551, 0.27952653067768835, 1e-9},
                {"fig7", 1, 0.23805424663999117, 0.3429083031701921, 1e-9},
                {"fig7", 2, 0.3237909344074449, 0.403375235577446, 1e-9},
                {"fig10", 0, 0.12186481227947928, 4.279737865946434, 0.1},
                {"fig10", 1, 0.1179870200882732, 11.028023791977821, 0.1},
                {"fig10", 2, 0.11213380733595937, 7.587839795792409, 0.1},
                {"fig11", 0, 0.2730303138412348, 3.0856608936554544, 0.1}};
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct arena a = {0};
        struct row_result r = fig_walk(&dtfm_planner, want[i].job, want[i].row, false, &a);
        assert_int_equal(r.n_plan, 1);
        assert_int_equal(r.oom_plans, 0);
        assert_int_equal(r.plan->plan->micro_batch_size, 1); /* [Q3] */
        assert_true(isnan(r.plan->planner_time_s));
        if (1 / r.plan->est.iteration_time_s < want[i].iterations_per_s) /* better is fine too */
            fig_near(1 / r.plan->est.iteration_time_s, want[i].iterations_per_s, want[i].tolerance,
                     "iterations/s", i);
        if (r.plan->est.cost_usd > want[i].usd)
            fig_near(r.plan->est.cost_usd, want[i].usd, want[i].tolerance, "USD", i);
        arena_free(&a);
    }
}

/* Figure 12: one plan over the budget, two that do not fit. */
static void nothing_within_the_budget(void **state) {
    struct arena a = {0};
    struct row_result r = fig_walk(&dtfm_planner, "fig12", 0, false, &a);
    (void)state;
    assert_int_equal(r.status, ROW_INFEASIBLE);
    assert_int_equal(r.oom_plans, 2);
    assert_non_null(strstr(r.reason, "1 over the budget"));
    arena_free(&a);
}

/* Every GPU is used once; and the batch is covered. */
static void check_list(const struct question *q, const struct answer *x, struct arena *a) {
    const struct site *s = q->w->site;
    int *used = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu);
    struct err e;
    for (int i = 0; i < x->n; i++) {
        const struct plan *p = x->proposal[i].plan;
        plan_gpus(p, s, used);
        assert_memory_equal(used, q->pool->count, sizeof *used * (size_t)(s->n_zone * s->n_gpu));
        int D = stage_replicas(&p->pipeline[0].stage[0]);
        assert_true(p->n_pipeline == 1 && D * p->micro_batch_size <= q->w->global_batch_size);
        for (int k = 0, end = 0; k < p->pipeline[0].n_stage; k++) {
            const struct stage *y = &p->pipeline[0].stage[k];
            assert_true(y->first == end && stage_replicas(y) == D);
            end = y->end;
            if (k == p->pipeline[0].n_stage - 1) assert_int_equal(end, q->w->model->n_layer);
        }
        if (q->corrected && (plan_check(p, q->w, "plan", &e) || !isfinite(x->proposal[i].time_s)))
            fail_msg("plan %d", i);
        if (q->corrected && i) assert_true(x->proposal[i].time_s >= x->proposal[i - 1].time_s);
    }
}

static void plans_of_the_figures(void **state) {
    static const char *const job[] = {"fig7", "fig8b", "fig10", "fig11"};
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int row = 0; row < (i < 3 ? 3 : 1); row++)
            for (int corrected = 0; corrected < 2; corrected++) {
                struct arena a = {0};
                struct question q = fig_question(&dtfm_planner, fig_job(job[i], &a), row, corrected, &a);
                struct answer x = ask(&q, &a), again = ask(&q, &a);
                assert_true(x.n > 0 && x.n == again.n);
                for (int k = 0; k < x.n; k++)
                    assert_int_equal(plan_compare(x.proposal[k].plan, again.proposal[k].plan), 0);
                check_list(&q, &x, &a);
                arena_free(&a);
            }
}

/* Stages of 2 and 13 layers, nodes that are not full, one GPU, none. */
static void plans_of_other_pools(void **state) {
    struct arena all = {0};
    const struct job *j = fig_job("fig11", &all);
    const struct site *s = j->workload.site;
    uint64_t random = 11;
    int deep = 0, some = 0;
    (void)state;
    for (int c = 0; c < 40; c++) {
        struct arena a = {0};
        struct pool_entry entry[4];
        int *count = ARENA_ARRAY(&a, int, s->n_zone * s->n_gpu),
                                 left = c < 4   ? c
                                        : c % 3 ? 2 * below(&random, 40)
                                                : 26 * (1 + below(&random, 2));
        struct question q = fig_question(&dtfm_planner, j, 0, c & 1, &a);
        struct pool pool = {.count = count, .n_entry = c ? 4 : 0, .entry = entry};
        for (int i = 0; i < 4; i++) {
            entry[i] = j->pool[0].entry[i];
            entry[i].count = i == 3 ? left : below(&random, left + 1);
            left -= entry[i].count;
            count[entry[i].zone * s->n_gpu + entry[i].gpu] = entry[i].count;
        }
        q.pool = &pool;
        struct answer x = ask(&q, &a);
        if (c < 3) assert_int_equal(x.n, 0); /* it plans neither one stage nor as many as there are GPUs */
        check_list(&q, &x, &a);
        some += x.n > 0;
        for (int i = 0; i < x.n; i++) deep += x.proposal[i].plan->pipeline[0].n_stage == 13;
        arena_free(&a);
    }
    assert_true(some > 15 && deep > 10);
    arena_free(&all);
}

static bool at_once(void *ctx) { return ++*(int *)ctx > 0; }

static void stops(void **state) {
    struct arena a = {0};
    int asked = 0;
    struct question q = fig_question(&dtfm_planner, fig_job("fig7", &a), 0, false, &a);
    (void)state;
    q.hooks = &(struct search_hooks){.ctx = &asked, .stop = at_once};
    struct answer x = ask(&q, &a);
    assert_int_equal(asked, x.n); /* once per number of stages and microbatch, then no trial */
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matching_is_least),
        cmocka_unit_test(path_is_shortest),
        cmocka_unit_test(cost_is_that_of_pairs),
        cmocka_unit_test(deals_stay_deals),
        cmocka_unit_test(published_results),
        cmocka_unit_test(nothing_within_the_budget),
        cmocka_unit_test(plans_of_the_figures),
        cmocka_unit_test(plans_of_other_pools),
        cmocka_unit_test(stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
