/* The search over all ranks gives what each rank finds alone: the same plans, bounds, frontier and work
 * units, bit for bit; even if one rank stopped it and it was resumed. Under mpirun -n 2, in the project's
 * root. As in t_mpx.c, nothing is asserted between collective calls: a rank's verdict is made the same
 * everywhere first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "formats/inputs.h"
#include "io/mpx.h"
#include "search/search.h"

static struct mpx m;
static struct arena arena;

/* NULL if no rank has a complaint, else one of them, the same on every rank. */
static const char *everywhere(const char *complaint) {
    static char text[200];
    int who = complaint ? m.rank : m.size, first = who;
    snprintf(text, sizeof text, "rank %d: %s", m.rank, complaint ? complaint : "");
    if (m.comm) {
        MPI_Allreduce(&who, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
        MPI_Bcast(text, sizeof text, MPI_CHAR, first < m.size ? first : 0, MPI_COMM_WORLD);
    }
    return first < m.size ? text : NULL;
}

static void check(const char *title, const char *complaint) {
    const char *all = everywhere(complaint);
    if (all) fail_msg("%s: %s", title, all);
}

/* ---- comparing ---- */

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static bool same_plans(const struct found_plan *a, const struct found_plan *b, int n) {
    for (int i = 0; i < n; i++) {
        const struct estimate *x = &a[i].est, *y = &b[i].est;
        if (plan_compare(a[i].plan, b[i].plan)) return false;
        if (!same_bits(x->iteration_time_s, y->iteration_time_s) || !same_bits(x->cost_usd, y->cost_usd) ||
            !same_bits(x->egress_usd, y->egress_usd) ||
            !same_bits(x->peak_memory_bytes, y->peak_memory_bytes))
            return false;
    }
    return true;
}

/* What differs, or NULL. `work`: compare the work done too. */
static const char *difference(const struct row_result *a, const struct row_result *b, bool work) {
    if (a->status != b->status) return "status differs";
    if ((a->reason != NULL) != (b->reason != NULL) || (a->reason && strcmp(a->reason, b->reason)))
        return "reason differs";
    if (!same_bits(a->lower_bound, b->lower_bound)) return "lower bound differs";
    if (!same_bits(a->gap, b->gap)) return "gap differs";
    if (a->n_plan != b->n_plan || !same_plans(a->plan, b->plan, a->n_plan)) return "plans differ";
    if (a->n_frontier != b->n_frontier || !same_plans(a->frontier, b->frontier, a->n_frontier))
        return "frontier differs";
    if (!work) return NULL;
    if (a->n_unit != b->n_unit) return "number of work units differs";
    if (a->plans_evaluated != b->plans_evaluated) return "number of plans evaluated differs";
    for (int i = 0; i < a->n_unit; i++) {
        const struct unit_result *x = &a->unit[i], *y = &b->unit[i];
        if (x->micro_batch_size != y->micro_batch_size || x->data_parallel != y->data_parallel)
            return "order of work units differs";
        if (x->status != y->status || x->nodes != y->nodes || x->plans_evaluated != y->plans_evaluated ||
            !same_bits(x->lower_bound, y->lower_bound) || !same_bits(x->value, y->value))
            return "a work unit differs";
    }
    return NULL;
}

/* ---- problems ---- */

static const char *const pools[] = {
    "{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 12}",
    "{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 4},"
    "{\"zone\": \"us-central1-a\", \"gpu\": \"V100-16\", \"count\": 6}",
    "{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 4},"
    "{\"zone\": \"us-west1-b\", \"gpu\": \"A100-40\", \"count\": 3}",
    "{\"zone\": \"us-central1-a\", \"gpu\": \"V100-16\", \"count\": 0}",
};
enum { N_POOL = sizeof pools / sizeof *pools };

/* All ranks load the same bytes, so it loads on all or on none. */
static struct job *load_pools(const char *objective, const char *limits, const char *const *pool, int n) {
    struct err e = {0};
    struct job *job = ARENA_NEW(&arena, struct job);
    const char *rows = "";
    for (int i = 0; i < n; i++)
        rows = arena_printf(&arena, "%s%s{\"gpus\": [%s]}", rows, i ? ", " : "", pool[i]);
    const char *text =
        arena_printf(&arena,
                     "{\"format\": \"sailor-job/1\", \"model\": \"opt-350m\", \"site\": \"gcp\", "
                     "\"global_batch_size\": 64, \"objective\": \"%s\", %s \"pools\": [%s]}",
                     objective, limits, rows);
    if (job_load("memory", text, "inputs", false, job, &arena, &e)) fail_msg("%s", e.text);
    return job;
}

static struct job *load(const char *objective, const char *limits) {
    return load_pools(objective, limits, pools, N_POOL);
}

static struct search_problem problem(const struct job *job, int row, double gap) {
    struct search_problem p = search_problem_of(job, row);
    p.top_k = job->objective == OBJECTIVE_FRONTIER ? 1 : 3;
    p.gap = gap;
    return p;
}

/* Searches every pool alone on each rank and then together. */
static void together_as_alone(const char *objective, const char *limits, int threads) {
    const struct job *job = load(objective, limits);
    static const struct search_hooks none = {0};
    for (int i = 0; i < N_POOL; i++) {
        struct search_problem p = problem(job, i, i == 1 ? 0 : 0.01);
        struct row_result alone = {0}, both = {0};
        struct err e = {.text = "stopped"};
        char title[80];
        snprintf(title, sizeof title, "%s, pool %d", objective, i);
        check(title, search_row(&p, &alone, &none, NULL, 1, &arena, &e) ? e.text : NULL);
        check(title, search_row(&p, &both, &none, m.comm, threads, &arena, &e) ? e.text : NULL);
        check(title, difference(&alone, &both, true));
        check(title, (i < 3) == (both.n_plan > 0) ? NULL : "a plan is missing, or there is one of no GPUs");
        if (job->objective == OBJECTIVE_FRONTIER)
            check(title, (i < 3) == (both.n_frontier > 0) ? NULL : "no frontier");
    }
}

static void throughput(void **state) {
    (void)state;
    together_as_alone("throughput", "", 1);
}

static void throughput_within_a_budget(void **state) {
    (void)state;
    together_as_alone("throughput", "\"max_usd_per_iteration\": 0.05,", 2);
}

static void cost(void **state) {
    (void)state;
    together_as_alone("cost", "", 1);
}

static void cost_above_a_floor(void **state) {
    (void)state;
    together_as_alone("cost", "\"min_iterations_per_s\": 0.2,", 2);
}

static void frontier(void **state) {
    (void)state;
    together_as_alone("frontier", "", 1);
}

/* A budget that nothing meets: the reason is the same too. */
static void no_plan_for_the_money(void **state) {
    (void)state;
    const struct job *job = load("throughput", "\"max_usd_per_iteration\": 1e-6,");
    struct search_problem p = problem(job, 1, 0.01);
    struct row_result alone = {0}, both = {0};
    struct search_hooks none = {0};
    struct err e = {.text = "stopped"};
    check("alone", search_row(&p, &alone, &none, NULL, 1, &arena, &e) ? e.text : NULL);
    check("together", search_row(&p, &both, &none, m.comm, 1, &arena, &e) ? e.text : NULL);
    check("together", difference(&alone, &both, true));
    check("together",
          both.status == ROW_INFEASIBLE && both.reason && strstr(both.reason, "budget") ? NULL : "no reason");
}

/* ---- stopping ---- */

struct fuse {
    long left; /* polls until it stops */
    bool burnt;
};

static bool burns(void *ctx) {
    struct fuse *f = ctx;
    if (--f->left < 0) f->burnt = true;
    return f->burnt;
}

/* One rank alone wants to stop, earlier and later; all of them leave together, and whoever resumes gets the
 * answer. */
static void one_rank_stops_all(void **state) {
    (void)state;
    static const char *const objective[] = {"throughput", "cost", "frontier"};
    int stopped_often = 0;
    for (int k = 0; k < 3; k++) {
        const struct job *job = load(objective[k], "");
        struct search_problem p = problem(job, 1, 0.01);
        struct row_result alone = {0};
        struct search_hooks none = {0};
        struct err e = {.text = "stopped"};
        check(objective[k], search_row(&p, &alone, &none, NULL, 1, &arena, &e) ? e.text : NULL);
        for (long polls = 0, step = 0; step < 8; step++, polls = polls ? 6 * polls : 1) {
            struct fuse fuse = {.left = m.rank == m.size - 1 ? polls : 1L << 60};
            struct search_hooks hooks = {.ctx = &fuse, .stop = burns};
            struct row_result row = {0};
            char title[80];
            snprintf(title, sizeof title, "%s, stopped after %ld polls", objective[k], polls);
            int rc = search_row(&p, &row, &hooks, m.comm, 1, &arena, &e), least = rc, most = rc;
            if (m.comm) {
                MPI_Allreduce(&rc, &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
                MPI_Allreduce(&rc, &most, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
            }
            check(title, least < 0 ? e.text : least != most ? "not every rank stopped" : NULL);
            check(title, rc == 1 && row.status == ROW_OPTIMAL ? "stopped, yet proven" : NULL);
            stopped_often += rc;
            rc = rc ? search_row(&p, &row, &none, step % 2 ? m.comm : NULL, 1, &arena, &e) : 0;
            check(title, rc ? e.text : difference(&alone, &row, false));
        }
    }
    check("all", stopped_often >= 6 ? NULL : "hardly any search was stopped: the test has lost its subject");
}

/* Units so large that their attempts are cut in slices, and several climbs beside the proof: the same work
 * and the same answer, also after stops in the middle of a step. */
static void in_slices(const char *objective) {
    enum { SLICED = 200000 /* partial plans */, STOPS = 12, POLLS = 150000, MORE = 60000, OFTEN = 10000 };
    static const char *const three[] = {"{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 8},"
                                        "{\"zone\": \"us-central1-a\", \"gpu\": \"V100-16\", \"count\": 8},"
                                        "{\"zone\": \"us-central1-a\", \"gpu\": \"GH-96\", \"count\": 8}"};
    const struct job *job = load_pools(objective, "", three, 1);
    struct search_problem p = problem(job, 0, 0);
    struct row_result alone = {0}, both = {0}, row = {0};
    struct search_hooks none = {0};
    struct err e = {.text = "stopped"};
    uint64_t most = 0;
    p.estimator = ESTIMATOR_SAILOR;
    check("alone", search_row(&p, &alone, &none, NULL, 1, &arena, &e) ? e.text : NULL);
    check("together", search_row(&p, &both, &none, m.comm, 2, &arena, &e) ? e.text : NULL);
    check("together", difference(&alone, &both, true));
    for (int i = 0; i < both.n_unit; i++) most = both.unit[i].nodes > most ? both.unit[i].nodes : most;
    check("together", most > SLICED ? NULL : "no unit is cut in slices: the test has lost its subject");
    long polls = POLLS;
    int within = 0;
    for (int stops = 0, rc = 1; rc; stops++) {
        bool apart = !row.n_unit || stops % 3 == 0;
        if (!row.n_unit) row = (struct row_result){0};
        polls = row.n_unit ? OFTEN : polls + MORE; /* until the proof begins */
        struct fuse fuse = {.left = apart || m.rank == m.size - 1 ? polls : 1L << 60};
        const struct search_hooks hooks = {.ctx = &fuse, .stop = burns};
        rc = search_row(&p, &row, stops < STOPS ? &hooks : &none, apart ? NULL : m.comm, 1, &arena, &e);
        check("stopped", rc < 0 ? e.text : NULL);
        check("stopped", row.lower_bound <= alone.lower_bound ? NULL : "a bound beyond the optimum");
        check("stopped", rc || !row.n_state ? NULL : "a round that is not over");
        within += row.n_state > 0;
    }
    check("resumed", difference(&alone, &row, true)); /* as if it had not been stopped */
    check("resumed", within > 2 ? NULL : "hardly stopped within a round: the test has lost its subject");
}

static void units_in_slices(void **state) {
    (void)state;
    in_slices("throughput");
}

static void frontier_in_slices(void **state) {
    (void)state;
    in_slices("frontier");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throughput),
        cmocka_unit_test(throughput_within_a_budget),
        cmocka_unit_test(cost),
        cmocka_unit_test(cost_above_a_floor),
        cmocka_unit_test(frontier),
        cmocka_unit_test(no_plan_for_the_money),
        cmocka_unit_test(one_rank_stops_all),
        cmocka_unit_test(units_in_slices),
        cmocka_unit_test(frontier_in_slices),
    };
    struct err e = {0};
    if (mpx_start(&m, &e)) {
        fprintf(stderr, "%s\n", e.text);
        mpx_finish(&m);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    mpx_finish(&m);
    return failed != 0;
}
