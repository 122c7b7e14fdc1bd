#include "planners/planner.h"

extern const struct planner metis_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &metis_planner,
    NULL,
};
