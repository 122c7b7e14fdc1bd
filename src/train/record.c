#include "train/record.h"
#include "io/json.h"
#include "io/mpx_comm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TIMES = 1 + PHASE_N }; /* all of the step, then by phase */

/* Gathers n bytes of every rank, in order, on rank 0. */
static void gather(const struct mpx *world, const void *mine, void *all, size_t n) {
    if (world->comm)
        MPI_Gather(mine, (int)n, MPI_BYTE, all, (int)n, MPI_BYTE, 0, world->comm->mpi);
    else
        memcpy(all, mine, n);
}

int record_ranks(struct measure *m, struct trainer *t, const struct mpx *world, struct err *e) {
    struct backend *b = t->backend;
    size_t used, total;
    struct rusage usage;
    ledger_driver(&t->ledger);
    b->device_bytes(b, &used, &total);
    struct measured_rank mine = {.pipeline = t->cell->pipeline,
                                 .stage = t->cell->stage,
                                 .replica = t->cell->replica,
                                 .tp = t->cell->tp,
                                 .tp_rank = t->net.tp_rank,
                                 .peak_total_bytes = (double)t->ledger.total_peak,
                                 .device_bytes = (double)used};
    gethostname(mine.host, sizeof mine.host - 1);
    memcpy(mine.device, b->device, sizeof mine.device);
    for (int i = 0; i < MEMORY_N; i++) mine.peak_bytes[i] = (double)t->ledger.peak[i];
    if (!getrusage(RUSAGE_SELF, &usage)) mine.process_peak_bytes = 1024.0 * (double)usage.ru_maxrss;
    int rc = 0;
    if (world->rank == 0 && !m->rank) m->rank = calloc((size_t)world->size, sizeof *m->rank);
    if (world->rank == 0 && !m->rank) rc = err_set(e, EXIT_INTERNAL, "out of memory: ranks");
    if (mpx_agree(world, rc, e)) return -1;
    gather(world, &mine, m->rank, sizeof mine);
    return 0;
}

/* What a rank reports about a step; only doubles, so that it can travel as bytes. */
struct told {
    double loss, times_s[TIMES], stop, bad, peak_bytes;
};

static void add_up(struct measure *m, struct measured_step *s, const struct told *told) {
    double *times_s = m->time_s + (size_t)(m->steps - 1) * (size_t)m->ranks * TIMES;
    for (int k = 0; k < m->ranks; k++) {
        s->loss += told[k].loss;
        s->iteration_time_s = fmax(s->iteration_time_s, told[k].times_s[0]);
        memcpy(times_s + (size_t)k * TIMES, told[k].times_s, sizeof told[k].times_s);
        m->rank[k].peak_total_bytes = told[k].peak_bytes;
    }
    s->tokens_per_s = m->tokens_per_step / s->iteration_time_s;
    s->flops_per_s = m->flops_per_step / s->iteration_time_s;
    s->mfu = s->flops_per_s / m->peak_flops_per_s;
}

int record_step(struct measure *m, struct trainer *t, const struct mpx *world, const struct step_result *r,
                bool warmup, bool asked, struct verdict *v, struct err *e) {
    bool first = world->rank == 0;
    *v = (struct verdict){0};
    ledger_driver(&t->ledger);
    struct told mine = {
        .loss = r->loss, .stop = asked, .bad = !r->finite, .peak_bytes = (double)t->ledger.total_peak};
    mine.times_s[0] = r->time_s;
    memcpy(mine.times_s + 1, r->phase_s, sizeof r->phase_s);
    struct told *all = first ? calloc((size_t)world->size, sizeof *all) : NULL;
    struct measured_step *s = all ? measure_add(m) : NULL;
    int rc = first && !s ? err_set(e, EXIT_INTERNAL, "out of memory: measurements") : 0;
    if (mpx_agree(world, rc, e)) {
        free(all);
        return -1;
    }
    gather(world, &mine, all, sizeof mine);
    if (first) {
        s->step = t->step;
        s->warmup = warmup;
        s->learning_rate = r->rate;
        s->gradient_norm = r->gradient_norm;
        add_up(m, s, all);
        v->loss = s->loss;
        v->finite = isfinite(s->loss);
        for (int k = 0; k < m->ranks; k++) {
            v->stop |= all[k].stop != 0;
            v->finite &= all[k].bad == 0;
        }
    }
    free(all);
    if (world->comm) MPI_Bcast(v, (int)sizeof *v, MPI_BYTE, 0, world->comm->mpi);
    return 0;
}

