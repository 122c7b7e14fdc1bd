/* Input files: models, sites, profiles, jobs. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/inputs.h"
#include "io/json.h"
#include "texts.h"
#include "io/file.h"

static bool close_to(double a, double b, double rtol) { return fabs(a - b) <= rtol * fabs(b); }

/* ---- files ---- */

static void reads_files_and_pipes_only(void **state) {
    struct err e = {0};
    size_t n;
    (void)state;
    assert_null(file_read_text(tmp, &n, &texts, &e));
    check_error(&e, tmp, "a directory");
    assert_null(file_read_text(in_tmp("none"), &n, &texts, &e));
    check_error(&e, tmp, "No such file");
    assert_null(file_read_text("/dev/zero", &n, &texts, &e));
    check_error(&e, "/dev/zero", "a device");
    FILE *f = fopen(in_tmp("large"), "w");
    assert_int_equal(ftruncate(fileno(f), (64 << 20) + 1), 0);
    fclose(f);
    assert_null(file_read_text(in_tmp("large"), &n, &texts, &e));
    check_error(&e, tmp, "more than");
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "[1, 2]", 6), 6);
    close(fd[1]);
    char *s = file_read_text(arena_printf(&texts, "/proc/self/fd/%d", fd[0]), &n, &texts, &e);
    assert_non_null(s);
    assert_string_equal(s, "[1, 2]");
    assert_int_equal(n, 6);
    close(fd[0]);
}

static void finds_inputs(void **state) {
    struct err e = {0};
    (void)state;
    assert_string_equal(inputs_dir("inputs", &texts, &e), "inputs");
    assert_null(inputs_dir(in_tmp("none"), &texts, &e));
    check_error(&e, "--inputs", "not a directory");
    setenv("SAILOR_INPUTS", tmp, 1);
    assert_string_equal(inputs_dir(NULL, &texts, &e), tmp);
    setenv("SAILOR_INPUTS", in_tmp("none"), 1);
    assert_null(inputs_dir(NULL, &texts, &e));
    check_error(&e, "SAILOR_INPUTS", "not a directory");
    setenv("SAILOR_INPUTS", "inputs", 1);
}

/* ---- models, sites, profiles ---- */

static int index_of(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return i;
    fail_msg("no %s", name);
    return -1;
}

static int gpu_of(const struct site *s, const char *name) {
    for (int g = 0; g < s->n_gpu; g++)
        if (strcmp(s->gpu[g].name, name) == 0) return g;
    fail_msg("no GPU type %s", name);
    return -1;
}

static struct workload load(const char *model, const char *site) {
    struct workload w;
    struct err e;
    if (workload_load(model, site, NULL, &w, &texts, &e)) fail_msg("%s", e.text);
    return w;
}

static double peak(const struct site *s, const char *z, const char *g, int n, const char *y, const char *h,
                   int k) {
    const struct link *l = site_link(s, index_of(s->zone, s->n_zone, z), gpu_of(s, g), n,
                                     index_of(s->zone, s->n_zone, y), gpu_of(s, h), k);
    return l ? l->peak_Bps / 1e9 : NAN;
}

/* Peaks in GB/s, as published. */
static void site_has_the_published_links(void **state) {
    static const char a[] = "us-central1-a", b[] = "us-central1-b", west[] = "us-west1-b";
    (void)state;
    struct workload w = load("opt-350m", "gcp");
    const struct site *s = w.site;
    assert_int_equal(s->n_zone, 5);
    assert_int_equal(s->n_gpu, 7);
    assert_true(close_to(peak(s, a, "A100-40", 1, a, "A100-40", 1), 2.42, 3e-3));
    assert_true(close_to(peak(s, a, "A100-40", 2, a, "A100-40", 2), 3.67, 3e-3));
    assert_true(close_to(peak(s, a, "A100-40", 4, a, "A100-40", 4), 6.04, 3e-3));
    assert_true(close_to(peak(s, a, "A100-40", 1, b, "A100-40", 1), 2.54, 3e-3));
    assert_true(close_to(peak(s, a, "A100-40", 4, b, "A100-40", 4), 6.65, 3e-3));
    assert_true(close_to(peak(s, a, "A100-40", 1, west, "A100-40", 1), 0.62, 1e-2));
    assert_true(close_to(peak(s, a, "V100-16", 1, a, "V100-16", 1), 1.72, 3e-3));
    assert_true(close_to(peak(s, a, "V100-16", 4, a, "V100-16", 4), 5.79, 3e-3));
    assert_true(close_to(peak(s, a, "GH-96", 1, a, "GH-96", 1), 22.9, 3e-3));
    assert_true(close_to(peak(s, a, "GH-96", 2, a, "GH-96", 2), 45.7, 3e-3));
    assert_true(close_to(peak(s, a, "GH-96", 4, a, "GH-96", 4), 92.55, 3e-3));
    /* only in the second file, and only for equal types */
    assert_true(close_to(peak(s, a, "A100-80", 4, a, "A100-80", 4), 13.536, 1e-3));
    assert_true(isnan(peak(s, a, "A100-80", 1, a, "A100-40", 1)));
    assert_true(isnan(peak(s, b, "A100-80", 1, b, "A100-80", 1)));
    /* a count that is absent falls back to the largest below; RTX machines have 8 */
    assert_true(peak(s, a, "A100-40", 8, a, "A100-40", 8) == peak(s, a, "A100-40", 4, a, "A100-40", 4));
    assert_false(isnan(peak(s, a, "RTX-2080", 8, a, "RTX-3090", 8)));
    assert_false(peak(s, a, "Titan-RTX", 8, a, "Titan-RTX", 8) ==
                 peak(s, a, "Titan-RTX", 4, a, "Titan-RTX", 4));
    assert_true(isnan(peak(s, a, "RTX-2080", 2, a, "Titan-RTX", 2)));
    assert_int_equal(s->counts[gpu_of(s, "A100-40")], 7);
    assert_int_equal(s->counts[gpu_of(s, "RTX-3090")], 15);
    assert_int_equal(s->counts[s->n_gpu + gpu_of(s, "A100-80")], 0);
    int a100 = gpu_of(s, "A100-40"), gh = gpu_of(s, "GH-96");
    assert_true(close_to(s->intra[a100 * TP_N + 1].peak_Bps / 1e9, 248.9, 1e-3));
    assert_true(close_to(s->intra[gh * TP_N + 2].peak_Bps / 1e9, 250.6, 1e-3));
    assert_false(s->intra[a100 * TP_N + 3].known);
    assert_true(s->intra[gpu_of(s, "RTX-3090") * TP_N + 3].known);
    assert_true(s->gpu[a100].memory_bytes == 40.0 * (1 << 30));
    assert_true(s->gpu[a100].planner_memory_bytes == 42338615296.0);
    assert_true(s->gpu[a100].context_bytes == 0 && s->gpu[gh].context_bytes == 4.12e9);
    assert_int_equal(s->gpu[a100].gpus_per_node, 4);
    assert_int_equal(s->gpu[gpu_of(s, "Titan-RTX")].gpus_per_node, 8);
    assert_true(s->usd_per_gpu_hour[a100] == 3.673385);
    assert_true(isnan(s->usd_per_gpu_hour[gpu_of(s, "RTX-2080")]));
    assert_true(s->egress_usd_per_GB[0] == 0 && s->egress_usd_per_GB[1] == 0.01 &&
                s->egress_usd_per_GB[4] == 0.02);
    assert_int_equal(s->available[0], -1);
}

