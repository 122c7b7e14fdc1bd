/* sailor-train netbench: how fast the ranks at hand send to each other, as the links of a site file. n ranks
 * send to n others at the same time, there and back: inside the first machine, and if there is a second one,
 * from the first to the second. As in training, they send buffers of the backend by its communicator. */
#include "base/stats.h"
#include "io/file.h"
#include "io/mpx_comm.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/program.h"
#include "io/table.h"
#include "sim/estimate.h"
#include "train/cmd.h"
#include "train/linkfit.h"
#include "train/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SMALLEST = LINKFIT_SMALLEST,
    SIZES = LINKFIT_MOST,
    LARGEST = SMALLEST + SIZES - 1,
    REPEAT_MIN = 5,
    REPEAT_MAX = 200
};
static const double CERTAIN = 0.02;   /* relative error of a median that needs no more goes */
static const double FIT_BOUND = 0.15; /* mean relative error of a fit that goes without a warning */

static struct {
    const char *inputs, *site, *zone, *gpu, *output;
    int backend, comm, largest;
    double seconds;
    bool force, quiet;
} o = {.comm = COMM_DEFAULT, .site = "local", .largest = LARGEST, .seconds = 1};

static struct opt options[] = {
    {'o', "output", OPT_TEXT, "LINKS.json", "the site file with these links; default: stdout", &o.output, 0,
     0, NULL},
    {'f', "force", OPT_FLAG, NULL, "overwrite it", &o.force, 0, 0, NULL},
    {0, "site", OPT_TEXT, "SITE", "the site whose links these are: a name or a path; default local", &o.site,
     0, 0, NULL},
    {0, "zone", OPT_TEXT, "ZONE", "where the ranks are; default: the site's first zone", &o.zone, 0, 0, NULL},
    {0, "gpu", OPT_TEXT, "NAME", "what the ranks are; default: the site's first GPU type", &o.gpu, 0, 0,
     NULL},
    {0, "backend", OPT_CHOICE, NULL, "whose memory is sent: the CPU's (default), or that of a GPU of NVIDIA",
     &o.backend, 0, 0, train_backends},
    {0, "comm", OPT_CHOICE, NULL,
     "what carries messages between ranks; default: nccl where each rank has a GPU of its own, else mpi",
     &o.comm, 0, 0, train_comms},
    {0, "largest", OPT_INT, "K", "messages of 2^16 up to 2^K bytes; default 30", &o.largest, SMALLEST + 3,
     LARGEST, NULL},
    {0, "seconds", OPT_REAL, "S",
     "for each size at most, but at least 5 transfers; fewer where the median is sure; default 1", &o.seconds,
     1e-3, 3600, NULL},
    {0, "inputs", OPT_TEXT, "DIR", "where sites/ are; default $SAILOR_INPUTS, then beside the program",
     &o.inputs, 0, 0, NULL},
    {'q', "quiet", OPT_FLAG, NULL, "no table on stderr", &o.quiet, 0, 0, NULL},
};
const struct opt_command netbench_command = {
    .program = "sailor-train",
    .name = "netbench",
    .usage = "[-o LINKS.json] [options]     (under mpirun or srun, at least 2 ranks)",
    .about =
        "Measure the links between the ranks at hand. Prints a site file with them, which the planner reads.",
    .details = "example:\n  mpirun -n 2 sailor-train netbench -o links.json\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
};

struct samples {             /* n ranks to n others */
    int n, rank[2 * TP_MAX]; /* those of the one side, those of the other */
    bool inside;             /* of the same machine */
    double Bps[SIZES];       /* of all n together, one way, median */
    double spread[SIZES];    /* between the quartiles, relative to the median */
    double sum_s[SIZES];     /* all-reduce over the 2 n ranks, median */
    struct link fit;
    double off, most_off; /* the fit's relative error, mean and largest */
};

struct bench {
    struct mpx mpx;
    struct backend backend;
    struct comm comm;
    void *buffer; /* of the backend */
    struct samples samples[2 * TP_N];
    int n;
};

