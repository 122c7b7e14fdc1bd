#include "formats/results.h"
#include "io/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Result files: what goes in comes out, bit for bit; damaged or foreign files give one line. */

enum { ZONES = 2, GPUS = 2, LAYERS = 6 };
static const char *const zones[ZONES] = {"here", "there"};
static const struct gpu_type gpus[GPUS] = {{"Big", 80e9, 80e9, 4, 0}, {"Small", 16e9, 15e9, 4, 0}};
static struct arena arena;
static char dir[64];

static const char *in_dir(const char *name) { return arena_printf(&arena, "%s/%s", dir, name); }

/* A small world: every link 10 GB/s, every layer takes a few ms. */
static struct job *make_job(void) {
    struct arena *a = &arena;
    struct site *s = ARENA_NEW(a, struct site);
    struct model *m = ARENA_NEW(a, struct model);
    struct job *job = ARENA_NEW(a, struct job);
    size_t side = ZONES * GPUS * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    for (size_t i = 0; i < side * side; i++)
        link[i] = (struct link){.c0 = 10, .peak_Bps = 1e10, .known = true};
    unsigned char *counts = ARENA_ARRAY(a, unsigned char, ZONES * GPUS);
    double *usd = ARENA_ARRAY(a, double, ZONES * GPUS), *egress = ARENA_ARRAY(a, double, ZONES * ZONES);
    int *available = ARENA_ARRAY(a, int, ZONES * GPUS);
    for (int i = 0; i < ZONES * GPUS; i++) counts[i] = 7, usd[i] = 1.1 + i, available[i] = -1;
    egress[1] = 0.02;
    egress[2] = 0.03;
    const char **zone = ARENA_ARRAY(a, const char *, ZONES);
    for (int i = 0; i < ZONES; i++) zone[i] = zones[i];
    *s = (struct site){.name = "world",
                       .n_zone = ZONES,
                       .n_gpu = GPUS,
                       .zone = zone,
                       .gpu = gpus,
                       .usd_per_gpu_hour = usd,
                       .egress_usd_per_GB = egress,
                       .available = available,
                       .link = link,
                       .counts = counts};
    double *params = ARENA_ARRAY(a, double, LAYERS), *act = ARENA_ARRAY(a, double, LAYERS);
    for (int i = 0; i < LAYERS; i++) params[i] = 1e6 * (i + 1), act[i] = 1e5 + i;
    *m = (struct model){.name = "toy",
                        .n_layer = LAYERS,
                        .n_block = LAYERS - 2,
                        .hidden_size = 64,
                        .sequence_length = 128,
                        .heads = 4,
                        .vocabulary = 1000,
                        .act_out = act};
    for (int t = 0; t < 3; t++) m->params[t] = params, m->act_mem[t] = act;
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, GPUS);
    static const int mb[] = {1, 2};
    for (int g = 0; g < GPUS; g++) {
        struct profile *p = ARENA_NEW(a, struct profile);
        struct layer_times *times = ARENA_ARRAY(a, struct layer_times, 2 * TP_N);
        for (int k = 0; k < 2 * TP_N; k++) {
            double *v = ARENA_ARRAY(a, double, LAYERS);
            for (int i = 0; i < LAYERS; i++) v[i] = 1e-3 / 3 * (i + 1) * (g + 1);
            times[k] = (struct layer_times){v, v, v, false, NULL, NULL};
        }
        *p = (struct profile){.model = "toy", .gpu = gpus[g].name, .n_mb = 2, .mb = mb, .times = times};
        profile[g] = p;
    }
    int *count = ARENA_ARRAY(a, int, ZONES * GPUS);
    for (int i = 0; i < ZONES * GPUS; i++) count[i] = 8 * (i + 1);
    struct pool *pool = ARENA_ARRAY(a, struct pool, 3);
    for (int i = 0; i < 3; i++) pool[i] = (struct pool){.time_s = i == 1 ? 17.25 : NAN, .count = count};
    *job = (struct job){
        .name = "test",
        .global_batch_size = 32,
        .dtype = "fp32",
        .optimizer = "adam",
        .train_tokens = 1e9,
        .max_usd_per_iteration = INFINITY,
        .n_pool = 3,
        .pool = pool,
        .json =
            "{\"name\":\"test\",\"job\":{\"global_batch_size\":32},\"model\":{},\"site\":{\"x\":[1,2,3]}}"};
    job->workload = (struct workload){.site = s,
                                      .model = m,
                                      .profile = profile,
                                      .global_batch_size = 32,
                                      .element_bytes = 4,
                                      .state_bytes_per_param = 24};
    return job;
}

