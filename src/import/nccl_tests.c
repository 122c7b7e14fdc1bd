#include "base/opt.h"
#include "base/text.h"
#include "import/draft.h"
#include "sim/estimate.h"
#include "sim/link.h"
#include "sim/linkfit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Turns what nccl-tests measured into a link. A collective of size s over R ranks moves f(R) s bytes through
 * the bottleneck of its ring, where f is the factor of their "bus bandwidth" (2 (R - 1) / R for all-reduce).
 * With k ranks on every node the bottleneck is a node's network, which its k GPUs share: a link of n = k. On
 * one node it is the way out of one GPU. We use the times, as their bandwidths are rounded. */

enum { HOSTS_MAX = 4096, POINTS_MAX = 4096, FIELDS_MAX = 32 };

struct point {
    double size, time_s;
    int n; /* number of measurements */
};

struct output {
    struct draft *d;
    const char *file;
    const char *host[HOSTS_MAX], *device, *collective;
    int n_host, n_rank;
    struct point point[POINTS_MAX];
    int n_point;
    bool per_iteration; /* rows of 21 fields */
    struct err *e;
};

static int fail(const struct output *o, int line, const char *what) {
    return err_set(o->e, EXIT_INPUT, "%s:%d: %s", o->file, line, what);
}

/* ---- reading ---- */

static int add_host(struct output *o, const char *host) {
    o->n_rank++;
    for (int i = 0; i < o->n_host; i++)
        if (!strcmp(o->host[i], host)) return 0;
    if (o->n_host == HOSTS_MAX) return -1;
    o->host[o->n_host++] = arena_strdup(o->d->a, host);
    return 0;
}

static void add_point(struct output *o, double size, double time_us) {
    if (!(size > 0) || !(time_us > 0) || !isfinite(size) || !isfinite(time_us)) return;
    int i = 0;
    while (i < o->n_point && o->point[i].size != size) i++;
    if (i == POINTS_MAX) return;
    if (i == o->n_point) o->point[o->n_point++] = (struct point){.size = size};
    o->point[i].time_s += 1e-6 * time_us;
    o->point[i].n++;
}

/* "#  Rank  0 Group  0 Pid   6899 on node-1 device  0 [0000:04:00] NVIDIA H100 80GB HBM3" */
static int read_rank(struct output *o, const char *line, int number) {
    const char *on = strstr(line, " on "), *bracket = on ? strchr(on, ']') : NULL;
    if (!on || !bracket)
        return fail(o, number, "no rank; expected \"Rank 0 ... on HOST device 0 [...] NAME\"");
    for (on += 4; *on == ' ';) on++;
    if (add_host(o, arena_printf(o->d->a, "%.*s", (int)strcspn(on, " "), on)))
        return fail(o, number, "too many hosts; expected at most 4096");
    for (bracket++; *bracket == ' ';) bracket++;
    size_t n = strlen(bracket);
    while (n && isspace((unsigned char)bracket[n - 1])) n--;
    if (!o->device) o->device = arena_printf(o->d->a, "%.*s", (int)n, bracket);
    return 0;
}

static int read_comment(struct output *o, const char *line, int number) {
    static const char starting[] = "Collective test starting:";
    const char *test = strstr(line, starting);
    if (test) {
        for (test += strlen(starting); *test == ' ';) test++;
        o->collective = arena_printf(o->d->a, "%.*s", (int)strcspn(test, " \r"), test);
    }
    if (strstr(line, "i_min")) o->per_iteration = true;
    const char *at = line + strspn(line, "# ");
    return !strncmp(at, "Rank ", 5) ? read_rank(o, line, number) : 0;
}

/* A number; NAN for "N/A" and "nan". */
static bool figure(const char *text, double *v) {
    char *end;
    if (!strcasecmp(text, "N/A")) return *v = NAN, true;
    *v = strtod(text, &end);
    return end > text && !*end;
}

/* size, count, type, redop, root, then time, algbw, busbw and #wrong twice (out of place, in place), with
 * four more if every iteration is reported; a date and time may follow. */
