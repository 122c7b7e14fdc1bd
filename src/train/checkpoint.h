#ifndef SAILOR_TRAIN_CHECKPOINT_H
#define SAILOR_TRAIN_CHECKPOINT_H
#include "io/mpx.h"
#include "train/trainer.h"
/* Parameters, optimizer state, step and data position in one HDF5 file (docs/trainer.md). Every tensor is
 * stored whole and without padding, so that any plan of the same model can continue from it: bit for bit
 * under the same plan with as many threads, within rounding otherwise. Weights are stored in acc, whatever
 * type elem is. The file is written under a temporary name and renamed: under its own name it is always
 * complete. */

/** Write the state. Rank 0 gathers it tensor by tensor and writes. Collective; all ranks get the same
 * verdict. */
int checkpoint_write(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                     struct err *e);

/** The file's bytes instead of the file, from malloc, on rank 0; NULL on the others. `path` names it in
 * messages.
 */
int checkpoint_image(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                     char **bytes, size_t *size, struct err *e);

/** Continue from a file: every rank reads the rows that it holds. Refuses a different model, seed, data or
 * batch size, since the next sequences would differ. Collective; all ranks get the same verdict. */
int checkpoint_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e);

/* For programs without ranks. */
enum { CHECKPOINT_PATH = 96 };
struct h5_reader;
/** Opens a checkpoint of this model that was checked. -1 with *e set (EXIT_INPUT). */
int checkpoint_open(struct h5_reader *f, const char *path, const struct arch *a, struct arena *arena,
                    struct err *e);
/** Where the weights of a whole tensor are. */
void checkpoint_weight_path(char path[CHECKPOINT_PATH], const struct arch *a, int layer, int tensor);
#endif
