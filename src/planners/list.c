#include "planners/planner.h"

extern const struct planner varuna_planner, piper_planner, amp_planner, galvatron_planner, aceso_planner,
    metis_planner, flashflex_planner, dtfm_planner, atlas_planner, sailor_planner;

/* In the order of the paper's figures. */
const struct planner *const planners[] = {
    &varuna_planner,    &piper_planner, &amp_planner,   &galvatron_planner, &aceso_planner, &metis_planner,
    &flashflex_planner, &dtfm_planner,  &atlas_planner, &sailor_planner,    NULL,
};
