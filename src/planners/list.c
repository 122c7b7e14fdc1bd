#include "planners/planner.h"

extern const struct planner sailor_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &sailor_planner,
    NULL,
};
