#include "cli/cli.h"
#include "io/file.h"
#include "formats/planjson.h"

#include <string.h>

static struct {
    const char *out;
    bool force;
    int row, rank, frontier;
} o;

static const struct opt options[] = {
    {'o', "output", OPT_TEXT, "PLAN.json", "file to write; without it the plan goes to stdout", &o.out, 0, 0,
     NULL},
    {'f', "force", OPT_FLAG, NULL, "overwrite an existing PLAN.json", &o.force, 0, 0, NULL},
    {0, "row", OPT_INT, "R", "pool row, from 0; default: the first one that has a plan", &o.row, 0, 1e9,
     NULL},
    {0, "rank", OPT_INT, "K", "the plan at place K of the row's best plans (`plan --top`), from 0; default 0",
     &o.rank, 0, 1e9, NULL},
    {0, "frontier", OPT_INT, "I", "point I of the row's frontier instead, from 0 = fastest", &o.frontier, 0,
     1e9, NULL},
};
const struct opt_command export_command = {
    .name = "export",
    .usage = "OUT.h5 [options]",
    .about =
        "Take a stored plan out of a file of results. What comes out is read by `sailor simulate` and by "
        "`sailor-train run`.",
    .details = "example:\n  sailor export fig7.h5 --row 2 -o plan.json && sailor simulate plan.json\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
    .min_files = 1,
    .max_files = 1,
};

/* Index of a row: `wanted`, or the first row with a plan if it is -1. -1 with *e set. */
static int pick_row(const struct results *r, const char *path, int wanted, struct err *e) {
    if (wanted >= r->n_row)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", path, wanted, r->n_row - 1);
    if (wanted >= 0) return wanted;
    for (int i = 0; i < r->n_row; i++)
        if (show_best(&r->row[i])) return i;
    return err_set(e, EXIT_INPUT, "%s: holds no plan", path);
}

static const struct found_plan *pick(const struct results *r, const char *path, struct err *e) {
    int i = pick_row(r, path, o.row, e);
    if (i < 0) return NULL;
    const struct row_result *row = &r->row[i];
    bool frontier = o.frontier >= 0 || (o.rank < 0 && row->n_plan == 0);
    int k = frontier ? o.frontier : o.rank, n = frontier ? row->n_frontier : row->n_plan;
    if (k < 0) k = 0;
    if (k < n) return frontier ? &row->frontier[k] : &row->plan[k];
    err_set(e, EXIT_INPUT, "%s: row %d has %d %s; there is no number %d", path, i, n,
            frontier ? "frontier points" : "plans", k);
    return NULL;
}

/* A job that names its model or site by a path means that file, wherever the plan is read. */
static void name_inputs(cJSON *plan, const char *inputs_json) {
    static const char *const keys[] = {"model", "site"};
    cJSON *all = cJSON_Parse(inputs_json);
    const cJSON *job = cJSON_GetObjectItemCaseSensitive(all, "job");
    for (int i = 0; i < 2; i++) {
        const char *as = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job, keys[i]));
        if (as) cJSON_ReplaceItemInObjectCaseSensitive(plan, keys[i], cJSON_CreateString(as));
    }
    cJSON_Delete(all);
}

static int export_plan(const char **file, int n, struct arena *a, struct err *e) {
    (void)n;
    struct results r;
    const char *path = file[0];
    if (results_read(path, NULL, &r, a, e)) return -1;
    const struct found_plan *f = pick(&r, path, e);
    if (!f) return -1;
    if (o.out && file_can_create(o.out, o.force, "-f overwrites it", e)) return -1;
    cJSON *json = plan_to_json(f->plan, &r.job->workload);
    name_inputs(json, r.inputs_json);
    char *json_text = cJSON_Print(json);
    const char *text = arena_printf(a, "%s\n", json_text);
    int rc = file_write(o.out, text, strlen(text), e);
    cJSON_free(json_text);
    cJSON_Delete(json);
    return rc;
}

int cmd_export(int argc, char **argv) {
    o.row = o.rank = o.frontier = -1;
    return program_run(&export_command, argc, argv, export_plan);
}
