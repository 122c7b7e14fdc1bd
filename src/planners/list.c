#include "planners/planner.h"

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    NULL,
};
