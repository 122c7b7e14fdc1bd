#include "base/text.h"
#include "import/draft.h"
#include "import/hostlist.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The nodes of a cluster as Slurm lists them. All GPUs of a node count, even those that a job uses now; nodes
 * that are down or drained do not. */

enum { KINDS_MAX = 64, COUNT_TOP = 1024 };

/* GPUs of one kind on all nodes of a zone. */
struct kind {
    int zone;
    const struct draft_alias *as;
    int gpus, nodes, least, most; /* per node */
};

struct cluster {
    struct draft *d;
    const char *file;
    const char **seen; /* [room] hash table of node names, to count each once */
    size_t n_seen, room;
    struct kind kind[KINDS_MAX];
    int n_kind;
    int nodes, down, elsewhere, unplaced, slices, untyped; /* nodes left out, and MIG slices */
    const char *first_unplaced, *first_slice;
    struct err *e;
};

struct node {
    int line;
    const char *name, *gres, *state, *partitions; /* NULL: not given */
    int times;                                    /* number of equal nodes, if they are not named */
};

static int fail(const struct cluster *c, int line, const char *what, const char *said) {
    return err_set(c->e, EXIT_INPUT, "%s:%d: %s \"%.80s\"; expected GRES as in gpu:a100:4(S:0-3),gpu:a40:2",
                   c->file, line, what, said);
}

/* ---- GRES ---- */

/* A slice of a GPU is named by its share: "a30_2g.12gb". */
static bool is_slice(const char *type) {
    for (const char *at = type; (at = strchr(at, 'g')); at++)
        if (at > type && isdigit((unsigned char)at[-1]) && at[1] == '.' && isdigit((unsigned char)at[2]))
            return true;
    return false;
}

static struct kind *kind_of(struct cluster *c, int zone, const struct draft_alias *as) {
    for (int i = 0; i < c->n_kind; i++)
        if (c->kind[i].zone == zone && c->kind[i].as == as) return &c->kind[i];
    if (c->n_kind == KINDS_MAX) return NULL;
    struct kind *k = &c->kind[c->n_kind++];
    *k = (struct kind){.zone = zone, .as = as, .least = COUNT_TOP};
    return k;
}

/* One entry, "gpu:TYPE:COUNT", "gpu:COUNT", or another resource. */
static int take_entry(struct cluster *c, const struct node *n, int zone, char *entry) {
    char *part[4] = {NULL}, *end, *save = NULL;
    int parts = 0;
    const char *whole = arena_strdup(c->d->a, entry);
    for (char *s = strtok_r(entry, ":", &save); s && parts < 4; s = strtok_r(NULL, ":", &save))
        if (strcmp(s, "no_consume") != 0) part[parts++] = s;
    if (!parts) return fail(c, n->line, "an empty entry in", n->gres);
    if (strcmp(part[0], "gpu") != 0) return 0;
    long count = 1;
    if (parts > 1) {
        count = strtol(part[parts - 1], &end, 10);
        bool number = end > part[parts - 1] && !*end;
        if (!number && parts > 2) return fail(c, n->line, "no count in", whole);
        if (!number)
            count = 1; /* "gpu:tesla": one */
        else
            parts--;
    }
    if (parts > 2 || count < 0 || count > COUNT_TOP) return fail(c, n->line, "no GPUs of a node:", whole);
    if (!count) return 0;
    const char *type = parts == 2 ? part[1] : "gpu";
    if (is_slice(type)) {
        if (!c->slices) c->first_slice = arena_strdup(c->d->a, type);
        c->slices += (int)count * n->times;
        return 0;
    }
    struct kind *k = kind_of(c, zone, draft_alias(c->d, type, NAN));
    if (!k) return fail(c, n->line, "too many kinds of GPUs with", whole);
    k->gpus += (int)count * n->times;
    k->nodes += n->times;
    if (count < k->least) k->least = (int)count;
    if (count > k->most) k->most = (int)count;
    return 0;
}

