#include "cli/scaling.h"

#include "io/json.h"
#include "io/table.h"
#include "search/replay.h"

enum { RANKS_MAX = 4096 };

/* In the plural, of tasks that are dealt. */
static const char *const kind_text[TASK_N] = {"what every rank does itself", "climbs", "bounds", "probes",
                                              "bounds of merged zones",      "proof"};

static const char *limit_text(const struct replay *x, struct arena *a) {
    const char *const *of = kind_text;
    switch (x->limit) {
    case REPLAY_EVERY:
        return of[TASK_EVERY];
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
    cJSON *phases = cJSON_AddArrayToObject(o, "phases");
    for (int k = 0; k < TASK_N; k++) {
        const struct replay_phase *f = &x->phase[k];
        if (!f->tasks) continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "phase", kind_text[k]);
        json_add_number(one, "tasks", f->tasks);
        json_add_number(one, "rounds", f->rounds);
        json_add_number(one, "work_s", f->work_s);
        json_add_number(one, "longest_s", f->longest_s);
        json_add_number(one, "time_s", f->time_s);
        json_add_number(one, "efficiency", f->work_s / (ranks * f->time_s));
        cJSON_AddItemToArray(phases, one);
    }
    json_line(o, stdout);
}

static void show_phases(const struct row_result *q, struct arena *a) {
    static const int ranks[] = {8, 64, 256};
    enum { N = sizeof ranks / sizeof *ranks };
    struct replay x[N];
    struct table *t = table_new("<phase|tasks|rounds|work s|longest s|s on 8|s on 64|s on 256", a);
    for (int i = 0; i < N; i++) x[i] = replay_tasks(q->task, q->n_task, ranks[i]);
    for (int k = 0; k < TASK_N; k++) {
        const struct replay_phase *f = &x[0].phase[k];
        if (!f->tasks) continue;
        table_cell(t, "%s", kind_text[k]);
        table_cell(t, "%d", f->tasks);
        table_cell(t, "%d", f->rounds);
        table_cell(t, "%s", table_number(f->work_s, 3, a));
        table_cell(t, "%s", table_number(f->longest_s, 3, a));
        for (int i = 0; i < N; i++) table_cell(t, "%s", table_number(x[i].phase[k].time_s, 3, a));
    }
    table_print(t, stdout);
    putchar('\n');
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
    show_phases(q, a);
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
            "is found; %g us for each step of a message. Longest: the longest tasks of all rounds "
            "of a phase, one after the other.",
            REPLAY_NODE, REPLAY_PAUSE_S, 1e6 * REPLAY_STEP_S);
    return 0;
}