static struct found_plan make_plan(const struct job *job, int cut, int n_pipeline, bool vms, unsigned seed) {
    struct arena *a = &arena;
    struct plan *p = ARENA_NEW(a, struct plan);
    struct err e;
    *p = (struct plan){.model = "toy",
                       .site = "world",
                       .global_batch_size = 32,
                       .micro_batch_size = 1 + (int)(seed & 1),
                       .options = {.recompute = (enum recompute)(seed % RECOMPUTE_N),
                                   .sequence_parallel = seed & 2,
                                   .zero = (int)(seed & 1)},
                       .n_pipeline = n_pipeline,
                       .pipeline = ARENA_ARRAY(a, struct pipeline, n_pipeline)};
    static const int vm[2] = {1, 0};
    for (int i = 0; i < n_pipeline; i++) {
        struct stage *st = ARENA_ARRAY(a, struct stage, 2);
        p->pipeline[i] = (struct pipeline){2, st};
        for (int k = 0; k < 2; k++) {
            struct replicas *r = ARENA_ARRAY(a, struct replicas, 2);
            st[k] = (struct stage){k ? cut : 0, k ? LAYERS : cut, 2, r};
            r[0] = (struct replicas){.gpu = 0,
                                     .zone = (int)(seed >> 1 & 1),
                                     .tp = 2,
                                     .count = 1,
                                     .n_vm = vms ? 2 : 0,
                                     .vm_gpu = vms ? vm : NULL};
            r[1] = (struct replicas){.gpu = 1, .zone = k, .tp = 1, .count = 2};
        }
    }
    struct found_plan f = {.plan = p, .planner_time_s = NAN, .planner_cost_usd = 0.1 + 0.2};
    f.est.stage = ARENA_ARRAY(a, struct stage_estimate, 2 * n_pipeline);
    assert_int_equal(plan_check(p, &job->workload, "test", &e), 0);
    assert_int_equal(estimate_plan(&job->workload, p, ESTIMATOR_SAILOR, &f.est, &e), 0);
    return f;
}

/* Three rows: solved with plans and a frontier, infeasible, not searched yet. */
static struct results make_results(const struct job *job) {
    struct results r = {.complete = false,
                        .command_line = "sailor plan caf\xc3\xa9.json",
                        .version = "1.2.3",
                        .host = "h",
                        .started_utc = "2026-01-01T00:00:00Z",
                        .planner = "exact",
                        .estimator = "sailor",
                        .objective = OBJECTIVE_FRONTIER,
                        .ranks = 3,
                        .threads = 2,
                        .top_k = 5,
                        .wall_s = 1.0 / 3,
                        .job = job,
                        .inputs_json = job->json,
                        .n_row = 3};
    r.row = ARENA_ARRAY(&arena, struct row_result, 3);
    struct row_result *q = r.row;
    *q = (struct row_result){.status = ROW_FEASIBLE,
                             .lower_bound = 0.1,
                             .gap = 1.0 / 7,
                             .search_s = 2.5,
                             .plans_evaluated = UINT64_C(0xfedcba9876543210),
                             .n_plan = 3,
                             .n_frontier = 2,
                             .n_unit = 4,
                             .oom_plans = 9,
                             .n_task = 3,
                             .climbed = 64,
                             .note = "uses 132 of 128 GPUs"};
    q->plan = ARENA_ARRAY(&arena, struct found_plan, 3);
    q->frontier = ARENA_ARRAY(&arena, struct found_plan, 2);
    for (int i = 0; i < 3; i++) q->plan[i] = make_plan(job, 1 + i, 1 + i, i == 2, (unsigned)i);
    for (int i = 0; i < 2; i++) q->frontier[i] = make_plan(job, 4 + i, 1, false, (unsigned)i + 2);
    q->unit = ARENA_ARRAY(&arena, struct unit_result, 4);
    for (int i = 0; i < 4; i++)
        q->unit[i] = (struct unit_result){.micro_batch_size = 1 + i,
                                          .data_parallel = 2 * i + 1,
                                          .options = {.recompute = (enum recompute)(i % RECOMPUTE_N),
                                                      .sequence_parallel = i & 1,
                                                      .zero = i >> 1 & 1},
                                          .status = (enum unit_status)i,
                                          .lower_bound = 0.1 * i,
                                          .value = i ? INFINITY : 0.3,
                                          .gap = 0.01 * i,
                                          .attempts = i,
                                          .nodes = 1u << i,
                                          .plans_evaluated = UINT64_C(1) << (60 + i),
                                          .seconds = 0.7 * i};
    q->task = ARENA_ARRAY(&arena, struct task_result, 3);
    for (int i = 0; i < 3; i++) q->task[i] = (struct task_result){i / 2, (enum task_kind)(i + 3), 0.1 * i};
    unsigned char *bytes = ARENA_ARRAY(&arena, unsigned char, 24);
    for (int i = 0; i < 24; i++) bytes[i] = (unsigned char)(250 - 11 * i);
    q->state = bytes;
    q->n_state = 24;
    r.row[1] = (struct row_result){
        .status = ROW_INFEASIBLE, .reason = "memory: nothing fits", .lower_bound = NAN, .gap = NAN};
    r.row[2] = (struct row_result){.status = ROW_TODO, .lower_bound = -INFINITY, .gap = NAN};
    return r;
}

