#include "search/merge.h"

#include <string.h>

bool space_can_merge(const struct space *s) {
    for (int x = 0; x < s->n_cell; x++)
        for (int y = 0; y < x; y++)
            if (s->cell[x].region == s->cell[y].region && s->cell[x].zone != s->cell[y].zone) return true;
    return false;
}

static int find(const struct space *m, int region, int gpu) {
    for (int k = 0; k < m->n_cell; k++)
        if (m->cell[k].region == region && m->cell[k].gpu == gpu) return k;
    return -1;
}

/* Cells by region, inside a region by GPU type. `zone` is the region: zones are not told apart any more. */
static void merge_cells(struct space *m, const struct space *s) {
    for (int region = 0; region < s->n_region; region++)
        for (int g = 0; g < GPUS_MAX; g++)
            for (int c = 0; c < s->n_cell; c++) {
                const struct cell *from = &s->cell[c];
                if (from->region != region || from->gpu != g) continue;
                int k = find(m, region, g);
                if (k < 0) {
                    k = m->n_cell++;
                    m->cell[k] = *from;
                    m->cell[k].zone = region;
                } else {
                    struct cell *to = &m->cell[k];
                    to->gpus += from->gpus;
                    nodes_add(&to->nodes, from->nodes);
                    to->usd_per_s = fmin(to->usd_per_s, from->usd_per_s);
                }
                m->image[c] = k;
            }
}

/* Least of the members' numbers: `from` [n][n] over cells of s times `per`, `to` likewise over those of m. */
static void merge_pairs(const struct space *m, const struct space *s, int per, const double *from,
                        double *to) {
    size_t few = (size_t)m->n_cell * (size_t)per, many = (size_t)s->n_cell * (size_t)per;
    for (size_t k = 0; k < few * few; k++) to[k] = INFINITY;
    for (size_t x = 0; x < many; x++)
        for (size_t y = 0; y < many; y++) {
            size_t p = (size_t)per, a = (size_t)m->image[x / p] * p + x % p,
                   b = (size_t)m->image[y / p] * p + y % p;
            to[a * few + b] = fmin(to[a * few + b], from[x * many + y]);
        }
}

static void merge_microbatch(struct space *m, const struct space *s, struct mb_space *mb, struct arena *a) {
    size_t few = (size_t)m->n_cell * TP_N, many = (size_t)s->n_cell * TP_N;
    const double *from = mb->kind_time;
    mb->kind_time = ARENA_ARRAY(a, double, (size_t)mb->n_size * few * few);
    for (int k = 0; k < mb->n_size; k++)
        merge_pairs(m, s, TP_N, from + (size_t)k * many * many, mb->kind_time + (size_t)k * few * few);
    const struct stage_class *cls = mb->cls;
    mb->cls = ARENA_ARRAY(a, struct stage_class, mb->n_class);
    memcpy(mb->cls, cls, sizeof *cls * (size_t)mb->n_class);
    space_build_patterns(m, mb, a);
}

struct space *space_merge(const struct space *s, struct arena *a) {
    struct space *m = ARENA_NEW(a, struct space);
    *m = *s;
    m->merged_from = s;
    m->image = ARENA_ARRAY(a, int, s->n_cell);
    m->n_cell = 0;
    merge_cells(m, s);
    size_t n = (size_t)m->n_cell;
    m->egress = ARENA_ARRAY(a, double, n *n);
    merge_pairs(m, s, 1, s->egress, m->egress);
    m->n_link = m->n_cell * m->n_cell; /* the rings of a unit are those of the members */
    m->link = NULL;
    m->link_of = ARENA_ARRAY(a, int, n *n);
    for (int k = 0; k < m->n_link; k++) m->link_of[k] = k;
    space_build_sets(m, a);
    m->mb = ARENA_ARRAY(a, struct mb_space, s->n_mb);
    for (int k = 0; k < s->n_mb; k++) {
        m->mb[k] = s->mb[k];
        merge_microbatch(m, s, &m->mb[k], a);
        if (m->stopped) return NULL;
    }
    return m;
}
