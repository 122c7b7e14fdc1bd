/* Input files: the JSON reader, jobs, models, sites, profiles, plan files, import. Runs in the project's
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/devices.h"
#include "io/import.h"
#include "io/inputs.h"
#include "io/json.h"
#include "io/planjson.h"

static struct arena arena;
static char tmp[] = "/tmp/sailor-inputs-XXXXXX";

static char *in_tmp(const char *name) { return arena_printf(&arena, "%s/%s", tmp, name); }

static void write_text(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static char *slurp(const char *path) {
    struct err e;
    size_t n;
    char *s = read_text(path, &n, &arena, &e);
    if (!s) fail_msg("%s", e.text);
    return s;
}

/* One line, exit code 2, starts with the file, contains the word. */
static void check_error(const struct err *e, const char *file, const char *word) {
    assert_int_equal(e->code, EXIT_INPUT);
    assert_null(strchr(e->text, '\n'));
    if (strncmp(e->text, file, strlen(file)) != 0) fail_msg("does not start with %s: %s", file, e->text);
    if (!strstr(e->text, word)) fail_msg("'%s' is not in: %s", word, e->text);
}

/* text with its first `from` replaced */
static char *with(const char *text, const char *from, const char *to) {
    const char *p = strstr(text, from);
    if (!p) fail_msg("'%s' is not in the text", from);
    return arena_printf(&arena, "%.*s%s%s", (int)(p - text), text, to, p + strlen(from));
}

static bool close_to(double a, double b, double rtol) { return fabs(a - b) <= rtol * fabs(b); }

/* ---- JSON ------------------------------------------------------------------------------------------------
 */

static void refuses_what_is_not_json(void **state) {
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "the text ends here"},
        {"{\"a\": 1", "expected"},
        {"{\"a\": 1} x", "text after the JSON value"},
        {"{\"a\": 1}{\"a\": 1}", "text after the JSON value"},
        {"{\"a\": NaN}", "/a: line 1, column 7: no JSON value"},
        {"{\"a\": nan}", "/a: line 1, column 7: unknown word"},
        {"{\"a\": Infinity}", "/a: "},
        {"{\"a\": -Infinity}", "no digit after '-'"},
        {"{\"a\": 1e999}", "/a: line 1, column 7: number too large"},
        {"{\"a\": 01}", "leading zero"},
        {"{\"a\": 1.}", "no digit after '.'"},
        {"{\"a\": .5}", "no JSON value"},
        {"{\"a\": +1}", "no JSON value"},
        {"{\"a\": 1e}", "exponent"},
        {"{\"a\": 0x10}", "not followed by"},
        {"{\"a\": [1, 2,]}", "/a/2: "},
        {"{\"a\": [1 2]}", "/a/0: "},
        {"{\"a\": 1,}", "no key here"},
        {"{a: 1}", "no key here"},
        {"{\"a\" 1}", "no ':'"},
        {"{'a': 1}", "no key here"},
        {"{\"a\": \"x\ny\"}", "control character"},
        {"{\"a\": \"x}", "string without end"},
        {"{\"a\": \"\\x\"}", "unknown escape"},
        {"{\"a\": \"\\u12\"}", "four hexadecimal digits"},
        {"{\"a\": \"\\u0000\"}", "NUL"},
        {"{\"a\": \"\\ud800\"}", "surrogate"},
        {"{\"a\": \"\\udc00\\ud800\"}", "surrogate"},
        {"{\"a\": \"\xff\"}", "invalid UTF-8"},
        {"{\"a\": \"\xc0\xaf\"}", "invalid UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "invalid UTF-8"},
        {"\xEF\xBB\xBF{}", "byte order mark"},
        {"// comment\n{}", "no JSON value"},
        {"{\"a\": {\"b\": 1, \"b\": 2}}", "/a/b: key appears twice"},
        {"{\"b\": 1, \"\\u0062\": 2}", "/b: key appears twice"},
        {"{\"x/y\": [{\"~\": tru}]}", "/x~1y/0/~0: "},
        {"{\n  \"a\": [\n    1,\n    oops\n  ]\n}", "/a/1: line 4, column 5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        assert_null(json_parse("FILE", bad[i].text, strlen(bad[i].text), &e));
        check_error(&e, "FILE: /", bad[i].word);
    }
}

static void accepts_what_is_json(void **state) {
    static const char *const good[] = {"{}",
                                       "[]",
                                       " [1, -2.5e-3, 0, -0.0, 1E+2] ",
                                       "\"\\u00e9\\ud83d\\ude00\\\"\"",
                                       "null",
                                       "{\"a\": {\"a\": {\"a\": [true, false, null]}}}",
                                       "\"\xf0\x9f\x98\x80\"",
                                       "5e-324"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        cJSON *tree = json_parse("FILE", good[i], strlen(good[i]), &e);
        if (!tree) fail_msg("%s", e.text);
        char *text = json_compact(good[i], &arena);
        cJSON *again = json_parse("FILE", text, strlen(text), &e);
        assert_non_null(again);
        assert_true(cJSON_Compare(tree, again, 1));
        cJSON_Delete(tree);
        cJSON_Delete(again);
    }
    assert_string_equal(json_compact("{ \"a b\\\" \" : [ 1 , 2 ] }\n", &arena), "{\"a b\\\" \":[1,2]}");
}

