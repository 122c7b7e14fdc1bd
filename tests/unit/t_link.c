/* Fits of links: how native treats those that are wrong at some sizes. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/inputs.h"
#include "sim/estimate.h"
#include "sim/link.h"
#include "texts.h"

static struct err e;

static struct link as_read(double c2, double c1, double c0) {
    return (struct link){.c2 = c2, .c1 = c1, .c0 = c0, .peak_Bps = 1e10, .known = true};
}

static double native(const struct link *l, double bytes) { return link_time_s(l, bytes, ESTIMATOR_NATIVE); }

/* Times are positive, and no message takes longer than a larger one: from 1 byte to 64 GiB in small steps. */
static void check_times(const struct link *l) {
    double before = 0;
    for (double bytes = 1; bytes < 6.9e10; bytes *= 1.03) {
        double t = native(l, bytes);
        if (!(t > 0 && isfinite(t) && t >= before * (1 - 1e-12)))
            fail_msg("[%g, %g, %g]: %g bytes: %g s after %g s", l->c2, l->c1, l->c0, bytes, t, before);
        assert_true(link_usable(l, bytes, ESTIMATOR_NATIVE));
        before = t;
    }
}

static bool grows_everywhere(const struct link *l) {
    struct link raw = as_read(l->c2, l->c1, l->c0);
    double before = 0;
    for (double bytes = MEASURED_MIN_BYTES; bytes <= MEASURED_MAX_BYTES; bytes *= 1.01) {
        double t = native(&raw, bytes);
        if (!(t > before)) return false;
        before = t;
    }
    return true;
}

static void times_of_shipped_links_grow(void **state) {
    static const char *const site[] = {"gcp", "clariden"};
    int cut = 0, whole = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct workload w;
        const char *text;
        if (site_load(site[i], "inputs", &w, &text, &texts, &e)) fail_msg("%s", e.text);
        assert_null(w.site->note);
        size_t side = (size_t)w.site->n_zone * (size_t)w.site->n_gpu * TP_N;
        for (size_t k = 0; k < side * side; k++) {
            const struct link *l = &w.site->link[k];
            if (!l->known) continue;
            check_times(l);
            struct link raw = as_read(l->c2, l->c1, l->c0);
            bool sound = grows_everywhere(l);
            for (double x = 1e3; x < 1e10; x *= 1.7) { /* the published simulator has its poles */
                assert_true(link_time_s(l, x, ESTIMATOR_SAILOR) == link_time_s(&raw, x, ESTIMATOR_SAILOR));
                if (sound) assert_true(native(l, x) == native(&raw, x)); /* to the last bit */
            }
            sound ? whole++ : cut++;
        }
    }
    assert_true(whole > 100 && cut > 10);
}

static void times_of_any_fit_grow(void **state) {
    int settled = 0;
    (void)state;
    srand(4);
    for (int i = 0; i < 20000; i++) {
        double v[3];
        for (int k = 0; k < 3; k++) v[k] = rand() % 4 ? (rand() % 2001 - 1000) / (k == 0 ? 1e4 : 1e2) : 0;
        struct link l = as_read(v[0], v[1], v[2]);
        bool positive = false;
        for (double x = MEASURED_MIN_BYTES; x <= MEASURED_MAX_BYTES && !positive; x *= 1.1)
            positive = link_usable(&l, x, ESTIMATOR_NATIVE) && (l.c2 != 0 || l.c1 != 0 || l.c0 > 0);
        if (!link_settle(&l)) continue;
        assert_true(positive || l.c2 != 0);
        assert_true(link_top_Bps(&l) > 0);
        if (settled++ % 20 == 0) check_times(&l);
    }
    assert_true(settled > 5000);
}

static void a_constant_is_itself(void **state) {
    struct link ten = as_read(0, 0, 10), none = as_read(0, 0, 0), less = as_read(0, 0, -5);
    (void)state;
    assert_true(link_settle(&ten));
    assert_true(ten.min_bytes == 0 && ten.max_bytes == 0);
    assert_true(link_top_Bps(&ten) == 1e10);
    assert_false(link_settle(&none));
    assert_false(link_settle(&less));
    /* a pole within the measured sizes: past the point where it falls to half its top, it stays there */
    struct link falls = as_read(-0.2, 0, 10);
    assert_true(link_settle(&falls));
    check_times(&falls);
    assert_true(fabs(1 / native(&falls, 1e9) - 5) < 1e-9);
}

/* A site with one link of this fit. */
static int read_site(const char *fit, struct workload *w) {
    const char *text, *path = in_tmp("s.json"),
                      *json = arena_printf(&texts,
                                           "{\"format\":\"sailor-site/1\",\"name\":\"s\",\"zones\":[\"a\"],"
                                           "\"gpus\":[{\"name\":\"g\",\"memory_bytes\":1e9,"
                                           "\"gpus_per_node\":1}],\"links\":{\"fits\":[%s],"
                                           "\"rows\":[[\"a\",\"g\",1,\"a\",\"g\",1,0]]}}",
                                           fit);
    write_text(path, json, strlen(json));
    return site_load(path, "inputs", w, &text, &texts, &e);
}

