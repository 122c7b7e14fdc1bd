#include "cli/html.h"
#include "cli/axis.h"
#include "base/text.h"
#include "cli/cli.h"
#include "io/table.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* A report as one self-contained page: styles, script and pictures are inline. All text from files goes
 * through escaped(); the script sees only numbers. */

struct page {
    const struct results *r;
    const struct site *site;
    struct cli_gauge *gauge;
    struct text *t;
    struct arena *a;
};

static void put(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *p, const char *fmt, ...) {
    char line[4000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0) text_add(p->t, "%.*s", n < (int)sizeof line ? n : (int)sizeof line - 1, line);
}

/* Text, or the value of an attribute. */
static void escaped(struct page *p, const char *s) {
    for (s = text_printable(s ? s : "", p->a); *s; s++) {
        if (*s == '&')
            text_add(p->t, "&amp;");
        else if (*s == '<')
            text_add(p->t, "&lt;");
        else if (*s == '>')
            text_add(p->t, "&gt;");
        else if (*s == '"')
            text_add(p->t, "&quot;");
        else if (*s == '\'')
            text_add(p->t, "&#39;");
        else
            text_add(p->t, "%c", *s);
    }
}

static void cell(struct page *p, const char *tag, const char *s) {
    put(p, "<%s>", tag);
    escaped(p, s);
    put(p, "</%s>", tag);
}

static void fact(struct page *p, const char *name, const char *value) {
    put(p, "<div><b>");
    escaped(p, value);
    put(p, "</b>");
    escaped(p, name);
    put(p, "</div>\n");
}

static const char *percent(double v, struct arena *a) {
    return v == 0 ? "0" : isfinite(v) ? table_number(100 * v, 3, a) : "-";
}

/* ---- how far estimates may be off: NAN if unknown ---- */

static struct cli_interval interval_of(struct page *p, const struct found_plan *f) {
    struct cli_gauge *g = p->gauge;
    return cli_interval_of(&g->doubt, &g->by, &g->expected, f->plan);
}

/* "6.2 to 8.9" */
static const char *span_s(struct page *p, const struct found_plan *f) {
    struct cli_interval x = interval_of(p, f);
    if (isnan(x.low_s)) return "-";
    return arena_printf(p->a, "%s to %s", table_number(x.low_s, 4, p->a), table_number(x.high_s, 4, p->a));
}

static void interval_facts(struct page *p, const struct found_plan *f) {
    struct cli_interval x = interval_of(p, f);
    if (isnan(x.low_s)) return;
    fact(p, "s in 9 of 10 runs", span_s(p, f));
    fact(p, "GiB in 9 of 10 runs",
         arena_printf(p->a, "%s to %s", show_GiB(x.low_bytes, p->a), show_GiB(x.high_bytes, p->a)));
}

/* ---- a plan as a picture: stages from left to right, their height the number of GPUs ---- */

enum { WIDTH = 900, HEIGHT = 190, FOOT = 44, COLORS = 8 };

static int stage_gpus(const struct stage *s) {
    int n = 0;
    for (int g = 0; g < s->n_group; g++) n += s->group[g].count * s->group[g].tp;
    return n;
}

