#include "base/text.h"
#include "cli/cli.h"
#include "formats/inputs.h"
#include "import/draft.h"
#include "io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* sailor site */

static struct {
    const char *output, *merge, *name, *slurm, *topology, *nccl_tests, *nccl_topology, *skypilot, *gpuhunt,
        *preset, *egress, *inputs;
    bool force;
    struct draft_wishes ask;
} o;

static const struct opt options[] = {
    OPTION_GROUP("what to read, in any combination"),
    OPTION_TEXT('m', "merge", "SITE", &o.merge,
                "start from this site, given as a file or a name; what the other sources say is added to it "
                "or replaces parts of it"),
    OPTION_MAYBE("slurm", "FILE", &o.slurm,
                 "read nodes and GPUs from the output of `scontrol show node` (also with -o) or `sinfo -o "
                 "'%N %G %T %P'`; without FILE, scontrol is run"),
    OPTION_MAYBE("topology", "FILE", &o.topology,
                 "with --slurm, read zones from topology.yaml, topology.conf, or the output of `scontrol "
                 "show topology`, which is run if there is no FILE; each switch becomes a zone"),
    OPTION_TEXT(0, "nccl-tests", "FILE", &o.nccl_tests,
                "read a link from the output of all_reduce_perf or another program of nccl-tests, as text or "
                "JSON (-J)"),
    OPTION_TEXT(0, "nccl-topology", "FILE", &o.nccl_topology,
                "read the GPUs of a node from the XML that NCCL_TOPO_DUMP_FILE makes"),
    OPTION_TEXT(0, "skypilot", "FILE", &o.skypilot,
                "read prices from the vms.csv of a SkyPilot catalog (v8)"),
    OPTION_TEXT(0, "gpuhunt", "FILE", &o.gpuhunt, "read prices from a gpuhunt catalog (CSV)"),
    OPTION_TEXT(0, "preset", "TYPES", &o.preset,
                "take nodes, and links inside a zone, from the data sheets of these GPU types, separated by "
                "commas; or give the name of a link in inputs/links.json (ib-ndr, eth-100g, ...) between "
                "--from and --to, or everywhere"),
    OPTION_TEXT(0, "egress", "USD", &o.egress,
                "egress price per 1e9 bytes, between any two zones (inside one: 0), or FROM:TO=USD,...: no "
                "source has it"),
    OPTION_GROUP("how to read it"),
    OPTION_TEXT(0, "zone", "NAME", &o.ask.zone, "zone for nodes that no topology places (default cluster)"),
    OPTION_TEXT(0, "partition", "NAME", &o.ask.partition, "read only the nodes in this Slurm partition"),
    OPTION_INT(0, "level", "N", 0, 16, &o.ask.level,
               "level of the switches that become zones; 0 is the level of the nodes' own switches; default: "
               "the lowest level with at most 16 switches"),
    OPTION_TEXT(0, "from", "ZONE/GPU", &o.ask.from,
                "where nccl-tests ran, or a link of --preset begins (then also just a zone); "
                "default: the only zone and type"),
    OPTION_TEXT(0, "to", "ZONE/GPU", &o.ask.to, "the other end of the link, if it is elsewhere"),
    OPTION_TEXT(0, "collective", "NAME", &o.ask.collective,
                "what nccl-tests measured (all_reduce, ...), if its output does not say"),
    OPTION_TEXT(0, "zones", "LIST", &o.ask.zones,
                "zones or regions to take from the catalog, separated by commas; OURS=ITS renames one; "
                "default: those that the site has, else all"),
    OPTION_TEXT(0, "gpus", "LIST", &o.ask.gpus,
                "take only these GPU types, separated by commas; default for a catalog: those that the site "
                "has, else all"),
    OPTION_FLAG(0, "spot", &o.ask.spot, "take prices of spot instances instead of on-demand prices"),
    OPTION_TEXT(0, "map", "LIST", &o.ask.map,
                "GPU types by their names in a source: ITS=OURS, separated by commas"),
    OPTION_TEXT(0, "memory", "LIST", &o.ask.memory,
                "memory of GPU types without a data sheet: TYPE=GiB, separated by commas"),
    OPTION_GROUP("output"),
    OPTION_TEXT('o', "output", "FILE", &o.output, "write the site file here; default: standard output"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_TEXT(0, "name", "NAME", &o.name, "name of the site; default: the name of the output file"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command site_command = {
    .usage = "--slurm [FILE]|--skypilot FILE|--preset TYPES|... [-o FILE] [options]",
    .about = "Make or edit a site file from what a cluster, its tools and price lists report.",
    .details =
        "What no source provides stays null or is left out, and a message on stderr says so; no figure is "
        "made up.\n\n"
        "examples:\n"
        "  sailor site --slurm -o mine.json\n"
        "  sailor site -m mine.json --nccl-tests allreduce.txt --from cluster/H100-80 -o mine.json -f\n"
        "  sailor site -m mine.json --skypilot ~/.sky/catalogs/v8/gcp/vms.csv --zones cluster=us-east5-a -o "
        "mine.json "
        "-f\n",
    OPT_COMMAND("site", options, 0, 0),
};

/* The output of a command. NULL with *e set. */
static const char *output_of(const char *command, struct arena *a, struct err *e) {
    FILE *p = popen(arena_printf(a, "%s 2>&1", command), "r");
    struct text t = {0};
    char part[4096];
    size_t n;
    if (!p) return err_set(e, EXIT_INTERNAL, "%s: %s", command, strerror(errno)), NULL;
    while ((n = fread(part, 1, sizeof part - 1, p)) > 0 && t.n < FILE_TEXT_MAX) {
        part[n] = '\0';
        text_add(&t, "%s", part);
    }
    int status = pclose(p);
    const char *text = arena_strdup(a, t.s ? t.s : "");
    text_free(&t);
    if (status == 0) return text;
    err_set(e, EXIT_INPUT, "%s: status %d: %.*s; expected Slurm on this machine, or a file with its output",
            command, WIFEXITED(status) ? WEXITSTATUS(status) : 128, (int)strcspn(text, "\n"), text);
    return NULL;
}

typedef int (*reader)(struct draft *, const char *, const char *, struct err *);

static int read_file(struct draft *d, reader read, const char *path, struct arena *a, struct err *e) {
    const char *text = path ? file_read_text(path, NULL, a, e) : "";
    return !path ? 0 : text ? read(d, path, text_after_mark(text), e) : -1;
}

/* Reads a file, or the output of a command. */
static int read_slurm(struct draft *d, reader read, const char *path, const char *command, struct arena *a,
                      struct err *e) {
    if (!path || *path) return read_file(d, read, path, a, e);
    const char *text = output_of(command, a, e);
    return text ? read(d, command, text, e) : -1;
}

static int read_all(struct draft *d, const char *links, struct arena *a, struct err *e) {
    return read_slurm(d, draft_topology, o.topology, "scontrol show topology", a, e) ||
                   read_slurm(d, draft_slurm, o.slurm, "scontrol show node -o", a, e) ||
                   read_file(d, draft_nccl_topology, o.nccl_topology, a, e) ||
                   (o.preset && draft_preset(d, o.preset, links, e)) ||
                   read_file(d, draft_skypilot, o.skypilot, a, e) ||
                   read_file(d, draft_gpuhunt, o.gpuhunt, a, e) ||
                   read_file(d, draft_nccl_tests, o.nccl_tests, a, e) ||
                   (o.preset && draft_preset_links(d, o.preset, links, e)) ||
                   (o.egress && draft_egress(d, o.egress, e))
               ? -1
               : 0;
}

static const char *stem(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && !strcmp(base + n - 5, ".json")) n -= 5;
    return arena_printf(a, "%.*s", (int)n, base);
}

/* Writes the text of the site, and notes everything worth saying. */
static int make(struct draft *d, struct text *t, struct arena *a, struct err *e) {
    struct workload w = {0};
    const char *old = NULL, *dir = inputs_dir(o.inputs, a, e);
    const char *path = dir ? arena_printf(a, "%s/devices.json", dir) : NULL,
               *devices = path ? file_read_text(path, NULL, a, e) : NULL;
    if (!devices || draft_begin(d, &o.ask, path, devices, a, e)) return -1;
    if (o.merge && (site_load(o.merge, o.inputs, &w, &old, a, e) || draft_from_site(d, w.site, old, e)))
        return -1;
    const char *links = o.preset ? file_read_text(arena_printf(a, "%s/links.json", dir), NULL, a, e) : NULL;
    if ((o.preset && !links) || read_all(d, links, a, e)) return -1;
    const char *name = o.name ? o.name : o.output ? stem(o.output, a) : w.site ? w.site->name : "site";
    if (draft_text(d, name, t, e)) return -1;
    draft_note_gaps(d);
    return 0;
}

static int site(const char **file, int n, struct arena *a, struct err *e) {
    (void)file;
    (void)n;
    struct draft d = {0};
    struct text t = {0};
    if (!o.merge && !o.slurm && !o.nccl_topology && !o.skypilot && !o.gpuhunt && !o.preset)
        return err_set(e, EXIT_INPUT, "site: missing argument; usage: sailor site %s", site_command.usage);
    if (o.topology && !o.slurm)
        return err_set(e, EXIT_INPUT, "site: --topology groups the nodes of --slurm; expected --slurm, too");
    const char *in[] = {o.slurm, o.topology, o.nccl_tests, o.nccl_topology, o.skypilot, o.gpuhunt};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) /* --merge may be replaced: that edits it */
        if (file_spare(o.output, in[i], e)) return -1;
    if (o.output && file_can_create(o.output, o.force, "use -f to overwrite it", e)) return -1;
    int rc = make(&d, &t, a, e);
    if (!rc) rc = file_spare_read(o.output, o.merge ? site_path(o.merge, o.inputs, a) : NULL, e);
    if (!rc) rc = file_write(o.output, t.s, t.n, e);
    for (const struct draft_note *x = d.note; x && !rc; x = x->next)
        fprintf(stderr, "sailor: %s\n", text_printable(x->text, a));
    draft_free(&d);
    text_free(&t);
    return rc;
}

int cmd_site(int argc, char **argv) {
    o.ask.level = -1;
    return program_run(&site_command, argc, argv, site);
}