static void what_cannot_be_is_refused_or_noted(void **state) {
    static const struct {
        const char *fit, *word;
    } bad[] = {
        {"[0,0,0,1e10]", "no bandwidth above 0"},
        {"[0,0,-5,1e10]", "no bandwidth above 0"},
        {"[-1,0,-1,1e10]", "no bandwidth above 0"},
        {"[0,0,1e10,1e10]", "expected c2, c1, c0 in 1e9 B/s"},
        {"[0,0,10,10]", "expected c2, c1, c0 in 1e9 B/s"},
        {"[0,0,1e-300,0]", "a fit of 1e-291 to 1e-291 B/s"},
        {"[0,0,9e-10,0]", "of a link of 1 to 1e+15 B/s"},
        {"[0,1e-10,5e-10,0]", "of a link of 1 to 1e+15 B/s"},
        {"[1e-10,0,5e-10,0]", "of a link of 1 to 1e+15 B/s"},
        {"[0,0,2e6,0]", "of a link of 1 to 1e+15 B/s"},
    };
    struct workload w;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_site(bad[i].fit, &w), -1);
        check_error(&e, in_tmp("s.json"), bad[i].word);
        check_error(&e, in_tmp("s.json"), ": /links/fits/0: ");
    }
    assert_int_equal(read_site("[0,0,10,1e10]", &w), 0);
    assert_null(w.site->note);
    assert_int_equal(read_site("[0,0,1e-9,1]", &w), 0);
    assert_int_equal(read_site("[0,0,10,5e9]", &w), 0);
    assert_null(w.site->note);
    assert_int_equal(read_site("[0,0,10,1e11]", &w), 0);
    assert_non_null(
        strstr(w.site->note, "/links/fits/0: a fit of up to 1e+10 B/s and a measured peak of 1e+11"));
    assert_int_equal(read_site("[0,0,100,8e9]", &w), 0);
    assert_non_null(w.site->note);
}

/* latency + bytes / rate at any size, in both estimators, one by one and in an all-reduce. */
static void a_rate_and_a_latency(void **state) {
    const struct link l = {.latency_s = 1e-5, .rate_Bps = 2e10, .peak_Bps = 2e10, .known = true};
    (void)state;
    for (double bytes = 1; bytes < 1e11; bytes *= 3)
        for (int est = 0; est < ESTIMATOR_N; est++) {
            double want = 1e-5 + bytes / 2e10, ring = 2 * 3 * (1e-5 + bytes / 4 / 2e10);
            assert_true(fabs(link_time_s(&l, bytes, (enum estimator)est) - want) < 1e-12 * want);
            assert_true(link_usable(&l, bytes, (enum estimator)est));
            if (bytes > BUCKET_BYTES) continue;
            assert_true(fabs(allreduce_time_s(&l, bytes, 4, (enum estimator)est) - ring) < 1e-12 * ring);
        }
    check_times(&l);
}

/* No all-reduce with any number of workers in a range takes less than the bound, and some take hardly more:
 * for links with a fit, which estimators use as it is or within the measured sizes, and with a rate. */
static void least_all_reduce_of_a_range(void **state) {
    (void)state;
    srand(5);
    int usable = 0, tight = 0;
    for (int i = 0; i < 20000; i++) {
        double v[3];
        for (int k = 0; k < 3; k++) v[k] = (rand() % 2001 - 1000) / (k == 0 ? 1e4 : 1e2);
        struct link l = as_read(v[0], v[1], fabs(v[2]));
        enum estimator est = (enum estimator)(i % ESTIMATOR_N);
        if (i % 7 == 0) l = (struct link){.latency_s = 1e-5, .rate_Bps = 2e10, .known = true};
        if (est == ESTIMATOR_NATIVE && i % 7 && !link_settle(&l)) continue;
        double bytes = pow(10, 4 + rand() % 600 / 100.0), best = INFINITY;
        int from = 2 + rand() % 30, to = from + rand() % (2 * from);
        struct allreduce fewest = allreduce_of(bytes, from, est), most = allreduce_of(bytes, to, est);
        double least = allreduce_least_s(&l, &fewest, &most);
        for (int k = from; k <= to; k++) {
            struct allreduce r = allreduce_of(bytes, k, est);
            if (!allreduce_usable(&l, &r)) continue;
            double t = allreduce_on(&l, &r);
            if (!(least <= t)) fail_msg("[%g, %g, %g]: %d: %g s below %g s", l.c2, l.c1, l.c0, k, t, least);
            best = fmin(best, t);
        }
        if (!(best < INFINITY)) continue;
        usable++;
        tight += best <= least * 1.2;
        if (from == to) assert_true(best <= least * (1 + 1e-11));
    }
    assert_true(usable > 5000 && tight > usable / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_of_shipped_links_grow), cmocka_unit_test(times_of_any_fit_grow),
        cmocka_unit_test(a_constant_is_itself),        cmocka_unit_test(a_rate_and_a_latency),
        cmocka_unit_test(least_all_reduce_of_a_range), cmocka_unit_test(what_cannot_be_is_refused_or_noted),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