/* Equal as bits, except that any NAN equals any other. */
static void same(double x, double y) {
    if (isnan(x) && isnan(y)) return;
    assert_memory_equal(&x, &y, sizeof x);
}

static void same_found(const struct found_plan *x, const struct found_plan *y) {
    assert_int_equal(plan_compare(x->plan, y->plan), 0);
    assert_int_equal(x->plan->n_pipeline, y->plan->n_pipeline);
    assert_string_equal(x->plan->model, y->plan->model);
    same(x->planner_time_s, y->planner_time_s);
    same(x->planner_cost_usd, y->planner_cost_usd);
    same(x->est.iteration_time_s, y->est.iteration_time_s);
    same(x->est.pipeline_time_s, y->est.pipeline_time_s);
    same(x->est.sync_time_s, y->est.sync_time_s);
    same(x->est.compute_usd, y->est.compute_usd);
    same(x->est.egress_usd, y->est.egress_usd);
    same(x->est.cost_usd, y->est.cost_usd);
    same(x->est.peak_memory_bytes, y->est.peak_memory_bytes);
    assert_int_equal(x->est.fits, y->est.fits);
    assert_int_equal(x->est.n_microbatch, y->est.n_microbatch);
    assert_int_equal(x->est.unfit_stage, y->est.unfit_stage);
    assert_int_equal(x->est.unfit_pipeline, y->est.unfit_pipeline);
    for (int i = 0; i < 2 * x->plan->n_pipeline; i++) {
        same(x->est.stage[i].compute_s, y->est.stage[i].compute_s);
        same(x->est.stage[i].comm_s, y->est.stage[i].comm_s);
        same(x->est.stage[i].sync_s, y->est.stage[i].sync_s);
        same(x->est.stage[i].memory_bytes, y->est.stage[i].memory_bytes);
    }
}