/* "gpu:a100:4(S:0-3),gpu:a40:2(S:4,5)": parentheses say where they are, and are ignored. */
static int take_gres(struct cluster *c, const struct node *n, int zone) {
    char *copy = arena_strdup(c->d->a, n->gres), *out = copy;
    int depth = 0;
    for (const char *in = n->gres; *in; in++) {
        depth += *in == '(';
        if (!depth) *out++ = *in;
        depth -= *in == ')';
        if (depth < 0) return fail(c, n->line, "brackets do not match in", n->gres);
    }
    *out = '\0';
    if (depth) return fail(c, n->line, "brackets do not match in", n->gres);
    char *save = NULL;
    for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save))
        if (take_entry(c, n, zone, s)) return -1;
    return 0;
}

/* ---- nodes ---- */

static bool is_out(const char *state) {
    static const char *const out[] = {"down", "drain",    "drng",   "fail", "err",
                                      "unk",  "not_resp", "future", "futr", "inval"};
    for (const char *at = state; at; at = strchr(at, '+')) {
        if (*at == '+') at++;
        for (size_t i = 0; i < sizeof out / sizeof *out; i++)
            if (!strncasecmp(at, out[i], strlen(out[i]))) return true;
    }
    return false;
}

/* Is a partition among those of a node? sinfo marks the default one with a star. */
static bool in_partition(const char *list, const char *wanted) {
    size_t n = strlen(wanted);
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (!strncmp(at, wanted, n) && (at[n] == ',' || !at[n] || (at[n] == '*' && !at[n + 1]))) return true;
    }
    return false;
}

static int take_node(struct cluster *c, const struct node *n) {
    const struct draft_wishes *ask = c->d->ask;
    const char *zone = ask->zone ? ask->zone : "cluster";
    c->nodes += n->times;
    if (ask->partition && (!n->partitions || !in_partition(n->partitions, ask->partition)))
        return c->elsewhere += n->times, 0;
    if (!n->gres || !strcmp(n->gres, "(null)") || !strcasecmp(n->gres, "N/A") || !strstr(n->gres, "gpu"))
        return 0;
    if (n->state && is_out(n->state)) return c->down += n->times, 0;
    if (c->d->n_place && n->name) {
        zone = draft_zone_of_node(c->d, n->name);
        if (!zone) {
            if (!c->unplaced) c->first_unplaced = arena_strdup(c->d->a, n->name);
            return c->unplaced++, 0;
        }
    }
    int z = draft_zone(c->d, zone, c->file, c->e);
    return z < 0 ? -1 : take_gres(c, n, z);
}

/* ---- scontrol show node ---- */

/* The value of KEY= in a record, up to the next white space; NULL: not there. */
static const char *field(const char *record, const char *end, const char *key, struct arena *a) {
    size_t n = strlen(key);
    for (const char *at = record; (at = memmem(at, (size_t)(end - at), key, n)); at++) {
        if (at > record && !isspace((unsigned char)at[-1])) continue;
        const char *from = at + n, *to = from;
        while (to < end && !isspace((unsigned char)*to)) to++;
        return arena_printf(a, "%.*s", (int)(to - from), from);
    }
    return NULL;
}

static const char *next_record(const char *from) {
    for (const char *at = from; (at = strstr(at, "NodeName=")); at++)
        if (at == from || at[-1] == '\n') return at;
    return NULL;
}

static int lines_between(const char *from, const char *to) {
    int n = 0;
    for (; from < to; from++) n += *from == '\n';
    return n;
}

