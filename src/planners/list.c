#include "planners/planner.h"

#include <string.h>

extern const struct planner exact_planner, varuna_planner, piper_planner, amp_planner, galvatron_planner,
    aceso_planner, metis_planner, flashflex_planner, dtfm_planner, atlas_planner, sailor_planner;

/* The published planners in the order of the paper's figures. */
const struct planner *const planners[] = {
    &exact_planner, &varuna_planner,    &piper_planner, &amp_planner,   &galvatron_planner, &aceso_planner,
    &metis_planner, &flashflex_planner, &dtfm_planner,  &atlas_planner, &sailor_planner,    NULL,
};

const struct planner *planner_find(const char *name) {
    for (int i = 0; planners[i]; i++)
        if (!strcmp(planners[i]->name, name)) return planners[i];
    return NULL;
}

const struct planner *planner_that_can(unsigned bits) {
    for (int i = 0; planners[i]; i++)
        if ((planners[i]->can & bits) == bits) return planners[i];
    return NULL;
}
