#include "cli/cli.h"

/* sailor COMMAND ... */

static const struct program_command commands[] = {
    {&plan_command, cmd_plan},         {&whatif_command, cmd_whatif},     {&replan_command, cmd_replan},
    {&simulate_command, cmd_simulate}, {&validate_command, cmd_validate}, {&export_command, cmd_export},
    {&report_command, cmd_report},     {&import_command, cmd_import},     {&figures_command, cmd_figures},
    {&list_command, cmd_list},         {&model_command, cmd_model},       {&profile_command, cmd_profile},
    {&site_command, cmd_site},
};

static void print_names(const char *title, const char *const *name, FILE *out) {
    fprintf(out, "%-11s", title);
    for (; *name; name++) fprintf(out, " %s", *name);
    fputc('\n', out);
}

static void print_features(FILE *out) {
    print_names("planners", cli_planners(), out);
    print_names("estimators", cli_estimators(true), out);
}

static const struct program sailor = {
    .name = "sailor",
    .head =
        "sailor plans distributed training: which GPUs, of which type and in which zone, hold which "
        "layers, with which\n"
        "degrees of data, tensor and pipeline parallelism. It searches a declared plan space exactly and "
        "proves its\n"
        "answer: every result carries a lower bound, and \"optimal\" is printed only when the gap is 0.\n\n"
        "usage: sailor COMMAND [options]     (sailor COMMAND --help says more)\n\ncommands:\n",
    .end =
        "examples:\n"
        "  sailor plan fig7 -o fig7.h5                      find and prove the best plan of every pool of "
        "figure 7\n"
        "  sailor export fig7.h5 --row 0 -o plan.json       extract the best plan of the first pool\n"
        "  sailor simulate plan.json                        estimate its time, cost and memory, stage by "
        "stage\n"
        "  mpirun -n 4 sailor plan fig8b -o fig8b.h5        a search on four ranks\n"
        "\n"
        "Results go to stdout, messages and progress to stderr. Exit status: 0 done; 1 internal failure or "
        "unwritable\n"
        "output; 2 bad usage or bad input; 3 no row of the job has a plan; 75 stopped early (--resume "
        "continues).\n",
    .print_features = print_features,
    PROGRAM_COMMANDS(commands),
};

int main(int argc, char **argv) { return program_main(&sailor, argc, argv); }
