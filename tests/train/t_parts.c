/* Parts that need no training: sizes, the layout of a plan, the order of work, tokens, the ledger. Prints
 * TAP. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "formats/inputs.h"
#include "io/file.h"
#include "sim/estimate.h"
#include "sim/sheet.h"
#include "small.h"
#include "train/cadence.h"
#include "train/linksite.h"
#include "train/saver.h"

static int tests;
static struct arena arena;

static void ok(bool good, const char *what) { printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what); }

/* ---- sizes: exactly those of the model files, which are those of the published runs ---- */

static void sizes(const char *name) {
    struct workload w;
    struct arch a;
    struct err e;
    bool good = !model_load(name, "inputs", &w, &arena, &e) && !arch_make(&a, w.model, &e);
    for (int ti = 0; good && ti < TP_N; ti++)
        for (int l = 0; l < a.layers && w.model->params[ti]; l++)
            good = good && (double)arch_params(&a, l, 1 << ti) == w.model->params[ti][l];
    ok(good, arena_printf(&arena, "%s has the parameters of its file, for every degree", name));
}

/* For other models, the planner does not count the padding of the vocabulary. */
static void block_sizes(const char *name) {
    struct workload w;
    struct arch a;
    struct err e;
    bool good = !model_load(name, "inputs", &w, &arena, &e) && !arch_make(&a, w.model, &e);
    for (int ti = 0; good && ti < TP_N; ti++)
        good =
            good && (!w.model->params[ti] || (double)arch_params(&a, 1, 1 << ti) == w.model->params[ti][1]);
    good = good && (double)arch_params(&a, 0, 1) == w.model->params[0][0] &&
           (double)arch_params(&a, a.layers - 1, 1) == w.model->params[0][a.layers - 1];
    ok(good, arena_printf(&arena, "blocks of %s have the parameters of its file, for every degree", name));
}

static void refused(const char *architecture, int layers, const char *word) {
    struct model m = {.name = "m",
                      .n_layer = layers,
                      .n_block = 2,
                      .hidden_size = 16,
                      .sequence_length = 8,
                      .heads = 4,
                      .vocabulary = 300,
                      .architecture = architecture};
    struct arch a;
    struct err e = {0};
    ok(arch_make(&a, &m, &e) == -1 && e.code == EXIT_INPUT && strstr(e.text, word), e.text);
}

