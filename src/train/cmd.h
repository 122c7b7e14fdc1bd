#ifndef SAILOR_TRAIN_CMD_H
#define SAILOR_TRAIN_CMD_H
#include "base/opt.h"
#include "io/mpx.h"
#include "train/backend.h"
#include "train/comm.h"
/* The commands of `sailor-train`. Each takes its own argv (argv[0] is the command) and returns the exit
 * status. */

int cmd_run(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_netbench(int argc, char **argv);
int cmd_weights(int argc, char **argv);

extern const struct opt_command run_command, profile_command, netbench_command, weights_command;

#define TRAIN_COMMAND(...) .program = "sailor-train", OPT_COMMAND(__VA_ARGS__)

/* ---- common.c ---- */

/** The supported element types, NULL-terminated; train_elem() maps an index. */
extern const char *const train_dtypes[];
enum elem train_elem(int dtype);
/** The whole of a command behind its command line: MPI from start to finish, the work, its error as a line of
 * rank 0, and a report of which rank died. Returns the exit status; `a` is freed. */
int train_command(const struct opt_command *c, struct mpx *m,
                  int (*work)(void *ctx, struct arena *a, struct err *e), void *ctx, struct arena *a);
/* Choices that all commands share. */
struct train_choice {
    int backend, comm; /* index into the lists below; comm COMM_DEFAULT: NCCL where each rank has a GPU of its
                          own, MPI otherwise */
    int threads;       /* of a CPU rank; 0: its share of the CPUs */
    enum elem elem;
};
enum { BACKEND_CPU, BACKEND_CUDA, COMM_DEFAULT = -1, COMM_MPI = 0, COMM_NCCL };
/** The choices of --backend and --comm, NULL-terminated. */
extern const char *const train_backends[], *const train_comms[];
#define TRAIN_OPTION_COMM(at)                                                                                \
    OPTION_CHOICE(0, "comm", train_comms, at,                                                                \
                  "library that carries messages between ranks; default: nccl if every rank has a GPU of "   \
                  "its own, otherwise mpi")
#define TRAIN_OPTION_THREADS(at)                                                                             \
    OPTION_INT(0, "threads", "N", 1, 4096, at,                                                               \
               "threads per rank; default: $OMP_NUM_THREADS, then the CPUs of the machine (as many as this " \
               "job may use), divided among its ranks")
/** Open backend and communicator of this rank. Collective. -1 with *e set, on all ranks. */
int train_open(const struct mpx *m, struct train_choice o, struct backend *b, struct comm *c, struct err *e);
#endif
