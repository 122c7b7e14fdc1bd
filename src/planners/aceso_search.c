#include "planners/aceso.h"

#include <string.h>

enum { HOPS = 7, TRIALS = 100, OPENED_MAX = 5, MOVES = 5, KEPT_MAX = 4096 };

struct aceso_kept {
    struct aceso_config c;
    double time_us;
    int opened;
};

static int gpus_log(const struct aceso_config *c, int i) { return c->dp[i] + c->tp[i]; }

static struct aceso_place place_of(const struct aceso_search *s, const struct aceso_config *c, int i,
                                   int gpu) {
    return (struct aceso_place){c->border[i], c->border[i + 1], c->S - 1 - i,
                                gpu > 0 && gpu % s->per_node == 0,
                                (gpu + (1 << gpus_log(c, i))) % s->per_node == 0};
}

static int first_gpu(const struct aceso_config *c, int i) {
    int gpu = 0;
    for (int k = 0; k < i; k++) gpu += 1 << gpus_log(c, k);
    return gpu;
}

static double rounds(const struct aceso_search *s, const struct aceso_config *c) {
    int mb = 1 << c->mb_log, B = s->q->w->global_batch_size;
    return s->costs->corrected ? (B + mb - 1) / mb : B / mb;
}

static void evaluate(struct aceso_search *s, struct aceso_state *x) {
    const struct aceso_config *c = &x->c;
    double slowest = 0, sum = 0, sync = 0;
    /* Corrected: one dp for all, and no stage of the head alone: the common simulator would send its logits
     * backwards. */
    bool sound = !s->costs->corrected || c->border[c->S - 1] < s->costs->n - 1;
    x->peak_MiB = 0;
    for (int i = 0, gpu = 0; i < c->S; gpu += 1 << gpus_log(c, i), i++) {
        struct aceso_place p = place_of(s, c, i, gpu);
        int bi = c->mb_log - c->dp[i];
        struct aceso_cost v = x->stage[i] = aceso_stage_cost(s->costs, &p, bi, c->tp[i]);
        slowest = fmax(slowest, v.time_us);
        sum += v.time_us;
        x->peak_MiB = fmax(x->peak_MiB, v.memory_MiB);
        if (s->costs->corrected && v.time_us < INFINITY)
            sync = fmax(sync, aceso_sync_us(s->costs, &p, bi, c->tp[i], 1 << c->dp[i]));
        sound = sound && (!s->costs->corrected || c->dp[i] == c->dp[0]);
    }
    x->time_us = sum < INFINITY ? slowest * (rounds(s, c) - 1) + sum + sync : INFINITY;
    x->fits = x->peak_MiB < s->limit_MiB && sound;
    s->states++;
    s->left--;
}

/* Plans that fit are better than those that do not; then time, or memory, decides. */
static bool better(const struct aceso_state *x, const struct aceso_state *y) {
    if (x->fits != y->fits) return x->fits;
    return x->fits ? x->time_us < y->time_us : x->peak_MiB < y->peak_MiB;
}

