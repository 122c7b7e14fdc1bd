#include "planners/planner.h"

extern const struct planner galvatron_planner, dtfm_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &galvatron_planner,
    &dtfm_planner,
    NULL,
};