static void local_site_knows_only_memory(void **state) {
    (void)state;
    struct workload w = load("gpt-tiny", "local");
    assert_string_equal(w.site->zone[0], "local");
    assert_string_equal(w.site->gpu[0].name, "cpu");
    assert_null(site_link(w.site, 0, 0, 1, 0, 0, 1));
    assert_true(isnan(w.site->usd_per_gpu_hour[0]));
    assert_null(w.profile[0]);
    /* the sizes follow 12H^2 + 13H; degrees share the matrices, not the norms */
    int h = w.model->hidden_size;
    assert_int_equal(w.model->n_layer, 6);
    assert_int_equal(w.model->n_block, 4);
    assert_true(w.model->params[0][1] == 12.0 * h * h + 13 * h);
    assert_true(w.model->params[1][1] == 6.0 * h * h + 3.5 * h + 6 * h);
    assert_true(w.model->act_out[1] == (double)w.model->sequence_length * h);
}

static void models_have_the_published_sizes(void **state) {
    static const struct {
        const char *name;
        int layers, blocks;
        double block;
    } want[] = {{"opt-350m", 26, 24, 12596224},
                {"gpt-neo-2.7b", 34, 32, 78676480},
                {"opt-30b", 50, 48, 616655872},
                {"llama-3-8b", 35, 32, 268496896}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct workload w = load(want[i].name, "gcp");
        assert_string_equal(w.model->name, want[i].name);
        assert_int_equal(w.model->n_layer, want[i].layers);
        assert_int_equal(w.model->n_block, want[i].blocks);
        assert_true(w.model->params[0][1] == want[i].block);
        assert_non_null(w.model->source);
    }
    struct workload w = load("opt-350m", "gcp");
    assert_true(w.model->params[0][0] == 53608448 && w.model->params[0][25] == 51513344);
    assert_true(w.model->act_mem[0][1] == 90181632 && w.model->act_out[1] == 2097152);
    assert_int_equal(w.element_bytes, 4);
    assert_true(w.state_bytes_per_param == 24);
}

/* A copy of the embedding that the last stage holds, where no layer counts it. */
static void a_model_may_be_tied(void **state) {
    (void)state;
    struct workload w = load("opt-tiny", "local");
    assert_true(w.model->tied_head && w.model->tied_copy[0] == 512 * 128 &&
                w.model->tied_copy[3] == 64 * 128);
    assert_false(load("gpt-tiny", "local").model->tied_head);
    assert_false(load("opt-350m", "gcp").model->tied_head);
    struct err e;
    const char *file = file_read_text("inputs/models/gpt-tiny.json", NULL, &texts, &e);
    const char *tied = with(file, "final norm and a matrix of its own", "final norm and the embedding");
    const char *lone = with(tied, ", 65792]", ", 256]"), *large = with(lone, "[81920, ", "[60000, ");
    const char *text[] = {with(tied, "gpt-tiny", "x"), with(lone, "gpt-tiny", "x"),
                          with(large, "gpt-tiny", "x"),
                          with(with(lone, "the embedding", "an untied matrix"), "gpt-tiny", "x")};
    const double copy[] = {0, 65536, 60000, 0}; /* counted in the head; not; no larger than the embedding */
    for (int i = 0; i < 4; i++) {
        write_text(in_tmp("x.json"), text[i], strlen(text[i]));
        if (model_load(in_tmp("x.json"), NULL, &w, &texts, &e)) fail_msg("%s", e.text);
        assert_true(w.model->tied_head == (i < 3) && w.model->tied_copy[0] == copy[i]);
        assert_true(w.model->tied_copy[1] == 0);
    }
}

/* First block, forward / backward, as published. */
static void profiles_have_the_published_times(void **state) {
    (void)state;
    struct workload w = load("opt-350m", "gcp");
    const struct profile *p = w.profile[gpu_of(w.site, "A100-40")], *gh = w.profile[gpu_of(w.site, "GH-96")];
    const struct layer_times *t = profile_times(p, 1, 1);
    assert_true(close_to(t->fwd_s[1], 2.79e-3, 5e-3) && close_to(t->bwd_s[1], 5.91e-3, 5e-3));
    assert_true(close_to(t->update_s[0], 2.94e-3, 5e-3) && t->update_s[25] == t->update_s[0]);
    t = profile_times(gh, 1, 4);
    assert_true(close_to(t->fwd_s[1], 1.50e-3, 5e-3) && close_to(t->update_s[7], 0.45e-3, 2e-2));
    for (int i = 1; i < gh->n_mb; i++) assert_true(gh->mb[i] > gh->mb[i - 1]);
    assert_int_equal(gh->mb[gh->n_mb - 1], 128);
    assert_null(profile_times(gh, 128, 1));
    assert_null(profile_times(p, 3, 1));
    assert_null(profile_times(p, 1, 8));
    /* a degree with unknown layer sizes is omitted */
    struct workload v = load("opt-30b", "gcp");
    const struct profile *v100 = v.profile[gpu_of(v.site, "V100-16")];
    assert_non_null(profile_times(v100, 1, 4));
    assert_null(profile_times(v100, 1, 8));
    assert_non_null(v.profile[gpu_of(v.site, "GH-96")]);
    assert_null(v.profile[gpu_of(v.site, "A100-80")]);
}

/* ---- jobs ---- */

