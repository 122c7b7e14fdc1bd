/* A plan file, with its estimate. A plan that loads is written and read back as the same plan. */
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(const struct plan_entry *p, struct arena *a) {
    struct err e = {0};
    struct estimate est = {0};
    struct plan *again;
    cJSON *tree = plan_to_json(p->plan, p->workload);
    char *text = cJSON_PrintUnformatted(tree);
    cJSON *read = json_parse("FILE", text, strlen(text), &e);
    REQUIRE(read && plan_from_json(read, "FILE", p->workload->site, &again, a, &e) == 0);
    REQUIRE(plan_compare(p->plan, again) == 0);
    cJSON_Delete(tree);
    cJSON_Delete(read);
    cJSON_free(text);
    long gpus = 0; /* the estimate visits every replica: keep that short */
    for (int i = 0; i < p->plan->n_pipeline; i++)
        for (int k = 0; k < p->plan->pipeline[i].n_stage; k++)
            gpus += stage_replicas(&p->plan->pipeline[i].stage[k]);
    if (gpus > 1000) return;
    for (int est_i = 0; est_i < ESTIMATOR_N; est_i++)
        if (estimate_plan(p->workload, p->plan, (enum estimator)est_i, &est, &e) == 0)
            cJSON_Delete(estimate_to_json(&est, p->plan));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    struct plan_entry *p;
    char path[40];
    int n, fd = memfd_create("plans", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (plans_load(path, FUZZ_INPUTS, &p, &n, &a, &e))
        fuzz_error(&e);
    else
        for (int i = 0; i < n; i++) check(&p[i], &a);
    close(fd);
    arena_free(&a);
    return 0;
}