static void limits_depth_size_and_keys(void **state) {
    struct err e = {0};
    char deep[300], *wide = arena_alloc(&arena, 200000), *p = wide;
    (void)state;
    memset(deep, '[', 150), memset(deep + 150, ']', 150);
    assert_null(json_parse("FILE", deep, 300, &e));
    check_error(&e, "FILE: /0/0", "levels deep");
    assert_null(json_parse("FILE", "1", (size_t)JSON_TEXT_MAX + 1, &e));
    check_error(&e, "FILE: /", "bytes; expected at most");
    p += sprintf(p, "{");
    for (int i = 0; i < 5000; i++) p += sprintf(p, "\"key%d\": %d, ", i, i);
    sprintf(p, "\"key77\": 0}");
    assert_null(json_parse("FILE", wide, strlen(wide), &e));
    check_error(&e, "FILE: /key77", "appears twice");
}

static void names_the_nearest_key(void **state) {
    static const char *const keys[] = {"global_batch_size", "objective", "pools", NULL};
    static const struct {
        const char *text, *word;
    } bad[] = {{"{\"pool\": 1}", "/pool: unknown key \"pool\"; expected \"pools\"?"},
               {"{\"global_batchsize\": 1}", "expected \"global_batch_size\"?"},
               {"{\"Objective\": 1}", "expected \"objective\"?"},
               {"{\"zzzzzzzzzzzz\": 1}", "expected one of global_batch_size, objective, pools"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cJSON *tree = json_parse("FILE", bad[i].text, strlen(bad[i].text), &e);
        struct json_at at = json_root("FILE", tree);
        assert_int_equal(json_object(&at, keys, &e), -1);
        check_error(&e, "FILE: /", bad[i].word);
        cJSON_Delete(tree);
    }
    struct err e = {0};
    cJSON *tree = cJSON_Parse("{\"name\": 1, \"source\": {}, \"measured\": 0, \"expect\": [], \"// x\": 2, "
                              "\"//\": 3, \"pools\": 4}");
    struct json_at at = json_root("FILE", tree);
    assert_int_equal(json_object(&at, keys, &e), 0);
    cJSON_Delete(tree);
}

static void numbers_survive(void **state) {
    char buf[32];
    uint64_t x = 88172645463325252u;
    (void)state;
    assert_string_equal(json_number(buf, 0.1), "0.1");
    assert_string_equal(json_number(buf, 42338615296.0), "42338615296");
    assert_string_equal(json_number(buf, 1712574014.0187), "1712574014.0187");
    assert_string_equal(json_number(buf, 1024), "1024");
    assert_string_equal(json_number(buf, NAN), "null");
    assert_string_equal(json_number(buf, -INFINITY), "null");
    for (int i = 0; i < 100000; i++) {
        double v;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(&v, &x, sizeof v);
        if (!isfinite(v)) continue;
        assert_true(strtod(json_number(buf, v), NULL) == v);
    }
    double odd = 0.1 + 0.2 + DBL_EPSILON;
    cJSON *node = json_double(odd);
    char *text = cJSON_PrintUnformatted(node);
    assert_true(strtod(text, NULL) == odd);
    cJSON_free(text);
    cJSON_Delete(node);
    node = json_double(NAN);
    assert_true(cJSON_IsNull(node));
    cJSON_Delete(node);
}

/* ---- files -----------------------------------------------------------------------------------------------
 */

static void reads_files_and_pipes_only(void **state) {
    struct err e = {0};
    size_t n;
    (void)state;
    assert_null(read_text(tmp, &n, &arena, &e));
    check_error(&e, tmp, "a directory");
    assert_null(read_text(in_tmp("none"), &n, &arena, &e));
    check_error(&e, tmp, "No such file");
    assert_null(read_text("/dev/zero", &n, &arena, &e));
    check_error(&e, "/dev/zero", "a device");
    FILE *f = fopen(in_tmp("large"), "w");
    assert_int_equal(ftruncate(fileno(f), (64 << 20) + 1), 0);
    fclose(f);
    assert_null(read_text(in_tmp("large"), &n, &arena, &e));
    check_error(&e, tmp, "more than");
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "[1, 2]", 6), 6);
    close(fd[1]);
    char *s = read_text(arena_printf(&arena, "/proc/self/fd/%d", fd[0]), &n, &arena, &e);
    assert_non_null(s);
    assert_string_equal(s, "[1, 2]");
    assert_int_equal(n, 6);
    close(fd[0]);
}

