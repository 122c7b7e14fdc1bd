#ifndef SAILOR_TRAIN_WATCH_H
#define SAILOR_TRAIN_WATCH_H
/* Says which rank died. A process that is killed (by the system, when memory is out, or by hand) cannot say
 * so itself, and the launcher only knows a process number. So each rank has a small process beside it that
 * notices when it ends without a farewell, and says which rank it was and where: the first one on a machine,
 * for the launcher then kills the others. */

/** Start watching this process. Before MPI starts, for it forks. Without a launcher there is nothing to say.
 */
void watch_begin(void);
/** Farewell: what comes now is no accident. */
void watch_end(void);
#endif