static int read_row(struct output *o, char *line, int number) {
    enum { HEAD = 5, WRONG = 3 };
    char *field[FIELDS_MAX], *save = NULL;
    int n = 0, group = o->per_iteration ? 8 : 4;
    for (char *s = strtok_r(line, " \t\r", &save); s; s = strtok_r(NULL, " \t\r", &save)) {
        if (n == FIELDS_MAX) return fail(o, number, "more than 32 fields; expected 13 or 21");
        field[n++] = s;
    }
    if (!n || !isdigit((unsigned char)field[0][0])) return 0; /* other output of the program or a launcher */
    if (n > HEAD && strchr(field[n - 1], ':')) n -= 2;
    if (n == HEAD + 16) group = 8;
    double size, v[2];
    if ((n != HEAD + group && n != HEAD + 2 * group) || !figure(field[0], &size))
        return err_set(o->e, EXIT_INPUT, "%s:%d: %d fields; expected a row of 13 or 21", o->file, number, n);
    if (!figure(field[HEAD], &v[0]) || !figure(field[HEAD + WRONG], &v[1]))
        return err_set(o->e, EXIT_INPUT,
                       "%s:%d: \"%.40s\", \"%.40s\"; expected a time and a number of wrong results", o->file,
                       number, field[HEAD], field[HEAD + WRONG]);
    if (v[1] > 0) return fail(o, number, "wrong results; expected a measurement with none");
    add_point(o, size, v[0]);
    return 0;
}

static int read_lines(struct output *o, const char *text) {
    char *at = arena_strdup(o->d->a, text), *line;
    for (int number = 1; (line = text_take_line(&at)); number++)
        if (line[strspn(line, " ")] == '#' ? read_comment(o, line, number) : read_row(o, line, number))
            return -1;
    return 0;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int read_result(struct output *o, const struct json_at *at) {
    static const char *const way[] = {"out_of_place", "in_place"};
    struct json_at size = json_member(at, "size");
    double bytes, us, wrong;
    if (json_real(&size, 0, 1e18, &bytes, o->e)) return -1;
    for (int i = 0; i < 2; i++) {
        struct json_at one = json_member(at, way[i]), time = json_member(&one, "time"),
                       bad = json_member(&one, "nwrong");
        if (!one.node || json_null(&one)) continue;
        if (!time.node) time = json_member(&one, "cpu_time");
        if (bad.node && cJSON_IsNumber(bad.node)) {
            if (json_real(&bad, 0, 1e18, &wrong, o->e)) return -1;
            if (wrong > 0)
                return json_fail(&bad, o->e, "%g; expected a measurement without wrong results", wrong);
        }
        if (cJSON_IsString(time.node)) continue; /* "nan" */
        if (json_real(&time, 0, 1e15, &us, o->e)) return -1;
        add_point(o, bytes, us);
        return 0;
    }
    return 0;
}

static int read_devices(struct output *o, const struct json_at *config) {
    struct json_at list = json_member(config, "devices");
    int n, i = 0;
    if (json_array(&list, 1, 1000000, &n, o->e)) return -1;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x), host = json_member(&here, "hostname"),
                       info = json_member(&here, "device_info");
        const char *name;
        if (json_string(&host, &name, o->d->a, o->e)) return -1;
        if (add_host(o, name)) return json_fail(&host, o->e, "too many hosts; expected at most 4096");
        if (!o->device && info.node && json_string(&info, &o->device, o->d->a, o->e)) return -1;
    }
    return 0;
}

/* -J: {"args": [program, ...], "config": {"nthreads", "ngpus", "devices": [...]}, "results": [...]} */
static int read_json(struct output *o, const char *text) {
    cJSON *tree = json_parse(o->file, text, strlen(text), o->e);
    if (!tree) return -1;
    struct json_at root = json_root(o->file, tree), args = json_member(&root, "args"),
                   config = json_member(&root, "config"), results = json_member(&root, "results");
    int n, i = 0, rc = read_devices(o, &config) || json_array(&results, 1, 1000000, &n, o->e) ? -1 : 0;
    if (cJSON_IsArray(args.node) && cJSON_IsString(args.node->child))
        o->collective = arena_strdup(o->d->a, base_name(args.node->child->valuestring));
    for (const cJSON *x = rc ? NULL : results.node->child; x && !rc; x = x->next, i++) {
        struct json_at here = json_element(&results, i, x);
        rc = read_result(o, &here);
    }
    int threads, gpus; /* without MPI, one device is listed for all */
    struct json_at t = json_member(&config, "nthreads"), g = json_member(&config, "ngpus");
    if (!rc && o->n_host == 1 && o->n_rank == 1 && t.node && g.node) {
        rc = json_int(&t, 1, 1024, &threads, o->e) || json_int(&g, 1, 1024, &gpus, o->e) ? -1 : 0;
        if (!rc) o->n_rank = threads * gpus;
    }
    cJSON_Delete(tree);
    return rc;
}