static void finds_inputs(void **state) {
    struct err e = {0};
    (void)state;
    assert_string_equal(inputs_dir("inputs", &arena, &e), "inputs");
    assert_null(inputs_dir(in_tmp("none"), &arena, &e));
    check_error(&e, "--inputs", "not a directory");
    setenv("SAILOR_INPUTS", tmp, 1);
    assert_string_equal(inputs_dir(NULL, &arena, &e), tmp);
    setenv("SAILOR_INPUTS", in_tmp("none"), 1);
    assert_null(inputs_dir(NULL, &arena, &e));
    check_error(&e, "SAILOR_INPUTS", "not a directory");
    setenv("SAILOR_INPUTS", "inputs", 1);
}

/* ---- models, sites, profiles -----------------------------------------------------------------------------
 */

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
    if (workload_load(model, site, NULL, &w, &arena, &e)) fail_msg("%s", e.text);
    return w;
}

static double peak(const struct site *s, const char *z, const char *g, int n, const char *y, const char *h,
                   int k) {
    const struct link *l = site_link(s, index_of(s->zone, s->n_zone, z), gpu_of(s, g), n,
                                     index_of(s->zone, s->n_zone, y), gpu_of(s, h), k);
    return l ? l->peak_Bps / 1e9 : NAN;
}

/* Peaks in GB/s: BASELINES.md 0.1. */
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

/* First block, forward / backward: BASELINES.md 13.4. */
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
    /* a degree whose layer sizes are unknown is left out */
    struct workload v = load("opt-30b", "gcp");
    const struct profile *v100 = v.profile[gpu_of(v.site, "V100-16")];
    assert_non_null(profile_times(v100, 1, 4));
    assert_null(profile_times(v100, 1, 8));
    assert_non_null(v.profile[gpu_of(v.site, "GH-96")]);
    assert_null(v.profile[gpu_of(v.site, "A100-80")]);
}

/* ---- jobs ------------------------------------------------------------------------------------------------
 */

