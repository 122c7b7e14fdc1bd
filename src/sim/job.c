#include "sim/job.h"

const char *const objective_name[OBJECTIVE_N] = {"throughput", "cost", "frontier"};
