#include "sim/answer.h"

const char *const row_status_name[4] = {"todo", "optimal", "feasible", "infeasible"};

void bounds_add(struct bound_counts *to, const struct bound_counts *more) {
    to->block += more->block;
    to->merged += more->merged;
    to->full += more->full;
    to->laid += more->laid;
    to->grid += more->grid;
    to->chain += more->chain;
    to->sides += more->sides;
    to->rent += more->rent;
    to->traffic += more->traffic;
    to->islands += more->islands;
}
