#include "small.h"
#include "io/mpx_comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arch small_made(const char *text) {
    struct model m = {.name = "small",
                      .n_layer = 4,
                      .n_block = 2,
                      .hidden_size = 16,
                      .sequence_length = 8,
                      .heads = 4,
                      .vocabulary = 300,
                      .architecture = text};
    struct arch a;
    struct err e;
    if (arch_make(&a, &m, &e)) fprintf(stderr, "%s\n", e.text), exit(1);
    return a;
}

struct arch small_arch(enum activation f) {
    return small_made(f == ACTIVATION_RELU ? "{\"family\":\"gpt\",\"activation\":\"relu\",\"ffn_size\":32}"
                                           : "{\"family\":\"gpt\",\"activation\":\"gelu\",\"ffn_size\":32}");
}

/* With ' for quotes. Two key/value heads, so four ranks share them. Positions turn fast enough to show in a
 * sequence of 8. */
#define TIED "'head':'final norm and the embedding'"
#define KIN "'activation':'silu','ffn_size':32,'norm':'rmsnorm','positions':'rotary','kv_heads':2,"
static const char *const described[] = {
    "'family':'llama'," KIN "'biases_added':'none','rope_theta':100,'rope_scaling':{'rope_type':'llama3',"
    "'factor':4,'low_freq_factor':0.5,'high_freq_factor':3,'original_max_position_embeddings':10}",
    "'family':'mistral'," KIN "'biases_added':'none','rope_theta':100,'window':3,'head_size':6",
    "'family':'qwen2'," KIN "'biases_added':'qkv only','norm_epsilon':1e-6," TIED,
    "'family':'llama','activation':'silu','ffn_size':32,'norm':'rmsnorm','positions':'rotary',"
    "'biases_added':'none'",
    "'family':'opt','activation':'relu','ffn_size':32,'position_offset':2," TIED,
    "'family':'gpt2','activation':'gelu_new','ffn_size':32," TIED,
    "'family':'gpt_neo','activation':'gelu_new','ffn_size':32,'attention_scaled':false,'window':3,"
    "'window_of_blocks':'odd','biases_added':'all but qkv'," TIED};
const char *const small_families[] = {"llama", "mistral", "qwen",    "llama, no groups",
                                      "opt",   "gpt-2",   "gpt-neo", NULL};

struct arch small_family(const char *name) {
    char text[400];
    int i = 0, n = 0;
    while (strcmp(small_families[i], name)) i++;
    text[n++] = '{';
    for (const char *p = described[i]; *p; p++) text[n++] = *p == '\'' ? '"' : *p;
    text[n++] = '}';
    text[n] = 0;
    return small_made(text);
}

static void read_stage(const char *text, struct stage *s, struct arena *a) {
    int used = 0;
    sscanf(text, "%d-%d:%n", &s->first, &s->end, &used);
    s->group = ARENA_ARRAY(a, struct replicas, 16);
    for (const char *p = text + used; *p >= '0' && *p <= '9'; p += p[1] == ',' ? 2 : 1)
        s->group[s->n_group++] = (struct replicas){.tp = *p - '0', .count = 1};
}

struct plan *small_plan(const char *text, int batch, int micro_batch, struct arena *a) {
    struct plan *p = ARENA_NEW(a, struct plan);
    *p = (struct plan){
        .model = "small", .site = "s", .global_batch_size = batch, .micro_batch_size = micro_batch};
    p->pipeline = ARENA_ARRAY(a, struct pipeline, 8);
    for (char end = '|'; end == '|'; text += end != 0) {
        struct pipeline *pl = &p->pipeline[p->n_pipeline++];
        pl->stage = ARENA_ARRAY(a, struct stage, 8);
        for (end = ';'; end == ';';) {
            read_stage(text, &pl->stage[pl->n_stage++], a);
            text += strcspn(text, ";|");
            end = *text;
            if (end == ';') text++;
        }
    }
    return p;
}

