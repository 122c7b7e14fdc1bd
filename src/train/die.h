#ifndef SAILOR_TRAIN_DIE_H
#define SAILOR_TRAIN_DIE_H
/* End a job in the middle of its work, when the other ranks are waiting for this one and cannot be told. */

#ifdef __cplusplus
extern "C" {
#endif
/** Say in one line what happened on which rank, and end all ranks with EXIT_INTERNAL. A thread other than the
 * one that started MPI may call it, while that one is not in MPI; where the MPI library gives less than
 * MPI_THREAD_SERIALIZED, the launcher ends the other ranks (srun: with --kill-on-bad-exit). */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#ifdef __cplusplus
}
#endif
#endif