/* ---- from times to links ---- */

/* Bytes through the bottleneck of the ring per byte of size; NAN: not a ring. */
static double ring_factor(const char *collective, int ranks) {
    double r = ranks;
    size_t n = strlen(collective);
    char name[40];
    if (n >= sizeof name) return NAN;
    strcpy(name, collective);
    if (n > 5 && !strcmp(name + n - 5, "_perf")) name[n - 5] = '\0';
    if (!strcmp(name, "all_reduce")) return 2 * (r - 1) / r;
    if (!strcmp(name, "all_gather") || !strcmp(name, "reduce_scatter")) return (r - 1) / r;
    if (!strcmp(name, "sendrecv") || !strcmp(name, "broadcast") || !strcmp(name, "reduce")) return 1;
    return NAN;
}

static bool is_sendrecv(const char *collective) { return !strncmp(collective, "sendrecv", 8); }

/* A site's links are within these. */
static const double SLOWEST_BPS = 1, FASTEST_BPS = 1e15;

/* The curve through the measured points at `share` of their bandwidth, constant beyond the largest size. */
static int fit(const struct output *o, double factor, double share, struct link *l) {
    double bytes[LINKFIT_MOST], bw[LINKFIT_MOST], error[LINKFIT_MOST];
    int n = 0, inside = 0;
    for (int i = 0; i < o->n_point; i++) {
        double x = o->point[i].size * factor;
        inside += x >= MEASURED_MIN_BYTES && x <= MEASURED_MAX_BYTES;
    }
    for (int i = 0, seen = 0; i < o->n_point; i++) {
        const struct point *p = &o->point[i];
        double x = p->size * factor;
        if (x < MEASURED_MIN_BYTES || x > MEASURED_MAX_BYTES) continue;
        if ((long)seen++ * LINKFIT_MOST / inside < n && inside > LINKFIT_MOST) continue;
        bytes[n] = x * share;
        bw[n] = share * x * p->n / p->time_s;
        if (!(bw[n] >= SLOWEST_BPS && bw[n] <= FASTEST_BPS))
            return err_set(o->e, EXIT_INPUT,
                           "%s: %g bytes in %g us; expected times in microseconds, of a link of %g to %g B/s",
                           o->file, p->size, 1e6 * p->time_s / p->n, SLOWEST_BPS, FASTEST_BPS);
        error[n++] = 0;
    }
    if (n < 3)
        return err_set(
            o->e, EXIT_INPUT,
            "%s: %d sizes between 64 KiB and 1 GiB on the link; expected at least 3 (-b 64K -e 1G -f 2)",
            o->file, n);
    int last = 0;
    for (int i = 0; i < n; i++)
        if (bytes[i] > bytes[last]) last = i;
    for (double more = 2; n < LINKFIT_MOST && bytes[last] * more <= MEASURED_MAX_BYTES * share;
         more *= 2, n++) {
        bytes[n] = bytes[last] * more;
        bw[n] = bw[last];
        error[n] = 0;
    }
    linkfit(l, bytes, bw, error, n);
    if (!link_settle(l))
        return err_set(o->e, EXIT_INPUT, "%s: no bandwidth above 0 between 64 KiB and 1 GiB", o->file);
    if (l->c1 != 0 || l->c2 != 0) return 0;
    /* Small messages are often so slow that no curve rises throughout: then use one that holds for larger
     * sizes, if it is closer than a constant. */
    struct link curve;
    double mean[2], most;
    linkfit_parabola(&curve, bytes, bw, error, n);
    if (!link_settle(&curve)) return 0;
    linkfit_error(l, bytes, bw, n, &mean[0], &most);
    linkfit_error(&curve, bytes, bw, n, &mean[1], &most);
    if (mean[1] < mean[0]) *l = curve;
    return 0;
}

