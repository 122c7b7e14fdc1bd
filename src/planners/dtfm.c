#include "planners/planner.h"
static int search(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    (void)q, (void)a, (void)e;
    *out = (struct answer){0};
    return 0;
}
const struct planner dtfm_planner = {.name = "dtfm", .about = "", .search = search};
