#ifndef TESTS_UNIT_FIG_H
#define TESTS_UNIT_FIG_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/inputs.h"
#include "planners/planner.h"
/* The published experiments for tests of planners: jobs of inputs/, and the 15 measured runs. Failures end
 * the test. */

/** inputs/NAME.json with every profile; its `row`, with `corrected`, as a question with the planner's own
 * inputs loaded. */
struct job *fig_job(const char *name, struct arena *a);
struct question fig_question(const struct planner *pl, const struct job *j, int row, bool corrected,
                             struct arena *a);

/** The walk under the published simulator. */
struct row_result fig_walk(const struct planner *pl, const char *job, int row, bool corrected,
                           struct arena *a);

/** The planner's estimate of a measured run ("N8_D2" of inputs/validation/opt-350m-gh200.json,
 * "N1_D1_M4_G32"). */
struct guess fig_measured(const struct planner *pl, const char *run, bool corrected, struct arena *a);

/** Fails, showing both, unless |a - b| <= relative * |b|. */
void fig_near(double a, double b, double relative, const char *what, int i);
#endif
