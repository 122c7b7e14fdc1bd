/* The files that published planners read beyond the profile, and the file of their published answers. The
 * first byte says which; the rest is the file. With what loads, the planner must answer for a small pool, or
 * refuse it in one line. */
#include <sys/stat.h>
#include <unistd.h>
#include <stdio.h>

#include "fuzz.h"
#include "formats/inputs.h"
#include "formats/published.h"
#include "planners/planner.h"

static struct job job;
static char dir[64], path[5][160];
static const char *const name[5] = {"varuna", "galvatron", "aceso", "flashflex", "published"};

static void remove_all(void) {
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command)) return;
}

/* A directory of inputs with room for one file of each kind; the job is the project's own. */
static void set_up(void) {
    static struct arena a;
    struct err e;
    REQUIRE(job_load("inputs/fig7.json", NULL, "inputs", true, &job, &a, &e) == 0);
    strcpy(dir, "/tmp/fuzz_planners.XXXXXX");
    REQUIRE(mkdtemp(dir));
    atexit(remove_all);
    snprintf(path[4], sizeof path[4], "%s/planners", dir);
    REQUIRE(mkdir(path[4], 0700) == 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s/planners/%s", dir, name[i]);
        REQUIRE(mkdir(path[i], 0700) == 0);
        strcat(path[i], "/opt-350m");
        REQUIRE(mkdir(path[i], 0700) == 0);
        strcat(path[i], "/A100-40.json");
    }
    snprintf(path[3], sizeof path[3], "%s/planners/flashflex.json", dir);
    snprintf(path[4], sizeof path[4], "%s/published.json", dir);
}

static bool enough(void *looks) { return ++*(long *)looks > 20000; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!dir[0]) set_up();
    if (!size) return 0;
    int which = data[0] % 5;
    struct arena a = {0};
    struct err e = {0};
    FILE *f = fopen(path[which], "w");
    REQUIRE(f && fwrite(data + 1, 1, size - 1, f) == size - 1 && fclose(f) == 0);
    if (which == 4) {
        struct published p;
        if (published_load(path[4], &p, &a, &e)) fuzz_error(&e);
    } else {
        const struct planner *pl = planner_find(name[which]);
        struct pool_entry entry = {0, 0, 4};
        int *count = ARENA_ARRAY(&a, int, job.workload.site->n_zone * job.workload.site->n_gpu);
        count[0] = 4;
        struct pool pool = {.count = count, .n_entry = 1, .entry = &entry};
        long looks = 0;
        struct search_hooks hooks = {.ctx = &looks, .stop = enough};
        struct question q = {.w = &job.workload,
                             .pool = &pool,
                             .max_usd_per_iteration = INFINITY,
                             .states = 50,
                             .hooks = &hooks};
        struct planner_run run = {.estimator = ESTIMATOR_SAILOR};
        struct row_result row;
        if (pl->load(q.w, dir, &q.extra, &a, &e) || planner_walk(pl, &q, &run, &row, &a, &e) < 0)
            fuzz_error(&e);
    }
    unlink(path[which]);
    arena_free(&a);
    return 0;
}