static struct job load_job(const char *path) {
    struct job j;
    struct err e;
    if (job_load(path, NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    return j;
}

static int count_of(const struct job *j, int row, const char *zone, const char *gpu) {
    const struct site *s = j->workload.site;
    return j->pool[row].count[index_of(s->zone, s->n_zone, zone) * s->n_gpu + gpu_of(s, gpu)];
}

static void same_job(const struct job *a, const struct job *b) {
    const struct site *s = a->workload.site;
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->json, b->json);
    assert_string_equal(a->dtype, b->dtype);
    assert_string_equal(a->optimizer, b->optimizer);
    assert_int_equal(a->n_pool, b->n_pool);
    assert_int_equal(a->objective, b->objective);
    assert_int_equal(a->exact_batch, b->exact_batch);
    assert_memory_equal(&a->pin, &b->pin, sizeof a->pin);
    assert_true(a->max_usd_per_iteration == b->max_usd_per_iteration &&
                a->min_iterations_per_s == b->min_iterations_per_s);
    assert_true(a->train_tokens == b->train_tokens);
    assert_non_null(a->workload.platform);
    assert_non_null(b->workload.platform);
    assert_memory_equal(a->workload.platform, b->workload.platform,
                        sizeof *a->workload.platform * (size_t)s->n_gpu);
    for (int i = 0; i < a->n_pool; i++)
        assert_memory_equal(a->pool[i].count, b->pool[i].count, sizeof(int) * (size_t)(s->n_zone * s->n_gpu));
    size_t side = (size_t)(s->n_zone * s->n_gpu * TP_N);
    for (size_t i = 0; i < side * side; i++) {
        const struct link *x = &s->link[i], *y = &b->workload.site->link[i];
        assert_true(x->known == y->known && x->c0 == y->c0 && x->c1 == y->c1 && x->c2 == y->c2 &&
                    x->peak_Bps == y->peak_Bps && x->rate_Bps == y->rate_Bps && x->latency_s == y->latency_s);
    }
    for (int g = 0; g < s->n_gpu; g++) {
        const struct profile *p = a->workload.profile[g], *q = b->workload.profile[g];
        assert_int_equal(!p, !q);
        if (!p) continue;
        assert_int_equal(p->n_mb, q->n_mb);
        for (int i = 0; i < p->n_mb * TP_N; i++) {
            assert_int_equal(!p->times[i].fwd_s, !q->times[i].fwd_s);
            size_t n = sizeof(double) * (size_t)a->workload.model->n_layer;
            if (p->times[i].fwd_s) assert_memory_equal(p->times[i].fwd_s, q->times[i].fwd_s, n);
            if (p->times[i].fwd_s) assert_memory_equal(p->times[i].update_s, q->times[i].update_s, n);
        }
    }
}

static void published_jobs_load(void **state) {
    static const char *const files[] = {"fig7",
                                        "fig8b",
                                        "fig10",
                                        "fig11",
                                        "fig12",
                                        "examples/frontier-mixed",
                                        "examples/gpt-neo-three-types",
                                        "examples/pinned"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct job j = load_job(arena_printf(&texts, "inputs/%s.json", files[i])), k;
        struct err e;
        if (job_from_json(j.json, &k, &texts, &e)) fail_msg("%s", e.text);
        same_job(&j, &k);
    }
    struct job j = load_job("inputs/fig7.json");
    assert_string_equal(j.name, "fig7");
    assert_int_equal(j.n_pool, 3);
    assert_int_equal(j.global_batch_size, 1024);
    assert_int_equal(j.workload.global_batch_size, 1024);
    assert_int_equal(count_of(&j, 0, "us-central1-a", "A100-40"), 32);
    assert_int_equal(count_of(&j, 1, "us-central1-a", "A100-40"), 80);
    assert_int_equal(count_of(&j, 2, "us-central1-a", "A100-40"), 128);
    assert_true(j.pool[0].time_s == 1712574014.0187);
    assert_true(isinf(j.max_usd_per_iteration) && j.min_iterations_per_s == 0);
    assert_null(j.workload.profile[gpu_of(j.workload.site, "V100-16")]);
    j = load_job("inputs/fig8b.json");
    assert_int_equal(count_of(&j, 2, "us-central1-a", "V100-16"), 384);
    j = load_job("inputs/fig10.json");
    assert_int_equal(count_of(&j, 1, "us-west1-b", "A100-40"), 80);
    j = load_job("inputs/fig11.json");
    assert_int_equal(j.objective, OBJECTIVE_COST);
    assert_true(j.min_iterations_per_s == 0.2);
    j = load_job("inputs/fig12.json");
    assert_int_equal(j.objective, OBJECTIVE_THROUGHPUT);
    assert_true(j.max_usd_per_iteration == 1.2);
    assert_int_equal(count_of(&j, 0, "us-central1-b", "V100-16"), 128);
    j = load_job("inputs/examples/pinned.json");
    assert_true(j.exact_batch);
    assert_int_equal(j.pin.micro_batch_size, 2);
    assert_int_equal(j.pin.tp[gpu_of(j.workload.site, "V100-16")], 4);
    assert_int_equal(j.pin.zones, 3);
    assert_true(isnan(load_job("inputs/examples/frontier-mixed.json").pool[0].time_s));
}

static const char base_job[] =
    "{\"format\": \"sailor-job/1\", \"model\": \"opt-350m\", \"site\": \"gcp\", \"global_batch_size\": "
    "64, \"pools\": [{\"gpus\": [{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 8}]}]}";

static void bad_jobs_are_refused(void **state) {
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"sailor-job/1", "sailor-job/2", "/format: \"sailor-job/2\"; expected \"sailor-job/1\""},
        {"\"format\": \"sailor-job/1\", ", "", "/format: missing"},
        {"\"model\": \"opt-350m\", ", "", "/model: missing"},
        {"opt-350m", "opt-351m",
         "/model: no \"opt-351m\" in inputs/models; expected one of gpt-neo-2.7b, gpt-tiny"},
        {"opt-350m", "", "/model: \"\"; expected"},
        {"opt-350m", "none/x.json", "/model: no file \"none/x.json\""},
        {"\"gcp\"", "\"aws\"", "/site: no \"aws\" in inputs/sites; expected one of clariden, gcp, local"},
        {"\"gcp\"", "7", "/site: 7; expected a string"},
        {"64,", "0,", "/global_batch_size: 0; expected an integer from 1"},
        {"64,", "-3,", "/global_batch_size: -3;"},
        {"64,", "64.5,", "/global_batch_size: 64.5;"},
        {"64,", "1e12,", "/global_batch_size: 1000000000000; expected an integer from 1 to 100000000"},
        {"64,", "\"64\",", "/global_batch_size: \"64\"; expected an integer"},
        {"64,", "64, \"pool\": 3,", "/pool: unknown key \"pool\"; expected \"pools\"?"},
        {"64,", "64, \"dtype\": \"fp8\",", "/dtype: \"fp8\"; expected an element type (fp32, bf16, fp16)"},
        {"64,", "64, \"optimizer\": \"lion\",", "/optimizer: \"lion\"; expected an optimizer (adam, sgd)"},
        {"64,", "64, \"exact_batch\": 1,", "/exact_batch: 1; expected true or false"},
        {"64,", "64, \"train_tokens\": 0,", "/train_tokens: 0; expected a number > 0"},
        {"64,", "64, \"train_tokens\": 1e31,", "/train_tokens: 1e+31; expected a number from 1e-30 to 1e30"},
        {"64,", "64, \"objective\": \"speed\",",
         "/objective: \"speed\"; expected an objective (throughput, cost, frontier)"},
        {"64,", "64, \"max_usd_per_iteration\": -1,", "/max_usd_per_iteration: -1; expected a number > 0"},
        {"64,", "64, \"max_usd_per_iteration\": null,",
         "/max_usd_per_iteration: null; expected a number > 0"},
        {"64,", "64, \"min_iterations_per_s\": 0,", "/min_iterations_per_s: 0; expected a number > 0"},
        {"64,", "64, \"pin\": [],", "/pin: an array; expected an object"},
        {"64,", "64, \"pin\": {\"tp\": {\"A100-41\": 2}},",
         "/pin/tp/A100-41: unknown GPU type; expected \"A100-40\"?"},
        {"64,", "64, \"pin\": {\"tp\": {\"A100-40\": 3}},", "/pin/tp/A100-40: 3; expected 1, 2, 4 or 8"},
        {"64,", "64, \"pin\": {\"tp\": {\"A100-40\": 8}},", "/pin/tp/A100-40: 8; expected at most 4"},
        {"64,", "64, \"pin\": {\"stages\": 27},", "/pin/stages: 27; expected an integer from 1 to 26"},
        {"64,", "64, \"pin\": {\"stage\": 2},", "/pin/stage: unknown key \"stage\"; expected \"stages\"?"},
        {"64,", "64, \"pin\": {\"data_parallel\": 0},", "/pin/data_parallel: 0;"},
        {"64,", "64, \"pin\": {\"micro_batch_size\": 1.5},", "/pin/micro_batch_size: 1.5;"},
        {"64,", "64, \"pin\": {\"zones\": []},", "/pin/zones: an array of 0; expected 1 to 16"},
        {"64,", "64, \"pin\": {\"zones\": [\"mars\"]},",
         "/pin/zones/0: \"mars\"; expected a zone of site gcp"},
        {"64,", "64, \"pin\": {\"zones\": [\"us-west1-b\", \"us-west1-b\"]},",
         "/pin/zones/1: zone \"us-west1-b\" appears twice"},
        {"[{\"gpus\"", "[], \"//\": [{\"gpus\"", "/pools: an array of 0;"},
        {"{\"gpus\": [", "{\"gpu\": [", "/pools/0/gpu: unknown key \"gpu\"; expected \"gpus\"?"},
        {"{\"gpus\"", "{\"time_s\": -1, \"gpus\"", "/pools/0/time_s: -1;"},
        {"8}", "-8}", "/pools/0/gpus/0/count: -8; expected an integer from 0 to 1000000"},
        {"8}", "8.5}", "/pools/0/gpus/0/count: 8.5;"},
        {"8}", "[]}", "/pools/0/gpus/0/count: an array of 0;"},
        {"8}", "[0, 8]}", "/pools/0/gpus/0/count: an array of 2;"},
        {"8}", "[0, 8, 0]}", "/pools/0/gpus/0/count/2: 0; expected an integer from 1 to 1000000"},
        {"8}", "[8, 4, 1]}", "/pools/0/gpus/0/count/1: 4; expected at least the first count, 8"},
        {"8}", "[0, 10000, 1]}", "/pools/0/gpus/0/count: ranges make 10001 rows or more; expected at most"},
        {"8}", "1000001}", "/pools/0/gpus/0/count: 1000001;"},
        {"8}", "8}, {\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 1}",
         "/pools/0/gpus/1: zone \"us-central1-a\""},
        {"us-central1-a", "us-central1-z",
         "/pools/0/gpus/0/zone: \"us-central1-z\"; expected a zone of site gcp (us-central1-a"},
        {"A100-40", "A100-41", "/pools/0/gpus/0/gpu: \"A100-41\"; expected a GPU type of site gcp (A100-40"},
        {"opt-350m", "gpt-neo-2.7b", ""},
        {"opt-350m", "gpt-tiny", "/pools/0/gpus: model gpt-tiny has no profile on GPU A100-40"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct job j;
        int rc = job_load("FILE", with(base_job, bad[i].from, bad[i].to), NULL, false, &j, &texts, &e);
        if (!*bad[i].word) {
            assert_int_equal(rc, 0);
            continue;
        }
        if (rc == 0) fail_msg("accepted: %s -> %s", bad[i].from, bad[i].to);
        check_error(&e, "FILE: /", bad[i].word);
    }
}

