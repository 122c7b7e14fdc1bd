#include "planners/planner.h"

extern const struct planner aceso_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &aceso_planner,
    NULL,
};
