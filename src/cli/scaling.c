#include "cli/scaling.h"

#include "io/json.h"
#include "io/table.h"
#include "search/replay.h"

enum { RANKS_MAX = 4096 };

static const char *limit_text(const struct replay *x, struct arena *a) {
    static const char *const of[TASK_N] = {"all",  "climbs", "bounds", "probes", "bounds of merged zones",
                                           "proof"};
    switch (x->limit) {
    case REPLAY_EVERY:
        return "what every rank does itself";
    case REPLAY_FEW:
        return arena_printf(a, "%s: fewer tasks than ranks", of[x->kind]);
    case REPLAY_LONG:
        return arena_printf(a, "%s: the last task of a round", of[x->kind]);
    case REPLAY_MESSAGES:
        break;
    }
    return "messages";
}

static void show_json(int row, int ranks, const struct replay *x, struct arena *a) {
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "row", row);
    json_add_number(o, "ranks", ranks);
    json_add_number(o, "time_s", x->time_s);
    json_add_number(o, "efficiency", x->efficiency);
    if (x->limit_s > 0) {
        cJSON_AddStringToObject(o, "limit", limit_text(x, a));
        json_add_number(o, "limit_s", x->limit_s);
    }
    json_line(o, stdout);
}

static void show_row_table(int row, const struct row_result *q, struct arena *a) {
    struct table *t = table_new("ranks|time s|efficiency|most lost s|<to", a);
    for (int ranks = 1; ranks <= RANKS_MAX; ranks *= 2) {
        struct replay x = replay_tasks(q->task, q->n_task, ranks);
        table_cell(t, "%d", ranks);
        table_cell(t, "%s", table_number(x.time_s, 3, a));
        table_cell(t, "%.3f", x.efficiency);
        table_cell(t, "%s", x.limit_s > 0 ? table_number(x.limit_s, 2, a) : "");
        table_cell(t, "%s", x.limit_s > 0 ? limit_text(&x, a) : "");
    }
    printf("row %d: %d tasks\n", row, q->n_task);
    table_print(t, stdout);
    putchar('\n');
}

int scaling_show(const char *path, const struct results *r, int row, bool json, struct arena *a,
                 struct err *e) {
    bool any = false;
    for (int i = 0; i < r->n_row; i++) {
        const struct row_result *q = &r->row[i];
        if ((row >= 0 && i != row) || !q->n_task) continue;
        any = true;
        if (!json) show_row_table(i, q, a);
        for (int ranks = 1; json && ranks <= RANKS_MAX; ranks *= 2) {
            struct replay x = replay_tasks(q->task, q->n_task, ranks);
            show_json(i, ranks, &x, a);
        }
    }
    if (!any)
        return err_set(e, EXIT_INPUT,
                       "%s: --scaling: no tasks are stored%s; expected a file that sailor plan "
                       "--planner exact has written",
                       path, row >= 0 ? " for this row" : "");
    if (!json)
        table_text(
            stdout,
            "Assumed: ranks of one thread, as fast as the one that did the tasks, %d on a node; tasks in the "
            "order and with the effort recorded, whatever number of ranks; a pause every %g s to tell what "
            "is found; %g us for each step of a message.",
            REPLAY_NODE, REPLAY_PAUSE_S, 1e6 * REPLAY_STEP_S);
    return 0;
}
