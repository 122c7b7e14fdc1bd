#ifndef SAILOR_TRAIN_CHECKPOINT_H
#define SAILOR_TRAIN_CHECKPOINT_H
#include "io/mpx.h"
#include "train/trainer.h"
/* Parameters, optimizer state, step and data position in one HDF5 file (docs/trainer.md). Every tensor is
 * stored whole and without padding, so that any plan of the same model can go on from it: bit for bit under
 * the same plan, within rounding under another. Weights are those in acc, whatever type elem is. The file is
 * written under another name and renamed: what stands under its name is whole. */

/** Write the state. Rank 0 gathers it tensor by tensor and writes. Collective; all ranks get the same
 * verdict. */
int checkpoint_write(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                     struct err *e);

/** Go on from a file: every rank reads the rows it holds. Refuses another model, another seed, other data and
 * a batch of another size: the next sequences would be others. Collective; all ranks get the same verdict. */
int checkpoint_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e);
#endif