static struct job load_job(const char *path) {
    struct job j;
    struct err e;
    if (job_load(path, NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
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
    for (int i = 0; i < a->n_pool; i++)
        assert_memory_equal(a->pool[i].count, b->pool[i].count, sizeof(int) * (size_t)(s->n_zone * s->n_gpu));
    size_t side = (size_t)(s->n_zone * s->n_gpu * TP_N);
    for (size_t i = 0; i < side * side; i++) {
        const struct link *x = &s->link[i], *y = &b->workload.site->link[i];
        assert_true(x->known == y->known && x->c0 == y->c0 && x->c1 == y->c1 && x->c2 == y->c2 &&
                    x->peak_Bps == y->peak_Bps);
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
        struct job j = load_job(arena_printf(&arena, "inputs/%s.json", files[i])), k;
        struct err e;
        if (job_from_json(j.json, &k, &arena, &e)) fail_msg("%s", e.text);
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
        {"\"gcp\"", "\"aws\"", "/site: no \"aws\" in inputs/sites; expected one of gcp, local"},
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
        int rc = job_load("FILE", with(base_job, bad[i].from, bad[i].to), NULL, false, &j, &arena, &e);
        if (!*bad[i].word) {
            assert_int_equal(rc, 0);
            continue;
        }
        if (rc == 0) fail_msg("accepted: %s -> %s", bad[i].from, bad[i].to);
        check_error(&e, "FILE: /", bad[i].word);
    }
}

static void money_needs_prices(void **state) {
    static const char *const money[] = {"\"objective\": \"cost\"", "\"objective\": \"frontier\"",
                                        "\"max_usd_per_iteration\": 3"};
    struct err e = {0};
    struct job j;
    (void)state;
    const char *rtx = with(base_job, "A100-40", "RTX-3090");
    assert_int_equal(job_load("FILE", rtx, NULL, false, &j, &arena, &e), 0);
    j.objective = OBJECTIVE_COST; /* as a program does that overrides it */
    assert_int_equal(job_check_prices(&j, "FILE", &e), -1);
    for (size_t i = 0; i < sizeof money / sizeof *money; i++) {
        const char *text = with(rtx, "64,", arena_printf(&arena, "64, %s,", money[i]));
        assert_int_equal(job_load("FILE", text, NULL, false, &j, &arena, &e), -1);
        check_error(&e, "FILE: /pools/0/gpus", "no price of GPU RTX-3090 in zone us-central1-a");
        assert_int_equal(job_load("FILE", with(text, "8}", "0}"), NULL, false, &j, &arena, &e), 0);
    }
}

/* A model of one's own is named by its path; its profiles lie beside it. */
static void a_path_names_a_model(void **state) {
    struct err e = {0};
    struct job j;
    (void)state;
    mkdir(in_tmp("own"), 0777), mkdir(in_tmp("own/models"), 0777), mkdir(in_tmp("own/profiles"), 0777);
    mkdir(in_tmp("own/profiles/mine"), 0777), mkdir(in_tmp("own/jobs"), 0777);
    char *model = with(slurp("inputs/models/opt-350m.json"), "\"opt-350m\"", "\"mine\"");
    char *profile = with(slurp("inputs/profiles/opt-350m/A100-40.json"), "\"opt-350m\"", "\"mine\"");
    char *job = with(base_job, "opt-350m", "../models/mine.json");
    write_text(in_tmp("own/models/mine.json"), model, strlen(model));
    write_text(in_tmp("own/jobs/j.json"), job, strlen(job));
    assert_int_equal(job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &arena, &e), -1);
    check_error(&e, in_tmp("own/jobs/j.json"), "model mine has no profile on GPU A100-40");
    write_text(in_tmp("own/profiles/mine/A100-40.json"), profile, strlen(profile));
    if (job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
    assert_string_equal(j.workload.model->name, "mine");
    assert_string_equal(j.name, "j");
    profile = with(profile, "\"A100-40\"", "\"V100-16\"");
    write_text(in_tmp("own/profiles/mine/A100-40.json"), profile, strlen(profile));
    assert_int_equal(job_load(in_tmp("own/jobs/j.json"), NULL, NULL, false, &j, &arena, &e), -1);
    check_error(&e, tmp, "profiles/mine/A100-40.json: /gpu: \"V100-16\"; expected \"A100-40\"");
}

/* GPU.DTYPE.json wins over GPU.json, and what says another type is not taken for this one. */
static void a_profile_has_an_element_type(void **state) {
    struct err e = {0};
    struct job j;
    struct plan_entry *entry;
    int n;
    (void)state;
    mkdir(in_tmp("typed"), 0777), mkdir(in_tmp("typed/profiles"), 0777);
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
    /* a type that is not stated serves for all */
    write_text(in_tmp("typed/profiles/mine/A100-40.json"), profile, strlen(profile));
    if (job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
    assert_null(j.workload.profile[gpu_of(j.workload.site, "A100-40")]->dtype);
    write_text(in_tmp("typed/profiles/mine/A100-40.json"), full, strlen(full));
    if (job_load(in_tmp("typed/j.json"), NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
    assert_int_equal(job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &arena, &e), -1);
    check_error(&e, tmp, "A100-40.json: /dtype: \"fp32\"; expected \"bf16\"");
    half =
        with(half, "\"update_s\":",
             "\"update_s\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26], \"//\":");
    write_text(in_tmp("typed/profiles/mine/A100-40.bf16.json"), half, strlen(half));
    if (job_load(in_tmp("typed/j16.json"), NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
    const struct profile *p = j.workload.profile[gpu_of(j.workload.site, "A100-40")];
    assert_string_equal(p->dtype, "bf16");
    assert_true(p->times[0].update_by_layer && p->times[0].update_s[25] == 26 &&
                !p->times[1].update_by_layer);
    if (job_load(in_tmp("typed/j.json"), NULL, NULL, false, &j, &arena, &e)) fail_msg("%s", e.text);
    assert_string_equal(j.workload.profile[gpu_of(j.workload.site, "A100-40")]->dtype, "fp32");

    /* plans of one file, each in its own type */
    static const char plan[] =
        "{\"format\": \"sailor-plan/1\", \"model\": \"./mine.json\", \"site\": \"gcp\", \"dtype\": \"%s\", "
        "\"global_batch_size\": 8, \"micro_batch_size\": 1, \"pipelines\": [{\"stages\": [{\"layers\": [0, "
        "26], \"replicas\": [{\"gpu\": \"A100-40\", \"tp\": 1, \"zone\": \"us-central1-a\"}]}]}]}";
    char *plans = arena_printf(&arena, "[%s, %s]", arena_printf(&arena, plan, "bf16"),
                               arena_printf(&arena, plan, "fp32"));
    write_text(in_tmp("typed/plans.json"), plans, strlen(plans));
    if (plans_load(in_tmp("typed/plans.json"), NULL, &entry, &n, &arena, &e)) fail_msg("%s", e.text);
    int g = gpu_of(entry[0].workload->site, "A100-40");
    assert_int_equal(n, 2);
    assert_string_equal(entry[0].workload->profile[g]->dtype, "bf16");
    assert_string_equal(entry[1].workload->profile[g]->dtype, "fp32");
    assert_true(entry[0].workload->element_bytes == 2 && entry[1].workload->element_bytes == 4);
}

/* ---- broken models, sites, profiles: in a stored job, so that no files are needed
 * -------------------------- */

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
        {"\"as_built\":{", "\"as_built\":3,\"//\":{", "/model/as_built: no object"},
        {"sailor-site/1", "sailor-site/9", "/site/format"},
        {"\"us-central1-a\",\"us-central1-b\"", "\"us-central1-a\",\"us-central1-a\"",
         "/site/zones/1: zone \"us-central1-a\" appears twice"},
        {"\"name\":\"V100-16\"", "\"name\":\"A100-40\"",
         "/site/gpus/1/name: GPU type \"A100-40\" appears twice"},
        {"\"gpus_per_node\":4", "\"gpus_per_node\":0", "/site/gpus/0/gpus_per_node: 0;"},
        {"\"memory_bytes\":42949672960", "\"memory_bytes\":0", "/site/gpus/0/memory_bytes: 0;"},
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
        {"\"profiles\":[", "\"profiles\":3,\"//\":[", "/profiles: 3; expected an array"},
    };
    (void)state;
    const char *text = load_job("inputs/fig7.json").json;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct job j;
        if (job_from_json(with(text, bad[i].from, bad[i].to), &j, &arena, &e) == 0)
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "stored inputs: /", bad[i].word);
    }
}

/* ---- plans -----------------------------------------------------------------------------------------------
 */

static const char base_plan[] = "{\"format\": \"sailor-plan/1\", \"model\": \"opt-350m\", \"site\": \"gcp\", "
                                "\"global_batch_size\": 64, \"micro_batch_size\": 2, "
                                "\"pipelines\": [{\"stages\": [{\"layers\": [0, 13], \"replicas\": "
                                "[{\"gpu\": \"A100-40\", \"tp\": 2, \"zone\": \"us-central1-a\", "
                                "\"count\": 4}]}, {\"layers\": [13, 26], \"replicas\": [{\"gpu\": "
                                "\"V100-16\", \"tp\": 4, \"zone\": \"us-central1-b\", \"count\": "
                                "4}]}]}], \"measured\": {\"iteration_time_s\": 2.5}}";

static int load_plans(const char *text, struct plan_entry **p, int *n, struct err *e) {
    write_text(in_tmp("plan.json"), text, strlen(text));
    return plans_load(in_tmp("plan.json"), NULL, p, n, &arena, e);
}

static void plan_files_have_three_forms(void **state) {
    struct plan_entry *p;
    struct err e;
    int n;
    (void)state;
    if (load_plans(base_plan, &p, &n, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 1);
    assert_true(p->measured_time_s == 2.5 && isnan(p->measured_peak_bytes));
    assert_int_equal(p->plan->pipeline[0].n_stage, 2);
    assert_int_equal(p->plan->pipeline[0].stage[1].group[0].tp, 4);
    assert_int_equal(p->workload->global_batch_size, 64);
    assert_string_equal(p->where, arena_printf(&arena, "%s/plan.json: /", tmp));
    const char *other = with(with(base_plan, "opt-350m", "gpt-neo-2.7b"), "64,",
                             "64, \"dtype\": \"bf16\", \"optimizer\": \"sgd\",");
    other = with(with(other, "26]", "34]"), "\"count\": 4}", "\"vms\": [\"A100-40\", \"V100-16\"]}");
    if (load_plans(arena_printf(&arena, "[%s, %s]", base_plan, other), &p, &n, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 2);
    assert_int_equal(p[1].workload->element_bytes, 2);
    assert_true(p[1].workload->state_bytes_per_param == 20 && p[0].workload->state_bytes_per_param == 24);
    assert_int_equal(p[1].plan->pipeline[0].stage[0].group[0].n_vm, 2);
    assert_int_equal(p[1].plan->pipeline[0].stage[0].group[0].count, 1);
    if (load_plans(arena_printf(&arena, "{\"source\": \"x\", \"plans\": [%s]}", base_plan), &p, &n, &e))
        fail_msg("%s", e.text);
    assert_int_equal(n, 1);
    assert_string_equal(p->where, arena_printf(&arena, "%s/plan.json: /plans/0", tmp));
}

static void bad_plans_are_refused(void **state) {
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"sailor-plan/1", "sailor-job/1", "/format: \"sailor-job/1\""},
        {"\"micro_batch_size\": 2, ", "", "/micro_batch_size: missing"},
        {"\"tp\": 2", "\"tp\": 3", "/pipelines/0/stages/0/replicas/0/tp: 3; expected 1, 2, 4 or 8"},
        {"\"tp\": 2", "\"tp\": 8", "/pipelines/0/stages/0/replicas/0: tp 8; expected at most 4"},
        {"\"count\": 4", "\"count\": 0", "/pipelines/0/stages/0/replicas/0/count: 0;"},
        {"\"count\": 4", "\"vm\": 4",
         "/pipelines/0/stages/0/replicas/0/vm: unknown key \"vm\"; expected \"vms\"?"},
        {"\"count\": 4", "\"vms\": [\"x\"]",
         "/pipelines/0/stages/0/replicas/0/vms/0: \"x\"; expected a GPU type of site gcp"},
        {"[0, 13]", "[0, 12]", "/pipelines/0/stages/1/layers: [13, 26); expected to start at layer 12"},
        {"[0, 13]", "[0, 13, 14]", "/pipelines/0/stages/0/layers: an array of 3; expected 2 elements"},
        {"[13, 26]", "[13, 25]", "/pipelines/0/stages: cover layers [0, 25); expected all 26"},
        {"us-central1-b", "mars", "/pipelines/0/stages/1/replicas/0/zone: \"mars\""},
        {"A100-40", "H100", "/pipelines/0/stages/0/replicas/0/gpu: \"H100\""},
        {"\"micro_batch_size\": 2", "\"micro_batch_size\": 3",
         "no profile of opt-350m on A100-40 at microbatch 3 and tp 2"},
        {"2.5}", "-2.5}", "/measured/iteration_time_s: -2.5; expected a number > 0"},
        {"\"pipelines\"", "\"pipeline\"", "/pipeline: unknown key \"pipeline\"; expected \"pipelines\"?"},
    };
    struct plan_entry *p;
    struct err e = {0};
    int n;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (load_plans(with(base_plan, bad[i].from, bad[i].to), &p, &n, &e) == 0)
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, arena_printf(&arena, "%s/plan.json: /", tmp), bad[i].word);
        const char *text =
            arena_printf(&arena, "{\"plans\": [%s, %s]}", base_plan, with(base_plan, bad[i].from, bad[i].to));
        if (load_plans(text, &p, &n, &e) == 0) fail_msg("accepted: %s", bad[i].to);
        check_error(&e, arena_printf(&arena, "%s/plan.json: /plans/1/", tmp), "");
    }
    assert_int_equal(load_plans("3", &p, &n, &e), -1);
    check_error(&e, tmp, "no object; expected a plan");
    assert_int_equal(load_plans("[]", &p, &n, &e), -1);
    check_error(&e, tmp, "an array of 0");
}