static void draw_stage(struct page *p, const struct stage *s, const struct stage_estimate *e, int k, double x,
                       double w, double most_gpus, double most_s) {
    double y = HEIGHT;
    int fullest = show_memory_at(s, e, p->site);
    for (int g = 0; g < s->n_group; g++) {
        const struct replicas *q = &s->group[g];
        double h = fmax(3, (HEIGHT - 20) * q->count * q->tp / most_gpus);
        y -= h;
        put(p,
            "<rect class=\"g%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>stage %d, "
            "layers %d-%d: %d ",
            q->gpu % COLORS, x, y, w, h, k, s->first, s->end - 1, q->count * q->tp);
        escaped(p, p->site->gpu[q->gpu].name);
        put(p, " in ");
        escaped(p, p->site->zone[q->zone]);
        put(p, ", %d replica%s of tp %d; compute %s ms, transfers %s ms, all-reduce %s ms; %s ", q->count,
            q->count == 1 ? "" : "s", q->tp, table_number(1e3 * e->compute_s, 4, p->a),
            table_number(1e3 * e->comm_s, 4, p->a), table_number(1e3 * e->sync_s, 4, p->a),
            g == fullest ? arena_printf(p->a, "needs %s of", show_GiB(e->memory_bytes, p->a)) : "has");
        put(p, "%s GiB</title></rect>\n", show_GiB(p->site->gpu[q->gpu].memory_bytes, p->a));
    }
    put(p, "<text x=\"%.1f\" y=\"%d\">%d-%d</text>\n", x + w / 2, HEIGHT + 14, s->first, s->end - 1);
    put(p,
        "<rect class=\"busy\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"8\"><title>%s ms of %s "
        "ms</title></rect>\n",
        x, HEIGHT + 22, most_s > 0 ? w * stage_period_s(e) / most_s : 0,
        table_number(1e3 * stage_period_s(e), 4, p->a), table_number(1e3 * most_s, 4, p->a));
}

static void draw_plan(struct page *p, const struct found_plan *f) {
    const struct plan *plan = f->plan;
    const struct stage_estimate *e = f->est.stage;
    for (int i = 0; i < plan->n_pipeline; i++) {
        const struct pipeline *pl = &plan->pipeline[i];
        double gpus = 1, slowest = 0, step = (double)WIDTH / pl->n_stage;
        for (int k = 0; k < pl->n_stage; k++) {
            gpus = fmax(gpus, stage_gpus(&pl->stage[k]));
            slowest = fmax(slowest, stage_period_s(&e[k]));
        }
        put(p, "<svg class=\"plan\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"plan, %d stages\">\n",
            WIDTH, HEIGHT + FOOT, pl->n_stage);
        for (int k = 0; k < pl->n_stage; k++)
            draw_stage(p, &pl->stage[k], &e[k], k, k * step + 2, fmax(2, step - 4), gpus, slowest);
        put(p, "</svg>\n");
        e += pl->n_stage;
    }
    put(p, "<p class=\"key\">");
    int *used = ARENA_ARRAY(p->a, int, p->site->n_zone * p->site->n_gpu);
    plan_gpus(plan, p->site, used);
    for (int g = 0; g < p->site->n_gpu; g++) {
        int n = 0;
        for (int z = 0; z < p->site->n_zone; z++) n += used[site_at(p->site, z, g)];
        if (!n) continue;
        put(p, "<span class=\"g%d\"></span>%d ", g % COLORS, n);
        escaped(p, p->site->gpu[g].name);
        put(p, " ");
    }
    put(p,
        "&nbsp; height: GPUs of a stage; below: its layers, and how long it is busy with a microbatch</p>\n");
}

/* ---- tables ---- */

static void stage_rows(struct page *p, const struct found_plan *f) {
    const struct stage_estimate *e = f->est.stage;
    for (int i = 0; i < f->plan->n_pipeline; i++)
        for (int k = 0; k < f->plan->pipeline[i].n_stage; k++, e++) {
            const struct stage *s = &f->plan->pipeline[i].stage[k];
            int fullest = show_memory_at(s, e, p->site);
            for (int g = 0; g < s->n_group; g++) {
                const struct replicas *q = &s->group[g];
                put(p, "<tr><td>%d</td><td>%d-%d</td><td>%d ", k, s->first, s->end - 1, q->count * q->tp);
                escaped(p, p->site->gpu[q->gpu].name);
                put(p, "</td>");
                cell(p, "td", p->site->zone[q->zone]);
                put(p, "<td>%d</td><td>%d</td>", q->tp, q->count);
                double ms[3] = {e->compute_s, e->comm_s, e->sync_s};
                for (int c = 0; c < 3; c++) cell(p, "td", table_number(1e3 * ms[c], 4, p->a));
                cell(p, "td", g == fullest ? show_GiB(e->memory_bytes, p->a) : "");
                cell(p, "td", show_GiB(p->site->gpu[q->gpu].memory_bytes, p->a));
                put(p, "</tr>\n");
            }
        }
}

