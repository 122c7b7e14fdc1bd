/* Galvatron: the published answers, its table over a memory budget, and what must hold for every plan. */
#define galvatron_planner galvatron_inside /* its functions are looked at, too */
#include "planners/galvatron.c"
#undef galvatron_planner
#include "fig.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct planner galvatron_planner;

static struct answer ask(const char *job, int row, bool corrected, struct question *q, struct arena *a) {
    struct answer x;
    struct err e;
    *q = fig_question(&galvatron_planner, fig_job(job, a), row, corrected, a);
    if (galvatron_planner.propose(q, &x, a, &e)) fail_msg("%s", e.text);
    return x;
}

/* What the published program answers: chunks, stages, seconds of the three plans for each row of figure 7,
 * best first. */
static void published_plans(void **state) {
    static const struct {
        int chunks, P;
        double time_s;
    } want[3][3] = {{{128, 4, 60.79493}, {256, 8, 60.83900}, {512, 16, 89.67375}},
                    {{128, 8, 31.32207}, {64, 4, 31.34263}, {256, 16, 187.94040}},
                    {{64, 8, 16.59591}, {32, 4, 16.64587}, {128, 16, 99.20225}}};
    static const int winner_dp[3] = {4, 4, 8};
    (void)state;
    for (int row = 0; row < 3; row++) {
        struct arena a = {0};
        struct question q;
        struct answer x = ask("fig7", row, false, &q, &a);
        assert_int_equal(x.n, 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(x.proposal[i].id, want[row][i].chunks);
            assert_int_equal(x.proposal[i].plan->pipeline[0].n_stage, want[row][i].P);
            fig_near(x.proposal[i].time_s, want[row][i].time_s, 1e-6, "own time of plan", i);
        }
        const struct plan *best = x.proposal[0].plan;
        const struct replicas *r = best->pipeline[0].stage[0].group;
        assert_int_equal(best->micro_batch_size, 2);
        assert_int_equal(r->tp, 2);
        assert_int_equal(r->count, winner_dp[row]);
        arena_free(&a);
    }
}

static void published_results(void **state) {
    static const struct {
        const char *job;
        int row;
        double iterations_per_s, usd, own_iterations_per_s, own_usd;
    } want[] = {
        {"fig7", 0, 0.10115785708383461, 0.3227857138576047, 0.016448739573698155, 1.9850950259631304},
        {"fig7", 1, 0.1546608358541176, 0.42224407919158147, 0.03192637473422757, 2.0454756534637353},
        {"fig7", 2, 0.28730944251503693, 0.45459433320785736, 0.060255792570903084, 2.1675798935140773},
        {"fig11", 0, 0.28730944251503693, 0.45459433320785736, 0.060255792570903084, 2.1675798935140773},
        {"fig12", 0, 0.28730944251503693, 0.45459433320785736, 0.060255792570903084, 2.1675798935140773}};
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct arena a = {0};
        struct row_result r = fig_walk(&galvatron_planner, want[i].job, want[i].row, false, &a);
        assert_int_equal(r.n_plan, 1);
        assert_int_equal(r.oom_plans, 0);
        fig_near(1 / r.plan->est.iteration_time_s, want[i].iterations_per_s, 1e-9, "iterations/s", i);
        fig_near(r.plan->est.cost_usd, want[i].usd, 1e-9, "USD", i);
        fig_near(1 / r.plan->planner_time_s, want[i].own_iterations_per_s, 1e-9, "own iterations/s", i);
        fig_near(r.plan->planner_cost_usd, want[i].own_usd, 1e-9, "own USD", i);
        arena_free(&a);
    }
}

/* As in the published program: stage 0 of 4, 32 GPUs, 128 chunks: 6 layers of 2841 MiB and 1387 outside
 * them. */