static void same_row(const struct row_result *x, const struct row_result *y) {
    assert_int_equal(x->status, y->status);
    assert_int_equal(!x->reason, !y->reason);
    if (x->reason) assert_string_equal(x->reason, y->reason);
    assert_int_equal(!x->note, !y->note);
    if (x->note) assert_string_equal(x->note, y->note);
    same(x->lower_bound, y->lower_bound);
    same(x->gap, y->gap);
    same(x->search_s, y->search_s);
    assert_true(x->plans_evaluated == y->plans_evaluated);
    assert_int_equal(x->oom_plans, y->oom_plans);
    assert_int_equal(x->climbed, y->climbed);
    assert_int_equal(x->n_plan, y->n_plan);
    assert_int_equal(x->n_frontier, y->n_frontier);
    assert_int_equal(x->n_unit, y->n_unit);
    assert_int_equal(x->n_state, y->n_state);
    if (x->n_state) assert_memory_equal(x->state, y->state, (size_t)x->n_state);
    assert_int_equal(x->n_task, y->n_task);
    for (int i = 0; i < x->n_task; i++) {
        assert_int_equal(x->task[i].round, y->task[i].round);
        assert_int_equal(x->task[i].kind, y->task[i].kind);
        same(x->task[i].seconds, y->task[i].seconds);
    }
    for (int i = 0; i < x->n_plan; i++) same_found(&x->plan[i], &y->plan[i]);
    for (int i = 0; i < x->n_frontier; i++) same_found(&x->frontier[i], &y->frontier[i]);
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *u = &x->unit[i], *v = &y->unit[i];
        assert_int_equal(u->micro_batch_size, v->micro_batch_size);
        assert_int_equal(u->data_parallel, v->data_parallel);
        assert_true(plan_options_equal(&u->options, &v->options));
        assert_int_equal(u->status, v->status);
        same(u->lower_bound, v->lower_bound);
        same(u->value, v->value);
        same(u->seconds, v->seconds);
        same(u->gap, v->gap);
        assert_true(u->attempts == v->attempts);
        assert_true(u->nodes == v->nodes && u->plans_evaluated == v->plans_evaluated);
    }
}

static void same_results(const struct results *x, const struct results *y) {
    assert_int_equal(x->complete, y->complete);
    assert_string_equal(x->command_line, y->command_line);
    assert_string_equal(x->version, y->version);
    assert_string_equal(x->host, y->host);
    assert_string_equal(x->started_utc, y->started_utc);
    assert_string_equal(x->planner, y->planner);
    assert_string_equal(x->estimator, y->estimator);
    assert_string_equal(x->inputs_json, y->inputs_json);
    assert_int_equal(x->objective, y->objective);
    assert_int_equal(x->ranks, y->ranks);
    assert_int_equal(x->threads, y->threads);
    assert_int_equal(x->top_k, y->top_k);
    same(x->wall_s, y->wall_s);
    assert_int_equal(x->n_row, y->n_row);
    for (int i = 0; i < x->n_row; i++) same_row(&x->row[i], &y->row[i]);
}

static void write_ok(const char *path, const struct results *r) {
    struct err e = {0};
    if (results_write(path, r, &e)) fail_msg("%s", e.text);
}

static void one_line(const struct err *e, enum exit_code code) {
    assert_int_equal(e->code, code);
    assert_true(strlen(e->text) > 10 && !strchr(e->text, '\n'));
}

static void test_round_trip(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job), back;
    struct err e = {0};
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    if (results_read(in_dir("a.h5"), job, &back, &arena, &e)) fail_msg("%s", e.text);
    same_results(&r, &back);
    assert_ptr_equal(back.job, job);
    r.complete = true; /* and over it */
    write_ok(in_dir("a.h5"), &r);
    if (results_read(in_dir("a.h5"), job, &back, &arena, &e)) fail_msg("%s", e.text);
    same_results(&r, &back);
    write_ok(in_dir("b.h5"), &back); /* what was read can be written again */
    if (results_read(in_dir("b.h5"), job, &back, &arena, &e)) fail_msg("%s", e.text);
    same_results(&r, &back);
}

static void test_without_job(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job), back;
    struct err e = {0};
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    if (results_read(in_dir("a.h5"), NULL, &back, &arena, &e)) fail_msg("%s", e.text);
    same_results(&r, &back);
    const struct site *s = back.job->workload.site;
    assert_string_equal(s->name, "world");
    assert_int_equal(s->n_zone, ZONES);
    for (int z = 0; z < ZONES; z++) assert_string_equal(s->zone[z], zones[z]);
    for (int g = 0; g < GPUS; g++) {
        assert_string_equal(s->gpu[g].name, gpus[g].name);
        same(s->gpu[g].memory_bytes, gpus[g].memory_bytes);
    }
    assert_int_equal(back.job->workload.model->n_layer, LAYERS);
    assert_int_equal(back.job->workload.global_batch_size, 32);
    same(back.job->train_tokens, 1e9);
    same(back.job->max_usd_per_iteration, INFINITY);
    for (int i = 0; i < 3; i++) {
        same(back.job->pool[i].time_s, job->pool[i].time_s);
        for (int k = 0; k < ZONES * GPUS; k++)
            assert_int_equal(back.job->pool[i].count[k], job->pool[i].count[k]);
    }
}