static void plans_survive_writing(void **state) {
    struct plan_entry *p;
    struct err e;
    int n;
    (void)state;
    if (plans_load("tests/vectors/simulate.json", NULL, &p, &n, &arena, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 400);
    for (int i = 0; i < n; i++) {
        cJSON *json = plan_to_json(p[i].plan, p[i].workload);
        char *text = cJSON_PrintUnformatted(json);
        cJSON *tree = json_parse("FILE", text, strlen(text), &e);
        struct plan *q = NULL;
        if (!tree || plan_from_json(tree, "FILE", p[i].workload->site, &q, &arena, &e))
            fail_msg("%s", e.text);
        assert_int_equal(plan_compare(p[i].plan, q), 0);
        assert_string_equal(p[i].plan->model, q->model);
        cJSON_free(text);
        cJSON_Delete(json);
        cJSON_Delete(tree);
    }
    struct stage_estimate stages[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    struct estimate est = {.iteration_time_s = 0.5,
                           .compute_usd = NAN,
                           .egress_usd = 0,
                           .cost_usd = NAN,
                           .fits = true,
                           .stage = stages};
    if (load_plans(base_plan, &p, &n, &e)) fail_msg("%s", e.text);
    cJSON *json = estimate_to_json(&est, p->plan);
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(
        text,
        "{\"iteration_time_s\":0.5,\"pipeline_time_s\":0,\"sync_time_s\":0,\"throughput_per_s\":2,"
        "\"compute_usd\":null,\"egress_usd\":0,\"cost_usd_per_iteration\":null,\"fits\":true,"
        "\"peak_memory_bytes\":0,\"pipelines\":[{\"stages\":[{\"compute_s\":1,\"comm_s\":2,\"sync_s\":3,"
        "\"memory_bytes\":4},{\"compute_s\":5,\"comm_s\":6,\"sync_s\":7,\"memory_bytes\":8}]}]}");
    cJSON_free(text);
    cJSON_Delete(json);
}

/* ---- import ----------------------------------------------------------------------------------------------
 */

static int n_compared;

/* Every file below `made` is the same as below inputs/. */
static void compare_dirs(const char *made, const char *committed) {
    DIR *d = opendir(made);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        char *x = arena_printf(&arena, "%s/%s", made, f->d_name),
             *y = arena_printf(&arena, "%s/%s", committed, f->d_name);
        struct stat st;
        assert_int_equal(stat(x, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            compare_dirs(x, y);
        } else {
            if (strcmp(slurp(x), slurp(y)) != 0) fail_msg("%s and %s differ", x, y);
            n_compared++;
        }
    }
    closedir(d);
}

static void import_makes_the_committed_inputs(void **state) {
    static const char artifact[] = "../shared/reference/artifact";
    struct err e;
    (void)state;
    if (access(artifact, R_OK) != 0) skip();
    for (int i = 0; i < 2; i++) {
        char *out = in_tmp(i ? "again" : "made");
        if (import_run(i ? "../shared/reference/artifact/sailor" : artifact,
                       i ? NULL : "inputs/facts/gcp.json", out, &e))
            fail_msg("%s", e.text);
        n_compared = 0;
        compare_dirs(out, "inputs");
        assert_int_equal(n_compared, 28 + 9 /* planners/ */);
    }
}

static void import_takes_a_part(void **state) {
    static const char times[] = "{\"1\": {\"1\": {\"0\": [1, 2, 3], \"1\": [4, 5, 6]}, \"7\": {}}, \"2\": "
                                "{\"4\": {\"1\": [4, 5, 6], \"0\": "
                                "[1, 2, 6]}}}";
    struct err e;
    (void)state;
    mkdir(in_tmp("part"), 0777);
    assert_int_equal(import_run(in_tmp("part"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "nothing to import");
    assert_int_equal(import_run(in_tmp("nowhere"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "no directory");
    mkdir(in_tmp("part/profiles"), 0777), mkdir(in_tmp("part/profiles/OPT-350"), 0777);
    mkdir(in_tmp("part/profiles/OPT-350/H100"), 0777);
    write_text(in_tmp("part/profiles/OPT-350/H100/profile.json"), times, strlen(times));
    if (import_run(in_tmp("part"), NULL, in_tmp("out"), &e)) fail_msg("%s", e.text);
    char *made = slurp(in_tmp("out/profiles/opt-350m/H100.json"));
    assert_non_null(strstr(made, "\"micro_batch_size\": 1, \"tp\": 1, \"forward_s\": [1, 4], \"backward_s\": "
                                 "[2, 5], \"update_s\": [3, 6]}"));
    assert_non_null(strstr(made, "\"micro_batch_size\": 2, \"tp\": 4, \"forward_s\": [1, 4], \"backward_s\": "
                                 "[2, 5], \"update_s\": 6}"));
    write_text(in_tmp("part/profiles/OPT-350/H100/profile.json"), "{\"1\": {\"1\": {\"0\": [1, 2]}}}", 27);
    assert_int_equal(import_run(in_tmp("part"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "profile.json: /1/1/0: an array of 2; expected 3 elements");
}

static void bad_published_files_are_refused(void **state) {
    static const struct {
        enum import_kind kind;
        const char *text, *word;
    } bad[] = {
        {IMPORT_SIZES, "{\"X\": {}}", "/X: model without an entry in the facts file"},
        {IMPORT_SIZES,
         "{\"OPT-350\": {\"2\": {\"0\": {\"params_floats\": 1, \"act_mem_floats\": 1, \"act_output_floats\": "
         "1}}}}",
         "no degree \"1\""},
        {IMPORT_SIZES, "{\"OPT-350\": {\"1\": {\"1\": {}}}}",
         "/OPT-350/1/1: not a layer; expected \"0\" to \"0\""},
        {IMPORT_TIMES, "{\"../x\": {\"A100-40\": {\"1\": {\"1\": {\"0\": [1, 2, 3]}}}}}",
         "\"../x\" as a name"},
        {IMPORT_TIMES, "{\"OPT-350\": {\"A100-40\": {\"one\": {}}}}",
         "/OPT-350/A100-40/one: not a microbatch size"},
        {IMPORT_LINKS, "{\"mars\": {}}", "/mars: unknown name"},
        {IMPORT_LINKS, "{\"us-west1-b\": {\"GH-96\": {\"3\": {}}}}",
         "/us-west1-b/GH-96/3: unknown name; expected one of the 1, 2, 4, 8"},
        {IMPORT_INTRA, "{\"GH-96\": {\"2\": [[1, 2], 3]}}", "/GH-96/2/0: an array of 2; expected 3 elements"},
        {IMPORT_EGRESS, "{\"us-west1-b\": {\"us-west1-b\": -1}}", "/us-west1-b/us-west1-b: -1;"},
        {IMPORT_TRACE, "", "line 1: expected the columns"},
        {IMPORT_TRACE, ",Timestamp,A100-40\n0,1,2", "line 1: expected a column named GPU_zone, not A100-40"},
        {IMPORT_TRACE, ",Timestamp,A100-40_mars\n0,1,2", "expected a zone of the facts file, not mars"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n", "expected at least one row"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1,-2",
         "line 2: expected a count from 0 to 1000000, not -2"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1", "line 2: expected a count"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1,2,3", "line 2: expected no more fields"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,soon,2",
         "line 2: expected a time in seconds, not soon"},
        {IMPORT_PLAN,
         "{\"mbs\": 1, \"gbs\": 1, \"pipeline_list\": [{\"layers_per_stage\": [[0, 2]], \"tmp_per_stage\": "
         "[[]]}]}",
         "/pipeline_list/0/layers_per_stage/0/1: layer 2; expected 1"},
        {IMPORT_PLAN,
         "{\"mbs\": 1, \"gbs\": 1, \"pipeline_list\": [{\"layers_per_stage\": [[0]], \"tmp_per_stage\": "
         "[[[[[\"x\", 4, \"y\"]], 4]]]}]}",
         "/tmp_per_stage/0/0/0/0/0: \"x\"; expected a GPU type"},
        {IMPORT_FACTS, "{\"format\": \"sailor-facts/1\", \"modles\": []}",
         "/modles: unknown key \"modles\"; expected \"models\"?"},
    };
    (void)state;
    char *facts = slurp("inputs/facts/gcp.json");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        if (import_try(bad[i].kind, bad[i].text, strlen(bad[i].text), facts, &e) == 0)
            fail_msg("accepted: %s", bad[i].text);
        check_error(&e, "", bad[i].word);
    }
}

/* ---- what vendors promise ---- */

static double promised(const char *device, const char *gpu, const char *products) {
    struct err e;
    double flops_per_s;
    if (devices_peak("devices.json", slurp("inputs/devices.json"), device, gpu, products, &flops_per_s, &e))
        fail_msg("%s", e.text);
    return flops_per_s;
}

static void peaks_are_those_of_the_device(void **state) {
    (void)state;
    assert_true(promised("NVIDIA H100 80GB HBM3", NULL, "bf16") == 989.4e12);
    assert_true(promised("NVIDIA H100 PCIe", NULL, "bf16") == 756.5e12);
    assert_true(promised("Tesla V100-SXM2-16GB", NULL, "fp16") == 125e12);
    assert_true(promised("NVIDIA H200 (0000:18:00.0)", NULL, "tf32") == 494.5e12);
    assert_true(promised(NULL, "A100-40", "tf32") == 156e12);
    assert_true(promised("a new one", "A100-40", "fp32") == 19.5e12);       /* the plan's word for it */
    assert_true(promised("NVIDIA L4", "A100-40", "fp32") == 30.3e12);       /* the device knows better, ... */
    assert_true(promised("NVIDIA H100 PCIe", "H100-80", "tf32") == 378e12); /* ... before and behind it */
    assert_true(promised(NULL, "V100-16", "tf32") == 15.7e12);              /* no such cores: fp32 */
    assert_true(isnan(promised(NULL, "V100-16", "bf16"))); /* nothing that takes their place */
    assert_true(isnan(promised("NVIDIA GeForce RTX 3090 Ti", NULL, "fp32"))); /* not the 3090 */
    assert_true(isnan(promised("Intel(R) Xeon(R)", "cpu", "fp32")));
    assert_true(isnan(promised(NULL, "A100-40", "fp8")));
}

/* What the corrected FlashFlex takes from data sheets is the same here. */
static void peaks_agree_with_flashflex(void **state) {
    (void)state;
    const char *text = slurp("inputs/planners/flashflex.json");
    cJSON *tree = cJSON_Parse(text);
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(tree, "gpus")) {
        const cJSON *fixed = cJSON_GetObjectItemCaseSensitive(x, "corrected_tflops");
        const char *gpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "gpu"));
        assert_false(
            isnan(promised(NULL, gpu, "fp32"))); /* every type of the published evaluation is known */
        if (!fixed) continue;
        assert_true(promised(NULL, gpu, "fp32") == 1e12 * fixed->valuedouble);
        n++;
    }
    assert_int_equal(n, 3);
    cJSON_Delete(tree);
}

static void bad_devices_are_refused(void **state) {
    (void)state;
    static const char good[] = "{\"format\": \"sailor-devices/1\", \"devices\": [{\"names\": [\"A\"], "
                               "\"tflops\": {\"fp32\": 2}, \"source\": \"s\"}]}";
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"devices/1", "devices/2", "/format"},
        {"\"names\": [\"A\"], ", "", "/devices/0/names"},
        {"[\"A\"]", "[\"\"]", "/devices/0/names/0"},
        {"fp32", "fp23", "fp32"},
        {"\"fp32\": 2", "\"tf32\": 2", "/devices/0/tflops/fp32"},
        {": 2", ": 0", "/devices/0/tflops/fp32"},
        {": 2", ": \"2\"", "/devices/0/tflops/fp32"},
    };
    struct err e;
    double flops_per_s;
    assert_int_equal(devices_peak("d.json", good, "A", NULL, "tf32", &flops_per_s, &e), 0);
    assert_true(flops_per_s == 2e12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){0};
        if (!devices_peak("d.json", with(good, bad[i].from, bad[i].to), "A", NULL, "fp32", &flops_per_s, &e))
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "d.json: ", bad[i].word);
    }
}

