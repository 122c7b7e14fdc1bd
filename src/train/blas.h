#ifndef SAILOR_TRAIN_BLAS_H
#define SAILOR_TRAIN_BLAS_H
#include "base/err.h"
#include <stddef.h>
/* The BLAS that was linked, whichever it is: what cblas.h does not cover. */

/** Its make and version. */
void blas_name(char *text, size_t size);

/** Lets `threads` threads at once do a first product, for which the library takes its work space: otherwise
 * it might find out in the middle of a step that there is none. From now on it has one thread for each
 * product. -1 with *e set (EXIT_INTERNAL); a library that never returns from it ends the job. */
int blas_prepare(int threads, struct err *e);
#endif