static void test_nothing_found(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job), back;
    struct err e = {0};
    (void)state;
    r.row[0] = (struct row_result){.status = ROW_TODO};
    write_ok(in_dir("a.h5"), &r);
    if (results_read(in_dir("a.h5"), job, &back, &arena, &e)) fail_msg("%s", e.text);
    same_results(&r, &back);
    assert_null(back.row[0].plan); /* a search that resumes makes its own */
}

static void test_other_inputs(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job), back;
    struct err e = {0};
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    job->json =
        "{\"name\":\"other\",\"site\":{\"x\":[1,2,3]},\"model\":{},\"job\":{\"global_batch_size\":32}}";
    assert_int_equal(results_read(in_dir("a.h5"), job, &back, &arena, &e),
                     0); /* another name or order is no difference */
    static const char *const other[][2] = {
        {"{\"name\":\"test\",\"job\":{\"global_batch_size\":64},\"model\":{},\"site\":{\"x\":[1,2,3]}}",
         "/job/global_batch_size is 32 there and 64 here"},
        {"{\"name\":\"test\",\"job\":{\"global_batch_size\":32},\"model\":{},\"site\":{\"x\":[1,4,3]}}",
         "/site/x/1 is 2 there and 4 here"},
        {"{\"name\":\"test\",\"job\":{\"global_batch_size\":32,\"pin\":{}},\"model\":{},\"site\":{\"x\":[1,2,"
         "3]}}",
         "/job/pin is only here"},
        {"{\"name\":\"test\",\"job\":{},\"model\":{},\"site\":{\"x\":[1,2,3]}}",
         "/job/global_batch_size is only there"},
        {"{\"name\":\"test\",\"job\":{\"global_batch_size\":32},\"model\":{},\"site\":{\"x\":[1,2]}}",
         "/site/x"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        job->json = other[i][0];
        assert_int_equal(results_read(in_dir("a.h5"), job, &back, &arena, &e), -1);
        one_line(&e, EXIT_INPUT);
        if (!strstr(e.text, other[i][1])) fail_msg("%s: lacks %s", e.text, other[i][1]);
    }
}

/* If a file's time differs from the plan's time now, another estimator wrote it. */
static void test_other_estimate(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job), back;
    struct err e = {0};
    (void)state;
    r.row[0].plan[1].est.iteration_time_s *= 1 + 1e-6;
    write_ok(in_dir("a.h5"), &r);
    assert_int_equal(results_read(in_dir("a.h5"), job, &back, &arena, &e), -1);
    one_line(&e, EXIT_INPUT);
    assert_int_equal(results_read(in_dir("a.h5"), NULL, &back, &arena, &e), 0);
}

static char *load(const char *path, size_t *n) {
    struct err e = {0};
    char *bytes = file_read_bytes(path, n, &arena, &e);
    if (!bytes) fail_msg("%s", e.text);
    return bytes;
}

static void test_cut(void **state) {
    struct results r = make_results(make_job()), back;
    size_t n;
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    char *bytes = load(in_dir("a.h5"), &n);
    for (size_t k = 0; k + 64 < n; k += 1 + k / 97) {
        struct arena scratch = {0};
        struct err e = {0};
        assert_int_equal(results_parse("cut.h5", bytes, k, NULL, &back, &scratch, &e), -1);
        one_line(&e, EXIT_INPUT);
        arena_free(&scratch);
    }
}

