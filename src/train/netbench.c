/* sailor-train netbench: how fast the ranks of this job send to each other, as the links of a site file. n
 * ranks send to n others at the same time, there and back: within the first machine and, if there is a second
 * one, from the first to the second. As in training, they send buffers of the backend through its
 * communicator. */
#include "base/stats.h"
#include "io/file.h"
#include "io/mpx_comm.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/program.h"
#include "io/table.h"
#include "sim/estimate.h"
#include "train/cmd.h"
#include "train/linksite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SMALLEST = LINK_SMALLEST,
    SIZES = LINK_SIZES,
    LARGEST = SMALLEST + SIZES - 1,
    REPEAT_MIN = 5,
    REPEAT_MAX = 200
};
static const double CERTAIN = 0.02;   /* relative error at which a median needs no more transfers */
static const double FIT_BOUND = 0.15; /* mean relative error above which a fit is worth a warning */

static struct {
    const char *inputs, *site, *zone, *gpu, *output;
    int backend, comm, largest;
    double seconds;
    bool force, quiet;
} o = {.comm = COMM_DEFAULT, .site = "local", .largest = LARGEST, .seconds = 1};

static struct opt options[] = {
    OPTION_TEXT('o', "output", "LINKS.json", &o.output,
                "write a site file with these links here; default: stdout"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_TEXT(0, "site", "SITE", &o.site, "site that the links belong to, by name or path; default: local"),
    OPTION_TEXT(0, "zone", "ZONE", &o.zone,
                "zone that the ranks are in; default: the first zone of the site"),
    OPTION_TEXT(0, "gpu", "NAME", &o.gpu,
                "GPU type that the ranks stand for; default: the first type of the site"),
    OPTION_CHOICE(0, "backend", train_backends, &o.backend,
                  "memory to send from: that of the CPU (default) or of an NVIDIA GPU"),
    TRAIN_OPTION_COMM(&o.comm),
    OPTION_INT(0, "largest", "K", SMALLEST + 3, LARGEST, &o.largest,
               "send messages of 2^16 to 2^K bytes; default 30"),
    OPTION_REAL(0, "seconds", "S", 1e-3, 3600, &o.seconds,
                "spend at most S seconds on each size, but at least 5 transfers, and stop once the median is "
                "certain; default 1"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
    OPTION_FLAG('q', "quiet", &o.quiet, "show no table on stderr"),
};
const struct opt_command netbench_command = {
    .usage = "[-o LINKS.json] [options]     (under mpirun or srun, at least 2 ranks)",
    .about =
        "Measure the links between the ranks of this job, and write them to a site file for the planner.",
    .details = "example:\n  mpirun -n 2 sailor-train netbench -o links.json\n",
    TRAIN_COMMAND("netbench", options, 0, 0),
};

struct bench {
    struct mpx mpx;
    struct backend backend;
    struct comm comm;
    void *buffer; /* of the backend */
    struct link_samples samples[2 * TP_N];
    int n;
};

struct ends { /* the two sides, as seen by a rank that takes part */
    MPI_Comm comm;
    struct group *all;
    int other;  /* the partner rank */
    bool first; /* on the side that sends first */
};

struct series { /* transfers of one size */
    int n;
    double spent_s, s[REPEAT_MAX];
};

/* The median; relative to it, the distance between the quartiles and the standard error. */
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

/* Time that the slowest rank takes for one transfer there and back, or for one sum over all. */
static double transfer(struct bench *b, const struct ends *ends, size_t bytes, bool sum) {
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
    b->backend.sync(&b->backend); /* it may all be only queued so far */
    double s = MPI_Wtime() - began;
    MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, ends->comm);
    return s;
}

/* The first rank of a machine other than the first one, or -1. */
static int second_machine(const struct mpx *m, const int *node) {
    for (int r = 0; r < m->size; r++)
        if (node[r] != node[0]) return node[r];
    return -1;
}

/* The first n ranks of the first machine, and the next n of it (inside) or the first n of the second one.
 * False if there are not that many. */
static bool sides(const struct mpx *m, const int *node, struct link_samples *x) {
    int n = x->n, far = x->inside ? node[0] : second_machine(m, node), found[2] = {0};
    for (int r = 0; r < m->size; r++) {
        int side = node[r] != node[0] || found[0] == n;
        if (node[r] != (side ? far : node[0]) || found[side] == n) continue;
        x->rank[side * n + found[side]++] = r;
    }
    return found[0] == n && found[1] == n;
}

/* 1, 2, 4 and 8 ranks to as many others, as far as there are enough: within the first machine, then to the
 * second one. */
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
            struct link_samples *x = &b->samples[b->n];
            *x = (struct link_samples){.n = n, .inside = !far};
            if (!sides(m, node, x)) break;
            b->n++;
        }
}

/* The place of a rank in x->rank, or -1 if it takes no part. */
static int place(const struct link_samples *x, int rank) {
    for (int k = 0; k < 2 * x->n; k++)
        if (x->rank[k] == rank) return k;
    return -1;
}

