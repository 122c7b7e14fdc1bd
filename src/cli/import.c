#include "cli/cli.h"
#include "io/import.h"

static struct { const char *out, *facts; } o;

static const struct opt options[] = {
    {'o', "output", OPT_TEXT, "DIR", "directory of inputs to fill (models/, profiles/, sites/, ...)", &o.out,
     0, 0, NULL},
    {0, "facts", OPT_TEXT, "FILE",
     "what the artifact's data files do not say (GPU memory, prices, nodes), as JSON", &o.facts, 0, 0, NULL},
};
const struct opt_command import_command = {
    .name = "import",
    .usage = "DIR -o inputs/ [--facts FILE]",
    .about = "Convert profiles, links, prices and plans of the published artifact. DIR holds its files at "
             "their original "
             "paths; the project's own formats are written to the output directory.",
    .details = "example:\n  sailor import ../shared/reference/artifact -o inputs/\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
    .min_files = 1,
    .max_files = 1,
};

int cmd_import(int argc, char **argv) {
    struct arena a = {0};
    struct err e;
    const char **dir;
    int n, status = EXIT_OK;
    if (cli_parse(&import_command, argc, argv, &dir, &n, &a, &status)) {
        int rc = o.out ? import_run(dir[0], o.facts, o.out, &e)
                       : err_set(&e, EXIT_INPUT, "import: missing -o DIR: the directory of inputs to write");
        if (rc) status = cli_fail(&e);
    }
    arena_free(&a);
    return status;
}
