#include "base/names.h"
#include "base/text.h"
#include "import/draft.h"
#include "import/hostlist.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How Slurm groups nodes: a tree of switches, or blocks. Switches of one level become zones. Slurm knows no
 * bandwidths (LinkSpeed is free text that nothing reads), so links have to be measured. */

enum { SWITCHES_MAX = 4096, DEPTH_MAX = 16 };

struct place {
    const char *node, *zone;
};

struct fabric_switch {
    const char *name, *nodes, *children; /* lists, NULL where there are none */
    int line, parent, level, topology;   /* topology: its index in topology.yaml, from 1 */
};

struct fabric {
    struct draft *d;
    const char *file;
    struct fabric_switch *sw; /* [n] */
    int n;
    struct err *e;
};

static int fail(const struct fabric *f, int line, const char *what) {
    return err_set(f->e, EXIT_INPUT, "%s:%d: %s", f->file, line, what);
}

static int by_node(const void *x, const void *y) {
    return strcmp(((const struct place *)x)->node, ((const struct place *)y)->node);
}

const char *draft_zone_of_node(const struct draft *d, const char *node) {
    struct place key = {node, NULL};
    const struct place *p = bsearch(&key, d->place, (size_t)d->n_place, sizeof key, by_node);
    return p ? p->zone : NULL;
}

/* ---- reading ---- */

static struct fabric_switch *new_switch(struct fabric *f, const char *name, int topology, int line) {
    if (f->n == SWITCHES_MAX) {
        fail(f, line, "too many switches; expected at most 4096");
        return NULL;
    }
    for (int i = 0; i < f->n; i++)
        if (f->sw[i].topology == topology && !strcmp(f->sw[i].name, name)) {
            err_set(f->e, EXIT_INPUT, "%s:%d: switch \"%.60s\" again; expected it once (line %d)", f->file,
                    line, name, f->sw[i].line);
            return NULL;
        }
    f->sw[f->n] = (struct fabric_switch){.name = name, .line = line, .parent = -1, .topology = topology};
    return &f->sw[f->n++];
}

/* "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=a[1-4]": a line of topology.conf or scontrol show topology. 1: no
 * switch in it. */