/* The rank with which this one exchanges messages, or -1. */
static int opposite(const struct link_samples *x, int rank) {
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

/* Rank 0 always takes part. Sizes take turns, so that other work on the machine or network affects all alike;
 * those with an uncertain median get more turns. All ranks see the same times and make the same decisions. */
static void measure_sides(struct bench *b, struct link_samples *x, struct arena *a) {
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
    for (int round = 0; more; round++) { /* the first round is a warm-up */
        more = round == 0;
        for (int i = 0; i < 2 * sizes; i++) {
            struct series *s = &series[i % 2][i / 2];
            if (done(s)) continue;
            double t = transfer(b, &ends, (size_t)1 << (SMALLEST + i / 2), i % 2);
            more = true;
            if (!round) continue;
            s->s[s->n++] = t;
            s->spent_s += t;
        }
    }
    for (int i = 0; i < sizes; i++) {
        double spread, off;
        x->Bps[i] = x->n * ldexp(1, SMALLEST + i) / (summarise(&series[0][i], &x->spread[i], &error[i]) / 2);
        x->sum_s[i] = summarise(&series[1][i], &spread, &off);
    }
    MPI_Comm_free(&ends.comm);
    double bytes[LINK_SIZES];
    for (int i = 0; i < sizes; i++) bytes[i] = ldexp(1, SMALLEST + i);
    linkfit(&x->fit, bytes, x->Bps, error, sizes);
    linkfit_error(&x->fit, bytes, x->Bps, sizes, &x->off, &x->most_off);
}

static int agree_ready(const struct bench *b, struct err *e) {
    return mpx_agree(&b->mpx, b->comm.ready ? b->comm.ready(&b->comm, e) : 0, e);
}

static int bench(struct bench *b, struct arena *a, struct err *e) {
    size_t bytes = (size_t)1 << o.largest;
    struct train_choice choice = {o.backend, o.comm, 1, ELEM_F32}; /* only sums are computed */
    if (mpx_agree(&b->mpx, train_open(&b->mpx, choice, &b->backend, &b->comm, e), e)) return -1;
    b->buffer = b->backend.alloc(&b->backend, bytes);
    int rc =
        b->buffer ? 0 : err_set(e, EXIT_INTERNAL, "netbench: out of memory: %zu bytes to send from", bytes);
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

static const char *where(const struct link_samples *x) {
    return x->inside ? "on the same machine" : "on another machine";
}

static void show(const struct link_samples *x, struct arena *a) {
    struct table *t = table_new("bytes|one way 1e9 B/s|spread %|fit|all-reduce s", a);
    for (int i = 0; i <= o.largest - SMALLEST; i++) {
        double bytes = ldexp(1, SMALLEST + i);
        table_cell(t, "%.0f", bytes);
        table_cell(t, "%s", table_number(x->Bps[i] / 1e9, 4, a));
        table_cell(t, "%.0f", 100 * x->spread[i]);
        table_cell(t, "%s", table_number(bytes / 1e9 / link_time_s(&x->fit, bytes, ESTIMATOR_NATIVE), 4, a));
        table_cell(t, "%s", table_number(x->sum_s[i], 4, a));
    }
    fprintf(stderr, "%d ranks to %d %s at once; the fit is off by %.1f %% on average, %.1f %% at most\n",
            x->n, x->n, where(x), 100 * x->off, 100 * x->most_off);
    table_print(t, stderr);
}

static void warn(const struct link_samples *x) {
    if (x->off <= FIT_BOUND) return;
    fprintf(stderr,
            "sailor-train: warning: netbench: %d to %d, %s: the fit is off by %.0f %% on average; expected "
            "at most "
            "%.0f %%. If the machine was busy, measure again; otherwise measure longer (--seconds)\n",
            x->n, x->n, where(x), 100 * x->off, 100 * FIT_BOUND);
}

/* Who measured what. */
static const char *source_of(const struct bench *b, struct arena *a) {
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    const char *line = arena_printf(a, "links measured: sailor-train %s netbench on %s, %d ranks",
                                    program_version(), host, b->mpx.size);
    if (b->backend.host) return line;
    return arena_printf(a, "%s; backend %s (%s), comm %s", line, b->backend.name, b->backend.device,
                        b->comm.name);
}

static int find(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static int netbench(void *ctx, struct arena *a, struct err *e) {
    struct bench *b = ctx;
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
    if (!rc && m->rank == 0) rc = file_spare_read(o.output, site_path(o.site, o.inputs, a), e);
    if (mpx_agree(m, rc, e) || bench(b, a, e)) return -1;
    if (m->rank == 0) {
        for (int i = 0; i < b->n && !o.quiet; i++) show(&b->samples[i], a);
        for (int i = 0; i < b->n; i++) warn(&b->samples[i]);
        const char *zone = o.zone ? o.zone : w.site->zone[0];
        const char *out = linksite_text(text, zone, o.gpu ? o.gpu : gpu[0], source_of(b, a), b->samples, b->n,
                                        o.largest - SMALLEST + 1, a);
        rc = file_write(o.output, out, strlen(out), e);
    }
    return mpx_agree(m, rc, e);
}

int cmd_netbench(int argc, char **argv) {
    struct arena a = {0};
    static struct bench b;
    const char **file;
    int n, status = EXIT_OK;
    if (!program_parse(&netbench_command, argc, argv, &file, &n, &a, &status)) return status;
    return train_command(&netbench_command, &b.mpx, netbench, &b, &a);
}