static void memory_of_a_stage(void **state) {
    struct arena a = {0};
    struct question q = fig_question(&galvatron_planner, fig_job("fig7", &a), 0, false, &a);
    const struct galvatron_costs *c = ((const struct galvatron_costs *const *)q.extra)[q.pool->entry[0].gpu];
    struct galvatron_strategy s = {2, 4, true};
    (void)state;
    assert_int_equal((int)ceil(galvatron_layer_MiB(q.w, c, &s, 128, 4, 0)), 2841);
    assert_int_equal((int)ceil(galvatron_other_MiB(c, 4, 0)), 1387);
    assert_int_equal((int)ceil(galvatron_other_MiB(c, 4, 1)), 1024);
    arena_free(&a);
}

/* The published bandwidths, of machines with one GPU, follow from the site's links: those of GH-96. (Those of
 * A100-40 and V100-16 are older than the links.) */
static void rings_follow_from_links(void **state) {
    struct arena a = {0};
    struct question q = fig_question(&galvatron_planner, fig_job("fig7", &a), 0, false, &a);
    struct galvatron_costs stored, derived;
    struct err e;
    int g = 0;
    (void)state;
    while (strcmp(q.w->site->gpu[g].name, "GH-96")) g++;
    if (galvatron_costs(q.w, q.extra, 0, g, false, &stored, &e) ||
        galvatron_costs(q.w, q.extra, 0, g, true, &derived, &e))
        fail_msg("%s", e.text);
    assert_int_equal(stored.n_ring, 127);
    for (int n = 2; n <= 128; n++)
        fig_near(galvatron_ring_GiBps(&derived, false, n, 1), galvatron_ring_GiBps(&stored, true, n, 1), 1e-9,
                 "ring", n);
    fig_near(derived.forward_ms, stored.forward_ms, 1e-9, "forward", 0);
    arena_free(&a);
}

/* Worked out by hand, as no figure is published: one iteration of one sequence, 24 layers of degree 4 in
 * sequence. */
static void measured_run(void **state) {
    struct arena a = {0};
    struct guess g = fig_measured(&galvatron_planner, "N1_D1_M4_G1", false, &a);
    (void)state;
    double passed = 2 * 3 / 4.0 * 2048 * 1024 * 16 / (1 << 20) / 12.441497117470613;
    fig_near(g.time_s, 24e-3 * (3 * 1.403 / 4 + passed), 1e-12, "time", 0);
    fig_near(g.peak_bytes, MiB * (24 * (48.044921875 / 4 + 96.515625) + 557.4658203125 + 1024), 1e-12,
             "memory", 0);
    arena_free(&a);
}

/* The published table, over every MiB. */
static double table(int L, int S, const struct galvatron_pace *pace, const int *need,
                    double change[STRATEGIES_MAX][STRATEGIES_MAX], int budget) {
    enum { BUDGET_MAX = 128 };
    static double f[2][BUDGET_MAX + 1][STRATEGIES_MAX];
    memset(f, 0, sizeof f);
    for (int l = 0; l < L; l++)
        for (int v = 0; v <= budget; v++)
            for (int s = 0; s < S; s++) {
                double least = l ? INFINITY : 0;
                for (int r = 0; l && r < S && v >= need[s]; r++)
                    least = fmin(least, f[!(l & 1)][v - need[s]][r] + change[r][s]);
                f[l & 1][v][s] = v < need[s] ? INFINITY : least + pace[s].full_s;
            }
    double best = INFINITY;
    for (int s = 0; s < S; s++) best = fmin(best, f[(L - 1) & 1][budget][s]);
    return best;
}

