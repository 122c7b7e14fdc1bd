#include "cli/cli.h"
#include "import/import.h"

static struct { const char *out, *facts; } o;

static const struct opt options[] = {
    OPTION_TEXT('o', "output", "DIR", &o.out,
                "directory of inputs to write to (models/, profiles/, sites/, ...)"),
    OPTION_TEXT(
        0, "facts", "FILE", &o.facts,
        "JSON file with the facts that the artifact's data files do not state (GPU memory, prices, nodes)"),
};
const struct opt_command import_command = {
    .usage = "DIR -o inputs/ [--facts FILE]",
    .about = "Convert profiles, links, prices and plans of the published artifact. DIR holds its files at "
             "their original "
             "paths; the project's own formats are written to the output directory.",
    .details = "example:\n  sailor import path/to/sailor-artifact -o my-inputs/\n",
    OPT_COMMAND("import", options, 1, 1),
};

static int import(const char **dir, int n, struct arena *a, struct err *e) {
    (void)n;
    (void)a;
    if (!o.out) return err_set(e, EXIT_INPUT, "import: missing -o DIR: the directory of inputs to write");
    return import_run(dir[0], o.facts, o.out, e);
}

int cmd_import(int argc, char **argv) { return program_run(&import_command, argc, argv, import); }
