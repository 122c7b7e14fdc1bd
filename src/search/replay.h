#ifndef SAILOR_SEARCH_REPLAY_H
#define SAILOR_SEARCH_REPLAY_H
#include "sim/answer.h"
/* How long recorded tasks would have taken on any number of ranks, dealt as deal.h deals them. Pure. */

/** What is assumed: ranks of one thread, as fast as that which did the tasks; nodes of equal size; a step of
 * a message between ranks. */
enum { REPLAY_NODE = 64 }; /* ranks */
#define REPLAY_STEP_S 10e-6
#define REPLAY_PAUSE_S 3.0 /* after so long, what a round has found is told to all and saved */

/** What takes most of the time beyond an equal share of the work. `FEW`: rounds with fewer tasks than ranks;
 * `LONG`: others wait for the last task of a round. */
enum replay_limit { REPLAY_EVERY, REPLAY_FEW, REPLAY_LONG, REPLAY_MESSAGES };

/** All tasks of a kind, in their rounds. */
struct replay_phase {
    int tasks, rounds;
    double work_s, time_s;
    double longest_s; /* of the longest tasks of all rounds: what no number of ranks can do without */
};

struct replay {
    double time_s, efficiency; /* of all ranks: the time of one rank / (ranks * time) */
    struct replay_phase phase[TASK_N];
    enum replay_limit limit;
    enum task_kind kind; /* of the tasks of REPLAY_FEW and REPLAY_LONG */
    double limit_s;
};

/** Of tasks in the order of their rounds, on a number of ranks that is a multiple of REPLAY_NODE or less. */
struct replay replay_tasks(const struct task_result *task, int n, int ranks);

#endif