/* With ' for quotes. */
static void described(void) {
    static const struct {
        const char *more, *word;
    } bad[] = {{"'family':'gemma'", "/family: \"gemma\""},
               {"'family':'gpt','activation':'geglu'", "/activation"},
               {"'norm_first':false", "/norm_first"},
               {"'norm':'batchnorm'", "/norm: "},
               {"'positions':'alibi'", "/positions"},
               {"'heads':4,'kv_heads':3", "/kv_heads: 3; expected a divisor of the 4 heads"},
               {"'kv_heads':5", "/kv_heads: 5"},
               {"'window':0", "/window"},
               {"'window':4,'window_of_blocks':'later'", "/window_of_blocks"},
               {"'head':'none'", "/head"},
               {"'biases_added':'some'", "/biases_added"},
               {"'norm_epsilon':-1", "/norm_epsilon"},
               {"'position_offset':-2", "/position_offset"},
               {"'dropout':0.1", "/dropout"},
               {"'positions':'rotary','head_size':5", "heads of size 5; expected an even one"},
               {"'rope_theta':0", "/rope_theta"},
               {"'rope_scaling':{'rope_type':'yarn','factor':4}", "/rope_scaling/rope_type: \"yarn\""},
               {"'rope_scaling':{'rope_type':'llama3','factor':4}", "/rope_scaling/low_freq_factor"},
               {"'rope_scaling':{'rope_type':'llama3','factor':4,'low_freq_factor':4,'high_freq_factor':1,"
                "'original_max_position_embeddings':8}",
                "/rope_scaling/high_freq_factor: 1; expected more"},
               {"'rope':1", "rope"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool named = strstr(bad[i].more, "'family'"), active = strstr(bad[i].more, "'activation'");
        char *text = arena_printf(&arena, "{%s%s'ffn_size':32,%s}", named ? "" : "'family':'gpt',",
                                  active ? "" : "'activation':'relu',", bad[i].more);
        for (char *p = text; *p; p++) *p = *p == '\'' ? '"' : *p;
        refused(text, 4, bad[i].word);
    }
}

/* The planner's description of the same model wins, and anything in it besides these parts is refused. */
static void shapes(void) {
    struct transformer x = {.layers = 2,
                            .hidden = 16,
                            .ffn = 32,
                            .heads = 4,
                            .kv_heads = 2,
                            .head_size = 8,
                            .vocabulary = 300,
                            .sequence = 8,
                            .gated = true,
                            .rms_norm = true,
                            .tied = true},
                       other = x;
    struct model_shape shape = {.transformer = x};
    struct model m = {.name = "m",
                      .n_layer = 4,
                      .n_block = 2,
                      .hidden_size = 16,
                      .sequence_length = 8,
                      .heads = 4,
                      .vocabulary = 300,
                      .shape = &shape,
                      .architecture = "{\"family\":\"llama\",\"activation\":\"silu\",\"ffn_size\":32,\"kv_"
                                      "heads\":2,\"positions\":\"rotary\"}"};
    struct arch a;
    struct err e = {0};
    ok(!arch_make(&a, &m, &e) && a.head_size == 8 && a.tied && a.rms_norm && !a.out_biases && a.rotary,
       "a model that says its shape");
    shape.transformer.experts = 8;
    ok(arch_make(&a, &m, &e) == -1 && strstr(e.text, "/transformer/experts"), e.text);
    other.gated = false;
    shape.transformer = other;
    ok(arch_make(&a, &m, &e) == -1 && strstr(e.text, "/architecture/activation"), e.text);
    other = x;
    other.kv_heads = 4;
    shape.transformer = other;
    ok(arch_make(&a, &m, &e) == -1 && strstr(e.text, "4 kv_heads"), e.text);
    other = x;
    other.qk_norm = true;
    shape.transformer = other;
    ok(arch_make(&a, &m, &e) == -1 && strstr(e.text, "qk_norm"), e.text);
}

/* If there are fewer key/value heads than ranks, several ranks hold each of them; other parts have one
 * holder. */
static void repeats(void) {
    struct arch a = small_family("llama");
    struct err e = {0};
    const struct tensor *kv = &a.tensor[LAYER_BLOCK][BLOCK_KV];
    bool good = true;
    for (int k = 0; k < 4; k++) {
        struct part p = arch_part(kv, 4, k);
        good = good && p.first == (size_t)k / 2 && p.rows == 1 && p.room == 1;
    }
    ok(good && arch_part(kv, 2, 1).first == 1, "four ranks hold two key/value heads, in pairs");
    a.kv_heads = 3;
    ok(arch_check_tp(&a, 2, "here", &e) == -1 && strstr(e.text, "3 key/value heads"), e.text);
}

static void backends(void) {
    struct err e = {0};
    struct arch gpt = small_arch(ACTIVATION_RELU), neo = small_family("gpt-neo");
    ok(!arch_check_parts(&gpt, 0, "cuda", &e) && !arch_check_parts(&neo, ALL_PARTS, "cpu", &e),
       "every backend has the parts of GPT");
    ok(arch_check_parts(&neo, 1 << PART_WINDOW, "cuda", &e) == -1 && e.code == EXIT_INPUT &&
           strstr(e.text, "backend cuda: the model has unscaled attention"),
       e.text);
}

/* ---- parts: together the whole tensor, for every degree ---- */

static void parts(void) {
    struct arch a = small_arch(ACTIVATION_GELU);
    bool good = true;
    for (int kind = 0; kind < 3; kind++)
        for (int t = 0; t < arch_tensors((enum layer_kind)kind); t++)
            for (int tp = 1; tp <= 4; tp *= 2) {
                const struct tensor *x = &a.tensor[kind][t];
                size_t next = 0;
                for (int k = 0; k < tp; k++) {
                    struct part p = arch_part(x, tp, k);
                    good = good && p.rows <= p.room && (x->split ? p.first == next : p.rows == x->rows);
                    next = p.first + p.rows;
                }
                good = good && next == x->rows;
            }
    ok(good, "the parts of a tensor are its whole, without overlap");
}

/* ---- the order of work ---- */

static struct grid *grid(const struct arch *a, const char *plan, int batch, int micro) {
    struct grid *g = ARENA_NEW(&arena, struct grid);
    struct err e;
    if (grid_make(g, small_plan(plan, batch, micro, &arena), a, 0, "plan", &arena, &e))
        fprintf(stderr, "%s\n", e.text);
    return g;
}

/* Plays all cells against each other: does everything get done, with no more in flight than there are
 * slots? */
static bool plays(const struct grid *g) {
    struct grid_work **work = ARENA_ARRAY(&arena, struct grid_work *, g->cells);
    int *n = ARENA_ARRAY(&arena, int, g->cells), *at = ARENA_ARRAY(&arena, int, g->cells), all = 0, done = 0;
    char *fwd = ARENA_ARRAY(&arena, char, 8 * 8 * 4096), *bwd = ARENA_ARRAY(&arena, char, 8 * 8 * 4096);
    for (int i = 0; i < g->cells; i++) {
        int slots;
        n[i] = grid_works(g, &g->cell[i], NULL, &slots);
        work[i] = ARENA_ARRAY(&arena, struct grid_work, n[i]);
        grid_works(g, &g->cell[i], work[i], &slots);
        int busy[64] = {0};
        for (int k = 0; k < n[i]; k++) { /* a slot holds one microbatch at a time */
            if (work[i][k].slot < 0 || work[i][k].slot >= slots) return false;
            if (busy[work[i][k].slot] != work[i][k].backward) return false;
            busy[work[i][k].slot] = !work[i][k].backward;
        }
        all += n[i];
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < g->cells; i++) {
            if (at[i] == n[i]) continue;
            const struct grid_cell *c = &g->cell[i];
            struct grid_work x = work[i][at[i]];
            char *f = fwd + (c->pipeline * 8 + c->stage) * 4096,
                 *b = bwd + (c->pipeline * 8 + c->stage) * 4096;
            bool last = c->stage + 1 == g->line[c->pipeline].stages;
            if (!x.backward && c->stage && !(f - 4096)[x.w]) continue;
            if (x.backward && !(last ? f : b + 4096)[x.w]) continue;
            (x.backward ? b : f)[x.w]++;
            at[i]++;
            done++;
            moved = true;
        }
    }
    return done == all;
}