/* Every choice is a workload of its own, with the model's sizes and matching profiles; the stored text alone
 * gives the same. */
static void options_are_variants(void **state) {
    const char *base = with(with(base_job, "opt-350m", "llama-3.1-8b"), "64,", "64, \"dtype\": \"bf16\",");
    const char *text = with(base, "64,", "64, \"recompute\": [\"full\", \"none\"], \"zero\": \"auto\",");
    struct err e = {0};
    struct job plain, j, k;
    (void)state;
    if (job_load("FILE", base, NULL, false, &plain, &texts, &e) ||
        job_load("FILE", text, NULL, false, &j, &texts, &e) || job_from_json(j.json, &k, &texts, &e))
        fail_msg("%s", e.text);
    assert_int_equal(plain.workload.n_variant, 0);
    assert_false(plain.workload.altered);
    same_job(&j, &k);
    assert_int_equal(j.workload.n_variant, 4);
    int g = gpu_of(j.workload.site, "A100-40");
    for (int i = 0; i < 4; i++) {
        const struct workload *v = &j.workload.variant[i], *u = &k.workload.variant[i];
        const struct layer_times *t = profile_times(v->profile[g], 1, 1),
                                 *s = profile_times(u->profile[g], 1, 1),
                                 *p = profile_times(plain.workload.profile[g], 1, 1);
        bool full = i >= 2;
        assert_int_equal(v->options.recompute, full ? RECOMPUTE_FULL : RECOMPUTE_NONE);
        assert_int_equal(v->options.zero, i & 1);
        assert_int_equal(v->altered, i > 0);
        assert_true(v->shared_bytes_per_param == (i & 1 ? 12 : 0));
        assert_true(v->again[0] == u->again[0] && (v->again[0] > 0) == full);
        assert_true(t->bwd_s[5] == s->bwd_s[5] && (t->bwd_s[5] > p->bwd_s[5]) == full);
        assert_true(t->fwd_s[5] == p->fwd_s[5]);
        assert_true((v->model->act_mem[0][5] < plain.workload.model->act_mem[0][5]) == full);
        assert_true(v->model->act_mem[0][0] == plain.workload.model->act_mem[0][0]);
        assert_ptr_equal(workload_variant(&j.workload, &v->options), v);
    }
    j = load_job("inputs/fig7.json");
    assert_int_equal(j.workload.n_variant, 0);
    assert_ptr_equal(workload_variant(&j.workload, &plain.workload.options), &j.workload);
}

