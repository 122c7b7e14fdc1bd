#include "import/draft.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* NCCL_TOPO_DUMP_FILE: the devices of one node as XML. It names GPUs by PCI id and counts NVLinks, but has no
 * measured bandwidth. */

enum { ATTRIBUTES_MAX = 40, DEPTH_MAX = 64, GPUS_OF_A_NODE = 64 };

/* pci.ids, pci-ids.ucw.cz */
static const struct pci_id {
    const char *vendor, *device, *name;
} ids[] = {
    {"10de", "1db1", "V100-16"},    {"10de", "1db5", "V100-32"},      {"10de", "1eb8", "T4-16"},
    {"10de", "20b0", "A100-40"},    {"10de", "20b2", "A100-80"},      {"10de", "20b5", "A100-PCIE-80"},
    {"10de", "2330", "H100-80"},    {"10de", "2331", "H100-PCIE-80"}, {"10de", "2335", "H200-141"},
    {"10de", "2342", "GH-96"},      {"10de", "2348", "GH-144"},       {"10de", "2901", "B200-180"},
    {"10de", "27b8", "L4-24"},      {"10de", "26b9", "L40S-48"},      {"10de", "2237", "A10G-24"},
    {"10de", "2684", "RTX-4090"},   {"10de", "2204", "RTX-3090"},     {"10de", "1e02", "Titan-RTX"},
    {"1002", "74a1", "MI300X-192"},
};

struct tag {
    const char *name;
    const char *key[ATTRIBUTES_MAX], *value[ATTRIBUTES_MAX];
    int n;
    bool closes, empty;
};

struct reader {
    struct draft *d;
    const char *file, *at;
    int line;
    struct err *e;
};

struct gpu_seen {
    const char *said;
    int links;
};

struct node {
    struct gpu_seen gpu[GPUS_OF_A_NODE];
    int systems, n_gpu, nets;
    double net_Mbps;
    const char *open[DEPTH_MAX], *vendor[DEPTH_MAX],
        *device[DEPTH_MAX];  /* elements that are open, a PCI device's ids */
    bool counted[DEPTH_MAX]; /* its GPU */
    int depth;
};

static int fail(const struct reader *r, const char *what) {
    return err_set(r->e, EXIT_INPUT, "%s:%d: %s", r->file, r->line, what);
}

static void skip_space(struct reader *r) {
    for (; isspace((unsigned char)*r->at); r->at++) r->line += *r->at == '\n';
}

static const char *word(struct reader *r) {
    const char *from = r->at;
    while (isalnum((unsigned char)*r->at) || strchr("_-.:", *r->at ? *r->at : ' ')) r->at++;
    return arena_printf(r->d->a, "%.*s", (int)(r->at - from), from);
}

static int read_attributes(struct reader *r, struct tag *t) {
    for (skip_space(r); *r->at && *r->at != '>' && *r->at != '/' && *r->at != '?'; skip_space(r)) {
        const char *key = word(r);
        if (!*key || r->at[0] != '=' || (r->at[1] != '"' && r->at[1] != '\''))
            return fail(r, "no attribute; expected key=\"value\"");
        const char quote = r->at[1], *from = r->at + 2, *to = strchr(from, quote);
        if (!to) return fail(r, "an attribute without its closing quote");
        if (t->n == ATTRIBUTES_MAX) return fail(r, "more than 40 attributes");
        t->key[t->n] = key;
        t->value[t->n++] = arena_printf(r->d->a, "%.*s", (int)(to - from), from);
        for (; r->at <= to; r->at++) r->line += *r->at == '\n';
    }
    return 0;
}

/* The next tag; 1 at the end of the file. */
static int next_tag(struct reader *r, struct tag *t) {
    *t = (struct tag){.n = 0};
    for (;;) {
        for (; *r->at && *r->at != '<'; r->at++) r->line += *r->at == '\n';
        if (!*r->at) return 1;
        bool comment = !strncmp(r->at, "<!--", 4), head = r->at[1] == '?' || (r->at[1] == '!' && !comment);
        if (!comment && !head) break;
        const char *end = strstr(r->at, comment ? "-->" : ">");
        if (!end) return fail(r, "no end of what begins with \"<!\" or \"<?\"");
        for (; r->at < end; r->at++) r->line += *r->at == '\n';
    }
    r->at++;
    t->closes = *r->at == '/';
    r->at += t->closes;
    t->name = word(r);
    if (!*t->name) return fail(r, "\"<\" without a name; expected a tag of NCCL's topology file");
    if (read_attributes(r, t)) return -1;
    t->empty = *r->at == '/';
    r->at += t->empty;
    if (*r->at != '>') return fail(r, "a tag without its \">\"");
    r->at++;
    return 0;
}

static const char *attribute(const struct tag *t, const char *key) {
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->key[i], key)) return t->value[i];
    return NULL;
}

static const char *without_0x(const char *id) { return !strncmp(id, "0x", 2) ? id + 2 : id; }

/* The name of a GPU from its PCI ids, else from its compute capability. */
static const char *gpu_name(struct draft *d, const char *vendor, const char *device, const char *sm) {
    for (size_t i = 0; vendor && device && i < sizeof ids / sizeof *ids; i++)
        if (!strcmp(ids[i].vendor, without_0x(vendor)) && !strcmp(ids[i].device, without_0x(device)))
            return ids[i].name;
    if (vendor && device) return arena_printf(d->a, "%.20s-%.20s", without_0x(vendor), without_0x(device));
    return arena_printf(d->a, "sm%.20s", sm ? sm : "0");
}

