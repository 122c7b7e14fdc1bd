#include "search/replay.h"

#include <math.h>

/* Tasks first, first + step, ... of a round on some ranks, each by whoever is free first. Returns when the
 * last one ends. */
static double deal_on_node(const struct task_result *task, int n, int first, int step, int ranks) {
    double free_at[REPLAY_NODE] = {0}, end = 0;
    for (int i = first; i < n; i += step) {
        int who = 0;
        for (int r = 1; r < ranks; r++)
            if (free_at[r] < free_at[who]) who = r;
        free_at[who] += task[i].seconds;
        end = fmax(end, free_at[who]);
    }
    return end;
}

/* A round of n tasks: the tasks go round the nodes. */
static double round_time(const struct task_result *task, int n, int ranks) {
    int nodes = (ranks + REPLAY_NODE - 1) / REPLAY_NODE;
    double end = 0;
    for (int k = 0; k < nodes; k++)
        end = fmax(end, deal_on_node(task, n, k, nodes, nodes > 1 ? REPLAY_NODE : ranks));
    return end;
}

/* Each round ends with three exchanges between all: times, sizes of answers, answers. */
static double exchange_time(int ranks) {
    enum { EXCHANGES = 3 };
    return ranks > 1 ? EXCHANGES * REPLAY_STEP_S * ceil(log2(ranks)) : 0;
}

struct replay replay_tasks(const struct task_result *task, int n, int ranks) {
    struct replay out = {0};
    double lost[REPLAY_MESSAGES + 1][TASK_N] = {{0}}, alone = 0;
    for (int i = 0, end; i < n; i = end) {
        double sum = 0;
        for (end = i; end < n && task[end].round == task[i].round && task[end].kind == task[i].kind; end++)
            sum += task[end].seconds;
        alone += sum;
        if (task[i].kind == TASK_EVERY) {
            out.time_s += sum;
            lost[REPLAY_EVERY][TASK_EVERY] += sum - sum / ranks;
            continue;
        }
        double time = round_time(task + i, end - i, ranks), messages = exchange_time(ranks);
        out.time_s += time + messages;
        lost[end - i < ranks ? REPLAY_FEW : REPLAY_LONG][task[i].kind] += time - sum / ranks;
        lost[REPLAY_MESSAGES][TASK_EVERY] += messages;
    }
    for (int l = REPLAY_EVERY; l <= REPLAY_MESSAGES; l++)
        for (int k = 0; k < TASK_N; k++) {
            if (!(lost[l][k] > out.limit_s)) continue;
            out.limit = (enum replay_limit)l;
            out.kind = (enum task_kind)k;
            out.limit_s = lost[l][k];
        }
    out.efficiency = out.time_s > 0 ? alone / (ranks * out.time_s) : 1;
    return out;
}
