/* Limits of control groups, in trees of files made for the test. */
#include "io/cpus.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/sailor-cpus-XXXXXX";

static void put(const char *name, const char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0700);
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct cpus_quota quota(const char *membership) {
    char path[300];
    put("membership", membership);
    snprintf(path, sizeof path, "%s/membership", root);
    return cpus_quota_of(path, root);
}

static int begin(void **state) {
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state) {
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void version_2(void **state) {
    (void)state;
    put("job/cpu.max", "150000 100000\n");
    put("job/step/cpu.max", "max 100000\n");
    put("job/step/task/cpu.max", "400000 100000\n");
    assert_true(fabs(quota("0::/job/step/task\n").cpus - 1.5) < 1e-12); /* the lowest, wherever it is */
    assert_true(fabs(quota("0::/job/step\n").cpus - 1.5) < 1e-12);
    assert_true(isinf(quota("0::/other\n").cpus));
    put("cpu.max", "30000 100000\n"); /* a container sees its limit at the root, but a path from outside */
    assert_true(fabs(quota("0::/of/the/host\n").cpus - 0.3) < 1e-12);
    put("cpu.max", "max 100000\n");
}

static void version_1(void **state) {
    (void)state;
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put("cpu/free/cpu.cfs_quota_us", "-1\n");
    put("cpu/free/cpu.cfs_period_us", "100000\n");
    put("cpu/held/cpu.cfs_quota_us", "50000\n");
    put("cpu/held/cpu.cfs_period_us", "100000\n");
    assert_true(fabs(quota("5:memory:/free\n4:cpu,cpuacct:/job\n0::/\n").cpus - 2.5) < 1e-12);
    assert_true(isinf(quota("1:cpu:/free\n").cpus));
    assert_true(fabs(quota("1:cpu:/held\n").cpus - 0.5) < 1e-12);
    assert_true(isinf(quota("1:cpuset:/held\n").cpus)); /* another controller */
}

static void sharing(void **state) {
    (void)state;
    assert_true(quota("0::/a\n").group == quota("0::/a\n").group);
    assert_true(quota("0::/a\n").group != quota("0::/b\n").group);
}

static void nothing_there(void **state) {
    (void)state;
    assert_true(isinf(cpus_quota_of("/nonexistent", root).cpus));
    assert_true(isinf(quota("nonsense\n0:\n").cpus));
    assert_true(cpus_quota().cpus > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(version_2), cmocka_unit_test(version_1),
                                       cmocka_unit_test(sharing), cmocka_unit_test(nothing_there)};
    return cmocka_run_group_tests(tests, begin, end);
}
