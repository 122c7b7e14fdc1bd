#include "train/cmd.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* sailor-train COMMAND ...: finds the command, and makes sure that what it printed has arrived. */

/* the libraries of matrix products that say who they are */
extern char *openblas_get_config(void) __attribute__((weak));
extern char *bli_info_get_version_str(void) __attribute__((weak));

static const struct {
    const struct opt_command *command;
    int (*run)(int, char **);
} commands[] = {{&run_command, cmd_run}, {&profile_command, cmd_profile}, {&netbench_command, cmd_netbench}};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out) {
    fputs("sailor-train trains a transformer by a plan of `sailor`: pipeline, data and tensor parallelism "
          "that may differ\n"
          "from stage to stage and from replica to replica. One MPI rank is one device.\n\n"
          "usage: mpirun -n RANKS sailor-train COMMAND [options]     (sailor-train COMMAND --help says "
          "more)\n\n"
          "commands:\n",
          out);
    for (int i = 0; i < COMMANDS; i++) {
        const char *about = commands[i].command->about, *end = strchr(about, '.');
        fprintf(out, "  %-10s%.*s\n", commands[i].command->name,
                end ? (int)(end - about) : (int)strlen(about), about);
    }
    fputs("  help      this text, or `sailor-train help COMMAND`\n"
          "  version   version and build features (also --version)\n\n"
          "Results go to stdout, messages and progress to stderr. Exit status: 0 done; 1 internal failure or "
          "unwritable\n"
          "output; 2 bad usage or bad input; 3 the plan does not fit into memory; 75 stopped early.\n",
          out);
}

static void print_version(FILE *out) {
    unsigned major = 0, minor = 0, release = 0;
    char mpi[120];
    H5get_libversion(&major, &minor, &release);
    mpx_version(mpi, sizeof mpi);
    fprintf(out, "sailor-train %s\n", train_version());
#ifdef __clang__
    fprintf(out, "compiler    clang %s\n", __clang_version__);
#else
    fprintf(out, "compiler    gcc %s\n", __VERSION__);
#endif
    fprintf(out, "MPI         %s\n", mpi);
    fprintf(out, "HDF5        %u.%u.%u\n", major, minor, release);
    fprintf(out, "cJSON       %s\n", cJSON_Version());
    fprintf(out, "BLAS        %s\n",
            openblas_get_config        ? openblas_get_config()
            : bli_info_get_version_str ? bli_info_get_version_str()
                                       : "of unknown make");
    fprintf(out, "backends   ");
    for (int i = 0; train_backends[i]; i++) fprintf(out, " %s", train_backends[i]);
    fprintf(out, " (CUDA: not built)\ncomm       ");
    for (int i = 0; train_comms[i]; i++) fprintf(out, " %s", train_comms[i]);
    fprintf(out, " (NCCL: not built)\n");
}

static int unknown(const char *name) {
    const char *names[COMMANDS + 2] = {"help", "version"};
    struct err e;
    for (int i = 0; i < COMMANDS; i++) names[i + 2] = commands[i].command->name;
    const char *near = opt_nearest(name, names, COMMANDS + 2);
    err_set(&e, EXIT_INPUT, "unknown command '%s'%s%s%s; see 'sailor-train --help'", name,
            near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return mpx_launch_rank() == 0 ? train_fail(&e) : (int)e.code;
}

static int dispatch(int argc, char **argv) {
    struct err e;
    if (argc < 2) {
        err_set(&e, EXIT_INPUT, "expected a command; see 'sailor-train --help'");
        return mpx_launch_rank() == 0 ? train_fail(&e) : (int)e.code;
    }
    const char *name = argv[1];
    bool wants_help = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
    bool wants_version = !strcmp(name, "version") || !strcmp(name, "--version") || !strcmp(name, "-V");
    if (mpx_launch_rank() != 0 && (wants_version || wants_help)) return EXIT_OK;
    if (wants_help && argc == 2) return help(stdout), EXIT_OK;
    if (wants_version) return print_version(stdout), EXIT_OK;
    if (wants_help) name = argv[2];
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(name, commands[i].command->name)) {
            if (wants_help) return commands[i].run(2, (char *[]){argv[2], "--help", NULL});
            return commands[i].run(argc - 1, argv + 1);
        }
    return unknown(name);
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error like a full disk, not a crash */
    int status = dispatch(argc, argv);
    if (fflush(stdout) || ferror(stdout)) { /* a full disk behind a pipe or a redirection is a failure too */
        fprintf(stderr, "sailor-train: error: standard output: %s\n",
                errno ? strerror(errno) : "cannot be written");
        if (status == EXIT_OK) status = EXIT_INTERNAL;
    }
    return status;
}