static void fronts_give_the_table(void **state) {
    uint64_t random = 1;
    int none = 0, tight = 0;
    (void)state;
    for (int n = 0; n < 2000; n++) {
        struct arena a = {0};
        struct galvatron_pace pace[STRATEGIES_MAX];
        double change[STRATEGIES_MAX][STRATEGIES_MAX];
        int v[64], need[STRATEGIES_MAX];
        for (int i = 0; i < 64; i++)
            v[i] = (int)((random = random * 6364136223846793005u + 1442695040888963407u) >> 40);
        int L = 1 + v[0] % 8, S = 1 + v[1] % STRATEGIES_MAX, budget = v[2] % 128;
        for (int s = 0; s < S; s++) {
            pace[s] = (struct galvatron_pace){1 + v[3 + s] % 9, 1};
            need[s] = 1 + v[10 + s] % 20;
            for (int r = 0; r < S; r++) change[r][s] = r == s ? 0 : v[20 + s * STRATEGIES_MAX + r] % 3;
        }
        double want = table(L, S, pace, need, change, budget), loose = table(L, S, pace, need, change, 127);
        const struct way *w = assign(L, S, pace, need, change, budget, &a);
        if (!w)
            assert_true(isinf(want)), none++;
        else {
            double time_s = 0;
            int used = 0, layers = 0;
            assert_true(w->time_s == want);
            for (const struct way *x = w; x; x = x->before, layers++) {
                time_s +=
                    pace[x->strategy].full_s + (x->before ? change[x->before->strategy][x->strategy] : 0);
                used += need[x->strategy];
            }
            assert_true(time_s == want && used <= budget && layers == L);
            tight += want > loose;
        }
        arena_free(&a);
    }
    assert_true(none > 100 && tight > 100); /* the cases are not all easy */
}

/* A GPU without a file: everything comes from the common tables, and there is still a plan. */
static void without_a_file(void **state) {
    struct arena a = {0};
    struct question q;
    struct answer x = ask("examples/gpt-neo-three-types", 0, false, &q, &a);
    struct galvatron_costs c;
    struct err e;
    (void)state;
    assert_int_equal(
        galvatron_costs(q.w, q.extra, q.pool->entry[0].zone, q.pool->entry[0].gpu, false, &c, &e), 0);
    assert_int_equal(c.n_ring, 0);
    fig_near(c.weights_MiB, 4 * q.w->model->params[0][1] / MiB, 1e-15, "weights", 0);
    fig_near(c.act_MiB[1], 4 * q.w->model->act_mem[1][1] / MiB, 1e-15, "activations", 1);
    fig_near(c.other_MiB[1], 16 * q.w->model->params[0][0] / MiB, 1e-15, "embedding", 0);
    assert_true(x.n > 0);
    arena_free(&a);
}

static void bad_files(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {{"{}", "format"},
               {"{\"format\": \"sailor-galvatron/1\", \"model\": \"opt-350m\", \"gpu\": \"V100-16\"}",
                "expected \"A100-40\""},
               {"{\"format\": \"sailor-galvatron/1\", \"model\": \"opt-350m\", \"gpu\": \"A100-40\", "
                "\"forward_ms\": 0}",
                "/forward_ms"},
               {"{\"format\": \"sailor-galvatron/1\", \"model\": \"m\", \"gpu\": \"A100-40\"}", "/model"},
               {"{\"format\": \"sailor-galvatron/1\", \"gpu\": \"A100-40\", \"speed\": 0}", "speed"}};
    struct arena a = {0};
    const struct job *j = fig_job("fig7", &a);
    char dir[] = "/tmp/t_galvatron.XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    const char *planners_dir = arena_printf(&a, "%s/planners", dir),
               *own = arena_printf(&a, "%s/galvatron", planners_dir);
    const char *model = arena_printf(&a, "%s/opt-350m", own),
               *file = arena_printf(&a, "%s/A100-40.json", model);
    assert_int_equal(mkdir(planners_dir, 0700) | mkdir(own, 0700) | mkdir(model, 0700), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const void *extra;
        struct err e;
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fputs(bad[i].text, f);
        fclose(f);
        assert_int_equal(galvatron_planner.load(&j->workload, dir, &extra, &a, &e), -1);
        assert_int_equal(e.code, EXIT_INPUT);
        if (!strstr(e.text, bad[i].says) || !strstr(e.text, "A100-40.json")) fail_msg("%s", e.text);
    }
    assert_int_equal(unlink(file) | rmdir(model) | rmdir(own) | rmdir(planners_dir) | rmdir(dir), 0);
    arena_free(&a);
}

