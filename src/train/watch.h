#ifndef SAILOR_TRAIN_WATCH_H
#define SAILOR_TRAIN_WATCH_H
/* Reports which rank died. A process that is killed (by hand, or by the system when it runs out of memory)
 * cannot report it itself, and the launcher only knows a process number. So each rank has a small process
 * beside it that notices when the rank ends without watch_end(), and reports which rank it was and where.
 * Only the first death on a machine is reported, because the launcher then kills the others. */

/** Start watching this process. Call it before MPI starts, because it forks. Without a launcher it does
 * nothing.
 */
void watch_begin(void);
/** Stop watching: from here on the end of the process is intended. */
void watch_end(void);
#endif
