#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* sailor COMMAND ...: finds the command, and makes sure that what it printed has arrived. */

static const struct {
    const struct opt_command *command;
    int (*run)(int, char **);
} commands[] = {
    {&plan_command, cmd_plan},     {&simulate_command, cmd_simulate}, {&validate_command, cmd_validate},
    {&export_command, cmd_export}, {&report_command, cmd_report},     {&import_command, cmd_import},
    {&figures_command, cmd_figures},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out) {
    fputs("sailor plans distributed training: which GPUs, of which type and in which zone, hold which "
          "layers, with which\n"
          "degrees of data, tensor and pipeline parallelism. It searches a declared plan space exactly and "
          "proves its\n"
          "answer: every result carries a lower bound, and \"optimal\" is printed only when the gap is 0.\n\n"
          "usage: sailor COMMAND [options]     (sailor COMMAND --help says more)\n\ncommands:\n",
          out);
    for (int i = 0; i < COMMANDS; i++) {
        const char *about = commands[i].command->about, *end = strchr(about, '.');
        fprintf(out, "  %-10s%.*s\n", commands[i].command->name,
                end ? (int)(end - about) : (int)strlen(about), about);
    }
    fputs("  help      this text, or `sailor help COMMAND`\n"
          "  version   version and build features (also --version)\n\n"
          "examples:\n"
          "  sailor plan inputs/fig7.json -o fig7.h5          find and prove the best plan of every pool of "
          "figure 7\n"
          "  sailor export fig7.h5 --row 0 -o plan.json       take the best plan of the first pool out of "
          "the file\n"
          "  sailor simulate plan.json                        its time, cost and memory, stage by stage\n"
          "  mpirun -n 4 sailor plan JOB.json --objective frontier -o OUT.h5    the same search on four "
          "ranks\n\n"
          "Results go to stdout, messages and progress to stderr. Exit status: 0 done; 1 internal failure or "
          "unwritable\n"
          "output; 2 bad usage or bad input; 3 no row of the job has a plan; 75 stopped early (--resume "
          "continues).\n",
          out);
}

static int unknown(const char *name) {
    const char *names[COMMANDS + 2] = {"help", "version"};
    struct err e;
    for (int i = 0; i < COMMANDS; i++) names[i + 2] = commands[i].command->name;
    const char *near = opt_nearest(name, names, COMMANDS + 2);
    err_set(&e, EXIT_INPUT, "unknown command '%s'%s%s%s; see 'sailor --help'", name,
            near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return cli_fail(&e);
}

static int run(int argc, char **argv) {
    struct err e;
    if (argc < 2) {
        err_set(&e, EXIT_INPUT, "expected a command; see 'sailor --help'");
        return cli_fail(&e);
    }
    const char *name = argv[1];
    bool wants_help = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
    if (wants_help && argc == 2) return help(stdout), EXIT_OK;
    if (!strcmp(name, "version") || !strcmp(name, "--version") || !strcmp(name, "-V")) {
        cli_print_version(stdout);
        return EXIT_OK;
    }
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
    int status = run(argc, argv);
    if (fflush(stdout) || ferror(stdout)) { /* a full disk behind a pipe or a redirection is a failure too */
        fprintf(stderr, "sailor: error: standard output: %s\n",
                errno ? strerror(errno) : "cannot be written");
        if (status == EXIT_OK) status = EXIT_INTERNAL;
    }
    return status;
}
