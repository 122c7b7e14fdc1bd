#ifndef SAILOR_TRAIN_WEIGHTS_H
#define SAILOR_TRAIN_WEIGHTS_H
#include "io/mpx.h"
#include "train/trainer.h"

/** Start from the weights of a safetensors file, under the names of Hugging Face's transformers
 * (train/public.h). Each rank reads its part. Collective. -1 with the same *e on all ranks (EXIT_INPUT). */
int weights_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e);
#endif