static int set_up(void **state) {
    (void)state;
    setenv("SAILOR_INPUTS", "inputs", 1);
    return mkdtemp(tmp) ? 0 : -1;
}

static int tear_down(void **state) {
    char command[100];
    (void)state;
    arena_free(&arena);
    snprintf(command, sizeof command, "rm -rf '%s'", tmp);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(accepts_what_is_json),
        cmocka_unit_test(limits_depth_size_and_keys),
        cmocka_unit_test(names_the_nearest_key),
        cmocka_unit_test(numbers_survive),
        cmocka_unit_test(reads_files_and_pipes_only),
        cmocka_unit_test(finds_inputs),
        cmocka_unit_test(site_has_the_published_links),
        cmocka_unit_test(local_site_knows_only_memory),
        cmocka_unit_test(models_have_the_published_sizes),
        cmocka_unit_test(profiles_have_the_published_times),
        cmocka_unit_test(published_jobs_load),
        cmocka_unit_test(bad_jobs_are_refused),
        cmocka_unit_test(money_needs_prices),
        cmocka_unit_test(a_path_names_a_model),
        cmocka_unit_test(a_profile_has_an_element_type),
        cmocka_unit_test(bad_parts_are_refused),
        cmocka_unit_test(plan_files_have_three_forms),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(plans_survive_writing),
        cmocka_unit_test(import_makes_the_committed_inputs),
        cmocka_unit_test(import_takes_a_part),
        cmocka_unit_test(bad_published_files_are_refused),
        cmocka_unit_test(peaks_are_those_of_the_device),
        cmocka_unit_test(peaks_agree_with_flashflex),
        cmocka_unit_test(bad_devices_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