/* ZONE/GPU */
static int end_of(struct draft *d, const char *text, const char *option, int *zone, int *gpu, struct err *e) {
    const char *slash = text ? strchr(text, '/') : NULL;
    if (!text && !d->n_zone && d->n_gpu == 1 &&
        draft_zone(d, d->ask->zone ? d->ask->zone : "cluster", "--zone", e))
        return -1;
    if (!text && d->n_zone == 1 && d->n_gpu == 1) return *zone = *gpu = 0;
    if (!slash)
        return err_set(e, EXIT_INPUT, "%s %s: expected ZONE/GPU, where nccl-tests ran", option,
                       text ? text : "is missing");
    *zone = draft_end_zone(d, arena_printf(d->a, "%.*s", (int)(slash - text), text), option, e);
    if (*zone < 0) return -1;
    *gpu = draft_find_gpu(d, slash + 1);
    if (*gpu >= 0) return 0;
    const struct draft_alias *as = draft_alias(d, slash + 1, NAN);
    if (!as->name) return err_set(e, EXIT_INPUT, "%s %s: %s", option, text, as->why);
    *gpu = draft_find_gpu(d, as->name);
    if (*gpu >= 0) return 0;
    for (int i = 0; i < d->n_device; i++)
        if (!strcmp(d->device[i].d.name, as->name) && d->device[i].sheet)
            return (*gpu = draft_gpu(d, as, d->device[i].d.gpus_per_node, option, e)) < 0 ? -1 : 0;
    return err_set(e, EXIT_INPUT, "%s %s: no such GPU type in the site, and no data sheet for it", option,
                   text);
}

/* The link of k to k GPUs, at `share` of the measured bandwidth. Ends that use fewer GPUs of a node get their
 * share, unless they have a measurement of their own. *shares says whether any got one. */
static int put_rows(const struct output *o, double factor, double share, int top, const int zone[2],
                    const int gpu[2], bool *shares) {
    struct draft *d = o->d;
    struct link l;
    for (int least = 0; least <= top; least++)
        for (int most = least; most < TP_N; most++)
            for (int turn = 0; turn < (least == most ? 1 : 2); turn++) {
                const int ti[2] = {turn ? most : least, turn ? least : most}, own[2] = {least, least};
                const struct draft_link *there = draft_find_link(d, zone, gpu, ti),
                                        *of_least = draft_find_link(d, zone, gpu, own);
                if (least < top ? there != NULL || most > top : most > top && !there) continue;
                bool known = least < top && of_least;
                if (known)
                    l = of_least->fit;
                else if (fit(o, factor, ldexp(share, least - top), &l))
                    return -1;
                *shares |= least < top && !known;
                draft_set_link(d, zone, gpu, ti, &l);
            }
    return 0;
}

/* The link of n to n GPUs in a node is also that among 2 n GPUs; if this is the only node, it is the only
 * link. */
static int put_inside(const struct output *o, double factor, int zone, int gpu) {
    struct draft *d = o->d;
    int ranks = is_sendrecv(o->collective) ? 2 : o->n_rank, ti = tp_index(ranks);
    const int z[2] = {zone, zone}, g[2] = {gpu, gpu};
    bool shares, alone = d->available[zone][gpu] > 0 && d->available[zone][gpu] <= d->gpu[gpu].gpus_per_node;
    struct link l;
    if (ti < 1)
        return err_set(o->e, EXIT_INPUT, "%s: %d ranks on one node; expected 2, 4 or 8, or several nodes",
                       o->file, o->n_rank);
    if (fit(o, factor, ranks / 2, &l)) return -1;
    d->intra[gpu][ti] = l;
    draft_note(d, "%s: inside a node, %d %s: up to %.4g GB/s%s", o->file, ranks, d->gpu[gpu].name,
               l.peak_Bps / 1e9, alone ? "; also the link in this zone, which has one node" : "");
    return alone ? put_rows(o, factor, ranks / 2, ti - 1, z, g, &shares) : 0;
}

