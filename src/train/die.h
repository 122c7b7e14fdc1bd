#ifndef SAILOR_TRAIN_DIE_H
#define SAILOR_TRAIN_DIE_H
/* End a job in the middle of its work, when the other ranks are waiting for this one and cannot be told. */

#ifdef __cplusplus
extern "C" {
#endif
/** Say in one line what happened on which rank, and end all ranks with EXIT_INTERNAL. In a thread that did
 * not start MPI only this rank ends, and the launcher ends the others (srun: with --kill-on-bad-exit). */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#ifdef __cplusplus
}
#endif
#endif