static void stage_table(struct page *p, const struct found_plan *f) {
    put(p, "<table><thead><tr><th>stage</th><th>layers</th><th>GPUs</th><th>zone</th><th>tp</"
           "th><th>replicas</th>"
           "<th>compute ms</th><th>comm ms</th><th>sync ms</th><th>needs GiB</th><th>GPU "
           "GiB</th></tr></thead><tbody>\n");
    stage_rows(p, f);
    put(p, "</tbody></table>\n");
}

static const char *gpus_of(struct page *p, const struct plan *plan) {
    int *used = ARENA_ARRAY(p->a, int, p->site->n_zone * p->site->n_gpu);
    plan_gpus(plan, p->site, used);
    return show_gpus(used, p->site, p->a);
}

static void plan_list(struct page *p, const struct found_plan *f, int n, int row, const char *kind) {
    put(p, "<table "
           "class=\"pick plans\"><thead><tr><th>#</th><th>s/iteration</th><th>9 of 10 "
           "runs</th><th>iterations/s</th><th>USD/iteration</th>"
           "<th>stages</th><th>D</th><th>microbatch</th><th>GPUs</th></tr></thead><tbody>\n");
    for (int k = 0; k < n; k++) {
        const struct plan *plan = f[k].plan;
        put(p, "<tr data-%s=\"%d-%d\"><td>%d</td>", kind, row, k, k);
        cell(p, "td", show_time_s(f[k].est.iteration_time_s, p->a));
        cell(p, "td", span_s(p, &f[k]));
        cell(p, "td", show_per_s(1 / f[k].est.iteration_time_s, p->a));
        cell(p, "td", show_usd(f[k].est.cost_usd, p->a));
        put(p, "<td>%d</td><td>%d</td><td>%d</td>", plan->pipeline[0].n_stage,
            stage_replicas(&plan->pipeline[0].stage[0]), plan->micro_batch_size);
        cell(p, "td", gpus_of(p, plan));
        put(p, "</tr>\n");
    }
    put(p, "</tbody></table>\n");
}

/* ---- the frontier ---- */

static void draw_frontier(struct page *p, const struct row_result *row, int at) {
    enum { LEFT = 70, BOTTOM = 40, TOP = 10, RIGHT = 20, H = 300 };
    int n = row->n_frontier;
    const struct estimate *first = &row->frontier[0].est, *last = &row->frontier[n - 1].est;
    double t0 = first->iteration_time_s, t1 = last->iteration_time_s, u0 = last->cost_usd,
           u1 = first->cost_usd;
    for (int k = 0; k < n; k++) {
        struct cli_interval x = interval_of(p, &row->frontier[k]);
        t0 = fmin(t0, x.low_s);
        t1 = fmax(t1, x.high_s);
    }
    const struct axis time = axis_between(t0, t1, LEFT + 10, WIDTH - RIGHT - 10),
                      usd = axis_between(u0, u1, H - BOTTOM - 10, TOP + 10);
    put(p,
        "<svg class=\"frontier\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"frontier of %d plans\">\n",
        WIDTH, H, n);
    put(p, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, H - BOTTOM, WIDTH - RIGHT);
    double tick[AXIS_TICKS_MAX];
    for (int k = axis_ticks(&time, tick); k--;)
        put(p, "<text class=\"tick\" x=\"%.1f\" y=\"%d\">%g</text>\n", axis_place(&time, tick[k]),
            H - BOTTOM + 16, tick[k]);
    for (int k = axis_ticks(&usd, tick); k--;)
        put(p, "<text class=\"y tick\" x=\"%d\" y=\"%.1f\">%g</text>\n", LEFT - 6,
            axis_place(&usd, tick[k]) + 4, tick[k]);
    put(p, "<text x=\"%d\" y=\"%d\">s per iteration</text><text class=\"y\" x=\"%d\" y=\"%d\">USD</text>\n",
        WIDTH / 2, H - 6, LEFT - 6, TOP + 2);
    for (int k = 0; k < n; k++) {
        const struct estimate *e = &row->frontier[k].est;
        double x = axis_place(&time, e->iteration_time_s), y = axis_place(&usd, e->cost_usd);
        struct cli_interval in = interval_of(p, &row->frontier[k]);
        if (!isnan(in.low_s))
            put(p, "<path class=\"span\" data-point=\"%d-%d\" d=\"M%.1f %.1fH%.1f\"/>\n", at, k,
                axis_place(&time, in.low_s), y, axis_place(&time, in.high_s));
        put(p, "<circle data-point=\"%d-%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\" tabindex=\"0\"><title>%s s", at,
            k, x, y, show_time_s(e->iteration_time_s, p->a));
        if (!isnan(in.low_s)) put(p, " (9 of 10 runs: %s)", span_s(p, &row->frontier[k]));
        put(p, ", %s USD: ", show_usd(e->cost_usd, p->a));
        escaped(p, gpus_of(p, row->frontier[k].plan));
        put(p, "</title></circle>\n");
    }
    put(p, "</svg>\n<p class=\"tip\" id=\"tip-%d\">Point at a plan of the frontier, or click it.</p>\n", at);
}

