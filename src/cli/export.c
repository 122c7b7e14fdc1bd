#include "cli/cli.h"
#include "io/planjson.h"

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
    .usage = "OUT.h5 [options] -o PLAN.json",
    .about =
        "Take a stored plan out of a file of results. What comes out is read by `sailor simulate` and by "
        "`sailor-train run`.",
    .details = "example:\n  sailor export fig7.h5 --row 2 -o plan.json && sailor simulate plan.json\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
    .min_files = 1,
    .max_files = 1,
};

static const struct found_plan *pick(const struct results *r, const char *path, struct err *e) {
    int i = cli_pick_row(r, path, o.row, e);
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

static int export_plan(const char *path, struct arena *a, struct err *e) {
    struct results r;
    if (results_read(path, NULL, &r, a, e)) return -1;
    const struct found_plan *f = pick(&r, path, e);
    if (!f) return -1;
    cJSON *json = plan_to_json(f->plan, &r.job->workload);
    char *text = cJSON_Print(json);
    int rc = cli_write_text(o.out, arena_printf(a, "%s\n", text), o.force, e);
    cJSON_free(text);
    cJSON_Delete(json);
    return rc;
}

int cmd_export(int argc, char **argv) {
    struct arena a = {0};
    struct err e;
    const char **file;
    int n, status = EXIT_OK;
    o.row = o.rank = o.frontier = -1;
    if (cli_parse(&export_command, argc, argv, &file, &n, &a, &status) && export_plan(file[0], &a, &e))
        status = cli_fail(&e);
    arena_free(&a);
    return status;
}