static void order(void) {
    struct arch a = small_arch(ACTIVATION_GELU);
    struct grid_work w[64];
    int slots;
    struct grid *g = grid(&a, "0-1:1;1-3:1;3-4:1", 5, 1);
    char text[64];
    const char *want[] = {"F0F1F2B0F3B1F4B2B3B4", "F0F1B0F2B1F3B2F4B3B4", "F0B0F1B1F2B2F3B3F4B4"};
    for (int s = 0; s < 3; s++) {
        int n = grid_works(g, &g->cell[s], w, &slots);
        for (int i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%c%d", w[i].backward ? 'B' : 'F', w[i].w);
        ok(!strcmp(text, want[s]) && slots == 3 - s,
           arena_printf(&arena, "1F1B, stage %d of 3: %s", s, text));
    }
    g = grid(&a, "0-1:1;1-3:1;3-4:1", 2, 1);
    grid_works(g, &g->cell[0], w, &slots);
    ok(slots == 2, "no more in flight than there are microbatches");
    static const char *const plans[] = {"0-4:1",
                                        "0-1:1;1-2:1;2-3:1;3-4:1",
                                        "0-2:1,1,1;2-4:1",
                                        "0-2:1;2-4:1,1",
                                        "0-1:1,1;1-4:1,1,1",
                                        "0-1:1,1;1-3:1,1,1;3-4:1",
                                        "0-1:1;1-2:1,1,1,1;2-4:1,1,1",
                                        "0-2:1;2-4:1|0-4:1,1"};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        for (int batch = 1; batch <= 13; batch += 4)
            ok(plays(grid(&a, plans[i], batch, 1)),
               arena_printf(&arena, "%s, batch %d: nothing waits for itself", plans[i], batch));
}

/* Every sequence of a step exactly once. */
static void batches(const char *plan, int batch, int micro, int microbatches) {
    struct arch a = small_arch(ACTIVATION_GELU);
    struct grid *g = grid(&a, plan, batch, micro);
    char *seen = ARENA_ARRAY(&arena, char, batch);
    bool good = g->microbatches == microbatches;
    for (int p = 0; p < g->plan->n_pipeline; p++)
        for (int w = 0; w < g->microbatches * g->line[p].width; w++) {
            int count, first = grid_sequences(g, p, w, &count);
            for (int i = 0; i < count; i++) seen[first + i]++;
        }
    for (int i = 0; i < batch; i++) good = good && seen[i] == 1;
    ok(good, arena_printf(&arena, "%s, batch %d of %d: each sequence once, M = %d", plan, batch, micro,
                          g->microbatches));
}

static void misfits(void) {
    struct arch a = small_arch(ACTIVATION_GELU);
    struct grid g;
    struct err e = {0};
    struct plan *p = small_plan("0-4:2,1", 8, 1, &arena);
    ok(grid_make(&g, p, &a, 4, "plan.json", &arena, &e) == -1 && e.code == EXIT_INPUT &&
           strstr(e.text, ": 4 ranks; expected 3,"),
       e.text);
    p = small_plan("0-4:8", 8, 1, &arena);
    ok(grid_make(&g, p, &a, 8, "plan.json", &arena, &e) == -1 && strstr(e.text, "4 heads"), e.text);
}

/* ---- tokens ---- */

static void tokens(void) {
    struct data d, again;
    struct err e = {0};
    enum { N = 1000, S = 8 };
    char bytes[N + 1], bin[1024 + 2 * N], wide[1024 + 4 * N];
    int x[S], y[S], x2[S], y2[S];
    for (int i = 0; i < N; i++) bytes[i] = (char)(i % 251);
    ok(!data_parse(&d, "text", bytes, N, 256, S, 1, &arena, &e) && d.n == N && d.train == 900,
       "bytes of a file");
    bool further = true, apart = true;
    for (unsigned long long q = 0; q < 500; q++) {
        data_sequence(&d, false, q, x, y);
        for (int i = 0; i + 1 < S; i++) further = further && y[i] == x[i + 1] && x[i + 1] == (x[i] + 1) % 251;
    }
    ok(further, "targets are the inputs one further on");
    memset(bin, 0, sizeof bin);
    memcpy(bin, (int[]){20240520, 1, N}, 12);
    for (int i = 0; i < N; i++) memcpy(bin + 1024 + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    ok(!data_parse(&d, "x.bin", bin, sizeof bin, N, S, 1, &arena, &e),
       "tokens of 16 bits, each its own place");
    int first = N, last = 0, held_first = N, held_last = 0;
    for (unsigned long long q = 0; q < 20000; q++) {
        data_sequence(&d, false, q, x, y);
        data_sequence(&d, true, q, x2, y2);
        apart = apart && y[S - 1] < (int)d.train && x2[0] >= (int)d.train && y2[S - 1] < N;
        first = x[0] < first ? x[0] : first;
        last = y[S - 1] > last ? y[S - 1] : last;
        held_first = x2[0] < held_first ? x2[0] : held_first;
        held_last = y2[S - 1] > held_last ? y2[S - 1] : held_last;
    }
    ok(apart, "sequences held out are from the last tenth, those to train on are not");
    ok(first == 0 && last == 899 && held_first == 900 && held_last == 999, "and reach all of it");
    for (int i = 0; i < N; i++)
        memcpy(bin + 1024 + 2 * i, &(uint16_t){(uint16_t)((unsigned char)bytes[i])}, 2);
    ok(!data_parse(&d, "text", bytes, N, 256, S, 1, &arena, &e) &&
           !data_parse(&again, "x.bin", bin, sizeof bin, 256, S, 1, &arena, &e) && again.n == N &&
           data_hash(&again) == data_hash(&d),
       "the same tokens from a .bin");
    memset(wide, 0, 1024);
    memcpy(wide, (int[]){20240801, 7, N}, 12);
    for (int i = 0; i < N; i++)
        memcpy(wide + 1024 + 4 * i, &(uint32_t){(uint32_t)((unsigned char)bytes[i])}, 4);
    ok(!data_parse(&again, "x.bin", wide, sizeof wide, 256, S, 1, &arena, &e) && again.n == N &&
           data_hash(&again) == data_hash(&d),
       "and from one of 32 bits");
    wide[1024] ^= 1;
    ok(data_hash(&again) == data_hash(&d),
       "whose fingerprint is taken when they are read, not at each checkpoint");
    memcpy(wide + 1024 + 4 * 700, &(uint32_t){65536 + 3}, 4);
    ok(data_parse(&again, "x.bin", wide, sizeof wide, 256, S, 1, &arena, &e) &&
           strstr(e.text, "token 700 is 65539"),
       e.text);
    ok(data_parse(&again, "x.bin", wide, sizeof wide - 4, 256, S, 1, &arena, &e) &&
           strstr(e.text, "expected 4000"),
       e.text);
    ok(data_parse(&again, "x.bin", bin, sizeof bin - 1, 256, S, 1, &arena, &e) &&
           strstr(e.text, "expected 2000"),
       e.text);
    ok(data_parse(&again, "x.bin", bin, 100, 256, S, 1, &arena, &e) && strstr(e.text, "not a token file"),
       e.text);
    ok(data_parse(&again, "text", bytes, N, 200, S, 1, &arena, &e) && strstr(e.text, "vocabulary of 200"),
       e.text);
    ok(data_parse(&again, "text", bytes, 50, 256, S, 1, &arena, &e) && strstr(e.text, "at least"), e.text);
}

/* ---- Megatron's datasets ---- */

enum { DOCUMENTS = 100, EACH = 12, INDEX = 34 + 12 * DOCUMENTS + 8 * (DOCUMENTS + 1) };

static void number(char *to, int bytes, unsigned long long x) {
    for (int i = 0; i < bytes; i++) to[i] = (char)(x >> 8 * i);
}

/* Documents of one sequence each, of 12 tokens, ids of 16 bits. */
static void make_index(char *x) {
    memset(x, 0, INDEX);
    memcpy(x, "MMIDIDX", 7);
    number(x + 9, 8, 1);
    number(x + 17, 1, 8);
    number(x + 18, 8, DOCUMENTS);
    number(x + 26, 8, DOCUMENTS + 1);
    for (int i = 0; i < DOCUMENTS; i++) {
        number(x + 34 + 4 * i, 4, EACH);
        number(x + 34 + 4 * DOCUMENTS + 8 * i, 8, 2ull * EACH * (unsigned)i);
    }
    for (int i = 0; i <= DOCUMENTS; i++) number(x + 34 + 12 * DOCUMENTS + 8 * i, 8, (unsigned)i);
}

/* For sequences whose ids are their positions in the file. */
static bool begins_are_right(const struct data *d, bool held_out, unsigned long long q) {
    int x[EACH], y[EACH], begin[EACH], first = 0;
    bool good = true;
    data_sequence(d, held_out, q, x, y);
    data_begins(d, held_out, q, begin);
    for (int i = 0; i < d->length; i++) {
        if (i && x[i] % EACH == 0) first = i;
        good = good && begin[i] == first;
    }
    return good;
}

/* Each id is its position in the file. */
static void by_documents(void) {
    enum { N = DOCUMENTS * EACH, S = 8, TRAIN = 90 * EACH, SEQUENCES = (TRAIN - 1) / S };
    char index[INDEX], ids[2 * N];
    int x[S], y[S], x2[S], y2[S], seen[N] = {0}, joined = 0, once = 0, same = 0;
    struct data d, plain;
    struct err e = {0};
    make_index(index);
    for (int i = 0; i < N; i++) number(ids + 2 * i, 2, (unsigned)i);
    ok(!data_parse_indexed(&d, "x.idx", index, INDEX, ids, sizeof ids, N, S, 1, &arena, &e),
       "documents whose tokens are places");
    plain = d;
    data_by_documents(&d, index, &arena);
    bool good = true;
    for (unsigned long long q = 0; q < SEQUENCES; q++) {
        data_sequence(&d, false, q, x, y);
        data_sequence(&d, false, q + SEQUENCES, x2, y2);
        same += x[0] == x2[0];
        for (int i = 0; i < S; i++) {
            seen[x[i]]++;
            good = good && x[i] < TRAIN && y[i] < TRAIN && (i + 1 == S || y[i] == x[i + 1]);
            good = good && (y[i] == x[i] + 1 || (x[i] % EACH == EACH - 1 && y[i] % EACH == 0));
            joined += y[i] != x[i] + 1;
        }
    }
    for (int i = 0; i < N; i++) good = good && seen[i] <= 1, once += seen[i];
    ok(good && once == SEQUENCES * S, "an epoch has every token once, and documents are read to their ends");
    ok(joined > 80 && same < 20, "they follow in another order than in the file, and in the next epoch");
    data_sequence(&d, false, 5, x, y);
    data_sequence(&d, false, 7 * SEQUENCES + 3, x2, y2);
    data_sequence(&d, false, 5, x2, y2);
    ok(!memcmp(x, x2, sizeof x) && !memcmp(y, y2, sizeof y),
       "a sequence is the same whatever was drawn before");
    data_sequence(&d, true, 5, x, y);
    data_sequence(&plain, true, 5, x2, y2);
    ok(!memcmp(x, x2, sizeof x) && x[0] >= TRAIN, "what is held out stays as it is");
    ok(data_hash(&d) != data_hash(&plain), "a run in another order is another run");
    struct data apart = plain;
    data_keep_apart(&apart, index, &arena);
    data_keep_apart(&d, index, &arena);
    good = data_hash(&apart) != data_hash(&plain);
    for (unsigned long long q = 0; q < 3 * SEQUENCES; q++) /* the id says where its document begins */
        good = good && begins_are_right(&apart, q % 2, q) && begins_are_right(&d, q % 2, q);
    ok(good, "documents that are kept apart begin where they do, in either order, held out or not");
}

static void indexed(void) {
    static const struct {
        const char *what;
        int at, bytes;
        unsigned long long value;
        const char *word;
    } bad[] = {
        {"magic", 0, 1, 'X', "not an index"},
        {"version", 9, 8, 2, "version 1"},
        {"type", 17, 1, 6, "tokens of type 6"},
        {"count", 18, 8, DOCUMENTS + 1, "after the header"},
        {"a count that overflows", 18, 8, 1ull << 63, "after the header"},
        {"size", 34, 4, EACH + 1, "sequence 1: 12 tokens at byte 24; expected it where"},
        {"start", 34 + 4 * DOCUMENTS + 8, 8, 25, "sequence 1"},
        {"last size", 34 + 4 * (DOCUMENTS - 1), 4, EACH - 1, "sequences of 1199 tokens; expected 1200"},
        {"document", 34 + 12 * DOCUMENTS + 8, 8, DOCUMENTS + 1, "document 1"}};
    enum { N = DOCUMENTS * EACH, S = 8 };
    char index[INDEX], ids[2 * N], plain[N];
    struct data d, same;
    struct err e = {0};
    make_index(index);
    for (int i = 0; i < N; i++) number(ids + 2 * i, 2, (unsigned)i % 251), plain[i] = (char)(i % 251);
    ok(!data_parse_indexed(&d, "x.idx", index, INDEX, ids, sizeof ids, 256, S, 1, &arena, &e) && d.n == N,
       "an indexed dataset");
    ok(d.train == 90 * EACH, "a document is held out or not, whole");
    ok(!data_parse(&same, "text", plain, N, 256, S, 1, &arena, &e) && data_hash(&same) == data_hash(&d),
       "its tokens");
    ok(data_parse_indexed(&d, "x.idx", index, INDEX, ids, sizeof ids, 200, S, 1, &arena, &e) == -1 &&
           strstr(e.text, "vocabulary of 200"),
       e.text);
    ok(data_parse_indexed(&d, "x.idx", index, INDEX - 1, ids, sizeof ids, 256, S, 1, &arena, &e) == -1 &&
           strstr(e.text, "after the header"),
       e.text);
    ok(data_parse_indexed(&d, "x.idx", index, 20, ids, sizeof ids, 256, S, 1, &arena, &e) == -1 &&
           strstr(e.text, "not an index"),
       e.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        make_index(index);
        number(index + bad[i].at, bad[i].bytes, bad[i].value);
        int rc = data_parse_indexed(&d, "x.idx", index, INDEX, ids, sizeof ids, 256, S, 1, &arena, &e);
        ok(rc == -1 && e.code == EXIT_INPUT && strstr(e.text, bad[i].word),
           arena_printf(&arena, "%s: %s", bad[i].what, e.text));
    }
    make_index(index); /* no document begins in the last tenth */
    for (int i = 1; i < DOCUMENTS; i++) number(index + 34 + 12 * DOCUMENTS + 8 * i, 8, 1);
    ok(!data_parse_indexed(&d, "x.idx", index, INDEX, ids, sizeof ids, 256, S, 1, &arena, &e) &&
           d.train == N - N / 10,
       "one long document is cut");
}

/* ---- the ledger against an allocator that counts ---- */

static size_t counted, counted_peak, block_bytes[MEMORY_N];
static int blocks;
static void *(*real_alloc)(struct backend *, size_t);
static void (*real_release)(struct backend *, void *);

static void *counting_alloc(struct backend *b, size_t bytes) {
    size_t *p = real_alloc(b, bytes + 64);
    *p = bytes;
    if (blocks < MEMORY_N) block_bytes[blocks++] = bytes;
    counted += bytes;
    if (counted > counted_peak) counted_peak = counted;
    return p + 8;
}

static void counting_release(struct backend *b, void *p) {
    size_t *start = (size_t *)p - 8;
    counted -= *start;
    real_release(b, start);
}

static int count(struct backend *b, int rc) {
    real_alloc = b->alloc;
    real_release = b->release;
    b->alloc = counting_alloc;
    b->release = counting_release;
    counted = counted_peak = 0;
    blocks = 0;
    return rc;
}
static int counting_open(struct backend *b, int threads, struct err *e) {
    return count(b, backend_cpu_open(b, threads, e));
}
static int counting_bf16_open(struct backend *b, int threads, struct err *e) {
    return count(b, backend_cpu_bf16_open(b, threads, e));
}

/* F: bytes of an element. Sizes are multiples of 64 bytes, so that a sum of products is all there is. */
static void ledger_of(size_t F, int (*open)(struct backend *, int, struct err *), const char *name) {
    enum { m = 2, S = 8, N = m * S, H = 16, FFN = 32, HEADS = 4, V = 384 };
    struct arch a = small_arch(ACTIVATION_GELU);
    struct small_run r;
    size_t params = 0, block = N * (8 * H + FFN) * F + 4 * N * 4 + m * HEADS * S * S * F,
           head = N * (2 * H + V) * F + 2 * N * 4;
    for (int l = 0; l < a.layers; l++) params += arch_params(&a, l, 1);
    small_train(&a, small_plan("0-4:1", 4, m, &arena), NULL, 1, 2, false, open, &r);
    ok(counted_peak == r.peak_bytes && counted == 0,
       arena_printf(&arena, "%s: the ledger's peak is what was really held, and all was given back", name));
    bool good = r.category_bytes[MEMORY_DRIVER] == 0;
    for (int i = 0; i < MEMORY_DRIVER; i++) good = good && block_bytes[i] == r.category_bytes[i];
    ok(good, arena_printf(&arena, "%s: category by category", name));
    const size_t want[] = {params * F, params * 4, params * (F == 4 ? 8 : 12),
                           2 * N * sizeof(int) + 2 * block + head, 2 * N * H * F};
    for (int i = 0; i <= MEMORY_COMMUNICATION; i++)
        ok(r.category_bytes[i] == (want[i] + 63) / 64 * 64,
           arena_printf(&arena, "%s: %s are %zu bytes", name, memory_name[i], want[i]));
}

/* ---- passes of single layers, as a profile times them, are those of all of them ---- */

static void by_layers(const char *family) {
    struct arch arch = small_family(family);
    struct comm comm = {.name = "none", .size = 1};
    struct net n[2];
    struct backend b;
    struct err e;
    backend_cpu_open(&b, 1, &e);
    struct clock clock = {.backend = &b};
    struct ledger l[2];
    for (int k = 0; k < 2; k++) {
        struct net_shape shape = {0, arch.layers, 1, 0, 2, 1, RECOMPUTE_NONE, false};
        struct adam_options adam = {1e-2, 0.9, 0.95, 1e-8, 0.1, 0};
        ledger_open(&l[k], &b, 0);
        net_make(&n[k], &arch, shape, &b, &comm, NULL, &clock, &l[k], &arena, &e);
        net_random(&n[k]);
        for (int step = 1; step <= 2; step++) {
            if (k == 0) net_forward(&n[k], &n[k].slot[0]);
            for (int i = 0; i < arch.layers && k; i++) {
                net_zero_layer(&n[k], i);
                net_forward_layer(&n[k], &n[k].slot[0], i);
            }
            if (k == 0) memset(n[k].grad, 0, n[k].params * sizeof(float));
            net_loss(&n[k], &n[k].slot[0], n[k].tokens, 1.0 / n[k].tokens);
            net_backward(&n[k], &n[k].slot[0], n[k].dy[0]);
            if (k == 0) net_update(&n[k], adam, step);
            for (int i = 0; i < arch.layers && k; i++) net_update_layer(&n[k], i, adam, step);
        }
    }
    ok(!memcmp(n[0].weight, n[1].weight, n[0].params * sizeof(float)) &&
           !memcmp(n[0].adam_v, n[1].adam_v, n[0].params * sizeof(float)),
       arena_printf(&arena, "%s: layer by layer is the same step, to the bit", family));
    for (int k = 0; k < 2; k++) ledger_close(&l[k]);
    clock_free(&clock);
    b.close(&b);
}

/* Without gradients, a step is the decay alone: of matrices and embeddings, not of norms and biases. */
static void decay_groups(const char *family) {
    struct arch arch = small_family(family);
    struct comm comm = {.name = "none", .size = 1};
    struct net_shape shape = {0, arch.layers, 1, 0, 2, 1, RECOMPUTE_NONE, false};
    struct adam_options adam = {0.5, 0.9, 0.95, 1e-8, 0.25, 0};
    struct backend b;
    struct clock clock = {.backend = &b};
    struct ledger l;
    struct net n;
    struct err e;
    bool good = true;
    backend_cpu_open(&b, 1, &e);
    ledger_open(&l, &b, 0);
    net_make(&n, &arch, shape, &b, &comm, NULL, &clock, &l, &arena, &e);
    net_random(&n);
    float *w = n.weight, *before = ARENA_ARRAY(&arena, float, n.params);
    memcpy(before, w, n.params * sizeof *w);
    net_update(&n, adam, 1);
    for (int i = 0; i < arch.layers; i++)
        for (int t = 0; t < arch_tensors(n.layer[i].kind); t++) {
            const struct param *p = &n.layer[i].param[t];
            bool small = strstr(p->tensor->name, "norm") || strstr(p->tensor->name, "bias");
            for (size_t k = p->offset; k < p->offset + p->n; k++)
                good = good && fabs(w[k] - (small ? 1 : 0.875) * before[k]) <= 1e-6 * fabs(before[k]);
        }
    ok(good, arena_printf(&arena, "%s: matrices and embeddings decay, norms and biases do not", family));
    ledger_close(&l);
    b.close(&b);
}

/* A backend may have room for so many tokens of a microbatch: that ends no step, but the plan. */
static void too_many_tokens(void) {
    struct arch arch = small_arch(ACTIVATION_GELU);
    struct comm comm = {.name = "none", .size = 1};
    struct backend b;
    struct clock clock = {.backend = &b};
    struct err e = {0};
    int rc[2];
    backend_cpu_open(&b, 1, &e);
    b.most_tokens = 2 * arch.sequence - 1;
    for (int first = 0; first < 2; first++) {
        struct net_shape shape = {first, arch.layers, 1, 0, 2, 1, RECOMPUTE_NONE, false};
        struct ledger l;
        struct net n;
        struct err why;
        ledger_open(&l, &b, 0);
        rc[first] = net_make(&n, &arch, shape, &b, &comm, NULL, &clock, &l, &arena, first ? &why : &e);
        ledger_close(&l);
    }
    ok(rc[0] && e.code == EXIT_NOPLAN && strstr(e.text, "out of memory: a microbatch of"), e.text);
    ok(!rc[1], "a stage without the embedding takes them");
    b.close(&b);
}

/* Every stamp belongs to one item. */
static void items(void) {
    struct backend b;
    struct err e;
    double phase_s[PHASE_N], item_s[3] = {0}, all_s;
    backend_cpu_open(&b, 1, &e);
    struct clock clock = {.backend = &b};
    clock_start(&clock);
    for (int i = 0; i < 6; i++) {
        clock.item = i % 3;
        clock_enter(&clock, i % 2 ? PHASE_TENSOR : PHASE_FORWARD);
    }
    all_s = clock_stop(&clock, phase_s);
    clock_items(&clock, item_s, 3);
    double sum_s = item_s[0] + item_s[1] + item_s[2],
           phases_s = phase_s[PHASE_TENSOR] + phase_s[PHASE_FORWARD];
    ok(all_s > 0 && fabs(sum_s - phases_s) <= 1e-12 && item_s[0] >= 0, "times by item are those by phase");
    clock_free(&clock);
    b.close(&b);
}

/* Both sides of the result are divided in turn, at odd places, and products that are too small are not. Not
 * to the bit: the kernels of some processors sum the last columns of a product in another order. */
static void threads_of_products(int n, int in, int out) {
    size_t nx = (size_t)n * (size_t)in, ny = (size_t)n * (size_t)out, nw = (size_t)in * (size_t)out;
    size_t all = ny + nx + 2 * nw;
    float *x = ARENA_ARRAY(&arena, float, nx), *w = ARENA_ARRAY(&arena, float, nw);
    float *bias = ARENA_ARRAY(&arena, float, out), *first = ARENA_ARRAY(&arena, float, all);
    float *y = ARENA_ARRAY(&arena, float, all), *dx = y + ny, *dw = dx + nx, *turned = dw + nw;
    double off = 0;
    bool as_asked = true;
    for (size_t i = 0; i < nx; i++) x[i] = (float)sin((double)i);
    for (size_t i = 0; i < nw; i++) w[i] = (float)cos((double)i);
    for (int i = 0; i < out; i++) bias[i] = (float)i / (float)out;
    for (int t = 1; t <= 5; t++) {
        struct backend b;
        struct err e;
        as_asked = !backend_cpu_open(&b, t, &e) && b.threads == t && as_asked;
        for (size_t i = 0; i < nw; i++) dw[i] = turned[i] = 1;
        b.linear(&b, y, x, w, bias, n, in, out, true);
        b.linear_back(&b, dx, dw, NULL, y, x, w, n, in, out, true);
        b.linear_back(&b, NULL, turned, NULL, y, x, w, n, in, out, false);
        if (t == 1) memcpy(first, y, sizeof *y * all);
        for (size_t i = 0; i < all; i++) off = fmax(off, fabs(y[i] - first[i]) / (10 + fabs(first[i])));
        b.close(&b);
    }
    ok(as_asked && off < 1e-4,
       arena_printf(&arena, "%d x %d x %d: the same products for any number of threads (off by %.1g)", n, in,
                    out, off));
}

static void ledger(void) {
    struct backend b;
    struct ledger l;
    struct err e = {0};
    ledger_of(4, counting_open, "fp32");
    ledger_of(2, counting_bf16_open, "bf16");
    backend_cpu_open(&b, 1, &e);
    ledger_open(&l, &b, 1000);
    ok(ledger_alloc(&l, MEMORY_GRADIENTS, 600, &e) && l.held[MEMORY_GRADIENTS] == 640, "600 bytes are 640");
    ok(!ledger_alloc(&l, MEMORY_ACTIVATIONS, 600, &e) && e.code == EXIT_NOPLAN &&
           !strcmp(e.text, "out of memory: 640 bytes asked for activations, 640 held, limit 1000"),
       e.text);
    ok(l.total == 640 && l.total_peak == 640, "what was refused is not held");
    ledger_close(&l);
    b.close(&b);
}

/* ---- layers by themselves, as they are timed: all numbers finite, even after many passes ---- */

static void alone(int (*open)(struct backend *, int, struct err *), const char *name) {
    static const char *const kind[] = {"embedding", "block", "head"};
    struct arch a = small_arch(ACTIVATION_GELU);
    struct backend b;
    struct err e = {0};
    open(&b, 1, &e);
    struct comm c = {.name = "none", .size = 1};
    for (int layer = 0; layer < a.layers; layer += layer ? 2 : 1) {
        struct clock clock = {.backend = &b};
        struct ledger l;
        struct net n;
        ledger_open(&l, &b, 0);
        net_make(&n, &a, (struct net_shape){layer, layer + 1, 1, 0, 2, 1, RECOMPUTE_NONE, false}, &b, &c,
                 NULL, &clock, &l, &arena, &e);
        net_random(&n);
        net_random_gradient(&n, n.dy[0]);
        bool some = true, finite = true;
        for (int pass = 0; pass < 1000; pass++) {
            net_forward(&n, &n.slot[0]);
            if (n.end == a.layers) net_loss(&n, &n.slot[0], n.tokens, 1.0 / n.tokens);
            net_backward(&n, &n.slot[0], n.dy[0]);
            if (pass && pass < 999) continue;
            float *grad = malloc(n.params * sizeof *grad);
            b.download(&b, grad, n.grad, n.params * sizeof *grad);
            for (int t = 0; t < arch_tensors(n.layer[0].kind); t++) {
                const struct param *p = &n.layer[0].param[t];
                size_t zeros = 0, size = p->part.rows * p->tensor->row;
                for (size_t i = 0; i < size; i++) {
                    finite = finite && isfinite(grad[p->offset + i]);
                    zeros += grad[p->offset + i] == 0;
                }
                /* most rows of the table belong to other tokens */
                some = some && (!size || zeros < size / 10 || (layer == 0 && zeros < size));
            }
            free(grad);
        }
        ok(some, arena_printf(&arena, "%s: a %s by itself has gradients", name, kind[n.layer[0].kind]));
        ok(finite, "and a thousand passes leave numbers");
        ledger_close(&l);
        clock_free(&clock);
    }
    b.close(&b);
}

/* ---- learning rates ---- */

static bool rates(struct rate r, const double *want, int n) {
    for (int i = 0; i < n; i++)
        if (fabs(rate_at(&r, i + 1) - want[i]) > 1e-12) return false;
    return true;
}

static void schedules(void) {
    struct err e = {0};
    struct rate r = {.peak = 1, .end = 0.2, .warmup = 2, .total = 6, .decay = 2};
    const double constant[] = {0.5, 1, 1, 1, 1, 1, 1, 1}, linear[] = {0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2},
                 wsd[] = {0.5, 1, 1, 1, 0.6, 0.2, 0.2, 0.2}, none[] = {1, 1, 1};
    double cosine[8] = {0.5, 1};
    for (int i = 2; i < 8; i++) cosine[i] = i < 6 ? 0.2 + 0.4 * (1 + cos(acos(-1.0) * (i - 1) / 4)) : 0.2;
    ok(rates(r, constant, 8), "a constant rate after a warm-up");
    r.shape = RATE_LINEAR;
    ok(rates(r, linear, 8), "a linear fall");
    r.shape = RATE_COSINE;
    ok(rates(r, cosine, 8), "half a cosine");
    r.shape = RATE_WSD;
    ok(rates(r, wsd, 8) && !rate_check(&r, &e), "warm-up, stable, decay");
    r.decay = 5;
    ok(rate_check(&r, &e) == -1 && strstr(e.text, "--rate-decay 5; expected at most 4"), e.text);
    r.warmup = 6;
    ok(rate_check(&r, &e) == -1 && strstr(e.text, "--rate-warmup 6"), e.text);
    ok(rates((struct rate){.peak = 1}, none, 3), "the same rate on every step");
}

/* ---- checkpoints: when they are due, and a thread that writes them ---- */

static void cadences(void) {
    static const char *const bad[][2] = {{"0", NULL},    {"-1", NULL},  {"5x", NULL}, {"1e3s", NULL},
                                         {"0s", NULL},   {"nan", NULL}, {"", NULL},   {"auto", NULL},
                                         {"auto", "0h"}, {"auto", "5"}, {"7", "1h"},  {NULL, "1h"},
                                         {"infs", NULL}, {"1s2", NULL}, {"s", NULL}};
    struct cadence c;
    struct err e = {0};
    bool good = true;
    ok(!cadence_read(&c, NULL, NULL, &e) && !cadence_due(&c, 10, 1e9, 1, false), "never, if nobody asks");
    ok(!cadence_read(&c, "3", NULL, &e) && cadence_due(&c, 6, 0, -1, true) &&
           !cadence_due(&c, 7, 1e9, -1, false),
       "every third step");
    ok(!cadence_read(&c, "1.5m", NULL, &e) && cadence_due(&c, 1, 90, 5, false) &&
           !cadence_due(&c, 1, 89, 5, false) && !cadence_due(&c, 1, 1e9, 5, true),
       "every 90 s, but not while one is written");
    ok(!cadence_read(&c, "auto", "2h", &e) && cadence_due(&c, 1, 120, 1, false) &&
           !cadence_due(&c, 1, nextafter(120, 0), 1, false) && cadence_due(&c, 1, 0, -1, false) &&
           !cadence_due(&c, 1, 0, -1, true),
       "sqrt(2 x time to write x time between failures), and the first at once");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        good = good && cadence_read(&c, bad[i][0], bad[i][1], &e) == -1 && strstr(e.text, "; expected ");
    ok(good, "anything else is refused");
}

static char *copy_of(const char *text) {
    char *s = malloc(strlen(text) + 1);
    return s ? strcpy(s, text) : NULL;
}

static void savers(void) {
    char dir[] = "/tmp/t_parts.XXXXXX";
    struct saver s = {0};
    struct err e = {0};
    size_t n = 0;
    bool made = mkdtemp(dir) != NULL;
    const char *path = arena_printf(&arena, "%s/x", dir), *none = arena_printf(&arena, "%s/none/x", dir);
    ok(made && !saver_busy(&s) && !saver_wait(&s, &e), "nothing to wait for");
    bool wrote = !saver_start(&s, path, copy_of("one"), 3, &e) &&
                 !saver_start(&s, path, copy_of("three"), 5, &e) && !saver_wait(&s, &e) && !saver_busy(&s);
    const char *text = wrote ? file_read_text(path, &n, &arena, &e) : NULL;
    ok(text && !strcmp(text, "three") && s.time_s > 0, "one file after another");
    bool told =
        !saver_start(&s, none, copy_of("four"), 4, &e) && saver_start(&s, path, copy_of("five"), 4, &e) == -1;
    ok(told && e.code == EXIT_INTERNAL && strstr(e.text, "none/x") && !saver_wait(&s, &e),
       "a failure is told once");
    text = file_read_text(path, &n, &arena, &e);
    ok(text && !strcmp(text, "three"), "and what stood there stays");
    remove(path);
    remove(dir);
}

/* ---- samples ---- */

static void samples(void) {
    double x[] = {9, 1, 4, 2}, y[] = {9, 1, 4};
    ok(median(x, 4) == 3 && median(y, 3) == 4, "the median of an even number, and of an odd one");
    ok(interquartile_range(x, 4) == 9 - 2, "the distance of the quartiles");
}

/* ---- links: a parabola is recovered exactly, and noise gives nothing wild ---- */

static bool rises(const struct link *l) {
    bool good = true;
    for (double b = 65536; b < 1e9; b *= 1.1)
        good = good && link_time_s(l, b, ESTIMATOR_NATIVE) > 0 &&
               link_time_s(l, 1.1 * b, ESTIMATOR_NATIVE) > link_time_s(l, b, ESTIMATOR_NATIVE);
    return good;
}

static void links(void) {
    const struct link want = {.c2 = -0.02, .c1 = 0.5, .c0 = 6};
    struct link l;
    double bytes[LINK_SIZES], bw[LINK_SIZES], error[LINK_SIZES], mean, most;
    bool good = true;
    for (int i = 0; i < LINK_SIZES; i++) {
        bytes[i] = ldexp(1, LINK_SMALLEST + i);
        bw[i] = bytes[i] / link_time_s(&want, bytes[i], ESTIMATOR_NATIVE);
        error[i] = 0.01 * (1 + i % 3);
    }
    linkfit(&l, bytes, bw, error, LINK_SIZES);
    linkfit_error(&l, bytes, bw, LINK_SIZES, &mean, &most);
    ok(fabs(l.c2 / want.c2 - 1) < 1e-9 && fabs(l.c1 / want.c1 - 1) < 1e-9 &&
           fabs(l.c0 / want.c0 - 1) < 1e-9 && l.known && l.peak_Bps == bw[LINK_SIZES - 1] && most < 1e-12,
       "points of a parabola give it back");
    bw[4] /= 20;
    error[4] = 0.5;
    linkfit(&l, bytes, bw, error, LINK_SIZES);
    linkfit_error(&l, bytes, bw, LINK_SIZES, &mean, &most);
    ok(fabs(link_time_s(&l, 1e6, ESTIMATOR_NATIVE) / link_time_s(&want, 1e6, ESTIMATOR_NATIVE) - 1) < 0.05 &&
           most > 10 && mean > most / LINK_SIZES,
       "a point that is far off and uncertain hardly moves it, and counts in the error");
    for (unsigned long long seed = 0; seed < 1000; seed++) {
        int n = 4 + (int)(arch_hash(seed) % 12);
        for (int i = 0; i < n; i++) {
            double noise = (double)(arch_hash(seed * 100 + (unsigned)i) % 1000) / 1000;
            bw[i] = 1e7 * pow(1000, noise);
            error[i] = noise;
        }
        linkfit(&l, bytes, bw, error, n);
        good = good && rises(&l);
    }
    ok(good, "whatever was measured, a larger message takes longer on the link");
}

int main(void) {
    sizes("opt-350m");
    sizes("gpt-tiny");
    block_sizes("llama-3.1-8b");
    block_sizes("qwen2.5-7b");
    block_sizes("llama-tiny");
    block_sizes("opt-tiny");
    refused(NULL, 4, "architecture");
    described();
    refused("{\"family\":\"gpt\",\"activation\":\"relu\",\"ffn_size\":32,\"heads\":3}", 4, "heads");
    refused("{\"family\":\"gpt\",\"activation\":\"relu\",\"ffn_size\":32}", 3, "3 layers");
    shapes();
    repeats();
    backends();
    parts();
    order();
    batches("0-4:1", 7, 2, 4);
    batches("0-4:1,1,1", 7, 1, 3);
    batches("0-2:1,1;2-4:1,1,1", 20, 2, 4);
    batches("0-4:1,1|0-2:1;2-4:1", 11, 2, 2);
    misfits();
    tokens();
    indexed();
    by_documents();
    for (int i = 0; small_families[i]; i++) {
        by_layers(small_families[i]);
        decay_groups(small_families[i]);
    }
    too_many_tokens();
    items();
    threads_of_products(333, 130, 417);
    threads_of_products(517, 200, 131);
    threads_of_products(70, 64, 1030);
    threads_of_products(9, 20, 31);
    ledger();
    alone(backend_cpu_open, "fp32");
    alone(backend_cpu_bf16_open, "bf16");
    schedules();
    cadences();
    savers();
    samples();
    links();
    arena_free(&arena);
    printf("1..%d\n", tests);
    return 0;
}
