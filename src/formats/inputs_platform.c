#include "formats/devices.h"
#include "formats/inputs_priv.h"
#include "sim/link.h"
#include "sim/training.h"

#include <stdio.h>
#include <string.h>

/* What data sheets and a framework say about the GPU types of a site. */

static const struct platform unknown = {.memory_Bps = NAN, .launch_bound = 1, .ring_share = 1};

/* What the links inside its nodes give. */
static void set_gather(const struct site *s, int gpu, struct platform *p) {
    for (int ti = 0; ti < TP_N; ti++) {
        const struct link *l = &s->intra[gpu * TP_N + ti];
        p->gather_Bps[ti] = !l->known ? 0 : l->rate_Bps > 0 ? l->rate_Bps : link_top_Bps(l);
    }
}

/* Rings of gradients are slower than messages on links that begin at some types. */
static void slow_rings(struct site *s, const struct platform *p, struct arena *a) {
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    bool any = false;
    for (int g = 0; g < s->n_gpu; g++) any |= p[g].ring_share < 1;
    if (!any) return;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    for (size_t i = 0; i < side * side; i++) {
        link[i] = s->link[i];
        link[i].ring_slower = 1 / p[i / side / TP_N % (size_t)s->n_gpu].ring_share - 1;
    }
    s->link = link;
}

int inputs_platform(struct loaded *l, const char *dtype, struct lookup *k) {
    struct err ignored;
    struct framework f;
    struct device_entry *known;
    const char *dir = inputs_dir(k->inputs, k->arena, &ignored), *devices, *frameworks;
    struct site *s = l->site;
    int n = 0, n_known;
    l->platform = NULL;
    if (!dir) return 0;
    if (inputs_text(dir, "devices.json", false, &devices, k->arena, k->e) ||
        inputs_text(dir, "frameworks.json", false, &frameworks, k->arena, k->e))
        return -1;
    if (!devices || !frameworks) return 0;
    if (devices_all("devices.json", devices, &known, &n_known, k->arena, k->e)) return -1;
    if (l->framework)
        f = *l->framework;
    else if (frameworks_find("frameworks.json", frameworks, inputs_usual_framework(l->model, dtype),
                             "estimator native", &f, k->arena, &ignored))
        return 0;
    struct platform *p = ARENA_ARRAY(k->arena, struct platform, s->n_gpu);
    for (int g = 0; g < s->n_gpu; g++) {
        struct device d;
        double stated = s->gpu[g].context_bytes;
        int rc = devices_find("devices.json", known, n_known, s->gpu[g].name, "estimator native", &d,
                              k->arena, &ignored);
        p[g] = rc ? unknown
                  : (struct platform){.memory_Bps = d.memory_Bps,
                                      .context_bytes = stated > 0 ? stated : d.context_bytes,
                                      .staging_s_per_B = f.staging_s_per_B,
                                      .eager_bytes = f.eager_bytes,
                                      .launch_bound = d.launch_bound,
                                      .ring_share = d.ring_share};
        set_gather(s, g, &p[g]);
        n += !rc;
    }
    if (!n) return 0;
    l->platform = p;
    slow_rings(s, p, k->arena);
    return 0;
}

void inputs_in_training(const struct platform *p, const struct profile **profile, int n_gpu, int n_layer,
                        struct arena *a) {
    for (int g = 0; p && g < n_gpu; g++)
        profile[g] = profile_in_training(profile[g], n_layer, p[g].launch_bound, a);
}

enum { FIGURES = 6 };
static const char *const keys[FIGURES + 2] = {
    "gpu", "memory_Bps", "context_bytes", "staging_s_per_B", "eager_bytes", "launch_bound", "ring_share"};

const char *inputs_platform_text(const struct platform *p, const struct site *s, struct arena *a) {
    cJSON *list = cJSON_CreateArray();
    for (int g = 0; g < s->n_gpu; g++) {
        if (isnan(p[g].memory_Bps)) continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, keys[0], s->gpu[g].name);
        const double v[FIGURES] = {p[g].memory_Bps,  p[g].context_bytes, p[g].staging_s_per_B,
                                   p[g].eager_bytes, p[g].launch_bound,  p[g].ring_share};
        for (int i = 0; i < FIGURES; i++) /* older programs do not know ring_share */
            if (i < FIGURES - 1 || v[i] < 1) json_add_number(o, keys[i + 1], v[i]);
        cJSON_AddItemToArray(list, o);
    }
    const char *out = json_text(list, a);
    cJSON_Delete(list);
    return out;
}

static int read_type(const struct json_at *at, struct platform *p, struct err *e) {
    double *const field[FIGURES] = {&p->memory_Bps,  &p->context_bytes, &p->staging_s_per_B,
                                    &p->eager_bytes, &p->launch_bound,  &p->ring_share};
    p->ring_share = 1;
    if (json_object(at, keys, e)) return -1;
    for (int i = 0; i < FIGURES; i++) {
        struct json_at here = json_member(at, keys[i + 1]);
        bool share = field[i] == &p->ring_share;
        if (!here.node && share) continue; /* all of the link */
        if (json_real(&here, share ? 0.01 : 0, share ? 1 : 1e18, field[i], e)) return -1;
    }
    return p->memory_Bps > 0 ? 0 : json_fail(at, e, "no memory bandwidth; expected one above 0");
}

int inputs_platform_stored(const struct json_at *at, struct site *s, struct platform **out, struct arena *a,
                           struct err *e) {
    int n, i = 0;
    *out = NULL;
    if (!at->node) return 0; /* written before estimates asked for it */
    if (json_array(at, 1, GPUS_MAX, &n, e)) return -1;
    struct platform *p = *out = ARENA_ARRAY(a, struct platform, s->n_gpu);
    const char *name[GPUS_MAX];
    for (int g = 0; g < s->n_gpu; g++) {
        p[g] = unknown;
        name[g] = s->gpu[g].name;
    }
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x), gpu = json_member(&here, "gpu");
        int g;
        if (json_name(&gpu, name, s->n_gpu, "a GPU type of the site", &g, e) || read_type(&here, &p[g], e))
            return -1;
        set_gather(s, g, &p[g]);
    }
    slow_rings(s, p, a);
    return 0;
}
