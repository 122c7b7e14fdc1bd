#include "formats/inputs_priv.h"

#include <math.h>

/* The rows of a job. A count may be a range, [from, to, step]: such an entry of "pools" stands for one row
 * per count, or per combination of counts if there are several ranges; the last range changes fastest. */

enum { RANGED_ROWS_MAX = 10000 }; /* rows that the ranges of a job may expand to */

struct range {
    int from, to, step;
};

struct ranged_pool {
    double time_s;
    int n, *size;             /* [n] GPUs per node of each entry */
    struct pool_entry *entry; /* [n] with the counts still open */
    struct range *count;      /* [n] */
    int rows;
};

static int read_range(const struct json_at *at, struct range *r, struct err *e) {
    int n, i = 0, v[3];
    if (!cJSON_IsArray(at->node)) {
        if (json_int(at, 0, COUNT_MAX, &r->from, e)) return -1;
        r->to = r->from;
        r->step = 1;
        return 0;
    }
    if (json_array(at, 3, 3, &n, e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_int(&here, i == 2, COUNT_MAX, &v[i], e)) return -1;
    }
    if (v[1] < v[0]) {
        struct json_at here = json_element(at, 1, at->node->child->next);
        return json_fail(&here, e, "%d; expected at least the first count, %d", v[1], v[0]);
    }
    *r = (struct range){v[0], v[1], v[2]};
    return 0;
}

static int rows_of(const struct range *r) { return (r->to - r->from) / r->step + 1; }

static int largest(const struct range *r) { return r->from + (rows_of(r) - 1) * r->step; }

static int read_entry(const struct json_at *at, struct job_reader *r, struct ranged_pool *p, int i) {
    static const char *const keys[] = {"zone", "gpu", "count", "gpus_per_node", NULL};
    const struct site *s = r->l->site;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at zone = json_member(at, "zone"), gpu = json_member(at, "gpu"),
                   num = json_member(at, "count"), node = json_member(at, "gpus_per_node");
    int z, g, sum;
    if (json_name(&zone, s->zone, s->n_zone, r->zone_what, &z, r->e)) return -1;
    if (json_name(&gpu, r->gpu, s->n_gpu, r->gpu_what, &g, r->e)) return -1;
    if (read_range(&num, &p->count[i], r->e)) return -1;
    p->size[i] = s->gpu[g].gpus_per_node;
    if (node.node && json_int(&node, 1, s->gpu[g].gpus_per_node, &p->size[i], r->e)) return -1;
    sum = largest(&p->count[i]);
    for (int k = 0; k < i; k++) {
        if (p->entry[k].zone != z || p->entry[k].gpu != g) continue;
        if (p->size[k] == p->size[i])
            return json_fail(at, r->e,
                             "zone \"%s\" and GPU \"%s\" appear twice in a row; expected each pair once, "
                             "or once for each size of node",
                             s->zone[z], r->gpu[g]);
        sum += largest(&p->count[k]);
        if (sum > COUNT_MAX)
            return json_fail(&num, r->e, "%d GPUs in all; expected at most %d", sum, COUNT_MAX);
    }
    p->entry[i] = (struct pool_entry){.zone = z, .gpu = g};
    return 0;
}

static int read_pool(const struct json_at *at, struct job_reader *r, struct ranged_pool *p) {
    static const char *const keys[] = {"time_s", "gpus", NULL};
    if (json_object(at, keys, r->e)) return -1;
    struct json_at time = json_member(at, "time_s"), gpus = json_member(at, "gpus");
    int i = 0;
    p->time_s = NAN;
    if (time.node && json_real(&time, 0, 1e18, &p->time_s, r->e)) return -1;
    if (json_array(&gpus, 0, ZONES_MAX * GPUS_MAX, &p->n, r->e)) return -1;
    p->entry = ARENA_ARRAY(r->arena, struct pool_entry, p->n + 1);
    p->size = ARENA_ARRAY(r->arena, int, p->n + 1);
    p->count = ARENA_ARRAY(r->arena, struct range, p->n + 1);
    p->rows = 1;
    for (const cJSON *x = gpus.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&gpus, i, x);
        if (read_entry(&here, r, p, i)) return -1;
        long rows = (long)p->rows * rows_of(&p->count[i]);
        if (rows > RANGED_ROWS_MAX) {
            struct json_at num = json_member(&here, "count");
            return json_fail(&num, r->e, "ranges make %ld rows or more; expected at most %d", rows,
                             RANGED_ROWS_MAX);
        }
        p->rows = (int)rows;
    }
    return 0;
}

/* The row for one combination, number `row` of p->rows. */
static struct pool expand(const struct ranged_pool *p, int index, int row, const struct site *s,
                          struct arena *a) {
    int *count = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu);
    struct nodes *nodes = ARENA_ARRAY(a, struct nodes, s->n_zone * s->n_gpu);
    struct pool_entry *entry = ARENA_ARRAY(a, struct pool_entry, p->n + 1);
    for (int i = p->n - 1; i >= 0; i--) {
        int rows = rows_of(&p->count[i]), at = site_at(s, p->entry[i].zone, p->entry[i].gpu);
        entry[i] = p->entry[i];
        entry[i].count = p->count[i].from + row % rows * p->count[i].step;
        row /= rows;
        count[at] += entry[i].count;
        nodes_add(&nodes[at], nodes_of(entry[i].count, p->size[i]));
    }
    return (struct pool){.time_s = p->time_s,
                         .count = count,
                         .nodes = nodes,
                         .n_entry = p->n,
                         .entry = entry,
                         .per_node = p->size,
                         .index = index};
}

int inputs_pools(const struct json_at *at, struct job_reader *r) {
    int i = 0, n, ranged = 0, rows = 0;
    if (json_array(at, 1, 1000000, &n, r->e)) return -1;
    struct ranged_pool *p = ARENA_ARRAY(r->arena, struct ranged_pool, n);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_pool(&here, r, &p[i])) return -1;
        if (p[i].rows > 1) ranged += p[i].rows;
        if (ranged > RANGED_ROWS_MAX)
            return json_fail(&here, r->e, "with those before it, ranges make %d rows; expected at most %d",
                             ranged, RANGED_ROWS_MAX);
        rows += p[i].rows;
    }
    struct pool *pool = ARENA_ARRAY(r->arena, struct pool, rows);
    r->job->n_pool = 0;
    for (i = 0; i < n; i++)
        for (int k = 0; k < p[i].rows; k++)
            pool[r->job->n_pool++] = expand(&p[i], i, k, r->l->site, r->arena);
    r->job->pool = pool;
    return 0;
}
