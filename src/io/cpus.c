#include "io/cpus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096 };

void cpus_allowed(cpu_set_t *set) {
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof *set, set)) CPU_SET(0, set);
}

/* The first line of a file, or NULL. */
static char *line_of(const char *path, char *line, int size) {
    FILE *f = fopen(path, "re");
    char *got = f ? fgets(line, size, f) : NULL;
    if (f) fclose(f);
    return got;
}

static double number_in(const char *dir, const char *name) {
    char path[PATH + 64], line[64];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return NAN;
    return line_of(path, line, sizeof line) ? strtod(line, NULL) : NAN;
}

/* The limit of one group: "QUOTA PERIOD" or "max PERIOD" in version 2; two files in version 1, where -1 is
 * none. */
static double limit_of(const char *dir) {
    char path[PATH + 64], line[64], *end;
    int length = snprintf(path, sizeof path, "%s/cpu.max", dir);
    double quota, period;
    if (length < (int)sizeof path && line_of(path, line, sizeof line)) {
        quota = strtod(line, &end);
        period = strtod(end, NULL);
    } else {
        quota = number_in(dir, "cpu.cfs_quota_us");
        period = number_in(dir, "cpu.cfs_period_us");
    }
    return quota > 0 && period > 0 ? quota / period : INFINITY;
}

/* The lowest limit from a group up to its root. A container may see only the root: its membership then names
 * paths that do not exist, and the root holds the limit. */
static double least_limit(const char *mount, const char *group) {
    char dir[PATH];
    double least = INFINITY;
    size_t top = strlen(mount);
    if (snprintf(dir, sizeof dir, "%s%s", mount, group) >= (int)sizeof dir) return INFINITY;
    for (;;) {
        least = fmin(least, limit_of(dir));
        char *slash = strrchr(dir + top, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

static unsigned long long hash(unsigned long long h, const char *text) {
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3ull; /* FNV-1a */
    return h;
}

/* Does the list "cpu,cpuacct" name the controller? */
static int has_cpu(char *list) {
    char *rest;
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (!strcmp(name, "cpu")) return 1;
    return 0;
}

struct cpus_quota cpus_quota_of(const char *membership, const char *root) {
    struct cpus_quota q = {INFINITY, 0xcbf29ce484222325ull};
    FILE *f = fopen(membership, "re");
    char line[PATH], mount[PATH];
    while (f && fgets(line, sizeof line, f)) { /* "0::/group" or "4:cpu,cpuacct:/group" */
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        list++;
        if (snprintf(mount, sizeof mount, "%s%s%s", root, *list ? "/" : "", list) >= (int)sizeof mount)
            continue;
        if (*list && !has_cpu(list)) continue;
        q.cpus = fmin(q.cpus, least_limit(mount, group));
        q.group = hash(q.group, group);
        if (*list) { /* the directory may be named after one of the controllers */
            if (snprintf(mount, sizeof mount, "%s/cpu", root) >= (int)sizeof mount) continue;
            q.cpus = fmin(q.cpus, least_limit(mount, group));
        }
    }
    if (f) fclose(f);
    return q;
}

struct cpus_quota cpus_quota(void) {
    return cpus_quota_of("/proc/self/cgroup", "/sys/fs/cgroup");
}