static int take_records(struct cluster *c, const char *text) {
    struct arena *a = c->d->a;
    const char *at = next_record(text);
    int line = 1 + lines_between(text, at);
    while (at) {
        const char *next = next_record(at + 1), *end = next ? next : at + strlen(at);
        struct node n = {.line = line,
                         .times = 1,
                         .name = field(at, end, "NodeName=", a),
                         .gres = field(at, end, "Gres=", a),
                         .state = field(at, end, "State=", a),
                         .partitions = field(at, end, "Partitions=", a)};
        if (!*n.name) return err_set(c->e, EXIT_INPUT, "%s:%d: NodeName= without a name", c->file, line);
        if (!n.gres) /* scontrol says "Gres=(null)" of a node without */
            return err_set(
                c->e, EXIT_INPUT,
                "%s:%d: node %.60s without Gres=; expected all of the output of scontrol show node", c->file,
                line, n.name);
        if (take_node(c, &n)) return -1;
        line += lines_between(at, end);
        at = next;
    }
    return 0;
}

/* ---- sinfo ---- */

enum { NODELIST, GRES, STATE, PARTITION, NODES, COLUMN_N, CELLS_MAX = 40 };

static int split(char *line, char *cell[CELLS_MAX]) {
    const char *between = strchr(line, '|') ? "|" : " \t";
    char *save = NULL;
    int n = 0;
    for (char *s = strtok_r(line, between, &save); s && n < CELLS_MAX; s = strtok_r(NULL, between, &save)) {
        while (isspace((unsigned char)*s)) s++;
        for (size_t len = strlen(s); len && isspace((unsigned char)s[len - 1]);) s[--len] = '\0';
        cell[n++] = s;
    }
    return n;
}

static size_t hash(const char *s) {
    size_t h = 1469598103934665603u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h;
}

/* The slot where a name is, or would go. */
static size_t slot_of(const char **seen, size_t room, const char *name) {
    size_t at = hash(name) & (room - 1);
    while (seen[at] && strcmp(seen[at], name) != 0) at = (at + 1) & (room - 1);
    return at;
}

/* A node has a line for each of its partitions. */
static bool is_new(struct cluster *c, const char *name) {
    if (2 * c->n_seen >= c->room) {
        size_t room = c->room ? 2 * c->room : 1024;
        const char **more = ARENA_ARRAY(c->d->a, const char *, room);
        for (size_t i = 0; i < c->room; i++)
            if (c->seen[i]) more[slot_of(more, room, c->seen[i])] = c->seen[i];
        c->seen = more;
        c->room = room;
    }
    size_t at = slot_of(c->seen, c->room, name);
    if (c->seen[at]) return false;
    c->seen[at] = name;
    c->n_seen++;
    return true;
}

static int take_row(struct cluster *c, char *cell[], const int column[COLUMN_N], int line) {
    const char *v[COLUMN_N], **names;
    for (int i = 0; i < COLUMN_N; i++) v[i] = column[i] < 0 ? NULL : cell[column[i]];
    struct node n = {
        .line = line, .times = 1, .gres = v[GRES], .state = v[STATE], .partitions = v[PARTITION]};
    if (!v[NODELIST]) {
        char *end;
        long times = strtol(v[NODES], &end, 10);
        if (end == v[NODES] || *end || times < 0 || times > 1000000)
            return err_set(c->e, EXIT_INPUT, "%s:%d: \"%.60s\" nodes; expected a number", c->file, line,
                           v[NODES]);
        n.times = (int)times;
        return take_node(c, &n);
    }
    int count = hostlist_expand(v[NODELIST], &names, c->d->a);
    if (count < 0)
        return err_set(c->e, EXIT_INPUT, "%s:%d: \"%.60s\"; expected nodes as in node[01-16,20]", c->file,
                       line, v[NODELIST]);
    for (int i = 0; i < count; i++) {
        n.name = names[i];
        if (is_new(c, names[i]) && take_node(c, &n)) return -1;
    }
    return 0;
}