static unsigned long long hash_of(struct net *n) {
    size_t bytes = n->params * elem_bytes(n->backend->elem);
    unsigned char *host = malloc(bytes);
    unsigned long long h = 0;
    n->backend->download(n->backend, host, n->weight, bytes);
    for (size_t i = 0; i < bytes; i++) h = arch_hash(h ^ host[i]);
    free(host);
    return h;
}

/* MPI needs no connections. Here it does, like NCCL: two ranks meet, each waiting for the other, in the order
 * in which they were introduced; later messages between ranks that have not met are an error. */
enum { RANKS = 16, MEET = 77 };
static bool met[RANKS];
static struct comm under;

static void meet(struct comm *c, const int *peers, int n) {
    for (int i = 0; i < n; i++) {
        bool first = c->rank < peers[i];
        if (first) MPI_Ssend(NULL, 0, MPI_INT, peers[i], MEET, MPI_COMM_WORLD);
        MPI_Recv(NULL, 0, MPI_INT, peers[i], MEET, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (!first) MPI_Ssend(NULL, 0, MPI_INT, peers[i], MEET, MPI_COMM_WORLD);
        met[peers[i]] = true;
    }
}

static void must_have_met(const struct comm *c, int peer) {
    if (met[peer]) return;
    fprintf(stderr, "ranks %d and %d exchange messages and are not connected\n", c->rank, peer);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void send_to_met(struct comm *c, const void *buffer, size_t n, enum elem t, int to,
                        struct pending *p) {
    must_have_met(c, to);
    under.send(c, buffer, n, t, to, p);
}

static void receive_from_met(struct comm *c, void *buffer, size_t n, enum elem t, int from) {
    must_have_met(c, from);
    under.recv(c, buffer, n, t, from);
}

int (*small_comm)(struct comm *, const struct mpx_comm *, struct backend *);

double small_clip;

int small_train(const struct arch *arch, const struct plan *p, const struct mpx_comm *world, int ranks,
                int steps, bool overlap, int (*open)(struct backend *, int, struct err *),
                struct small_run *r) {
    struct arena a = {0};
    struct err e;
    struct grid g;
    struct backend b;
    struct comm c;
    struct data d;
    struct trainer t;
    /* an epsilon so large that a gradient wrong by a factor shows: Adam alone would hide it */
    struct train_options o = {
        .adam = {3e-2, 0.9, 0.95, 1e-4, 0.1, 0}, .clip = small_clip, .seed = 7, .overlap = overlap};
    *r = (struct small_run){.steps = steps};
    if (grid_make(&g, p, arch, ranks, "plan", &a, &e)) {
        fprintf(stderr, "%s\n", e.text);
        arena_free(&a);
        return -1;
    }
    data_synthetic(&d, arch->vocabulary, arch->sequence, 3, &a);
    if (open(&b, 1, &e)) fprintf(stderr, "%s\n", e.text), exit(1);
    if (world && small_comm) {
        if (small_comm(&c, world, &b)) exit(1);
    } else {
        comm_mpi_open(&c, world);
        if (!b.host) comm_stage(&c, &b);
        memset(met, 0, sizeof met);
        under = c;
        c.connect = meet;
        c.send = send_to_met;
        c.recv = receive_from_met;
    }
    if (trainer_make(&t, &g, &d, &b, &c, o, &a, &e)) fprintf(stderr, "%s\n", e.text), exit(1);
    for (int i = 0; i <= steps; i++) {
        struct step_result s;
        double loss;
        if (i < steps) trainer_step(&t, &s);
        loss = i < steps ? s.loss : trainer_evaluate(&t);
        if (world) MPI_Allreduce(MPI_IN_PLACE, &loss, 1, MPI_DOUBLE, MPI_SUM, world->mpi);
        if (i < steps) r->norm[i] = s.gradient_norm;
        if (i < steps)
            r->loss[i] = loss;
        else
            r->held_out = loss;
    }
    r->peak_bytes = t.ledger.total_peak;
    memcpy(r->category_bytes, t.ledger.peak, sizeof r->category_bytes);
    r->weights = hash_of(&t.net);
    trainer_free(&t);
    c.close(&c);
    b.close(&b);
    arena_free(&a);
    return 0;
}
