#ifndef SAILOR_TRAIN_DIE_H
#define SAILOR_TRAIN_DIE_H
/* The end of a job in the middle of its work, when the other ranks wait for this one and cannot be told. */

#ifdef __cplusplus
extern "C" {
#endif
/** Says in one line what happened and on which rank, and ends all ranks with EXIT_INTERNAL. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#ifdef __cplusplus
}
#endif
#endif