static void check_list(const struct question *q, const struct answer *x, struct arena *a) {
    struct err e;
    for (int i = 0; i < x->n; i++) {
        const struct plan *p = x->proposal[i].plan;
        const struct replicas *r = p->pipeline[0].stage[0].group;
        if (plan_check(p, q->w, "plan", &e) ||
            plan_check_pool(p, q->w->site, q->pool->count, q->pool->nodes, "plan", &e))
            fail_msg("%s", e.text);
        assert_true(r->zone == q->pool->entry[0].zone && r->gpu == q->pool->entry[0].gpu);
        assert_true(p->micro_batch_size * r->count <= q->w->global_batch_size);
        if (i) assert_true(x->proposal[i].time_s >= x->proposal[i - 1].time_s);
        fig_near(x->proposal[i].cost_usd, rental_usd(q->w, p, x->proposal[i].time_s), 1e-12, "cost", i);
        if (!q->corrected) continue;
        struct guess g; /* it ranks by its own estimate of the plan */
        if (galvatron_planner.estimate(q->w, q->extra, p, true, &g, a, &e)) fail_msg("%s", e.text);
        fig_near(x->proposal[i].time_s, g.time_s, 1e-9, "estimate of plan", i);
    }
}

static void plans_of_the_figures(void **state) {
    static const char *const job[] = {"fig7", "fig8b", "fig10", "fig11", "fig12"};
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int row = 0; row < (i < 3 ? 3 : 1); row++)
            for (int corrected = 0; corrected < 2; corrected++) {
                struct arena a = {0};
                struct question q;
                struct answer x = ask(job[i], row, corrected, &q, &a);
                assert_true(x.n > 0);
                check_list(&q, &x, &a);
                arena_free(&a);
            }
}

/* Any number of GPUs of either type of figure 8b first, whole machines or not. */
static void plans_of_other_pools(void **state) {
    struct arena all = {0};
    const struct job *j = fig_job("fig8b", &all);
    int some = 0, *count = ARENA_ARRAY(&all, int, j->workload.site->n_zone * j->workload.site->n_gpu);
    (void)state;
    for (int n = 0; n <= 140; n++)
        for (int i = 0; i < 4; i++) {
            struct arena a = {0};
            struct question q = fig_question(&galvatron_planner, j, 0, i / 2, &all);
            struct pool_entry entry = q.pool->entry[i % 2];
            int slot = entry.zone * j->workload.site->n_gpu + entry.gpu;
            struct pool pool = {.count = count, .n_entry = 1, .entry = &entry};
            struct answer x;
            struct err e;
            count[slot] = entry.count = n;
            q.pool = &pool;
            if (galvatron_planner.propose(&q, &x, &a, &e)) fail_msg("%s", e.text);
            if (n < 4) assert_int_equal(x.n, 0);
            check_list(&q, &x, &a);
            some += x.n > 0;
            count[slot] = 0;
            arena_free(&a);
        }
    assert_true(some > 400);
    struct question q = fig_question(&galvatron_planner, j, 0, false, &all);
    struct answer x = {.n = -1};
    struct err e;
    q.pool = &(struct pool){.count = count};
    assert_int_equal(galvatron_planner.propose(&q, &x, &all, &e), 0);
    assert_int_equal(x.n, 0);
    arena_free(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_plans),      cmocka_unit_test(published_results),
        cmocka_unit_test(memory_of_a_stage),    cmocka_unit_test(rings_follow_from_links),
        cmocka_unit_test(measured_run),         cmocka_unit_test(fronts_give_the_table),
        cmocka_unit_test(without_a_file),       cmocka_unit_test(bad_files),
        cmocka_unit_test(plans_of_the_figures), cmocka_unit_test(plans_of_other_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
