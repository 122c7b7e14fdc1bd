#include "planners/planner.h"

extern const struct planner piper_planner, amp_planner, atlas_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &piper_planner,
    &amp_planner,
    &atlas_planner,
    NULL,
};