struct ends { /* the two sides, as seen by a rank that takes part */
    MPI_Comm comm;
    struct group *all;
    int other;  /* the rank opposite */
    bool first; /* on the side that sends first */
};

struct series { /* of goes */
    int n;
    double spent_s, s[REPEAT_MAX];
};

/* Median, the distance of the quartiles and the standard error of the median, both relative to it. */
static double summarise(struct series *x, double *spread, double *error) {
    double middle = median(x->s, x->n);
    *spread = interquartile_range(x->s, x->n) / middle;
    *error = 0.93 * *spread / sqrt(x->n); /* 1.253 sigma / sqrt(n), and 1.349 sigma between the quartiles */
    return middle;
}

static bool done(struct series *x) {
    double spread, error;
    if (x->n < REPEAT_MIN) return false;
    summarise(x, &spread, &error);
    return x->n == REPEAT_MAX || x->spent_s >= o.seconds || error <= CERTAIN;
}

/* Time of one go, the slowest rank's: there and back, or a sum over all. */
static double go(struct bench *b, const struct ends *ends, size_t bytes, bool sum) {
    struct comm *c = &b->comm;
    struct pending sent = {0};
    size_t n = bytes / elem_bytes(ELEM_F32);
    MPI_Barrier(ends->comm);
    double began = MPI_Wtime();
    if (sum) {
        c->sum(c, ends->all, b->buffer, n, ELEM_F32);
    } else {
        if (!ends->first) c->recv(c, b->buffer, n, ELEM_F32, ends->other);
        c->send(c, b->buffer, n, ELEM_F32, ends->other, &sent);
        c->wait(c, &sent);
        if (ends->first) c->recv(c, b->buffer, n, ELEM_F32, ends->other);
    }
    b->backend.sync(&b->backend); /* until then all of it may only be queued */
    double s = MPI_Wtime() - began;
    MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, ends->comm);
    return s;
}

/* A machine other than the first one; -1: there is none. */
static int second_machine(const struct mpx *m, const int *node) {
    for (int r = 0; r < m->size; r++)
        if (node[r] != node[0]) return node[r];
    return -1;
}

/* The first n ranks of the first machine, and the next n of it (inside) or the first n of the second one.
 * False if there are not that many. */
static bool sides(const struct mpx *m, const int *node, struct samples *x) {
    int n = x->n, far = x->inside ? node[0] : second_machine(m, node), found[2] = {0};
    for (int r = 0; r < m->size; r++) {
        int side = node[r] != node[0] || found[0] == n;
        if (node[r] == (side ? far : node[0]) && found[side] < n) x->rank[side * n + found[side]++] = r;
    }
    return found[0] == n && found[1] == n;
}

/* 1, 2, 4 and 8 ranks to as many, as far as there are: inside the first machine, then to the second one. */
static void find_sides(struct bench *b, struct arena *a) {
    const struct mpx *m = &b->mpx;
    MPI_Comm world = m->comm->mpi, machine;
    int *node = ARENA_ARRAY(a, int, m->size), mine = m->rank;
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Bcast(&mine, 1, MPI_INT, 0, machine); /* a machine is known by its first rank */
    MPI_Comm_free(&machine);
    MPI_Allgather(&mine, 1, MPI_INT, node, 1, MPI_INT, world);
    for (int far = 0; far <= (second_machine(m, node) >= 0); far++)
        for (int n = 1; n <= TP_MAX; n *= 2) {
            struct samples *x = &b->samples[b->n];
            *x = (struct samples){.n = n, .inside = !far};
            if (!sides(m, node, x)) break;
            b->n++;
        }
}

/* The place of a rank in x->rank; -1: it takes no part. */
static int place(const struct samples *x, int rank) {
    for (int k = 0; k < 2 * x->n; k++)
        if (x->rank[k] == rank) return k;
    return -1;
}

/* The rank with which this one exchanges messages; -1: none. */
static int opposite(const struct samples *x, int rank) {
    int at = place(x, rank);
    return at < 0 ? -1 : x->rank[at < x->n ? at + x->n : at - x->n];
}