static int put_link(const struct output *o, double factor, const int zone[2], const int gpu[2]) {
    struct draft *d = o->d;
    int k = is_sendrecv(o->collective) ? 1 : o->n_rank / o->n_host;
    struct link measured;
    bool shares = false;
    if (o->n_rank % o->n_host || tp_index(k) < 0)
        return err_set(o->e, EXIT_INPUT, "%s: %d ranks on %d nodes; expected 1, 2, 4 or 8 on each", o->file,
                       o->n_rank, o->n_host);
    if (fit(o, factor, 1, &measured)) return -1;
    for (int way = 0; way < (zone[0] == zone[1] && gpu[0] == gpu[1] ? 1 : 2); way++) {
        const int z[2] = {zone[way], zone[!way]}, g[2] = {gpu[way], gpu[!way]};
        if (put_rows(o, factor, 1, tp_index(k), z, g, &shares)) return -1;
    }
    draft_note(
        d, "%s: %s in %s to %s in %s, n = %d: up to %.4g GB/s%s", o->file, d->gpu[gpu[0]].name,
        d->zone[zone[0]], d->gpu[gpu[1]].name, d->zone[zone[1]], k, measured.peak_Bps / 1e9,
        shares ? "; fewer GPUs are assumed to get their share of it (measure them with fewer ranks on a node)"
               : "");
    return 0;
}

static int put(struct output *o) {
    struct draft *d = o->d;
    int zone[2], gpu[2];
    if (!o->collective) o->collective = d->ask->collective;
    if (!o->n_rank)
        return err_set(o->e, EXIT_INPUT,
                       "%s: no \"Rank 0 ... on HOST\"; expected the whole output of a program of nccl-tests",
                       o->file);
    if (!o->collective)
        return err_set(o->e, EXIT_INPUT,
                       "%s: does not name its collective; expected --collective all_reduce or another",
                       o->file);
    double factor = ring_factor(o->collective, o->n_rank);
    if (isnan(factor))
        return err_set(
            o->e, EXIT_INPUT,
            "%s: \"%.40s\" measures no single link; expected all_reduce, all_gather, reduce_scatter, "
            "broadcast, reduce or sendrecv",
            o->file, o->collective);
    if (o->n_rank < 2) return err_set(o->e, EXIT_INPUT, "%s: one rank; expected at least two", o->file);
    const struct draft_alias *device = o->device ? draft_alias(d, o->device, NAN) : NULL;
    const char *to = d->ask->to ? d->ask->to : d->ask->from;
    if (end_of(d, d->ask->from, "--from", &zone[0], &gpu[0], o->e) ||
        end_of(d, to, "--to", &zone[1], &gpu[1], o->e))
        return -1;
    if (device && device->name && strcmp(device->name, d->gpu[gpu[0]].name) &&
        strcmp(device->name, d->gpu[gpu[1]].name))
        draft_note(d, "%s: ran on \"%s\", %s, but is taken as a link of %s", o->file, o->device, device->name,
                   d->gpu[gpu[0]].name);
    if (o->n_host == 1 && (zone[0] != zone[1] || gpu[0] != gpu[1]))
        return err_set(o->e, EXIT_INPUT, "%s: ran on one node; expected no --to, or one in the same place",
                       o->file);
    return o->n_host == 1 ? put_inside(o, factor, zone[0], gpu[0]) : put_link(o, factor, zone, gpu);
}

int draft_nccl_tests(struct draft *d, const char *file, const char *text, struct err *e) {
    struct output *o = ARENA_NEW(d->a, struct output);
    *o = (struct output){.d = d, .file = file, .e = e};
    const char *first = text + strspn(text, " \t\r\n");
    if (*first == '{' ? read_json(o, text) : read_lines(o, text)) return -1;
    if (!o->n_point)
        return err_set(e, EXIT_INPUT,
                       "%s: no measurement; expected the output of a program of nccl-tests, or its -J file",
                       file);
    if (put(o)) return -1;
    draft_source(d, "links: nccl-tests (%s)", file);
    return 0;
}