static void limits_of_the_whole_run(void **state) {
    const char *text =
        with(base_job, "64,", "64, \"train_tokens\": 1e8, \"max_hours\": 2, \"max_usd\": 763,");
    struct err e = {0};
    struct job j;
    (void)state;
    if (job_load("FILE", text, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    double n = ceil(1e8 / (64 * 2048.0));
    assert_true(job_iterations(&j, j.workload.model) == n && n == 763);
    assert_true(j.min_iterations_per_s == n / 7200 && j.max_usd_per_iteration == 1);
    text = with(text, "64,", "64, \"max_usd_per_iteration\": 0.5, \"min_iterations_per_s\": 3,");
    if (job_load("FILE", text, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_true(j.min_iterations_per_s == 3 && j.max_usd_per_iteration == 0.5);
}

static void money_needs_prices(void **state) {
    static const char *const money[] = {"\"objective\": \"cost\"", "\"objective\": \"frontier\"",
                                        "\"max_usd_per_iteration\": 3"};
    struct err e = {0};
    struct job j;
    (void)state;
    const char *rtx = with(base_job, "A100-40", "RTX-3090");
    assert_int_equal(job_load("FILE", rtx, NULL, false, &j, &texts, &e), 0);
    j.objective = OBJECTIVE_COST; /* as a program that overrides it does */
    assert_int_equal(job_check_prices(&j, "FILE", &e), -1);
    for (size_t i = 0; i < sizeof money / sizeof *money; i++) {
        const char *text = with(rtx, "64,", arena_printf(&texts, "64, %s,", money[i]));
        assert_int_equal(job_load("FILE", text, NULL, false, &j, &texts, &e), -1);
        check_error(&e, "FILE: /pools/0/gpus", "no price for GPU RTX-3090 in zone us-central1-a");
        assert_int_equal(job_load("FILE", with(text, "8}", "0}"), NULL, false, &j, &texts, &e), 0);
    }
}

/* A user's model is named by its path; its profiles are beside it. */
static void a_path_names_a_model(void **state) {
    struct err e = {0};
    struct job j;
    (void)state;
    mkdir(in_tmp("own"), 0777);
    mkdir(in_tmp("own/models"), 0777);
    mkdir(in_tmp("own/profiles"), 0777);
    mkdir(in_tmp("own/profiles/mine"), 0777);
    mkdir(in_tmp("own/jobs"), 0777);
    char *model = with(slurp("inputs/models/opt-350m.json"), "\"opt-350m\"", "\"mine\"");
    char *profile = with(slurp("inputs/profiles/opt-350m/A100-40.json"), "\"opt-350m\"", "\"mine\"");
    char *job = with(base_job, "opt-350m", "../models/mine.json");
    write_text(in_tmp("own/models/mine.json"), model, strlen(model));
    write_text(in_tmp("own/jobs/j.json"), job, strlen(job));
    assert_int_equal(job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &texts, &e), -1);
    check_error(&e, in_tmp("own/jobs/j.json"), "model mine has no profile on GPU A100-40");
    write_text(in_tmp("own/profiles/mine/A100-40.json"), profile, strlen(profile));
    if (job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_string_equal(j.workload.model->name, "mine");
    assert_string_equal(j.name, "j");
    profile = with(profile, "\"A100-40\"", "\"V100-16\"");
    write_text(in_tmp("own/profiles/mine/A100-40.json"), profile, strlen(profile));
    assert_int_equal(job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &texts, &e), -1);
    check_error(&e, tmp, "profiles/mine/A100-40.json: /gpu: \"V100-16\"; expected \"A100-40\"");
}

/* A profile's trainer memory replaces the model's sizes, recomputed if the plan recomputes. If another GPU
 * type's profile lacks it, it is ignored. */
static void a_profile_may_say_its_memory(void **state) {
    static const char memory[] =
        "\"memory\": {\"process_bytes\": 3e7, \"state_bytes_per_param\": 16, \"message\": 9, "
        "\"tp\": {\"1\": {\"act_mem\": [1, 20000, 20000, 20000, 20000, 5], \"work\": 7}}}, "
        "\"times\": ";
    const char *options[] = {"64,", "64, \"recompute\": \"full\", \"zero\": 1,",
                             "64, \"optimizer\": \"sgd\","};
    struct err e = {0};
    struct job j, k;
    (void)state;
    mkdir(in_tmp("said"), 0777);
    mkdir(in_tmp("said/profiles"), 0777);
    mkdir(in_tmp("said/profiles/said"), 0777);
    char *model = with(slurp("inputs/models/gpt-tiny.json"), "\"gpt-tiny\"", "\"said\"");
    const char *times =
        "[{\"micro_batch_size\": 1, \"tp\": 1, \"forward_s\": [1, 1, 1, 1, 1, 1], \"backward_s\": "
        "[1, 1, 1, 1, 1, 1], \"update_s\": 1}]}";
    const char *head = "{\"format\": \"sailor-profile/1\", \"model\": \"said\", \"gpu\": \"";
    char *a100 = arena_printf(&texts, "%sA100-40\", %s%s", head, memory, times),
         *v100 = arena_printf(&texts, "%sV100-16\", \"times\": %s", head, times);
    write_text(in_tmp("said/said.json"), model, strlen(model));
    write_text(in_tmp("said/profiles/said/A100-40.json"), a100, strlen(a100));
    for (int i = 0; i < 3; i++) {
        char *job = with(with(base_job, "opt-350m", "said.json"), "64,", options[i]);
        write_text(in_tmp("said/j.json"), job, strlen(job));
        if (job_load(in_tmp("said/j.json"), NULL, NULL, false, &j, &texts, &e) ||
            job_from_json(j.json, &k, &texts, &e))
            fail_msg("%s", e.text);
        const struct workload *w = &j.workload, *v = &k.workload;
        bool full = i == 1;
        assert_true(w->process_bytes == 3e7 && w->message == 9);
        assert_true(w->state_bytes_per_param == (i == 2 ? 12 : 16) && w->sgd == (i == 2));
        assert_true(w->shared_bytes_per_param == (full ? 8 : 0));
        assert_true(w->model->act_mem[0][0] == 1 && w->model->act_mem[0][5] == 5);
        assert_true(w->model->act_mem[0][1] == (full ? 16384 : 20000));
        assert_true(w->again[0] == (full ? 7 + 20000 - 16384 : 7));
        assert_true(v->process_bytes == 3e7 && v->again[0] == w->again[0] && v->message == 9);
        assert_true(v->state_bytes_per_param == w->state_bytes_per_param);
        assert_true(v->model->act_mem[0][1] == w->model->act_mem[0][1]);
    }
    char *both = with(with(base_job, "opt-350m", "said.json"), "8}",
                      "8}, {\"zone\": \"us-central1-a\", \"gpu\": \"V100-16\", \"count\": 8}");
    write_text(in_tmp("said/profiles/said/V100-16.json"), v100, strlen(v100));
    write_text(in_tmp("said/j.json"), both, strlen(both));
    if (job_load(in_tmp("said/j.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_true(j.workload.process_bytes == 0 && j.workload.state_bytes_per_param == 24);
    assert_true(j.workload.model->act_mem[0][1] == 311552);
}

/* GPU.DTYPE.json wins over GPU.json, and a profile that states another type is not used. */
static void a_profile_has_an_element_type(void **state) {
    struct err e = {0};
    struct job j;
    struct plan_entry *entry;
    int n;
    (void)state;
    mkdir(in_tmp("typed"), 0777);
    mkdir(in_tmp("typed/profiles"), 0777);
    mkdir(in_tmp("typed/profiles/mine"), 0777);
    char *model = with(slurp("inputs/models/opt-350m.json"), "\"opt-350m\"", "\"mine\""),
         *profile = with(slurp("inputs/profiles/opt-350m/A100-40.json"), "\"opt-350m\"", "\"mine\""),
         *full = with(profile, "\"times\"", "\"dtype\": \"fp32\", \"times\""),
         *half = with(profile, "\"times\"", "\"dtype\": \"bf16\", \"times\""),
         *job = with(base_job, "opt-350m", "./mine.json"),
         *job16 = with(job, "\"global_batch_size\"", "\"dtype\": \"bf16\", \"global_batch_size\"");
    write_text(in_tmp("typed/mine.json"), model, strlen(model));
    write_text(in_tmp("typed/j.json"), job, strlen(job));
    write_text(in_tmp("typed/j16.json"), job16, strlen(job16));
    /* a profile without a type serves for all */
    write_text(in_tmp("typed/profiles/mine/A100-40.json"), profile, strlen(profile));
    if (job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_null(j.workload.profile[gpu_of(j.workload.site, "A100-40")]->dtype);
    write_text(in_tmp("typed/profiles/mine/A100-40.json"), full, strlen(full));
    if (job_load(in_tmp("typed/j.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_int_equal(job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &texts, &e), -1);
    check_error(&e, tmp, "A100-40.json: /dtype: \"fp32\"; expected \"bf16\"");
    half =
        with(half, "\"update_s\":",
             "\"update_s\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26], \"//\":");
    write_text(in_tmp("typed/profiles/mine/A100-40.bf16.json"), half, strlen(half));
    if (job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    const struct profile *p = j.workload.profile[gpu_of(j.workload.site, "A100-40")];
    assert_string_equal(p->dtype, "bf16");
    assert_true(p->times[0].update_by_layer && p->times[0].update_s[25] == 26 &&
                !p->times[1].update_by_layer);
    if (job_load(in_tmp("typed/j.json"), NULL, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_string_equal(j.workload.profile[gpu_of(j.workload.site, "A100-40")]->dtype, "fp32");

    /* plans of one file, each in its own type */
    static const char plan[] =
        "{\"format\": \"sailor-plan/1\", \"model\": \"./mine.json\", \"site\": \"gcp\", \"dtype\": \"%s\", "
        "\"global_batch_size\": 8, \"micro_batch_size\": 1, \"pipelines\": [{\"stages\": [{\"layers\": [0, "
        "26], \"replicas\": [{\"gpu\": \"A100-40\", \"tp\": 1, \"zone\": \"us-central1-a\"}]}]}]}";
    char *plans = arena_printf(&texts, "[%s, %s]", arena_printf(&texts, plan, "bf16"),
                               arena_printf(&texts, plan, "fp32"));
    write_text(in_tmp("typed/plans.json"), plans, strlen(plans));
    if (plans_load(in_tmp("typed/plans.json"), NULL, &entry, &n, &texts, &e)) fail_msg("%s", e.text);
    int g = gpu_of(entry[0].workload->site, "A100-40");
    assert_int_equal(n, 2);
    assert_string_equal(entry[0].workload->profile[g]->dtype, "bf16");
    assert_string_equal(entry[1].workload->profile[g]->dtype, "fp32");
    assert_true(entry[0].workload->element_bytes == 2 && entry[1].workload->element_bytes == 4);
}

/* ---- broken models, sites, profiles: in a stored job, so that no files are needed --- */

static const char named_site[] =
    "{\"format\": \"sailor-site/1\", \"name\": \"mine\", \"zones\": [\"a\", \"b\"], \"gpus\": [\"H100-80\","
    " {\"name\": \"L4-24\", \"gpus_per_node\": 4}, {\"name\": \"Z80\", \"memory_bytes\": 8e9, "
    "\"gpus_per_node\": 1}],"
    " \"links\": {\"fits\": [[0, 0, 7, 7e9]], \"rows\": [[\"a\", \"H100-80\", 1, \"a\", \"H100-80\", 1, 0]],"
    " \"pairs\": [[\"*\", \"*\", \"*\", \"*\", \"eth-100g\"], [\"a\", \"H100-80\", \"*\", \"H100-80\", "
    "\"ib-ndr\"],"
    " [\"a\", \"Z80\", \"b\", \"L4-24\", \"own\"]], \"presets\": {\"own\": {\"GBps\": 2, \"achieved\": 0.5, "
    "\"latency_us\":"
    " 100, \"per\": \"gpu\"}}}}";

static const char *named_job(const char *site, struct job *j) {
    struct err e;
    const char *text = "{\"format\": \"sailor-job/1\", \"model\": \"llama-3.1-8b\", \"site\": "
                       "\"./named.json\", \"dtype\": \"bf16\","
                       " \"global_batch_size\": 8, \"pools\": [{\"gpus\": [{\"zone\": \"a\", \"gpu\": "
                       "\"H100-80\", \"count\": 8}]}]}";
    write_text(in_tmp("named.json"), site, strlen(site));
    write_text(in_tmp("job.json"), text, strlen(text));
    return job_load(in_tmp("job.json"), NULL, NULL, false, j, &texts, &e) ? arena_strdup(&texts, e.text)
                                                                          : NULL;
}

static const struct link *between(const struct site *s, int z, const char *g, int n, int y, const char *h,
                                  int m) {
    return site_link(s, z, gpu_of(s, g), n, y, gpu_of(s, h), m);
}

/* Memory and nodes from data sheets, links from links.json or the site itself: a row comes before a pair, a
 * later pair before an earlier one. A stored site needs no other file. */
static void sites_name_what_is_known(void **state) {
    struct job j, k;
    struct err e;
    (void)state;
    const char *fault = named_job(named_site, &j);
    if (fault) fail_msg("%s", fault);
    setenv("SAILOR_INPUTS", in_tmp("none"), 1);
    int rc = job_from_json(j.json, &k, &texts, &e);
    setenv("SAILOR_INPUTS", "inputs", 1);
    if (rc) fail_msg("%s", e.text);
    same_job(&j, &k);
    for (int i = 0; i < 2; i++) {
        const struct site *s = (i ? &k : &j)->workload.site;
        assert_true(s->gpu[0].memory_bytes == 80 * 1073741824.0 && s->gpu[0].gpus_per_node == 8);
        assert_true(s->gpu[1].memory_bytes == 24 * 1073741824.0 && s->gpu[1].gpus_per_node == 4);
        assert_true(between(s, 0, "H100-80", 1, 0, "H100-80", 1)->c0 == 7);
        const struct link *ib = between(s, 0, "H100-80", 4, 1, "H100-80", 8),
                          *back = between(s, 1, "H100-80", 2, 0, "H100-80", 2),
                          *eth = between(s, 1, "H100-80", 4, 1, "H100-80", 4),
                          *own = between(s, 1, "L4-24", 4, 0, "Z80", 1);
        assert_true(fabs(ib->rate_Bps - 4 * 46e9) < 1 && fabs(ib->latency_s - 9.6e-6) < 1e-12);
        assert_true(fabs(back->rate_Bps - 2 * 46e9) < 1);
        assert_true(fabs(eth->rate_Bps - 11.75e9) < 1 && fabs(eth->latency_s - 25e-6) < 1e-12);
        assert_true(fabs(own->rate_Bps - 1e9) < 1 && fabs(own->latency_s - 1e-4) < 1e-12);
    }
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"\"memory_bytes\": 8e9, ", "",
         "/gpus/2/memory_bytes: missing; expected it, because devices.json has no"},
        {"eth-100g", "eth-1g",
         "/links/pairs/0/4: no link \"eth-1g\" in links.json; expected one of nvlink3,"},
        {"[\"a\", \"Z80\"", "[\"c\", \"Z80\"", "/links/pairs/2/0: \"c\"; expected a zone of this site, or *"},
        {"\"Z80\", \"b\"", "\"Z81\", \"b\"",
         "/links/pairs/2/1: \"Z81\"; expected a GPU type of this site, or *"},
        {", \"own\"]", "]", "/links/pairs/2: an array of 4; expected 5"},
        {"\"achieved\": 0.5, ", "", "/links/presets/own/achieved: missing"},
        {"\"per\": \"gpu\"", "\"per\": \"rack\"", "/links/presets/own/per: \"rack\"; expected"},
        {"\"presets\": {", "\"presets\": 3, \"//\": {", "/links/presets: not an object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fault = named_job(with(named_site, bad[i].from, bad[i].to), &j);
        if (!fault) fail_msg("accepted: %s -> %s", bad[i].from, bad[i].to);
        if (!strstr(fault, "named.json: ") || !strstr(fault, bad[i].word)) fail_msg("%s", fault);
    }
}

static void bad_parts_are_refused(void **state) {
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"\"num_layers\":26", "\"num_layers\":25",
         "/model/memory/act_out: an array of 26; expected 25 elements"},
        {"\"num_layers\":26", "\"num_layers\":1000", "/model/num_layers: 1000;"},
        {"\"num_blocks\":24", "\"num_blocks\":40", "/model/num_blocks: 40; expected at most num_layers, 26"},
        {"\"hidden_size\"", "\"hidden\"", "/model/hidden: unknown key \"hidden\""},
        {"\"tp\":{\"1\":{", "\"tp\":{\"3\":{", "/model/memory/tp/3: unknown tensor-parallel degree"},
        {"\"tp\":{\"1\":{\"params\":[53608448", "\"tp\":{\"1\":{\"params\":[-1",
         "/model/memory/tp/1/params/0: -1; expected a number from 0"},
        {"\"as_built\":{", "\"as_built\":3,\"//\":{", "/model/as_built: not an object"},
        {"\"as_built\":{", "\"stands_for\":3,\"as_built\":{", "/model/stands_for: 3; expected a string"},
        {"sailor-site/1", "sailor-site/9", "/site/format"},
        {"\"us-central1-a\",\"us-central1-b\"", "\"us-central1-a\",\"us-central1-a\"",
         "/site/zones/1: zone \"us-central1-a\" appears twice"},
        {"\"name\":\"V100-16\"", "\"name\":\"A100-40\"",
         "/site/gpus/1/name: GPU type \"A100-40\" appears twice"},
        {"\"gpus_per_node\":4", "\"gpus_per_node\":0", "/site/gpus/0/gpus_per_node: 0;"},
        {"\"memory_bytes\":42949672960", "\"memory_bytes\":0", "/site/gpus/0/memory_bytes: 0;"},
        {"\"memory_bytes\":42949672960", "\"memory_bytes\":40960",
         "/site/gpus/0/memory_bytes: 40960; expected a number of bytes from 100000000"},
        {"\"planner_memory_bytes\":", "\"planner_memory_bytes\":40,\"//\":",
         "/site/gpus/0/planner_memory_bytes: 40; expected a number of bytes"},
        {"\"gpus_per_node\":4", "\"gpus_per_node\":4,\"context_bytes\":0", "/site/gpus/0/context_bytes: 0;"},
        {"\"gpus_per_node\":4", "\"gpus_per_node\":4,\"context_bytes\":2",
         "/site/gpus/0/context_bytes: 2; expected a number of bytes from 1000000 to 42949672960"},
        {"\"gpus_per_node\":4", "\"gpus_per_node\":4,\"context_bytes\":42949672961",
         "/site/gpus/0/context_bytes: 42949672961;"},
        {"{\"A100-40\":3.673385", "{\"A100-40\":-1", "/site/usd_per_gpu_hour/us-central1-a/A100-40: -1;"},
        {"{\"A100-40\":3.673385", "{\"A101-40\":1",
         "/site/usd_per_gpu_hour/us-central1-a/A101-40: unknown name"},
        {"\"rows\":[[\"us-central1-a\",\"A100-40\",1,", "\"rows\":[[\"us-central1-a\",\"A100-40\",3,",
         "/site/links/rows/0/2: 3; expected 1, 2, 4 or 8"},
        {"\"rows\":[[\"us-central1-a\",\"A100-40\",1,", "\"rows\":[[\"us-central1-a\",\"A100-40\",2,",
         "the same link as an earlier row"},
        {"\"rows\":[[\"us-central1-a\"", "\"rows\":[[\"mars\"",
         "/site/links/rows/0/0: \"mars\"; expected a zone"},
        {"\"fits\":[[", "\"fits\":[[\"x\",", "/site/links/fits/0: an array of 5; expected 4 elements"},
        {"\"intra_node\":{\"A100-40\":{\"2\"", "\"intra_node\":{\"A100-40\":{\"5\"",
         "/site/intra_node/A100-40/5: unknown"},
        {"\"micro_batch_size\":1,\"tp\":1", "\"micro_batch_size\":1,\"tp\":3",
         "/profiles/0/times/0/tp: 3; expected 1, 2, 4 or 8"},
        {"\"micro_batch_size\":1,\"tp\":2", "\"micro_batch_size\":1,\"tp\":1",
         "/profiles/0/times/1: microbatch 1 at tp 1 appears twice"},
        {"\"forward_s\":[", "\"forward_s\":[1,",
         "/profiles/0/times/0/forward_s: an array of 27; expected 26 elements"},
        {"\"forward_s\":[", "\"forward_s\":[-", "/profiles/0/times/0/forward_s/0: -"},
        {"\"update_s\":", "\"update_s\":-", "/profiles/0/times/0/update_s: -"},
        {"\"model\":\"opt-350m\",\"gpu\":", "\"model\":\"opt-30b\",\"gpu\":",
         "/profiles/0/model: \"opt-30b\"; expected \"opt-350m\""},
        {"\"gpu\":\"A100-40\",\"times\"", "\"gpu\":\"cpu\",\"times\"",
         "/profiles/0/gpu: \"cpu\"; expected a GPU type of site gcp"},
        {"\"times\":[", "\"memory\":3,\"times\":[", "/profiles/0/memory: 3; expected an object"},
        {"\"times\":[", "\"memory\":{\"process_bytes\":0},\"times\":[", "/profiles/0/memory/process_bytes: "},
        {"\"times\":[",
         "\"memory\":{\"process_bytes\":1,\"state_bytes_per_param\":16,\"message\":0,\"tp\":{\"3\":{}}},"
         "\"times\":[",
         "/profiles/0/memory/tp/3: unknown tensor-parallel degree"},
        {"\"times\":[",
         "\"memory\":{\"process_bytes\":1,\"state_bytes_per_param\":16,\"message\":0,\"tp\":{\"1\":{\"act_"
         "mem\":[1],\"work\":0}}},\"times\":[",
         "/profiles/0/memory/tp/1/act_mem: an array of 1; expected 26"},
        {"\"times\":[",
         "\"memory\":{\"process_bytes\":1,\"state_bytes_per_param\":16,\"message\":-1},\"times\":[",
         "/profiles/0/memory/message: -1"},
        {"\"times\":[", "\"memory\":{\"process_bytes\":1,\"params\":1},\"times\":[",
         "/profiles/0/memory/params: unknown"},
        {"\"profiles\":[", "\"profiles\":3,\"//\":[", "/profiles: 3; expected an array"},
        {"\"platform\":[", "\"platform\":[],\"//\":[", "/platform: an array of 0; expected 1 to 16"},
        {"\"platform\":[{\"gpu\":\"A100-40\"", "\"platform\":[{\"gpu\":\"A100-41\"",
         "/platform/0/gpu: \"A100-41\"; expected"},
        {"\"memory_Bps\":", "\"memory_Bps\":0,\"//\":",
         "/platform/0: no memory bandwidth; expected one above 0"},
        {"\"launch_bound\":", "\"launch_bound\":-", "/platform/0/launch_bound: -"},
        {"\"eager_bytes\":", "\"eager\":", "/platform/0/eager: unknown"},
        {"\"launch_bound\":", "\"ring_share\":0,\"launch_bound\":", "/platform/0/ring_share: 0; expected"},
    };
    (void)state;
    const char *text = load_job("inputs/fig7.json").json;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct job j;
        if (job_from_json(with(text, bad[i].from, bad[i].to), &j, &texts, &e) == 0)
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "stored inputs: /", bad[i].word);
    }
}

/* Nodes of several sizes: each size is an entry, the counts add up. */
static void a_pool_may_have_nodes_of_several_sizes(void **state) {
    static const char text[] = "{\"format\":\"sailor-job/1\",\"model\":\"opt-350m\",\"site\":\"clariden\","
                               "\"global_batch_size\":32,\"pools\":[{\"gpus\":["
                               "{\"zone\":\"alps\",\"gpu\":\"GH-96\",\"count\":9},"
                               "{\"zone\":\"alps\",\"gpu\":\"GH-96\",\"count\":5,\"gpus_per_node\":3}]}]}";
    struct job j;
    struct err e;
    (void)state;
    struct workload w = load("opt-350m", "clariden");
    const char *zoned = text;
    while (strstr(zoned, "\"alps\""))
        zoned = with(zoned, "\"alps\"", arena_printf(&texts, "\"%s\"", w.site->zone[0]));
    assert_int_equal(w.site->gpu[0].gpus_per_node, 4);
    if (job_load("FILE", zoned, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_int_equal(j.pool[0].count[0], 14);
    assert_int_equal(j.pool[0].n_entry, 2);
    const struct nodes *n = &j.pool[0].nodes[0]; /* 4, 4, 1; 3, 2 */
    assert_int_equal(n->room[0], 14);
    assert_int_equal(n->room[1], 12);
    assert_int_equal(n->room[2], 8);
    assert_int_equal(n->room[3], 0);
    assert_int_equal(job_load("FILE", with(zoned, "node\":3", "node\":4"), NULL, false, &j, &texts, &e), -1);
    check_error(&e, "FILE: /pools/0/gpus/1: ", "appear twice in a row");
    assert_int_equal(job_load("FILE", with(zoned, "node\":3", "node\":5"), NULL, false, &j, &texts, &e), -1);
    check_error(&e, "FILE: /pools/0/gpus/1/gpus_per_node: ", "an integer from 1 to 4");
    assert_int_equal(
        job_load("FILE", with(zoned, "count\":5", "count\":999999"), NULL, false, &j, &texts, &e), -1);
    check_error(&e, "FILE: /pools/0/gpus/1/count: ", "at most 1000000");
}

/* A range stands for one row per count; the last of several changes fastest. */
static void ranges_of_counts_are_rows(void **state) {
    static const char text[] =
        "{\"format\":\"sailor-job/1\",\"model\":\"opt-350m\",\"site\":\"gcp\",\"global_batch_size\":32,"
        "\"pools\":[{\"gpus\":[{\"zone\":\"us-central1-a\",\"gpu\":\"A100-40\",\"count\":8}]},"
        "{\"time_s\":5,\"gpus\":[{\"zone\":\"us-central1-a\",\"gpu\":\"A100-40\",\"count\":[0,9,4]},"
        "{\"zone\":\"us-central1-b\",\"gpu\":\"V100-16\",\"count\":[2,3,1]}]}]}";
    static const int a100[] = {8, 0, 0, 4, 4, 8, 8}, v100[] = {0, 2, 3, 2, 3, 2, 3};
    struct job j, again;
    struct err e;
    (void)state;
    if (job_load("FILE", text, NULL, false, &j, &texts, &e)) fail_msg("%s", e.text);
    assert_int_equal(j.n_pool, 7);
    const struct site *s = j.workload.site;
    for (int i = 0; i < j.n_pool; i++) {
        assert_int_equal(j.pool[i].count[site_at(s, 0, 0)], a100[i]);
        assert_int_equal(j.pool[i].count[site_at(s, 1, 1)], v100[i]);
        assert_int_equal(j.pool[i].nodes[site_at(s, 0, 0)].room[2], a100[i]);
        assert_int_equal(j.pool[i].index, i > 0);
        assert_int_equal(j.pool[i].n_entry, i > 0 ? 2 : 1);
        assert_int_equal(j.pool[i].entry[0].count, a100[i]);
        assert_true(i == 0 ? isnan(j.pool[i].time_s) : j.pool[i].time_s == 5);
    }
    if (job_from_json(j.json, &again, &texts, &e)) fail_msg("%s", e.text);
    assert_int_equal(again.n_pool, 7);
    /* an error in a row names the entry in the file */
    const char *two = with(text, "us-central1-b\",\"gpu\":\"V100-16", "us-central1-a\",\"gpu\":\"RTX-3090");
    if (job_load("FILE", with(two, "\"pools\"", "\"objective\":\"cost\",\"pools\""), NULL, false, &j, &texts,
                 &e) == 0)
        fail_msg("accepted without a price");
    check_error(&e, "FILE: /pools/1/gpus", "no price");
    /* many rows in one pool, and in all */
    const char *many = with(text, "[2,3,1]", "[0,9999,1]");
    assert_int_equal(job_load("FILE", many, NULL, false, &j, &texts, &e), -1);
    check_error(&e, "FILE: /pools/1/gpus/1/count: ", "ranges make 30000 rows");
    many = with(with(text, "\"count\":8", "\"count\":[1,9999,1]"), "[2,3,1]", "[2,9,1]");
    assert_int_equal(job_load("FILE", many, NULL, false, &j, &texts, &e), -1);
    check_error(&e, "FILE: /pools/1: ", "ranges make 10023 rows");
    /* the largest counts must not overflow when added */
    const char *sum = with(text, "us-central1-b\",\"gpu\":\"V100-16\",",
                           "us-central1-a\",\"gpu\":\"A100-40\",\"gpus_per_node\":1,");
    assert_int_equal(job_load("FILE", with(sum, "[2,3,1]", "[2,999999,999997]"), NULL, false, &j, &texts, &e),
                     -1);
    check_error(&e, "FILE: /pools/1/gpus/1/count: ", "1000007 GPUs in all");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_of_counts_are_rows),
        cmocka_unit_test(reads_files_and_pipes_only),
        cmocka_unit_test(finds_inputs),
        cmocka_unit_test(site_has_the_published_links),
        cmocka_unit_test(local_site_knows_only_memory),
        cmocka_unit_test(models_have_the_published_sizes),
        cmocka_unit_test(a_model_may_be_tied),
        cmocka_unit_test(profiles_have_the_published_times),
        cmocka_unit_test(published_jobs_load),
        cmocka_unit_test(bad_jobs_are_refused),
        cmocka_unit_test(options_are_variants),
        cmocka_unit_test(limits_of_the_whole_run),
        cmocka_unit_test(money_needs_prices),
        cmocka_unit_test(a_path_names_a_model),
        cmocka_unit_test(a_profile_may_say_its_memory),
        cmocka_unit_test(a_profile_has_an_element_type),
        cmocka_unit_test(sites_name_what_is_known),
        cmocka_unit_test(bad_parts_are_refused),
        cmocka_unit_test(a_pool_may_have_nodes_of_several_sizes),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