/* ---- the search ---- */

static void search_numbers(struct page *p, const struct row_result *row) {
    static const char *const name[] = {"to do", "solved", "pruned", "open"};
    int count[4] = {0};
    uint64_t nodes = 0;
    for (int i = 0; i < row->n_unit; i++) {
        count[row->unit[i].status]++;
        nodes += row->unit[i].nodes;
    }
    put(p, "<h3>Search</h3>\n<div class=\"facts\">\n");
    fact(p, "s of search", table_number(row->search_s, 3, p->a));
    fact(p, "plans evaluated", arena_printf(p->a, "%llu", (unsigned long long)row->plans_evaluated));
    if (row->n_unit) {
        fact(p, "search nodes", arena_printf(p->a, "%llu", (unsigned long long)nodes));
        for (int k = 0; k < 4; k++)
            if (count[k])
                fact(p, arena_printf(p->a, "units %s", name[k]), arena_printf(p->a, "%d", count[k]));
    }
    put(p, "</div>\n");
    if (!row->n_unit) return;
    put(p, "<svg class=\"units\" viewBox=\"0 0 %d 14\" role=\"img\" aria-label=\"work units by state\">\n",
        WIDTH);
    double x = 0;
    for (int k = 0; k < 4; k++) {
        double w = (double)WIDTH * count[k] / row->n_unit;
        if (count[k])
            put(p,
                "<rect class=\"u%d\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"14\"><title>%d "
                "%s</title></rect>\n",
                k, x, w, count[k], name[k]);
        x += w;
    }
    put(p, "</svg>\n");
}

/* ---- rows ---- */

static void row_facts(struct page *p, const struct row_result *row, const struct found_plan *f) {
    bool cost = p->r->objective == OBJECTIVE_COST;
    const struct plan *plan = f->plan;
    put(p, "<div class=\"facts\">\n");
    fact(p, "s per iteration", show_time_s(f->est.iteration_time_s, p->a));
    fact(p, "iterations per s", show_per_s(1 / f->est.iteration_time_s, p->a));
    fact(p, "USD per iteration", show_usd(f->est.cost_usd, p->a));
    fact(p, "GiB at most", show_GiB(f->est.peak_memory_bytes, p->a));
    fact(p, "stages", arena_printf(p->a, "%d", plan->pipeline[0].n_stage));
    fact(p, "replicas", arena_printf(p->a, "%d", stage_replicas(&plan->pipeline[0].stage[0])));
    fact(p, "microbatch", arena_printf(p->a, "%d", plan->micro_batch_size));
    fact(p, cost ? "USD, lower bound" : "s, lower bound",
         cost ? show_usd(row->lower_bound, p->a) : show_time_s(row->lower_bound, p->a));
    fact(p, "% gap", percent(row->gap, p->a));
    interval_facts(p, f);
    put(p, "</div>\n");
}

