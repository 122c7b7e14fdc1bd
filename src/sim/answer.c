#include "sim/answer.h"

const char *const row_status_name[4] = {"todo", "optimal", "feasible", "infeasible"};
