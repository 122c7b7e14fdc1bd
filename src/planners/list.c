#include "planners/planner.h"

extern const struct planner varuna_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &varuna_planner,
    NULL,
};