static uint64_t hash_of(const struct aceso_config *c) {
    uint64_t h = 0x9e3779b97f4a7c15u + (uint64_t)c->mb_log;
    for (int i = 0; i < c->S; i++) {
        h ^= (uint64_t)c->border[i] << 16 | (uint64_t)c->dp[i] << 8 | c->tp[i];
        h *= 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (h & ~(uint64_t)1) + 2;
}

/* Was the state seen before? Stores it with `put`. A full table forgets, so some states are visited twice. */
static bool known(struct aceso_search *s, uint64_t h, bool put) {
    uint64_t i = h >> 1 & s->mask;
    while (s->known[i] && s->known[i] != h) i = (i + 1) & s->mask;
    if (s->known[i] == h) return true;
    if (put && s->n_known < s->mask - s->mask / 4) {
        s->known[i] = h;
        s->n_known++;
    }
    return false;
}

static bool visited(struct aceso_search *s, const struct aceso_config *c, bool put) {
    return known(s, hash_of(c), put);
}

static void keep(struct aceso_kept *list, int *n, const struct aceso_state *x) {
    if (*n < KEPT_MAX) list[(*n)++] = (struct aceso_kept){.c = x->c, .time_us = x->time_us};
}

static bool short_of_memory(const struct aceso_search *s, const struct aceso_state *x) {
    return !(x->peak_MiB < s->limit_MiB);
}

static int bottleneck(const struct aceso_search *s, const struct aceso_state *x, const bool *tried) {
    bool oom = short_of_memory(s, x);
    int b = -1;
    for (int i = 0; i < x->c.S; i++) {
        if (tried && tried[i]) continue;
        if (b < 0 || (oom ? x->stage[i].memory_MiB > x->stage[b].memory_MiB
                          : x->stage[i].time_us > x->stage[b].time_us))
            b = i;
    }
    return b;
}

/* The work of the stage at tp 1, transfers included, in GPU microseconds. */
static double ideal_us(const struct aceso_search *s, const struct aceso_config *c, int i) {
    struct aceso_place p = place_of(s, c, i, first_gpu(c, i));
    double us = aceso_stage_cost(s->costs, &p, c->mb_log, 0).time_us;
    return us < INFINITY ? us : 0;
}

/* ---- actions: each makes a new state from x, not yet evaluated, or reports that it cannot ---- */

enum action { MOVE_OPS, MORE_DP, MORE_TP, LESS_DP, LESS_TP, MORE_MB, LESS_MB, ACTIONS };
static const struct {
    signed char time, memory, comm; /* its effect on each */
} effect[ACTIONS] = {
    [MOVE_OPS] = {-1, -1, 0}, [MORE_DP] = {-1, -1, 1}, [MORE_TP] = {-1, -1, 1}, [LESS_DP] = {1, 1, -1},
    [LESS_TP] = {1, 1, -1},   [MORE_MB] = {-1, 1, 0},  [LESS_MB] = {1, -1, 0}};

/* The stage with the most room for other stages' work. */
static int partner_of(const struct aceso_search *s, const struct aceso_state *x, int b) {
    bool oom = short_of_memory(s, x);
    double n = rounds(s, &x->c) - 1, sum = 0, worst = 0, most = -INFINITY;
    int best = -1;
    for (int i = 0; i < x->c.S; i++) {
        sum += x->stage[i].time_us;
        worst = fmax(worst, x->stage[i].time_us);
    }
    for (int i = 0; i < x->c.S; i++) {
        const struct aceso_cost *v = &x->stage[i];
        if (i == b) continue;
        double own = v->time_us * n + sum, gap = worst * n + sum - own,
               room = (s->limit_MiB / v->memory_MiB - 1) * own;
        double idle = room > gap ? gap : (room + gap) / 2;
        double score = oom ? -v->memory_MiB : idle * ideal_us(s, &x->c, i) / v->time_us;
        if (score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}

/* Passes work from stage to stage, from b on towards `to`, until each stage but the last is below the goal.
 */
static bool pass_on(const struct aceso_search *s, struct aceso_config *c, int b, int to, bool oom,
                    double goal) {
    int step = to > b ? 1 : -1;
    for (int i = b;; i += step) {
        struct aceso_place p = place_of(s, c, i, first_gpu(c, i));
        for (;; step > 0 ? p.end-- : p.first++) {
            if (p.first == p.end) return false;
            struct aceso_cost v = aceso_stage_cost(s->costs, &p, c->mb_log - c->dp[i], c->tp[i]);
            if ((oom ? v.memory_MiB : v.time_us) < goal) break;
            if (i == to) return false;
        }
        c->border[i] = (uint16_t)p.first;
        c->border[i + 1] = (uint16_t)p.end;
        if (i == to) return true;
    }
}

static bool move_ops(struct aceso_search *s, const struct aceso_state *x, int b, double share,
                     struct aceso_state *out) {
    *out = *x;
    for (int k = 0; k < MOVES; k++) {
        bool oom = short_of_memory(s, out);
        int to = partner_of(s, out, b);
        struct aceso_state next;
        if (to < 0) return k > 0;
        double worst = out->stage[b].time_us,
               goal = oom ? s->limit_MiB : worst - share * (worst - out->stage[to].time_us);
        next.c = out->c;
        if (!pass_on(s, &next.c, b, to, oom, goal)) return k > 0;
        evaluate(s, &next);
        *out = next;
        b = bottleneck(s, out, NULL);
    }
    return true;
}

static bool change(struct aceso_config *c, int i, int dp, int tp, const struct aceso_search *s) {
    int d = c->dp[i] + dp, t = c->tp[i] + tp, bi = c->mb_log - d;
    if (d < 0 || t < 0 || t > s->max_tp || d + t > 3 || bi < 0 || bi >= BATCHES || !s->costs->table[bi][t])
        return false;
    c->dp[i] = (uint8_t)d;
    c->tp[i] = (uint8_t)t;
    return true;
}

/* Are all GPUs used, and does every node end where a stage ends? */
static bool placed_well(const struct aceso_search *s, const struct aceso_config *c) {
    int gpu = 0;
    for (int i = 0; i < c->S; i++) {
        int n = 1 << gpus_log(c, i);
        if (gpu / s->per_node != (gpu + n - 1) / s->per_node) return false;
        gpu += n;
    }
    return gpu == s->gpus;
}

/* Doubles or halves a stage in one dimension; the GPUs come from, or go to, the stages that are then
 * fastest. */
static bool resize(const struct aceso_search *s, const struct aceso_state *x, int b, int dp, int tp,
                   struct aceso_state *out) {
    struct aceso_config *c = &out->c;
    bool changed[STAGES_MAX] = {false};
    *c = x->c;
    int sign = dp + tp, before = 1 << gpus_log(c, b);
    if (!change(c, b, dp, tp, s)) return false;
    changed[b] = true;
    for (int open = sign > 0 ? before : before / 2; open > 0;) {
        struct aceso_config best;
        double least = INFINITY;
        int which = -1, moved = 0;
        for (int i = 0; i < c->S; i++)
            for (int dim = 0; dim < 2; dim++) {
                struct aceso_config y = *c;
                int n = 1 << gpus_log(c, i), delta = sign > 0 ? n / 2 : n;
                if (changed[i] || delta < 1 || delta > open ||
                    !change(&y, i, dim ? 0 : -sign, dim ? -sign : 0, s))
                    continue;
                struct aceso_place p = place_of(s, &y, i, first_gpu(&y, i));
                double us = aceso_stage_cost(s->costs, &p, y.mb_log - y.dp[i], y.tp[i]).time_us;
                if (us < least) {
                    least = us;
                    best = y;
                    which = i;
                    moved = delta;
                }
            }
        if (which < 0) return false;
        *c = best;
        changed[which] = true;
        open -= moved;
    }
    return placed_well(s, c);
}

/* Gives stage i its fastest degrees on the same GPUs (dp < 0: any dp). INFINITY: there are none. */
static double pick_degrees(const struct aceso_search *s, struct aceso_config *c, int i, int dp, bool oom) {
    int n = gpus_log(c, i), gpu = first_gpu(c, i), chosen = -1;
    double least = INFINITY;
    for (int d = dp < 0 ? 0 : dp; d <= (dp < 0 ? n : dp) && d <= n; d++) {
        if (n - d > s->max_tp) continue;
        struct aceso_place p = place_of(s, c, i, gpu);
        struct aceso_cost v = aceso_stage_cost(s->costs, &p, c->mb_log - d, n - d);
        double score = v.time_us * (1 << n) + (oom ? 10 * v.memory_MiB : 0);
        if (score < least) {
            least = score;
            chosen = d;
        }
    }
    if (chosen >= 0) {
        c->dp[i] = (uint8_t)chosen;
        c->tp[i] = (uint8_t)(n - chosen);
    }
    return least;
}

static bool change_batch(const struct aceso_search *s, const struct aceso_state *x, int by,
                         struct aceso_state *out) {
    struct aceso_config *c = &out->c;
    bool oom = short_of_memory(s, x);
    double least = INFINITY;
    int dp_end = s->costs->corrected ? BATCHES : 1;
    struct aceso_config best = *c = x->c;
    best.mb_log += by;
    if (best.mb_log < 0 || best.mb_log >= BATCHES || 1 << best.mb_log > s->q->w->global_batch_size)
        return false;
    for (int dp = 0; dp < dp_end; dp++) { /* corrected: one dp for all stages */
        struct aceso_config y = best;
        double sum = 0;
        for (int i = 0; i < y.S; i++) sum += pick_degrees(s, &y, i, s->costs->corrected ? dp : -1, oom);
        if (sum < least) {
            least = sum;
            *c = y;
        }
    }
    return least < INFINITY;
}

/* The states that an action leads to, evaluated. */
static int act(struct aceso_search *s, const struct aceso_state *x, int b, enum action what,
               struct aceso_state *out) {
    static const double share[] = {0.4, 0.2, 0}; /* of the distance to the partner's time */
    int n = 0;
    if (what == MOVE_OPS) {
        for (int k = 0; k < (short_of_memory(s, x) ? 1 : 3); k++) n += move_ops(s, x, b, share[k], &out[n]);
        return n;
    }
    int sign = what == MORE_DP || what == MORE_TP || what == MORE_MB ? 1 : -1;
    bool dp = what == MORE_DP || what == LESS_DP, tp = what == MORE_TP || what == LESS_TP;
    bool done = dp || tp ? resize(s, x, b, dp ? sign : 0, tp ? sign : 0, out) : change_batch(s, x, sign, out);
    if (done) evaluate(s, out);
    return done;
}

/* ---- which actions in which order ---- */

struct policy {
    int n, len[5];
    enum action action[5][ACTIONS];
};

static void add_group(struct policy *p, unsigned *left, unsigned want) {
    want &= *left;
    if (!want) return;
    for (int k = 0; k < ACTIONS; k++)
        if (want >> k & 1) p->action[p->n][p->len[p->n]++] = (enum action)k;
    p->n++;
    *left &= ~want;
}

/* While memory is short, actions that free some. Else, of work and overhead, first lower the one in which the
 * bottleneck has the larger share of all stages. */
static struct policy policy_of(const struct aceso_search *s, const struct aceso_state *x, int b) {
    struct policy p = {0};
    unsigned left = (1u << ACTIONS) - 1, less_time = 0, less_comm = 0, less_memory = 0, more_time = 0,
             more_comm = 0;
    double work = 0, loss = 0, own_work = 0, own_loss = 0;
    for (int k = 0; k < ACTIONS; k++) {
        less_time |= (unsigned)(effect[k].time < 0) << k;
        more_time |= (unsigned)(effect[k].time > 0) << k;
        less_comm |= (unsigned)(effect[k].comm < 0) << k;
        more_comm |= (unsigned)(effect[k].comm > 0) << k;
        less_memory |= (unsigned)(effect[k].memory < 0) << k;
    }
    if (short_of_memory(s, x)) return add_group(&p, &left, less_memory), p;
    const struct aceso_table *t = s->costs->table[x->c.mb_log][0];
    for (int i = 0; i < x->c.S; i++) {
        double ideal =
            t ? (t->time_us[x->c.border[i + 1]] - t->time_us[x->c.border[i]]) / (1 << gpus_log(&x->c, i)) : 0;
        double lost = x->stage[i].time_us - ideal;
        work += ideal;
        loss += lost;
        if (i == b) {
            own_work = ideal;
            own_loss = lost;
        }
    }
    bool work_first = own_work * loss >= own_loss * work;
    bool much_work = own_work * x->c.S > work, much_loss = own_loss * x->c.S > loss;
    for (int k = 0; k < 2; k++)
        if ((k == 0) == work_first) {
            add_group(&p, &left, much_loss ? less_time & ~more_comm : less_time);
            add_group(&p, &left, less_time);
        } else {
            add_group(&p, &left, much_work ? less_comm & ~more_time : less_comm);
            add_group(&p, &left, less_comm);
        }
    add_group(&p, &left, left);
    return p;
}

/* ---- the walk from state to state ---- */

static void note(struct aceso_search *s, const struct aceso_state *x) {
    if (better(x, &s->seen)) s->seen = *x;
    if (!(x->time_us <= 1.2 * s->best.time_us) && s->best.fits) return;
    if (x->time_us < INFINITY && !visited(s, &x->c, false) && !known(s, hash_of(&x->c) | 1, true))
        keep(s->pool, &s->n_pool, x);
}

/* True: s->seen is faster than the best. */
static bool expand(struct aceso_search *s, const struct aceso_state *x, int hop, bool *tried) {
    if (hop == HOPS || s->left <= 0) return false;
    if ((s->states & 255) == 0 && question_stopped(s->q)) {
        s->stopped = true;
        s->left = 0;
    }
    if (!visited(s, &x->c, true)) keep(s->explored, &s->n_explored, x);
    int b = bottleneck(s, x, tried);
    if (b < 0) return false;
    if (tried) tried[b] = true;
    struct policy p = policy_of(s, x, b);
    for (int g = 0; g < p.n; g++) {
        struct aceso_state *cand = s->cand[hop];
        int n = 0, order[GROUP_MAX], m = 0;
        for (int k = 0; k < p.len[g] && s->left > 0; k++) n += act(s, x, b, p.action[g][k], &cand[n]);
        for (int k = 0; k < n; k++) {
            if (visited(s, &cand[k].c, false)) continue;
            note(s, &cand[k]);
            int at = m++;
            for (; at > 0 && cand[k].time_us < cand[order[at - 1]].time_us; at--) order[at] = order[at - 1];
            order[at] = k;
        }
        if (s->seen.fits && better(&s->seen, &s->best)) return true;
        for (int k = 0; k < m; k++)
            if (!visited(s, &cand[order[k]].c, false) && expand(s, &cand[order[k]], hop + 1, NULL))
                return true;
    }
    return false;
}

/* The next state to start from: the best one set aside, else one visited before. */
static bool next_start(struct aceso_search *s, struct aceso_state *x) {
    int best = -1;
    for (;;) {
        best = -1;
        for (int i = 0; i < s->n_pool; i++)
            if (best < 0 || s->pool[i].time_us < s->pool[best].time_us) best = i;
        if (best < 0) break;
        x->c = s->pool[best].c;
        s->pool[best] = s->pool[--s->n_pool];
        if (visited(s, &x->c, false)) continue;
        evaluate(s, x);
        return true;
    }
    for (int i = 0; i < s->n_explored; i++) {
        const struct aceso_kept *k = &s->explored[i], *b = best < 0 ? NULL : &s->explored[best];
        if (k->opened < OPENED_MAX &&
            (!b || k->opened < b->opened || (k->opened == b->opened && k->time_us < b->time_us)))
            best = i;
    }
    if (best < 0) return false;
    s->explored[best].opened++;
    x->c = s->explored[best].c;
    evaluate(s, x);
    return true;
}

/* Starts with one GPU per stage and doubles stages in passes, as tp; with nodes of one GPU from the back, as
 * dp. */
static bool start_state(struct aceso_search *s, int S, struct aceso_state *x) {
    struct aceso_config *c = &x->c;
    int total = S, units = s->costs->n, largest = s->per_node == 1 ? 3 : s->max_tp;
    memset(c, 0, sizeof *c);
    c->S = S;
    for (int i = 0; i <= S; i++) c->border[i] = (uint16_t)(i < S ? i * (units / S) : units);
    int log_n[STAGES_MAX] = {0};
    for (bool more = true; more && total < s->gpus;) {
        more = false;
        for (int k = 0; k < S; k++) {
            int i = s->per_node == 1 ? S - 1 - k : k;
            if (total >= s->gpus || log_n[i] >= largest || 1 << log_n[i] > s->gpus - total) continue;
            total += 1 << log_n[i];
            log_n[i]++;
            more = true;
        }
    }
    for (int i = 0; i < S; i++) {
        c->tp[i] = (uint8_t)(log_n[i] < s->max_tp ? log_n[i] : s->max_tp);
        c->dp[i] = (uint8_t)(log_n[i] - c->tp[i]);
        if (c->mb_log < c->dp[i]) c->mb_log = c->dp[i]; /* a sample per replica */
    }
    return 1 << c->mb_log <= s->q->w->global_batch_size;
}

/* The best plan of S stages into s->best; false: none fits. */
bool aceso_search_stages(struct aceso_search *s, int S, long states) {
    struct aceso_state now;
    s->n_pool = s->n_explored = 0;
    s->left = states;
    s->n_known = 0;
    memset(s->known, 0, sizeof *s->known * (s->mask + 1));
    if (!start_state(s, S, &now)) return false;
    evaluate(s, &now);
    s->best = now;
    for (int trial = 0; trial < TRIALS && s->left > 0; trial++) {
        bool tried[STAGES_MAX] = {false};
        s->seen = now;
        for (int k = 0; k < S && s->left > 0; k++)
            if (expand(s, &now, 0, tried)) break;
        if (better(&s->seen, &s->best))
            s->best = now = s->seen;
        else if (!next_start(s, &now))
            break;
    }
    return s->best.fits;
}

void aceso_search_init(struct aceso_search *s, const struct question *q, const struct aceso_costs *costs,
                       const struct gpu_type *g, int gpus, long states, struct arena *a) {
    *s = (struct aceso_search){.q = q,
                               .costs = costs,
                               .gpus = gpus,
                               .per_node = g->gpus_per_node,
                               .limit_MiB = g->planner_memory_bytes / MiB,
                               .cand = arena_alloc(a, sizeof *s->cand * HOPS),
                               .pool = ARENA_ARRAY(a, struct aceso_kept, KEPT_MAX),
                                                   .explored = ARENA_ARRAY(a, struct aceso_kept, KEPT_MAX)};
    for (int ti = 0; ti < TP_N && 1 << ti <= g->gpus_per_node; ti++)
        if (costs->table[0][ti]) s->max_tp = ti;
    for (s->mask = 1023; (long)s->mask < 4 * states && s->mask < (1 << 22) - 1;) s->mask = 2 * s->mask + 1;
    s->known = ARENA_ARRAY(a, uint64_t, s->mask + 1);
}
