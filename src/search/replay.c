#include "search/replay.h"

#include <math.h>

/* Each round ends with two exchanges between all: what fits into a short message, and the rest. */
static double exchange_time(int ranks) {
    enum { EXCHANGES = 2 };
    return ranks > 1 ? EXCHANGES * REPLAY_STEP_S * ceil(log2(ranks)) : 0;
}

/* A node's share of a round, tasks *next, *next + nodes, ...: who is free first takes the next one, unless it
 * is `pause`, after one task each. Begins at `begin`; returns when the last one that was begun ends. */
static double deal_on_node(const struct task_result *task, int n, int *next, int nodes, int ranks,
                           double begin, double pause) {
    double free_at[REPLAY_NODE], end = begin;
    for (int r = 0; r < ranks; r++) free_at[r] = begin;
    for (int done = 0; *next < n; *next += nodes, done++) {
        int who = 0;
        for (int r = 1; r < ranks; r++)
            if (free_at[r] < free_at[who]) who = r;
        if (done >= ranks && free_at[who] >= pause) break;
        free_at[who] += task[*next].seconds;
        end = fmax(end, free_at[who]);
    }
    return end;
}

/* A round of n tasks, which go round the nodes. Those whose answers are saved in between pause for it. */
static double round_time(const struct task_result *task, int n, int ranks) {
    int nodes = (ranks + REPLAY_NODE - 1) / REPLAY_NODE, next[nodes];
    bool pauses = task[0].kind == TASK_PROOF || task[0].kind == TASK_CLIMB;
    double now = 0;
    for (int k = 0; k < nodes; k++) next[k] = k;
    for (bool left = true; left;) {
        double end = now, pause = pauses ? now + REPLAY_PAUSE_S : INFINITY;
        left = false;
        for (int k = 0; k < nodes; k++) {
            end = fmax(end,
                       deal_on_node(task, n, &next[k], nodes, nodes > 1 ? REPLAY_NODE : ranks, now, pause));
            left = left || next[k] < n;
        }
        now = end + (left ? exchange_time(ranks) : 0);
    }
    return now;
}

struct replay replay_tasks(const struct task_result *task, int n, int ranks) {
    struct replay out = {0};
    double lost[REPLAY_MESSAGES + 1][TASK_N] = {{0}}, alone = 0;
    for (int i = 0, end; i < n; i = end) {
        double sum = 0, longest = 0;
        for (end = i; end < n && task[end].round == task[i].round && task[end].kind == task[i].kind; end++) {
            sum += task[end].seconds;
            longest = fmax(longest, task[end].seconds);
        }
        alone += sum;
        struct replay_phase *phase = &out.phase[task[i].kind];
        phase->tasks += end - i;
        phase->rounds++;
        phase->work_s += sum;
        phase->longest_s += longest;
        if (task[i].kind == TASK_EVERY) {
            out.time_s += sum;
            phase->time_s += sum;
            lost[REPLAY_EVERY][TASK_EVERY] += sum - sum / ranks;
            continue;
        }
        double time = round_time(task + i, end - i, ranks), messages = exchange_time(ranks);
        out.time_s += time + messages;
        phase->time_s += time + messages;
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