static int count_gpu(struct reader *r, struct node *n, const char *sm) {
    int pci = n->depth - 1;
    while (pci >= 0 && strcmp(n->open[pci], "pci") != 0) pci--;
    if (pci >= 0 && n->counted[pci]) return 0;
    if (n->n_gpu == GPUS_OF_A_NODE) return fail(r, "more than 64 GPUs in a node");
    n->gpu[n->n_gpu++] = (struct gpu_seen){
        gpu_name(r->d, pci < 0 ? NULL : n->vendor[pci], pci < 0 ? NULL : n->device[pci], sm), 0};
    if (pci >= 0) n->counted[pci] = true;
    return 0;
}

/* Handles an opening tag; elements inside it come later. */
static int begin(struct reader *r, struct node *n, const struct tag *t) {
    if (n->depth == DEPTH_MAX) return fail(r, "more than 64 elements inside each other");
    if (n->depth == 0 && strcmp(t->name, "system") != 0)
        return fail(r, "no <system>; expected NCCL's topology file");
    if (n->depth == 0 && n->systems++) return fail(r, "another <system>; expected the file of one node");
    n->open[n->depth] = t->name;
    n->vendor[n->depth] = attribute(t, "vendor");
    n->device[n->depth] = attribute(t, "device");
    n->counted[n->depth++] = false;
    const char *class = attribute(t, "class"), *count = attribute(t, "count"), *speed = attribute(t, "speed");
    if (!strcmp(t->name, "gpu")) return count_gpu(r, n, attribute(t, "sm"));
    if (!strcmp(t->name, "pci") && class && !strncmp(without_0x(class), "0302", 4))
        return count_gpu(r, n, NULL);
    if (!strcmp(t->name, "nvlink") && n->n_gpu && count) {
        long links = strtol(count, NULL, 10);
        if (links < 0 || links > 1000) return fail(r, "nvlink: count is not a number of links");
        n->gpu[n->n_gpu - 1].links += (int)links;
    }
    if (!strcmp(t->name, "net") && speed) {
        n->nets++;
        n->net_Mbps = fmax(n->net_Mbps, strtod(speed, NULL));
    }
    return 0;
}

static int read_tags(struct reader *r, struct node *n) {
    struct tag t;
    int rc;
    while (!(rc = next_tag(r, &t))) {
        if (!t.closes && begin(r, n, &t)) return -1;
        if (!t.closes && !t.empty) continue;
        if (!n->depth || strcmp(n->open[n->depth - 1], t.name) != 0)
            return err_set(r->e, EXIT_INPUT, "%s:%d: </%.40s>; expected the end of what is open", r->file,
                           r->line, t.name);
        n->depth--;
    }
    if (rc < 0) return -1;
    if (n->depth)
        return err_set(r->e, EXIT_INPUT, "%s:%d: the file ends inside <%.40s>", r->file, r->line,
                       n->open[n->depth - 1]);
    if (!n->n_gpu)
        return err_set(r->e, EXIT_INPUT, "%s: no <gpu>; expected a topology file that NCCL wrote", r->file);
    return 0;
}

/* Adds the GPUs of one type as a type of the site; their number is the size of its nodes. */
static int put_type(struct reader *r, const struct node *n, int first) {
    struct draft *d = r->d;
    int count = 0, links = n->gpu[first].links;
    for (int i = 0; i < n->n_gpu; i++) {
        if (strcmp(n->gpu[i].said, n->gpu[first].said) != 0) continue;
        if (i < first) return 0;
        count++;
    }
    const struct draft_alias *as = draft_alias(d, n->gpu[first].said, NAN);
    if (!as->name)
        return draft_note(d, "%s: %s left out: %s", r->file, draft_count(d, count, "GPU"), as->why), 0;
    int g = draft_gpu(d, as, count, r->file, r->e);
    if (g < 0) return -1;
    if (d->gpu[g].gpus_per_node != count)
        draft_note(d, "%s: %d %s in this node; the site says %d, which is kept", r->file, count, as->name,
                   d->gpu[g].gpus_per_node);
    draft_note(d,
               "%s: %d %s, %d NVLinks each, %s of %g Gb/s; none of this was measured, so it gives no link "
               "(--nccl-tests does)",
               r->file, count, as->name, links, draft_count(d, n->nets, "network device"),
               n->net_Mbps / 1000);
    return 0;
}

int draft_nccl_topology(struct draft *d, const char *file, const char *text, struct err *e) {
    struct reader r = {.d = d, .file = file, .at = text, .line = 1, .e = e};
    struct node *n = ARENA_NEW(d->a, struct node);
    if (read_tags(&r, n)) return -1;
    if (!d->n_zone && draft_zone(d, d->ask->zone ? d->ask->zone : "cluster", file, e) < 0) return -1;
    for (int i = 0; i < n->n_gpu; i++)
        if (put_type(&r, n, i)) return -1;
    draft_source(d, "node: NCCL's topology (%s)", file);
    return 0;
}