double record_held_out(struct measure *m, const struct mpx *world, double share) {
    double loss = share;
    if (world->comm) MPI_Allreduce(&share, &loss, 1, MPI_DOUBLE, MPI_SUM, world->comm->mpi);
    if (world->rank == 0) m->step[m->steps - 1].held_out_loss = loss;
    return loss;
}

/* ---- for people and programs ---- */

static cJSON *start_object(const struct measure *m) {
    static const char *const name[START_N] = {"mpi", "data", "devices", "model", "load"};
    cJSON *x = cJSON_CreateObject();
    for (int i = 0; i < START_N; i++) cJSON_AddItemToObject(x, name[i], json_double(m->start_s[i]));
    return x;
}

void record_print_json(const struct measure *m, FILE *out) {
    const struct measured_step *s = &m->step[m->steps - 1];
    cJSON *x = cJSON_CreateObject();
    cJSON_AddItemToObject(x, "step", json_double((double)s->step));
    cJSON_AddItemToObject(x, "loss", json_double(s->loss));
    if (!isnan(s->held_out_loss)) cJSON_AddItemToObject(x, "held_out_loss", json_double(s->held_out_loss));
    cJSON_AddItemToObject(x, "learning_rate", json_double(s->learning_rate));
    if (!isnan(s->gradient_norm)) cJSON_AddItemToObject(x, "gradient_norm", json_double(s->gradient_norm));
    cJSON_AddItemToObject(x, "iteration_time_s", json_double(s->iteration_time_s));
    cJSON_AddItemToObject(x, "tokens_per_s", json_double(s->tokens_per_s));
    cJSON_AddItemToObject(x, "mfu", json_double(s->mfu));
    cJSON_AddItemToObject(x, "peak_memory_bytes", json_double(measure_peak_bytes(m)));
    if (m->steps == 1) cJSON_AddItemToObject(x, "start_s", start_object(m));
    char *text = cJSON_PrintUnformatted(x);
    fprintf(out, "%s\n", text ? text : "null");
    fflush(out);
    cJSON_free(text);
    cJSON_Delete(x);
}

void record_print_line(const struct measure *m, FILE *out) {
    const struct measured_step *s = &m->step[m->steps - 1];
    char held[40] = "", mfu[40] = "", norm[40] = "";
    if (!isnan(s->gradient_norm)) snprintf(norm, sizeof norm, "  norm %.4g", s->gradient_norm);
    if (!isnan(s->held_out_loss)) snprintf(held, sizeof held, "  held out %.5f", s->held_out_loss);
    if (!isnan(s->mfu)) snprintf(mfu, sizeof mfu, "  mfu %.1f %%", 100 * s->mfu);
    fprintf(out, "step %6ld  loss %.5f%s%s  %.4f s  %.0f tokens/s%s%s\n", s->step, s->loss, held, norm,
            s->iteration_time_s, s->tokens_per_s, mfu, s->warmup ? "  (warm-up)" : "");
}

/* Seconds of all ranks in the steps that count, by phase; returns their sum. */
static double phase_sums_s(const struct measure *m, double phase_s[PHASE_N]) {
    double all_s = 0;
    memset(phase_s, 0, sizeof(double) * PHASE_N);
    for (int i = 0; i < m->steps; i++) {
        if (m->step[i].warmup) continue;
        for (int k = 0; k < m->ranks; k++) {
            const double *times_s = m->time_s + ((size_t)i * (size_t)m->ranks + (size_t)k) * TIMES;
            for (int p = 0; p < PHASE_N; p++) {
                phase_s[p] += times_s[1 + p];
                all_s += times_s[1 + p];
            }
        }
    }
    return all_s;
}

void record_print_summary(const struct measure *m, FILE *out) {
    const double GiB = 1 << 30;
    double phase_s[PHASE_N], all_s = phase_sums_s(m, phase_s), iteration_s = measure_iteration_s(m);
    double loss = m->step[m->steps - 1].loss, peak_GiB = measure_peak_bytes(m) / GiB;
    if (!(all_s > 0)) {
        fprintf(out, "loss %.5f, peak memory %.4f GiB; nothing measured after %d warm-up steps\n", loss,
                peak_GiB, m->steps);
        return;
    }
    fprintf(out, "iteration %.5f s, %.0f tokens/s, loss %.5f, peak memory %.4f GiB\n", iteration_s,
            m->tokens_per_step / iteration_s, loss, peak_GiB);
    fprintf(out, "mean time of a rank:");
    for (int p = 0; p < PHASE_N; p++)
        fprintf(out, " %s %.1f %%%s", phase_name[p], 100 * phase_s[p] / all_s, p + 1 < PHASE_N ? "," : "\n");
}