static void write_row(struct page *p, int i, bool shown) {
    const struct row_result *row = &p->r->row[i];
    const struct found_plan *f = show_best(row);
    const char *gpus = show_gpus(p->r->job->pool[i].count, p->site, p->a);
    put(p, "<section id=\"row-%d\"%s>\n<h2>Row %d: ", i, shown ? "" : " hidden", i);
    escaped(p, *gpus ? gpus : "no GPUs");
    put(p, " <span class=\"%s\">%s</span></h2>\n", row_status_name[row->status],
        row_status_name[row->status]);
    if (row->reason) cell(p, "p", row->reason);
    if (row->note) cell(p, "p", row->note);
    if (f) {
        row_facts(p, row, f);
        draw_plan(p, f);
        stage_table(p, f);
    }
    if (row->n_frontier) {
        put(p, "<h3>Frontier</h3>\n");
        draw_frontier(p, row, i);
        plan_list(p, row->frontier, row->n_frontier, i, "point");
    } else if (row->n_plan > 1) {
        put(p, "<h3>Best plans</h3>\n");
        plan_list(p, row->plan, row->n_plan, i, "plan");
    }
    search_numbers(p, row);
    put(p, "</section>\n");
}

/* One line per row; a click shows the row. */
static void write_overview(struct page *p, int only) {
    put(p,
        "<table id=\"rows\" "
        "class=\"pick\"><thead><tr><th>row</th><th>GPUs</th><th>state</th><th>s/iteration</th>"
        "<th>9 of 10 runs</th><th>USD/iteration</th><th>gap %%</th><th>search s</th></tr></thead><tbody>\n");
    for (int i = 0; i < p->r->n_row; i++) {
        const struct row_result *row = &p->r->row[i];
        const struct found_plan *f = show_best(row);
        if (only >= 0 && i != only) continue;
        put(p, "<tr data-row=\"%d\" tabindex=\"0\"><td>%d</td>", i, i);
        cell(p, "td", show_gpus(p->r->job->pool[i].count, p->site, p->a));
        cell(p, "td", row_status_name[row->status]);
        cell(p, "td", f ? show_time_s(f->est.iteration_time_s, p->a) : "-");
        cell(p, "td", f ? span_s(p, f) : "-");
        cell(p, "td", f ? show_usd(f->est.cost_usd, p->a) : "-");
        cell(p, "td", f ? percent(row->gap, p->a) : "-");
        cell(p, "td", table_number(row->search_s, 3, p->a));
        put(p, "</tr>\n");
    }
    put(p, "</tbody></table>\n");
}

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:1.5em auto;padding:0 "
    "1em;color:#222;background:#fff}"
    "h1{font-size:1.5em;margin:0}h2{font-size:1.2em;margin-top:1.6em}h3{margin-bottom:.3em}.run{color:#666}"
    "table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}th{font-weight:600;color:#555}"
    "td{white-space:nowrap}#rows td:nth-child(2),#rows th:nth-child(2),.plans td:last-child,.plans "
    "th:last-child{white-space:normal;text-align:left}"
    ".pick tbody tr{cursor:pointer}.pick tbody tr:hover,.on{background:#fff2cc}"
    ".facts{display:flex;flex-wrap:wrap;gap:.6em 1.8em;margin:.6em 0}.facts div{color:#666}"
    ".facts b{display:block;font-size:1.25em;color:#222}"
    "svg{width:100%;height:auto;margin:.4em 0}svg text{font-size:11px;text-anchor:middle;fill:#555}"
    "svg text.y{text-anchor:end}.axis{fill:none;stroke:#999}.busy{fill:#888}"
    ".g0{fill:#4477aa;background:#4477aa}.g1{fill:#ee6677;background:#ee6677}.g2{fill:#228833;background:#"
    "228833}"
    ".g3{fill:#ccbb44;background:#ccbb44}.g4{fill:#66ccee;background:#66ccee}.g5{fill:#aa3377;background:#"
    "aa3377}"
    ".g6{fill:#bbbbbb;background:#bbbbbb}.g7{fill:#ee8866;background:#ee8866}"
    ".key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 "
    ".8em}.key,.tip{color:#555;font-size:.9em}"
    ".span{stroke:#4477aa;stroke-width:2;opacity:.25}.span.on{stroke:#ee6677;opacity:1;background:none}"
    "circle{fill:#4477aa;cursor:pointer}circle:hover,circle.on{fill:#ee6677;stroke:#222}"
    ".u0{fill:#ddd}.u1{fill:#228833}.u2{fill:#66ccee}.u3{fill:#ee6677}"
    "h2 span{font-size:.7em;padding:.15em .6em;border-radius:1em;background:#eee;vertical-align:middle}"
    ".optimal{background:#cfe8cf!important}.infeasible{background:#f6cccc!important}";