static void connect_sides(struct bench *b, struct arena *a) {
    int *peers = ARENA_ARRAY(a, int, b->mpx.size), n = 0;
    for (int r = 0; r < b->mpx.size; r++) {
        bool peer = false;
        for (int i = 0; i < b->n; i++) peer |= opposite(&b->samples[i], b->mpx.rank) == r;
        if (peer) peers[n++] = r;
    }
    if (b->comm.connect) b->comm.connect(&b->comm, peers, n);
}

/* Rank 0 is always among the ranks of the two sides. Sizes take turns, so that other work on the machine or
 * the network meets all alike, and those whose median is uncertain get more of them. All ranks know the same
 * times and decide alike. */
static void measure_sides(struct bench *b, struct samples *x, struct arena *a) {
    int ranks[2 * TP_MAX], members = 0, sizes = o.largest - SMALLEST + 1, at = place(x, b->mpx.rank);
    struct ends ends = {.other = opposite(x, b->mpx.rank), .first = at < x->n};
    struct err none;
    MPI_Comm_split(b->mpx.comm->mpi, at < 0 ? MPI_UNDEFINED : 0, 0, &ends.comm);
    if (at < 0) return;
    for (int r = 0; r < b->mpx.size; r++) /* ascending, however the machines take turns */
        if (place(x, r) >= 0) ranks[members++] = r;
    ends.all = b->comm.group(&b->comm, ranks, members, a);
    if (b->comm.ready && b->comm.ready(&b->comm, &none)) { /* the same for all members */
        MPI_Comm_free(&ends.comm);
        return;
    }
    struct series series[2][SIZES] = {0}; /* there and back, and sums */
    double error[SIZES];
    bool more = true;
    for (int round = 0; more; round++) { /* the first one does not count */
        more = round == 0;
        for (int i = 0; i < 2 * sizes; i++) {
            struct series *s = &series[i % 2][i / 2];
            if (done(s)) continue;
            double t = go(b, &ends, (size_t)1 << (SMALLEST + i / 2), i % 2);
            if (round) s->s[s->n++] = t, s->spent_s += t;
            more = true;
        }
    }
    for (int i = 0; i < sizes; i++) {
        double spread, off;
        x->Bps[i] = x->n * ldexp(1, SMALLEST + i) / (summarise(&series[0][i], &x->spread[i], &error[i]) / 2);
        x->sum_s[i] = summarise(&series[1][i], &spread, &off);
    }
    MPI_Comm_free(&ends.comm);
    linkfit(&x->fit, x->Bps, error, sizes);
    linkfit_error(&x->fit, x->Bps, sizes, &x->off, &x->most_off);
}

static int agree_ready(const struct bench *b, struct err *e) {
    return mpx_agree(&b->mpx, b->comm.ready ? b->comm.ready(&b->comm, e) : 0, e);
}

static int bench(struct bench *b, struct arena *a, struct err *e) {
    size_t bytes = (size_t)1 << o.largest;
    struct train_choice choice = {o.backend, o.comm, 1, ELEM_F32}; /* nothing is computed but sums */
    if (mpx_agree(&b->mpx, train_open(&b->mpx, choice, &b->backend, &b->comm, e), e)) return -1;
    b->buffer = b->backend.alloc(&b->backend, bytes);
    int rc = b->buffer ? 0 : err_set(e, EXIT_INTERNAL, "out of memory");
    rc = mpx_agree(&b->mpx, rc, e);
    if (!rc) {
        b->backend.zero(&b->backend, b->buffer, bytes);
        find_sides(b, a);
        connect_sides(b, a);
        rc = agree_ready(b, e);
    }
    if (!rc) {
        for (int i = 0; i < b->n; i++) measure_sides(b, &b->samples[i], a);
        rc = agree_ready(b, e);
    }
    b->backend.release(&b->backend, b->buffer);
    b->comm.close(&b->comm);
    b->backend.close(&b->backend);
    return rc;
}

