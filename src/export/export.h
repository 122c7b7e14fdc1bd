#ifndef SAILOR_EXPORT_EXPORT_H
#define SAILOR_EXPORT_EXPORT_H
#include "base/arena.h"
#include "sim/job.h"
/* A plan as other trainers take it: launch arguments or a configuration, and the order of their ranks.
 * Everything is pure text in an arena; nothing is collective. docs/export.md says what each trainer can run.
 */

/** Why the trainer cannot run this plan, as half a sentence ("stages differ in their tensor-parallel degree:
 * 2 in stage 0, 4 in stage 1"), in `a`; NULL if it can. The job must have its model loaded. */
const char *export_refusal(enum runner t, const struct job *job, const struct plan *p, struct arena *a);

/** Why the trainer can run no plan of this job's model, likewise; NULL if it can run some. */
const char *export_never(enum runner t, const struct job *job, struct arena *a);

/** The file for a plan that is not refused, in `a`. */
const char *export_text(enum runner t, const struct job *job, const struct plan *p, struct arena *a);

#endif
