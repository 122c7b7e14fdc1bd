/* sailor-train netbench: how fast the ranks at hand send to each other, as the links of a site file. n ranks
 * send to n others at the same time, there and back: inside the first machine, and if there is a second one,
 * from the first to the second. */
#include "io/h5file.h"
#include "io/inputs.h"
#include "io/planjson.h"
#include "io/table.h"
#include "train/cmd.h"
#include "train/watch.h"

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALLEST = 16, LARGEST = 30, SIZES = LARGEST - SMALLEST + 1, REPEAT_MAX = 50, TAG = 3 };

static struct {
    const char *inputs, *site, *zone, *gpu, *output;
    int largest;
    double seconds;
    bool force, quiet;
} o = {.site = "local", .largest = LARGEST, .seconds = 1};

static struct opt options[] = {
    {'o', "output", OPT_TEXT, "LINKS.json", "the site file with these links; default: stdout", &o.output, 0,
     0, NULL},
    {'f', "force", OPT_FLAG, NULL, "overwrite it", &o.force, 0, 0, NULL},
    {0, "site", OPT_TEXT, "SITE", "the site whose links these are: a name or a path; default local", &o.site,
     0, 0, NULL},
    {0, "zone", OPT_TEXT, "ZONE", "where the ranks are; default: the site's first zone", &o.zone, 0, 0, NULL},
    {0, "gpu", OPT_TEXT, "NAME", "what the ranks are; default: the site's first GPU type", &o.gpu, 0, 0,
     NULL},
    {0, "largest", OPT_INT, "K", "messages of 2^16 up to 2^K bytes; default 30", &o.largest, SMALLEST + 3,
     LARGEST, NULL},
    {0, "seconds", OPT_REAL, "S", "for each size, at least 3 transfers and at most 50; default 1", &o.seconds,
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

struct samples { /* n ranks to n others */
    int n;
    bool inside;                      /* of the same machine */
    double Bps[SIZES];                /* of all n together, one way, median */
    double sum_s[SIZES];              /* all-reduce over the 2 n ranks, median */
    double c2, c1, c0, peak_Bps, off; /* the fit, and its mean relative error */
};

static int by_value(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Time of one go, the slowest rank's: there and back, or a sum over all. */
static double go(MPI_Comm ends, int side, int other, void *buffer, int bytes, bool sum) {
    MPI_Barrier(ends);
    double began = MPI_Wtime();
    if (sum) {
        MPI_Allreduce(MPI_IN_PLACE, buffer, bytes / 4, MPI_FLOAT, MPI_SUM, ends);
    } else if (side == 0) {
        MPI_Send(buffer, bytes, MPI_BYTE, other, TAG, ends);
        MPI_Recv(buffer, bytes, MPI_BYTE, other, TAG, ends, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(buffer, bytes, MPI_BYTE, other, TAG, ends, MPI_STATUS_IGNORE);
        MPI_Send(buffer, bytes, MPI_BYTE, other, TAG, ends);
    }
    double s = MPI_Wtime() - began;
    MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, ends);
    return s;
}

/* Median over as many goes as the time allows, after one that does not count. All ranks of `ends` decide
 * alike. */
static double measure(MPI_Comm ends, int side, int other, void *buffer, int bytes, bool sum) {
    double s[REPEAT_MAX], spent = 0;
    int n = 0;
    go(ends, side, other, buffer, bytes, sum);
    while (n < REPEAT_MAX && (n < 3 || spent < o.seconds))
        spent += s[n] = go(ends, side, other, buffer, bytes, sum), n++;
    return median(s, n);
}

/* Least squares of bandwidth in 1e9 B/s over y = log2(bytes / 1e6), degree 2: the planner's form. */
static void fit(struct samples *x, int sizes) {
    double a[3][4] = {{0}};
    for (int i = 0; i < sizes; i++) {
        double y = log2(ldexp(1, SMALLEST + i) / 1e6), power[3] = {1, y, y * y};
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++) a[r][c] += power[r] * power[c];
            a[r][3] += power[r] * x->Bps[i] / 1e9;
        }
    }
    for (int k = 0; k < 3; k++) /* Gauss-Jordan; the matrix is positive definite */
        for (int r = 0; r < 3; r++)
            for (int c = 3; r != k && c >= k; c--) a[r][c] -= a[r][k] / a[k][k] * a[k][c];
    x->c0 = a[0][3] / a[0][0], x->c1 = a[1][3] / a[1][1], x->c2 = a[2][3] / a[2][2];
    for (int i = 0; i < sizes; i++) {
        double y = log2(ldexp(1, SMALLEST + i) / 1e6), is = x->Bps[i] / 1e9;
        x->off += fabs(x->c2 * y * y + x->c1 * y + x->c0 - is) / is / sizes;
        x->peak_Bps = fmax(x->peak_Bps, x->Bps[i]);
    }
}

/* A machine other than the first one; -1: there is none. */
static int second_machine(const struct mpx *m, const int *node) {
    for (int r = 0; r < m->size; r++)
        if (node[r] != node[0]) return node[r];
    return -1;
}

/* The first n ranks of the first machine, and the next n of it (inside) or the first n of the second one. 0
 * if there are not that many. */
static int sides(const struct mpx *m, const int *node, int n, bool inside, int *rank) {
    int far = inside ? node[0] : second_machine(m, node), found[2] = {0};
    for (int r = 0; r < m->size; r++) {
        int side = node[r] != node[0] || found[0] == n;
        if (node[r] == (side ? far : node[0]) && found[side] < n) rank[side * n + found[side]++] = r;
    }
    return found[0] == n && found[1] == n;
}

/* Rank 0 is always among the ranks of the two sides, rank[0 .. 2 n). */
static void measure_sides(MPI_Comm world, struct samples *x, const int *rank, int mine, void *buffer) {
    int at = -1, n = x->n, sizes = o.largest - SMALLEST + 1;
    for (int k = 0; k < 2 * n; k++)
        if (rank[k] == mine) at = k;
    MPI_Comm ends;
    MPI_Comm_split(world, at < 0 ? MPI_UNDEFINED : 0, at, &ends);
    if (at < 0) return;
    for (int i = 0; i < sizes; i++) {
        int bytes = 1 << (SMALLEST + i), other = at < n ? at + n : at - n;
        x->Bps[i] = n * (double)bytes / (measure(ends, at >= n, other, buffer, bytes, false) / 2);
        x->sum_s[i] = measure(ends, 0, 0, buffer, bytes, true);
    }
    MPI_Comm_free(&ends);
    fit(x, sizes);
}

static int bench(const struct mpx *m, struct samples *out, int *n_out, struct err *e) {
    MPI_Comm world = *(MPI_Comm *)m->comm, machine;
    int *node = calloc((size_t)m->size, sizeof *node), rank[2 * TP_MAX], mine = m->rank;
    void *buffer = calloc(1, (size_t)1 << o.largest);
    int rc = node && buffer ? 0 : err_set(e, EXIT_INTERNAL, "out of memory");
    if (mpx_agree(m, rc, e)) return free(node), free(buffer), -1;
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Bcast(&mine, 1, MPI_INT, 0, machine); /* a machine is known by its first rank */
    MPI_Comm_free(&machine);
    MPI_Allgather(&mine, 1, MPI_INT, node, 1, MPI_INT, world);
    for (int far = 0; far <= (second_machine(m, node) >= 0); far++)
        for (int n = 1; n <= TP_MAX && sides(m, node, n, !far, rank); n *= 2) {
            struct samples *x = &out[(*n_out)++];
            *x = (struct samples){.n = n, .inside = !far};
            measure_sides(world, x, rank, m->rank, buffer);
        }
    free(node), free(buffer);
    return 0;
}

static void show(const struct samples *x, struct arena *a) {
    struct table *t = table_new("bytes|one way 1e9 B/s|fit|all-reduce s", a);
    for (int i = 0; i <= o.largest - SMALLEST; i++) {
        double y = log2(ldexp(1, SMALLEST + i) / 1e6);
        table_cell(t, "%d", 1 << (SMALLEST + i));
        table_cell(t, "%s", table_number(x->Bps[i] / 1e9, 4, a));
        table_cell(t, "%s", table_number(x->c2 * y * y + x->c1 * y + x->c0, 4, a));
        table_cell(t, "%s", table_number(x->sum_s[i], 4, a));
    }
    fprintf(stderr, "%d to %d at once, %s; the fit is off by %.1f %% in the mean\n", x->n, x->n,
            x->inside ? "of the same machine" : "of another machine", 100 * x->off);
    table_print(t, stderr);
}

static cJSON *numbers(const double *v, int n) {
    cJSON *a = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(a, json_double(v[i]));
    return a;
}

static cJSON *fit_of(const struct samples *x) {
    return numbers((double[]){x->c2, x->c1, x->c0, x->peak_Bps}, 4);
}

/* The object at a key, made where there is none. */
static cJSON *object_at(cJSON *parent, const char *key) {
    cJSON *x = cJSON_GetObjectItemCaseSensitive(parent, key);
    return cJSON_IsObject(x) ? x : cJSON_AddObjectToObject(parent, key);
}

/* The site with these links instead of those it had: between machines, or, of one machine alone, inside it;
 * n to n inside a machine is also the link of 2 n devices of a node. What was measured stays beside them as
 * comments. */
static char *site_text(const char *text, const char *zone, const char *gpu, const struct mpx *m,
                       const struct samples *x, int n, struct arena *a) {
    char host[64] = "";
    bool alone = n == 0 || x[n - 1].inside; /* those between machines come last */
    cJSON *site = cJSON_Parse(text), *links = cJSON_CreateObject(), *inside = cJSON_CreateObject(),
          *fits = cJSON_AddArrayToObject(links, "fits"), *rows = cJSON_AddArrayToObject(links, "rows"),
          *seen = cJSON_AddArrayToObject(links, "//samples");
    gethostname(host, sizeof host - 1);
    cJSON_DeleteItemFromObjectCaseSensitive(site, "links");
    cJSON_DeleteItemFromObjectCaseSensitive(site, "source");
    cJSON_AddStringToObject(site, "source",
                            arena_printf(a, "links measured: sailor-train %s netbench on %s, %d ranks",
                                         train_version(), host, m->size));
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
        cJSON_AddItemToObject(s, "fit_error", json_double(x[i].off));
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

static int netbench(const struct mpx *m, struct arena *a, struct err *e) {
    static struct samples x[2 * TP_N];
    struct workload w = {0};
    const char *text = NULL, *gpu[GPUS_MAX];
    int n = 0, rc = m->rank == 0 && o.output ? h5_can_create(o.output, o.force, "-f overwrites it", e) : 0;
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
    if (mpx_agree(m, rc, e) || bench(m, x, &n, e)) return -1;
    if (m->rank == 0) {
        for (int i = 0; i < n && !o.quiet; i++) show(&x[i], a);
        rc = train_write_text(
            o.output, site_text(text, o.zone ? o.zone : w.site->zone[0], o.gpu ? o.gpu : gpu[0], m, x, n, a),
            e);
    }
    return mpx_agree(m, rc, e);
}

int cmd_netbench(int argc, char **argv) {
    struct arena a = {0};
    struct mpx m = {0};
    struct err e;
    const char **file;
    int n, status = EXIT_OK;
    if (!train_parse(&netbench_command, argc, argv, &file, &n, &a, &status)) return status;
    watch_begin();
    if (mpx_start(&m, &e) || netbench(&m, &a, &e)) {
        status = e.code;
        if (m.rank == 0) train_fail(&e);
    }
    arena_free(&a);
    watch_end();
    mpx_finish(&m);
    return status;
}
