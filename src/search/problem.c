#include "search/problem.h"

struct search_problem search_problem_of(const struct job *job, int row) {
    return (struct search_problem){.w = &job->workload,
                                   .pool = job->pool[row].count,
                                   .nodes = job->pool[row].nodes,
                                   .estimator = ESTIMATOR_DEFAULT,
                                   .objective = job->objective,
                                   .max_usd_per_iteration = job->max_usd_per_iteration,
                                   .min_iterations_per_s = job->min_iterations_per_s,
                                   .pin = &job->pin,
                                   .exact_batch = job->exact_batch,
                                   .top_k = 1};
}
