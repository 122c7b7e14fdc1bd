/* What is stored of a proof that is interrupted in the middle of a round, and how another run takes it up. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "search/best.h"
#include "search/engine.h"

static struct saved_answer saved_attempt(const struct engine *x, int i) {
    const struct attempt *at = &x->flight.x[i];
    struct saved_answer out = {.index = (int)(x->flight.unit[i]->result - x->row->unit),
                               .answer = at->answer,
                               .seconds = at->seconds,
                               .best = at->goal.best,
                               .bound = x->flight.unit[i]->result->lower_bound,
                               .begun = at->begun,
                               .lost = at->lost};
    out.answer.left = at->left;
    out.answer.n_left = at->n_left;
    return out;
}

/* The state of the proof within a round of which some tasks are done, for the row. */
static void note_state(struct engine *x, const struct deal_answers *r, bool chosen) {
    struct arena scratch = {0};
    struct saved s = {.chosen = chosen,
                      .attempt = x->flight.attempt,
                      .step = x->flight.step,
                      .best = x->goal.best,
                      .n_front = x->goal.n_front,
                      .front = x->goal.front,
                      .n_unit = x->flight.n,
                      .n_task = r ? r->n : 0};
    s.unit = ARENA_ARRAY(&scratch, struct saved_answer, s.n_unit + 1);
    s.done = ARENA_ARRAY(&scratch, struct saved_answer, s.n_task + 1);
    for (int i = 0; i < s.n_unit; i++) s.unit[i] = saved_attempt(x, i);
    for (int i = 0; i < s.n_task; i++)
        if (r->done[i])
            s.done[s.n_done++] =
                (struct saved_answer){.index = i, .answer = r->answer[i], .seconds = r->seconds[i]};
    x->state.n = 0;
    wire_put_saved(&x->state, &s);
    if (x->state.n > INT32_MAX - 8)
        x->state.n = 0; /* more than a table holds: the step begins anew */
    else
        for (int i = 0; i < s.n_done; i++) x->row->plans_evaluated += answer_work(&s.done[i].answer);
    arena_free(&scratch);
    x->row->state = x->state.bytes;
    x->row->n_state = (int)x->state.n;
}

/* Counted from the end of the last one, and a small part of the time on a slow file system, too. */
static bool time_for_checkpoint(const struct engine *x) {
    return x->rank == 0 && x->hooks && x->hooks->checkpoint &&
           now_s() - x->last_checkpoint > fmax(2, 10 * x->checkpoint_took_s);
}

int state_checkpoint(struct engine *x, const struct deal_answers *r, bool chosen) {
    int rc = 0;
    if (time_for_checkpoint(x)) {
        double begun = process_cpu_s(), began_s = now_s();
        uint64_t done = x->row->plans_evaluated;
        note_state(x, r, chosen);
        rc = x->hooks->checkpoint(x->hooks->ctx, x->row, x->e);
        x->row->plans_evaluated = done;
        x->row->n_state = 0;
        deal_aside(x->deal, process_cpu_s() - begun);
        x->last_checkpoint = now_s();
        x->checkpoint_took_s = x->last_checkpoint - began_s;
    }
    if (x->size > 1) { /* all ranks share the verdict and its text */
        mpx_tell(x->world, 0, &rc, 1, MPI_INT);
        if (rc) mpx_tell(x->world, 0, x->e, sizeof *x->e, MPI_BYTE);
    }
    return x->failed = rc;
}

/* What has been found counts for the answer of a search that is stopped, but not for those who go on. */
static void take_unfinished(struct engine *x, const struct unit_answer *answer) {
    for (int k = 0; k < answer->n_plan; k++) {
        struct found_plan f = answer->plan[k];
        f.plan = plan_copy(f.plan, x->a);
        best_estimate(x->p, &f, x->a);
        if (f.est.fits) best_add(x->p, x->row, f, x->a);
    }
}