static void show(const struct samples *x, struct arena *a) {
    struct table *t = table_new("bytes|one way 1e9 B/s|spread %|fit|all-reduce s", a);
    for (int i = 0; i <= o.largest - SMALLEST; i++) {
        double bytes = ldexp(1, SMALLEST + i);
        table_cell(t, "%.0f", bytes);
        table_cell(t, "%s", table_number(x->Bps[i] / 1e9, 4, a));
        table_cell(t, "%.0f", 100 * x->spread[i]);
        table_cell(t, "%s", table_number(bytes / 1e9 / link_time_s(&x->fit, bytes, ESTIMATOR_NATIVE), 4, a));
        table_cell(t, "%s", table_number(x->sum_s[i], 4, a));
    }
    fprintf(stderr, "%d to %d at once, %s; the fit is off by %.1f %% in the mean, %.1f %% at most\n", x->n,
            x->n, x->inside ? "of the same machine" : "of another machine", 100 * x->off, 100 * x->most_off);
    table_print(t, stderr);
}

static void warn(const struct samples *x) {
    if (x->off <= FIT_BOUND) return;
    fprintf(
        stderr,
        "sailor-train: warning: netbench: %d to %d, %s: the fit is off by %.0f %% in the mean; expected at "
        "most %.0f %%. Is other work going on? Measure again, or longer (--seconds)\n",
        x->n, x->n, x->inside ? "of the same machine" : "of another machine", 100 * x->off, 100 * FIT_BOUND);
}

static cJSON *numbers(const double *v, int n) {
    cJSON *a = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(a, json_double(v[i]));
    return a;
}

static cJSON *fit_of(const struct samples *x) {
    return numbers((double[]){x->fit.c2, x->fit.c1, x->fit.c0, x->fit.peak_Bps}, 4);
}

/* The object at a key, made where there is none. */
static cJSON *object_at(cJSON *parent, const char *key) {
    cJSON *x = cJSON_GetObjectItemCaseSensitive(parent, key);
    return cJSON_IsObject(x) ? x : cJSON_AddObjectToObject(parent, key);
}

/* The site with these links instead of those it had: between machines, or, of one machine alone, inside it;
 * n to n inside a machine is also the link of 2 n devices of a node. What was measured stays beside them as
 * comments. */
static char *site_text(const char *text, const char *zone, const char *gpu, const struct bench *b,
                       struct arena *a) {
    char host[64] = "", device[200] = "";
    const struct samples *x = b->samples;
    int n = b->n;
    bool alone = n == 0 || x[n - 1].inside; /* those between machines come last */
    cJSON *site = cJSON_Parse(text), *links = cJSON_CreateObject(), *inside = cJSON_CreateObject(),
          *fits = cJSON_AddArrayToObject(links, "fits"), *rows = cJSON_AddArrayToObject(links, "rows"),
          *seen = cJSON_AddArrayToObject(links, "//samples");
    gethostname(host, sizeof host - 1);
    if (!b->backend.host)
        snprintf(device, sizeof device, "; backend %s (%s), comm %s", b->backend.name, b->backend.device,
                 b->comm.name);
    cJSON_DeleteItemFromObjectCaseSensitive(site, "links");
    cJSON_DeleteItemFromObjectCaseSensitive(site, "source");
    cJSON_AddStringToObject(site, "source",
                            arena_printf(a, "links measured: sailor-train %s netbench on %s, %d ranks%s",
                                         program_version(), host, b->mpx.size, device));
    for (int i = 0; i < n; i++) {
        cJSON *s = cJSON_CreateObject();
        if (x[i].inside && 2 * x[i].n <= TP_MAX)
            cJSON_AddItemToObject(inside, arena_printf(a, "%d", 2 * x[i].n), fit_of(&x[i]));
        if (alone || !x[i].inside) {
            cJSON *row = cJSON_CreateArray();
            for (int side = 0; side < 2; side++) {
                cJSON_AddItemToArray(row, cJSON_CreateString(zone));
                cJSON_AddItemToArray(row, cJSON_CreateString(gpu));
                cJSON_AddItemToArray(row, json_double(x[i].n));
            }
            cJSON_AddItemToArray(row, json_double(cJSON_GetArraySize(fits)));
            cJSON_AddItemToArray(rows, row);
            cJSON_AddItemToArray(fits, fit_of(&x[i]));
        }
        cJSON_AddItemToObject(s, "n", json_double(x[i].n));
        cJSON_AddBoolToObject(s, "same_machine", x[i].inside);
        cJSON_AddItemToObject(s, "smallest_bytes", json_double(1 << SMALLEST));
        cJSON_AddItemToObject(s, "bandwidth_Bps", numbers(x[i].Bps, o.largest - SMALLEST + 1));
        cJSON_AddItemToObject(s, "all_reduce_s", numbers(x[i].sum_s, o.largest - SMALLEST + 1));
        cJSON_AddItemToObject(s, "spread", numbers(x[i].spread, o.largest - SMALLEST + 1));
        cJSON_AddItemToObject(s, "fit_error", json_double(x[i].off));
        cJSON_AddItemToObject(s, "fit_error_most", json_double(x[i].most_off));
        cJSON_AddItemToArray(seen, s);
    }
    cJSON_AddItemToObject(site, "links", links);
    if (inside->child) {
        cJSON *intra = object_at(site, "intra_node");
        cJSON_DeleteItemFromObjectCaseSensitive(intra, gpu);
        cJSON_AddItemToObject(intra, gpu, inside);
    } else { /* one rank per machine: what the site knows stays */
        cJSON_Delete(inside);
    }
    char *out = cJSON_Print(site), *copy = arena_printf(a, "%s\n", out ? out : "");
    cJSON_free(out);
    cJSON_Delete(site);
    return copy;
}