static int take_table(struct cluster *c, const char *text) {
    static const char *const name[COLUMN_N] = {"NODELIST", "GRES", "STATE", "PARTITION", "NODES"};
    char *at = arena_strdup(c->d->a, text), *line, *cell[CELLS_MAX];
    int column[COLUMN_N], number = 0, columns = 0;
    for (int i = 0; i < COLUMN_N; i++) column[i] = -1;
    while ((line = text_take_line(&at))) {
        number++;
        int cells = split(line, cell);
        if (!cells) continue;
        if (!columns) {
            for (int k = 0; k < cells; k++)
                for (int i = 0; i < COLUMN_N; i++)
                    if (!strcmp(cell[k], name[i])) column[i] = k;
            if (column[GRES] < 0 || (column[NODELIST] < 0 && column[NODES] < 0))
                return err_set(
                    c->e, EXIT_INPUT,
                    "%s:%d: neither \"NodeName=\" nor columns NODELIST and GRES; expected the output of "
                    "scontrol show node, or of sinfo -o \"%%N %%G %%T %%P\"",
                    c->file, number);
            columns = cells;
            continue;
        }
        if (cells != columns)
            return err_set(c->e, EXIT_INPUT, "%s:%d: %d columns; expected %d, as in the header", c->file,
                           number, cells, columns);
        if (take_row(c, cell, column, number)) return -1;
    }
    if (!columns)
        return err_set(c->e, EXIT_INPUT, "%s: empty; expected the output of scontrol show node or sinfo",
                       c->file);
    return 0;
}

/* ---- the whole ---- */

/* Turns the counts into types and numbers of GPUs. */
static int settle(struct cluster *c) {
    struct draft *d = c->d;
    int n_gpu = d->n_gpu, known[ZONES_MAX][GPUS_MAX] = {{0}};
    for (int i = 0; i < c->n_kind; i++) {
        const struct kind *k = &c->kind[i];
        if (!k->as->name) {
            draft_note(d, "%s: %s left out: %s", c->file, draft_count(d, k->gpus, "GPU"), k->as->why);
            continue;
        }
        if (!draft_listed(d->ask->gpus, k->as->name)) continue;
        int g = draft_gpu(d, k->as, k->most, c->file, c->e);
        if (g < 0) return -1;
        if (g >= n_gpu && k->most > d->gpu[g].gpus_per_node) d->gpu[g].gpus_per_node = k->most;
        known[k->zone][g] += k->gpus;
        d->available[k->zone][g] = known[k->zone][g];
        if (k->least < k->most || k->most != d->gpu[g].gpus_per_node)
            draft_note(
                d,
                "%s: nodes in %s have %s %s; the site says %d (\"gpus_per_node\" in a job's pools says "
                "how many nodes have fewer)",
                c->file, d->zone[k->zone],
                k->least < k->most ? arena_printf(d->a, "%d to %d", k->least, k->most)
                                   : arena_printf(d->a, "%d", k->most),
                k->as->name, d->gpu[g].gpus_per_node);
    }
    return 0;
}

int draft_slurm(struct draft *d, const char *file, const char *text, struct err *e) {
    struct cluster c = {.d = d, .file = file, .e = e};
    if (next_record(text) ? take_records(&c, text) : take_table(&c, text)) return -1;
    if (c.down)
        draft_note(d, "%s: %s with GPUs left out: down, drained or failed", file,
                   draft_count(d, c.down, "node"));
    if (c.elsewhere)
        draft_note(d, "%s: %d of %s left out: not in partition %s", file, c.elsewhere,
                   draft_count(d, c.nodes, "node"), d->ask->partition);
    if (c.unplaced)
        draft_note(d, "%s: %s with GPUs left out: %s is under no switch of the topology", file,
                   draft_count(d, c.unplaced, "node"), c.first_unplaced);
    if (c.slices)
        draft_note(d, "%s: %s left out (%s): plans cannot use slices", file,
                   draft_count(d, c.slices, "MIG slice"), c.first_slice);
    if (settle(&c)) return -1;
    if (!c.n_kind)
        return err_set(e, EXIT_INPUT, "%s: no GPU in %s; expected nodes with Gres=gpu:...", file,
                       draft_count(d, c.nodes, "node"));
    draft_source(d, "nodes: Slurm (%s)", file);
    return 0;
}
