#include "sim/job.h"

const char *const objective_name[OBJECTIVE_N] = {"throughput", "cost", "frontier"};

double job_iterations(const struct job *j, const struct model *m) {
    double per = (double)j->global_batch_size * m->sequence_length;
    return j->train_tokens > 0 && per > 0 ? ceil(j->train_tokens / per) : 0;
}
