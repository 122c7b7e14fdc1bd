#include "planners/planner.h"

extern const struct planner flashflex_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &flashflex_planner,
    NULL,
};
