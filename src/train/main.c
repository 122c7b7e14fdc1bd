#include "base/oom.h"
#include "io/program.h"
#include "train/blas.h"
#include "train/cmd.h"
#include "train/cuda_load.h"

#include <unistd.h>

/* sailor-train COMMAND ... */

static const struct program_command commands[] = {{&run_command, cmd_run},
                                                  {&profile_command, cmd_profile},
                                                  {&netbench_command, cmd_netbench},
                                                  {&weights_command, cmd_weights}};

static void print_features(FILE *out) {
    char path[4000], blas[200];
    struct cuda_functions cuda = {0};
    struct err e;
    blas_name(blas, sizeof blas);
    fprintf(out, "BLAS        %s\n", blas);
    if (cuda_find(path, sizeof path))
        fprintf(out, "backends    cpu (cuda: not built)\n");
    else if (cuda_load(path, &cuda, &e))
        fprintf(out, "backends    cpu (%s)\n", e.text);
    else
        fprintf(out, "backends    cpu cuda (%s)\n", path);
    fprintf(out, "comm        mpi%s\n", cuda.comm_open ? " nccl" : " (nccl: not built)");
}

static const struct program trainer = {
    .name = "sailor-train",
    .head =
        "sailor-train trains a transformer under a plan of `sailor`, whose pipeline, data and tensor "
        "parallelism may\n"
        "differ from stage to stage and from replica to replica. One MPI rank is one device.\n"
        "\n"
        "usage: mpirun -n RANKS sailor-train COMMAND [options]     (sailor-train COMMAND --help says more)\n"
        "\n"
        "commands:\n",
    .end =
        "Results go to stdout, messages and progress to stderr. Exit status: 0 done; 1 internal failure or "
        "unwritable\n"
        "output; 2 bad usage or bad input; 3 the plan does not fit into memory; 75 stopped early.\n",
    .print_features = print_features,
    PROGRAM_COMMANDS(commands),
};

/* Where memory is limited, a thread of OpenBLAS may ask for memory forever, and the library's exit
 * handler waits for that thread, so the program then ends without handlers. */
int main(int argc, char **argv) {
    int status = program_main(&trainer, argc, argv);
    if (!oom_limited()) return status;
    fflush(NULL);
    _exit(status);
}