/* A click on a line of the overview shows the row's section; a point's title describes its plan. */
static const char script[] =
    "const all=(q,f)=>document.querySelectorAll(q).forEach(f);"
    "const row=i=>{all('section',s=>s.hidden=s.id!=='row-'+i);"
    "all('#rows tbody tr',t=>t.classList.toggle('on',t.dataset.row===i))};"
    "const point=id=>{all('[data-point]',c=>c.classList.toggle('on',c.dataset.point===id));"
    "const c=document.querySelector('circle[data-point=\"'+id+'\"]');"
    "document.getElementById('tip-'+id.split('-')[0]).textContent=c.querySelector('title').textContent};"
    "all('#rows tbody "
    "tr',t=>{t.onclick=()=>row(t.dataset.row);t.onkeydown=e=>{if(e.key==='Enter')t.onclick()}});"
    "all('[data-point]',c=>{c.onclick=()=>point(c.dataset.point);c.onmouseenter=c.onclick;c.onfocus=c."
    "onclick});"
    "all('#rows tbody tr:first-child',t=>t.classList.add('on'));";

void html_report(const struct results *r, int only, struct cli_gauge *gauge, struct text *t,
                 struct arena *a) {
    struct page p = {.r = r, .site = r->job->workload.site, .gauge = gauge, .t = t, .a = a};
    put(&p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    escaped(&p, r->job->name);
    put(&p, "</title>\n<style>");
    text_add(t, "%s", style);
    put(&p, "</style>\n</head>\n<body>\n");
    cell(&p, "h1", r->job->name);
    put(&p, "<p>");
    const struct framework *f = r->job->workload.framework;
    escaped(&p, arena_printf(a, "%s on site %s, global batch %d%s%s, objective %s",
                             r->job->workload.model->name, p.site->name, r->job->workload.global_batch_size,
                             f ? ", framework " : "", f ? f->name : "", objective_name[r->objective]));
    put(&p, "</p>\n<p class=\"run\">");
    escaped(&p,
            arena_printf(a, "planner %s, estimator %s; sailor %s on %s, %d x %d threads, %.3g s, started %s",
                         r->planner, r->estimator, r->version, r->host, r->ranks, r->threads, r->wall_s,
                         r->started_utc));
    put(&p, "<br>");
    escaped(&p, r->command_line);
    put(&p, "</p>\n%s",
        r->complete ? "" : "<p><b>The search was stopped: this is what it had found.</b></p>\n");
    write_overview(&p, only);
    for (int i = 0, n = 0; i < r->n_row; i++)
        if (only < 0 || i == only) write_row(&p, i, n++ == 0);
    put(&p, "<script>");
    text_add(t, "%s", script);
    put(&p, "</script>\n</body>\n</html>\n");
}