static int read_line(struct fabric *f, char *line, int number) {
    struct fabric_switch s = {0};
    char *save = NULL;
    line[strcspn(line, "#")] = '\0';
    bool any = false;
    for (char *word = strtok_r(line, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
        char *value = strchr(word, '=');
        any = true;
        if (!value) return fail(f, number, "expected KEY=VALUE, as in SwitchName=s0 Nodes=node[0-7]");
        *value++ = '\0';
        const char **to = !strcasecmp(word, "SwitchName") || !strcasecmp(word, "BlockName") ? &s.name
                          : !strcasecmp(word, "Nodes")                                      ? &s.nodes
                          : !strcasecmp(word, "Switches")                                   ? &s.children
                                                                                            : NULL;
        if (to && !*value) return fail(f, number, "a key without a value; expected names");
        if (to) *to = arena_strdup(f->d->a, value);
    }
    if (!any) return 1;
    if (!s.name && !s.nodes && !s.children) return 1; /* BlockSizes=4,16 */
    if (!s.name || (!s.nodes && !s.children))
        return fail(f, number,
                    "a switch has a name, and nodes or switches; expected SwitchName=s0 Nodes=node[0-7]");
    struct fabric_switch *to = new_switch(f, s.name, 0, number);
    if (!to) return -1;
    to->nodes =
        s.children ? NULL : s.nodes; /* for a switch of switches, scontrol also lists all nodes below */
    to->children = s.children;
    return 0;
}

/* topology.yaml: a list of topologies, each with a list of switches or blocks. Reads only this form of
 * YAML. */
struct yaml {
    int topologies, chosen; /* the cluster's default, else the first */
    bool settled;
    bool open; /* the last item is a switch */
};

/* "key: value  # why" -> key and value; the value may be quoted. */
static bool yaml_pair(char *line, char **key, char **value) {
    while (*line == ' ') line++;
    *key = line;
    char *colon = strstr(line, ": ");
    if (!colon && *line && line[strlen(line) - 1] == ':') colon = line + strlen(line) - 1;
    if (!colon || strpbrk(*key, "{}&*!|>")) return false;
    *value = colon[1] ? colon + 2 : colon + 1;
    *colon = '\0';
    while (**value == ' ') ++*value;
    size_t n = strlen(*value);
    if (n > 1 && (**value == '"' || **value == '\'') && (*value)[n - 1] == **value) {
        (*value)[n - 1] = '\0';
        ++*value;
    }
    return true;
}

static int yaml_line(struct fabric *f, struct yaml *y, char *line, int number) {
    char *comment = strstr(line, " #"), *key, *value, *item = line;
    if (comment) *comment = '\0';
    if (*line == '#') *line = '\0';
    for (size_t n = strlen(line); n && isspace((unsigned char)line[n - 1]);) line[--n] = '\0';
    if (!*line || !strncmp(line, "---", 3) || !strcmp(line, "...")) return 0;
    if (strchr(line, '\t')) return fail(f, number, "a tab; expected spaces, as YAML requires");
    while (*item == ' ') item++;
    bool begins = item[0] == '-' && item[1] == ' ';
    if (begins) item += 2;
    if (begins && !strchr(item, ':')) return 0; /* an entry of block_sizes */
    if (!yaml_pair(item, &key, &value)) return fail(f, number, "expected \"key: value\", a line each");
    const char *name = arena_strdup(f->d->a, value);
    if (begins && !strcmp(key, "topology")) {
        y->open = false;
        if (++y->topologies == 1) y->chosen = 1;
        return 0;
    }
    if (!y->topologies) return fail(f, number, "no topology yet; expected \"- topology: NAME\"");
    if (!strcmp(key, "cluster_default") && !strcasecmp(value, "true") && !y->settled) {
        y->chosen = y->topologies;
        y->settled = true;
    }
    if (begins && (!strcmp(key, "switch") || !strcmp(key, "block"))) {
        if (!*value) return fail(f, number, "no name; expected that of a switch or block");
        y->open = new_switch(f, name, y->topologies, number) != NULL;
        return y->open ? 0 : -1;
    }
    bool nodes = !strcmp(key, "nodes"), children = !strcmp(key, "children");
    if (!nodes && !children) return 0;
    if (!y->open) return fail(f, number, "nodes of no switch; expected \"- switch: NAME\" before");
    if (nodes)
        f->sw[f->n - 1].nodes = name;
    else
        f->sw[f->n - 1].children = name;
    return 0;
}

static int read_text(struct fabric *f, const char *text, struct yaml *y) {
    bool is_yaml = !strstr(text, "SwitchName=") && !strstr(text, "BlockName=") && strstr(text, "topology:");
    char *at = arena_strdup(f->d->a, text), *line;
    for (int number = 1; (line = text_take_line(&at)); number++)
        if ((is_yaml ? yaml_line(f, y, line, number) : read_line(f, line, number)) < 0) return -1;
    int kept = 0; /* switches of the chosen topology */
    for (int i = 0; i < f->n; i++)
        if (f->sw[i].topology == y->chosen) f->sw[kept++] = f->sw[i];
    f->n = kept;
    return 0;
}

/* ---- the tree ---- */

static int join(struct fabric *f) {
    for (int i = 0; i < f->n; i++) {
        const char **names;
        int n = f->sw[i].children ? hostlist_expand(f->sw[i].children, &names, f->d->a) : 0;
        if (n < 0) return fail(f, f->sw[i].line, "no list of switches; expected names as in s[0-3]");
        for (int k = 0; k < n; k++) {
            int child = 0;
            while (child < f->n && strcmp(f->sw[child].name, names[k]) != 0) child++;
            if (child == f->n)
                return err_set(f->e, EXIT_INPUT,
                               "%s:%d: switch \"%.60s\" is not there; expected a line for it", f->file,
                               f->sw[i].line, names[k]);
            if (f->sw[child].parent < 0) f->sw[child].parent = i;
        }
    }
    for (int i = 0; i < f->n; i++) {
        int level = 0;
        for (int p = f->sw[i].nodes ? i : -1; p >= 0; p = f->sw[p].parent, level++) {
            if (level > DEPTH_MAX) return fail(f, f->sw[i].line, "switches above each other in a circle");
            if (f->sw[p].level < level) f->sw[p].level = level;
        }
    }
    return 0;
}

/* The switch that stands for this one at a level: its highest ancestor that is not above that level. */
static int at_level(const struct fabric *f, int i, int level) {
    while (f->sw[i].parent >= 0 && f->sw[f->sw[i].parent].level <= level) i = f->sw[i].parent;
    return i;
}

static int zones_at(const struct fabric *f, int level) {
    int n = 0;
    bool *seen = ARENA_ARRAY(f->d->a, bool, f->n);
    for (int i = 0; i < f->n; i++) {
        if (!f->sw[i].nodes) continue;
        int top = at_level(f, i, level);
        n += !seen[top];
        seen[top] = true;
    }
    return n;
}

static int choose_level(struct fabric *f, int *level) {
    int top = 0;
    for (int i = 0; i < f->n; i++)
        if (f->sw[i].level > top) top = f->sw[i].level;
    *level = f->d->ask->level < 0 ? 0 : f->d->ask->level;
    if (*level > top)
        return err_set(f->e, EXIT_INPUT, "--level %d: the switches of %s have levels 0 to %d", *level,
                       f->file, top);
    while (f->d->ask->level < 0 && *level < top && zones_at(f, *level) > ZONES_MAX) ++*level;
    int n = zones_at(f, *level);
    if (n > ZONES_MAX)
        return err_set(f->e, EXIT_INPUT, "%s: %d switches at level %d; a site has at most %d zones", f->file,
                       n, *level, ZONES_MAX);
    return 0;
}

static int place_nodes(struct fabric *f, int level) {
    int room = 0;
    for (int i = 0; i < f->n; i++) {
        const char **names;
        int n = f->sw[i].nodes ? hostlist_expand(f->sw[i].nodes, &names, f->d->a) : 0;
        if (n < 0) return fail(f, f->sw[i].line, "no list of nodes; expected names as in node[01-16,20]");
        if (f->d->n_place + n > room) {
            struct place *more = ARENA_ARRAY(f->d->a, struct place, room = 2 * room + n + 64);
            if (f->d->n_place) memcpy(more, f->d->place, sizeof *more * (size_t)f->d->n_place);
            f->d->place = more;
        }
        for (int k = 0; k < n; k++)
            f->d->place[f->d->n_place++] = (struct place){names[k], f->sw[at_level(f, i, level)].name};
    }
    if (!f->d->n_place)
        return err_set(
            f->e, EXIT_INPUT,
            "%s: no switch with nodes; expected topology.conf, topology.yaml or scontrol show topology",
            f->file);
    qsort(f->d->place, (size_t)f->d->n_place, sizeof *f->d->place, by_node);
    return 0;
}

int draft_topology(struct draft *d, const char *file, const char *text, struct err *e) {
    struct fabric f = {.d = d, .file = file, .e = e};
    struct yaml y = {0};
    int level;
    f.sw = ARENA_ARRAY(d->a, struct fabric_switch, SWITCHES_MAX);
    if (read_text(&f, text, &y) || join(&f) || choose_level(&f, &level) || place_nodes(&f, level)) return -1;
    draft_note(d,
               "%s: %d zone%s, by the switches of level %d%s; Slurm does not know bandwidths: links have to "
               "be measured",
               file, zones_at(&f, level), zones_at(&f, level) == 1 ? "" : "s", level,
               y.topologies > 1 ? arena_printf(d->a, " of topology %d of %d", y.chosen, y.topologies) : "");
    draft_source(d, "zones: Slurm's topology (%s)", file);
    return 0;
}