bool state_save(struct engine *x, const struct deal_answers *r, bool chosen, bool stopped) {
    if (!stopped) {
        x->in_step = 0;
        for (int i = 0; i < r->n; i++)
            if (r->done[i]) x->in_step += answer_work(&r->answer[i]);
        return !state_checkpoint(x, r, chosen);
    }
    note_state(x, r, chosen);
    for (int i = 0; i < r->n && chosen; i++)
        if (r->done[i]) take_unfinished(x, &r->answer[i]);
    x->halted = true;
    return true;
}

void state_recall(struct engine *x, struct deal_answers *r, bool chosen) {
    const struct saved *s = x->resumed_at;
    if (!s || s->chosen != chosen) return;
    x->resumed_at = NULL;
    for (int k = 0; k < s->n_done && s->n_task == r->n; k++) {
        const struct saved_answer *one = &s->done[k];
        r->answer[one->index] = one->answer;
        r->seconds[one->index] = one->seconds;
        r->done[one->index] = true;
    }
}

static bool sane_answer(const struct engine *x, const struct unit_answer *answer, const struct ranked *u) {
    struct err e;
    int scopes = u ? unit_scopes(x->part[u->part].s) : INT32_MAX;
    bool sane = attempt_sane(answer, scopes);
    for (int k = 0; k < answer->n_plan && sane; k++) {
        struct found_plan f = answer->plan[k];
        sane = !plan_check(f.plan, x->p->w, "", &e);
        if (sane) best_estimate(x->p, &f, x->a);
        sane = sane && f.est.fits && f.est.iteration_time_s > 0 && f.est.iteration_time_s < INFINITY;
    }
    return sane;
}

int state_load(struct engine *x, int last, struct err *e) {
    struct row_result *row = x->row;
    x->begun = true;
    struct saved *s = ARENA_NEW(x->a, struct saved);
    const struct wire b = {.bytes = (unsigned char *)(uintptr_t)row->state, .n = (size_t)row->n_state};
    int rc = row->n_state ? wire_get_saved(&b, s, row->n_unit, x->p->w, x->a) : 1;
    row->n_state = 0;
    if (rc > 0) return 0;
    bool sane = !rc && s->attempt < last && (s->n_unit || !s->chosen);
    for (int i = 0; i < s->n_front && sane; i++)
        sane = s->front[i].time_s > 0 && s->front[i].cost_usd >= 0 && s->front[i].time_s < INFINITY;
    for (int i = 0; i < s->n_unit && sane; i++) {
        const struct ranked *u = ranked_of(x, s->unit[i].index);
        const struct unit_result *r = u->result;
        sane = r->status == (s->attempt ? UNIT_OPEN : UNIT_TODO) && r->attempts == s->attempt &&
               s->unit[i].bound <= r->lower_bound && sane_answer(x, &s->unit[i].answer, u);
    }
    for (int i = 0; i < s->n_done && sane; i++) sane = sane_answer(x, &s->done[i].answer, NULL);
    uint64_t done = 0;
    for (int i = 0; i < s->n_done; i++) done += answer_work(&s->done[i].answer);
    if (done > row->plans_evaluated) sane = false;
    row->plans_evaluated -= done; /* it will be done again, or taken over */
    if (!sane)
        return err_set(e, EXIT_INPUT, "the file to resume is damaged where it says how far a round has come");
    x->flight.attempt = s->attempt;
    x->flight.step = s->step;
    x->resumed_at = s;
    return 0;
}

void state_keep(struct engine *x) {
    struct row_result *row = x->row;
    if (x->begun && !x->halted) row->n_state = 0;
    unsigned char *bytes = ARENA_ARRAY(x->a, unsigned char, row->n_state + 1);
    if (row->n_state) memcpy(bytes, row->state, (size_t)row->n_state);
    row->state = bytes;
    wire_free(&x->state);
    for (int i = 0; i < x->flight.n; i++) attempt_free(&x->flight.x[i]);
    free(x->flight.x);
    free(x->flight.unit);
}
