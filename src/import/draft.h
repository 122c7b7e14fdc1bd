#ifndef SAILOR_IMPORT_DRAFT_H
#define SAILOR_IMPORT_DRAFT_H
#include "base/arena.h"
#include "formats/devices.h"
#include "io/json.h"
#include "sim/tables.h"
/* A site file in the making: what a cluster, its tools and price lists say is put together here, each reader
 * adding its part. What no source says stays open and is named in the notes; no figure is made up. Readers
 * return -1 with *e set (EXIT_INPUT): one line with the file and, where there is one, the line. */

/** What the user asks for; a list is text with commas, NULL where it was not given. */
struct draft_wishes {
    const char *zone;       /* of nodes that no topology places; NULL: "cluster" */
    const char *partition;  /* of Slurm's nodes, only these */
    int level;              /* of the switches that become zones; -1: the lowest with few enough */
    const char *zones;      /* of a catalog: its zones or regions, or OURS=ITS */
    const char *gpus;       /* only these types, by our names */
    const char *map;        /* ITS=OURS: what a source calls a GPU, and the type of ours that it is */
    const char *memory;     /* TYPE=GiB */
    const char *from, *to;  /* ZONE/GPU: the ends of what nccl-tests measured */
    const char *collective; /* what it measured, where its output does not say */
    bool spot;              /* prices of instances that may be taken away */
};

struct draft_gpu {
    const char *name;
    double memory_bytes, planner_memory_bytes; /* the second NAN: the same */
    int gpus_per_node;
};

struct draft_link { /* from [0] to [1] */
    int zone[2], gpu[2], ti[2];
    struct link fit;
};

struct draft_note {
    const char *text;
    struct draft_note *next;
};

/** What a source calls a GPU, and what we do. */
struct draft_alias {
    const char *said;
    double said_bytes;  /* its memory, NAN: not said */
    const char *name;   /* of ours; NULL: which one is open, for the reason `why` */
    double bytes;       /* memory; NAN: not known */
    const char *remark; /* worth a note where it is used, or NULL */
    const char *why;
    struct draft_alias *next;
};

struct draft {
    struct arena *a;
    const struct draft_wishes *ask;
    const struct device_entry *device; /* [n_device] */
    int n_device;
    const char *zone[ZONES_MAX];
    struct draft_gpu gpu[GPUS_MAX];
    int n_zone, n_gpu;
    double usd[ZONES_MAX][GPUS_MAX], egress[ZONES_MAX][ZONES_MAX]; /* NAN: unknown */
    int available[ZONES_MAX][GPUS_MAX];                            /* -1: not stated */
    struct link intra[GPUS_MAX][TP_N];
    struct draft_link *link;
    int n_link, room;
    const char *source;               /* of all of it, "" for none */
    cJSON *pairs, *presets;           /* links by name, as in the file; NULL: none */
    bool paired[ZONES_MAX][GPUS_MAX]; /* has such a link to itself */
    cJSON *comments;                  /* of the site that it started from */
    struct draft_note *note, **last_note;
    struct draft_alias *alias;
    struct place *place; /* [n_place] by name: where a topology puts a node */
    int n_place;
};

/** An empty draft; `devices` is the text of devices.json. *ask and the arena must outlive it. */
int draft_begin(struct draft *d, const struct draft_wishes *ask, const char *file, const char *devices,
                struct arena *a, struct err *e);
/** All that a site file says, `text` being the file. */
int draft_from_site(struct draft *d, const struct site *s, const char *text, struct err *e);
void draft_free(struct draft *d);

/** A line for the user. */
void draft_note(struct draft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** "1 row", "3 rows". */
const char *draft_count(const struct draft *d, int n, const char *what);
/** Where figures come from, for the "source" of the file. */
void draft_source(struct draft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The zone of this name, new if need be; -1 with *e set: too many, or not a valid name. */
int draft_zone(struct draft *d, const char *name, const char *file, struct err *e);
/** The same for the end of a link, given by `option`: a zone that the others did not have is told to the
 * user. */
int draft_end_zone(struct draft *d, const char *name, const char *option, struct err *e);
/** The GPU type that an alias means, new if need be. -1 with *e set. */
int draft_gpu(struct draft *d, const struct draft_alias *as, int gpus_per_node, const char *file,
              struct err *e);
/** -1: no such type. */
int draft_find_gpu(const struct draft *d, const char *name);

/** What a source means by a name of a GPU; memory_bytes NAN where it does not say. Never NULL. */
const struct draft_alias *draft_alias(struct draft *d, const char *said, double memory_bytes);

/** A link in one direction, in place of what was known of it. */
void draft_set_link(struct draft *d, const int zone[2], const int gpu[2], const int ti[2],
                    const struct link *fit);
const struct draft_link *draft_find_link(const struct draft *d, const int zone[2], const int gpu[2],
                                         const int ti[2]);

/** Is `name` in a list with commas? NULL contains everything. */
bool draft_listed(const char *list, const char *name);
/** The text behind KEY= in a list of KEY=VALUE; NULL: not there. In `a`. */
const char *draft_value(const char *list, const char *key, struct arena *a);

/** Egress prices as the user states them: USD per 1e9 bytes for all pairs of zones, or FROM:TO=USD,... */
int draft_egress(struct draft *d, const char *text, struct err *e);

/** The file. -1 with *e set where there is no GPU type or no zone. */
int draft_text(const struct draft *d, const char *name, struct text *t, struct err *e);
/** Notes on what the file lacks for planning. */
void draft_note_gaps(struct draft *d);

/* ---- readers: `text` is the content of `file` ---- */

/** `scontrol show node` (also -o) or `sinfo` with node names and GRES. */
int draft_slurm(struct draft *d, const char *file, const char *text, struct err *e);
/** topology.yaml, topology.conf or `scontrol show topology`: switches become zones. Before draft_slurm(). */
int draft_topology(struct draft *d, const char *file, const char *text, struct err *e);
/** The zone where a topology puts a node; NULL: nowhere. */
const char *draft_zone_of_node(const struct draft *d, const char *node);
/** Output of a program of nccl-tests, text or JSON: the link between ask->from and ask->to, or inside a node.
 */
int draft_nccl_tests(struct draft *d, const char *file, const char *text, struct err *e);
/** NCCL's topology file: the GPUs of a node. */
int draft_nccl_topology(struct draft *d, const char *file, const char *text, struct err *e);
/** A catalog of SkyPilot (v8), of gpuhunt: prices. */
int draft_skypilot(struct draft *d, const char *file, const char *text, struct err *e);
int draft_gpuhunt(struct draft *d, const char *file, const char *text, struct err *e);
/** A list of GPU types with a data sheet, and of links by their name in `links` (the text of links.json;
 * NULL: no such names). Types get their nodes and memory; and later, when all zones are known, a link between
 * those in a zone by their data sheets. A named link joins ask->from and ask->to, or everything. Links that
 * were measured come before both. */
int draft_preset(struct draft *d, const char *list, const char *links, struct err *e);
int draft_preset_links(struct draft *d, const char *list, const char *links, struct err *e);

#endif