static int find(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static int netbench(struct bench *b, struct arena *a, struct err *e) {
    const struct mpx *m = &b->mpx;
    struct workload w = {0};
    const char *text = NULL, *gpu[GPUS_MAX];
    int rc = m->rank == 0 && o.output ? file_can_create(o.output, o.force, "-f overwrites it", e) : 0;
    if (m->size < 2)
        return err_set(e, EXIT_INPUT,
                       "netbench: 1 rank; expected at least 2 (mpirun -n 2 sailor-train netbench)");
    if (!rc) rc = site_load(o.site, o.inputs, &w, &text, a, e);
    for (int g = 0; !rc && g < w.site->n_gpu; g++) gpu[g] = w.site->gpu[g].name;
    if (!rc && o.zone && find(o.zone, w.site->zone, w.site->n_zone) < 0)
        rc = err_set(e, EXIT_INPUT, "netbench: --zone %s: expected a zone of site %s", o.zone, w.site->name);
    if (!rc && o.gpu && find(o.gpu, gpu, w.site->n_gpu) < 0)
        rc =
            err_set(e, EXIT_INPUT, "netbench: --gpu %s: expected a GPU type of site %s", o.gpu, w.site->name);
    if (mpx_agree(m, rc, e) || bench(b, a, e)) return -1;
    if (m->rank == 0) {
        for (int i = 0; i < b->n && !o.quiet; i++) show(&b->samples[i], a);
        for (int i = 0; i < b->n; i++) warn(&b->samples[i]);
        const char *zone = o.zone ? o.zone : w.site->zone[0];
        const char *out = site_text(text, zone, o.gpu ? o.gpu : gpu[0], b, a);
        rc = file_write(o.output, out, strlen(out), e);
    }
    return mpx_agree(m, rc, e);
}

int cmd_netbench(int argc, char **argv) {
    struct arena a = {0};
    static struct bench b;
    struct err e;
    const char **file;
    int n, status = EXIT_OK;
    if (!program_parse(&netbench_command, argc, argv, &file, &n, &a, &status)) return status;
    watch_begin();
    if (mpx_start(&b.mpx, &e) || netbench(&b, &a, &e)) {
        status = e.code;
        if (b.mpx.rank == 0) program_fail(&netbench_command, &e);
    }
    arena_free(&a);
    watch_end();
    mpx_finish(&b.mpx);
    return status;
}