static void test_flipped(void **state) {
    struct results r = make_results(make_job()), back;
    size_t n;
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    char *bytes = load(in_dir("a.h5"), &n);
    for (size_t at = 0; at + 64 < n; at += 61) {
        struct arena scratch = {0};
        struct err e = {0};
        bytes[at] ^= (char)(1 << (at % 8));
        assert_int_equal(results_parse("flipped.h5", bytes, n, NULL, &back, &scratch, &e), -1);
        one_line(&e, EXIT_INPUT);
        bytes[at] ^= (char)(1 << (at % 8));
        arena_free(&scratch);
    }
    struct err e = {0};
    assert_int_equal(results_parse("whole.h5", bytes, n, NULL, &back, &arena, &e), 0);
}

/* Damage that HDF5 itself accepts: a column changed by another tool. */
static void set_int(const char *path, const char *dataset, int index, int value) {
    hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(f, dataset, H5P_DEFAULT);
    int v[64];
    assert_true(d >= 0);
    H5Dread(d, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    v[index] = value;
    H5Dwrite(d, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(d);
    H5Fclose(f);
}

static void test_nonsense(void **state) {
    static const struct {
        const char *dataset;
        int index, value;
    } c[] = {
        {"/plan/row", 0, 3},
        {"/plan/row", 0, -1},
        {"/plan/rank", 1, 7},
        {"/plan/kind", 0, 2},
        {"/plan/n_pipeline", 0, 2},
        {"/plan/n_pipeline", 0, 0},
        {"/plan/plan", 0, 1},
        {"/stage/plan", 1, 5},
        {"/stage/position", 1, 0},
        {"/stage/position", 1, 2},
        {"/stage/first_layer", 1, 2},
        {"/stage/end_layer", 1, 7},
        {"/stage/pipeline", 0, 1},
        {"/replica/stage", 0, 1},
        {"/replica/stage", 1, -4},
        {"/replica/tp", 0, 3},
        {"/replica/count", 0, 0},
        {"/replica/count", 0, 1 << 30},
        {"/replica/order", 1, 0},
        {"/unit/row", 0, 9},
        {"/unit/status", 0, 77},
        {"/row/status", 0, 9},
        {"/row/status", 2, 1},
        {"/pool/row", 0, -2},
        {"/vm/replica", 1, 0},
        {"/plan/micro_batch_size", 0, 0},
        {"/pool/count", 0, -1},
        {"/pool/count", 0, INT32_MAX},
        {"/plan/n_microbatch", 0, -1},
        {"/plan/n_microbatch", 0, INT32_MAX},
        {"/replica/count", 0, INT32_MAX},
        {"/plan/unfit_stage", 0, 99},
        {"/plan/unfit_pipeline", 0, -2},
        {"/plan/fits", 0, 2},
        {"/plan/recompute", 0, 3},
        {"/plan/sequence_parallel", 0, 2},
        {"/unit/zero", 0, 2},
        {"/unit/attempts", 0, -1},
        {"/unit/data_parallel", 0, -1},
        {"/unit/micro_batch_size", 0, INT32_MAX},
        {"/row/oom_plans", 0, -1},
        {"/row/climbed", 0, -1},
        {"/task/row", 0, 3},
        {"/task/round", 0, -1},
        {"/task/round", 1, 2},
        {"/task/kind", 2, 6},
        {"/state/row", 0, -1},
        {"/state/row", 1, 3},
        {"/state/row", 1, 1},
        {"/gpu/gpus_per_node", 0, 0},
        {"/plan/n_microbatch", 0, 0},
        {"/plan/n_stage", 0, -1},
        {"/plan/data_parallel", 0, INT32_MAX},
        {"/plan/gpus", 0, -1},
        {"/stage/replicas", 0, -1},
        {"/stage/gpus", 0, INT32_MAX},
        {"/replica/plan", 0, 1},
        {"/zone/zone", 0, 1},
    };
    struct results r = make_results(make_job()), back;
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct err e = {0};
        write_ok(in_dir("a.h5"), &r);
        set_int(in_dir("a.h5"), c[i].dataset, c[i].index, c[i].value);
        if (!results_read(in_dir("a.h5"), NULL, &back, &arena, &e))
            fail_msg("accepted %s[%d] = %d", c[i].dataset, c[i].index, c[i].value);
        one_line(&e, EXIT_INPUT);
    }
}

static void set_real(const char *path, const char *dataset, int index, double value) {
    hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(f, dataset, H5P_DEFAULT);
    double v[64];
    assert_true(d >= 0);
    H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    v[index] = value;
    H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(d);
    H5Fclose(f);
}

/* A row stored as optimal must have a plan whose value is known and equal to its bound. */
static void test_false_proof(void **state) {
    static const struct {
        const char *dataset;
        double value;
    } c[] = {
        {"/row/lower_bound", NAN},
        {"/row/lower_bound", 0},
        {"/row/gap", NAN},
        {"/row/gap", -1},
        {"/row/gap", 0.5},
        {"/plan/iteration_time_s", NAN},
        {"/unit/lower_bound", NAN},
        {"/plan/iteration_time_s", INFINITY},
        {"/gpu/memory_bytes", NAN},
        {"/gpu/memory_bytes", INFINITY},
        {"/plan/cost_usd_per_iteration", -1},
        {"/plan/cost_usd_per_iteration", INFINITY},
        {"/plan/peak_memory_bytes", INFINITY},
        {"/plan/throughput_per_s", 7},
        {"/plan/planner_time_s", -1},
        {"/stage/compute_s", INFINITY},
        {"/stage/sync_s", -1},
        {"/stage/memory_bytes", -1},
        {"/row/search_s", NAN},
        {"/row/search_s", INFINITY},
        {"/row/time_s", INFINITY},
        {"/unit/seconds", -1},
        {"/unit/lower_bound", -1},
    };
    struct results r = make_results(make_job()), back;
    struct err e = {0};
    (void)state;
    r.objective = OBJECTIVE_THROUGHPUT;
    r.row[0].status = ROW_OPTIMAL;
    r.row[0].gap = 0;
    r.row[0].lower_bound = r.row[0].plan[0].est.iteration_time_s;
    write_ok(in_dir("a.h5"), &r);
    assert_int_equal(results_read(in_dir("a.h5"), NULL, &back, &arena, &e), 0);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        write_ok(in_dir("a.h5"), &r);
        set_real(in_dir("a.h5"), c[i].dataset, 0, c[i].value);
        if (!results_read(in_dir("a.h5"), NULL, &back, &arena, &e))
            fail_msg("accepted %s = %g", c[i].dataset, c[i].value);
        one_line(&e, EXIT_INPUT);
    }
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_foreign(void **state) {
    struct results back;
    (void)state;
    write_file(in_dir("text.h5"), "{\"format\": \"sailor-plan/1\"}\n");
    write_file(in_dir("empty.h5"), "");
    hid_t f = H5Fcreate(in_dir("foreign.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(f);
    const char *paths[] = {
        in_dir("text.h5"), in_dir("empty.h5"), in_dir("foreign.h5"), in_dir("missing.h5"), dir, "/dev/null"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct err e = {0};
        assert_int_equal(results_read(paths[i], NULL, &back, &arena, &e), -1);
        one_line(&e, EXIT_INPUT);
        assert_non_null(strstr(e.text, paths[i]));
    }
}

static void test_can_create(void **state) {
    struct err e = {0};
    (void)state;
    write_file(in_dir("there.h5"), "x");
    assert_int_equal(results_can_create(in_dir("new.h5"), false, &e), 0);
    assert_int_equal(access(in_dir("new.h5"), F_OK), -1); /* it only checked */
    assert_int_equal(results_can_create(in_dir("there.h5"), false, &e), -1);
    one_line(&e, EXIT_INPUT);
    assert_int_equal(results_can_create(in_dir("there.h5"), true, &e), 0);
    assert_int_equal(results_can_create(in_dir("no/such/dir.h5"), true, &e), -1);
    one_line(&e, EXIT_INTERNAL);
    assert_int_equal(results_can_create(dir, true, &e), -1);
    one_line(&e, EXIT_INTERNAL);
    assert_int_equal(results_can_create("/dev/null", false, &e), 0);
}

static int files_in_dir(void) {
    char command[100];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", dir);
    FILE *p = popen(command, "r");
    if (fscanf(p, "%d", &n) != 1) n = -1;
    pclose(p);
    return n;
}

/* No room: one line, the old file stays as it was, nothing else is left. */
static void test_no_room(void **state) {
    struct results r = make_results(make_job()), back;
    struct err e = {0};
    struct rlimit old, small = {4096, RLIM_INFINITY};
    size_t n, n2;
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    char *before = load(in_dir("a.h5"), &n);
    int files = files_in_dir();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    r.complete = true;
    int rc = results_write(in_dir("a.h5"), &r, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, -1);
    one_line(&e, EXIT_INTERNAL);
    char *after = load(in_dir("a.h5"), &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(before, after, n);
    assert_int_equal(files_in_dir(), files);
    assert_int_equal(results_write("/dev/full", &r, &e), -1);
    one_line(&e, EXIT_INTERNAL);
    assert_int_equal(results_write(in_dir("no/such/dir.h5"), &r, &e), -1);
    one_line(&e, EXIT_INTERNAL);
    assert_int_equal(results_read(in_dir("a.h5"), NULL, &back, &arena, &e), 0);
}

static void test_symlink(void **state) {
    struct results r = make_results(make_job()), back;
    struct stat st;
    struct err e = {0};
    (void)state;
    write_ok(in_dir("real.h5"), &r);
    assert_int_equal(symlink("real.h5", in_dir("link.h5")), 0);
    r.complete = true;
    write_ok(in_dir("link.h5"), &r);
    assert_int_equal(lstat(in_dir("link.h5"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(results_read(in_dir("real.h5"), NULL, &back, &arena, &e), 0);
    assert_true(back.complete);
}

static herr_t check_object(hid_t at, const char *name, const H5O_info_t *info, void *count) {
    if (info->type != H5O_TYPE_DATASET) return 0;
    hid_t id = H5Oopen(at, name, H5P_DEFAULT);
    const char *const wanted[] = {"units", "description"};
    for (int i = 0; i < 2; i++) {
        hid_t attr = H5Aopen(id, wanted[i], H5P_DEFAULT), type = H5Aget_type(attr);
        if (attr < 0 || H5Tis_variable_str(type) <= 0) fail_msg("%s has no text %s", name, wanted[i]);
        H5Tclose(type);
        H5Aclose(attr);
    }
    H5Oclose(id);
    ++*(int *)count;
    return 0;
}

static void test_self_describing(void **state) {
    struct results r = make_results(make_job());
    int n = 0;
    (void)state;
    write_ok(in_dir("a.h5"), &r);
    hid_t f = H5Fopen(in_dir("a.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(f >= 0);
    H5Ovisit(f, H5_INDEX_NAME, H5_ITER_NATIVE, check_object, &n);
    assert_true(n > 60);
    for (const char *const *a = (const char *const[]){"schema_version", "command_line", "version", "ranks",
                                                      "threads", "host", "started_utc", "complete", NULL};
         *a; a++)
        if (H5Aexists(f, *a) <= 0) fail_msg("no attribute %s", *a);
    H5Fclose(f);
}

static int version_of_file(const struct results *r) {
    int version = 0;
    const char *path = in_dir("v.h5");
    write_ok(path, r);
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), at = H5Aopen(f, "schema_version", H5P_DEFAULT);
    assert_true(at >= 0 && H5Aread(at, H5T_NATIVE_INT, &version) >= 0);
    H5Aclose(at);
    H5Fclose(f);
    return version;
}

/* As low as what it holds allows. */
static void test_versions(void **state) {
    struct job *job = make_job();
    struct results r = make_results(job);
    (void)state;
    assert_int_equal(version_of_file(&r), 1);
    r.risk = 0.5;
    assert_int_equal(version_of_file(&r), 2);
    r.row[0].frontier[1].est.stage[1].turn_s = 1e-6;
    assert_int_equal(version_of_file(&r), 3);
}

static int set_up(void **state) {
    (void)state;
    strcpy(dir, "/tmp/t_results.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) {
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    arena_free(&arena);
    return system(command);
}

int main(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_round_trip),   T(test_without_job),     T(test_nothing_found),
        T(test_other_inputs), T(test_other_estimate),  T(test_cut),
        T(test_flipped),      T(test_nonsense),        T(test_false_proof),
        T(test_foreign),      T(test_can_create),      T(test_no_room),
        T(test_symlink),      T(test_self_describing), T(test_versions),
    };
    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
