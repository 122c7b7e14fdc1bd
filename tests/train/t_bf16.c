/* bf16: the rounding itself, for every upper half of a float; and every operation of the CPU backend in bf16
 * against the same in double precision, on numbers that both represent exactly. Values stored as bf16 may
 * differ by its rounding, sums in floats by next to nothing. Sizes exceed a tile of the products, and are no
 * multiples of it. Prints TAP. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "small.h"

static int tests;

static void ok(bool good, const char *what) { printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what); }

/* ---- rounding ---- */

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The value of bf16 bits without a sign, in exact arithmetic; infinity counts as the next number. */
static double magnitude(unsigned bits) {
    unsigned exponent = bits >> 7, fraction = bits & 127;
    return exponent ? ldexp(128 + fraction, (int)exponent - 134) : ldexp(fraction, -133);
}

/* By definition: the nearer neighbour, or the even one of two that are equally near. */
static unsigned nearest(unsigned upper, double x) {
    double below = x - magnitude(upper), above = magnitude(upper + 1) - x;
    return below < above || (below == above && upper % 2 == 0) ? upper : upper + 1;
}

static void rounding(void) {
    static const unsigned lower[] = {0, 1, 2, 0x1234, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xc000, 0xfffe, 0xffff};
    bool values = true, finite = true, nan = true, infinity = true;
    for (unsigned upper = 0; upper < 0x10000; upper++) {
        unsigned sign = upper & 0x8000, plain = upper & 0x7fff;
        float own = bf16_value((bf16){(uint16_t)upper});
        if (plain < 0x7f80)
            values = values && fabs((double)own) == magnitude(plain) && !signbit(own) == !sign;
        for (size_t i = 0; i < sizeof lower / sizeof *lower; i++) {
            float x = float_of(upper << 16 | lower[i]);
            unsigned got = bf16_round(x).bits;
            if (isnan(x))
                nan = nan && isnan(bf16_value(bf16_round(x))) && (got & 0x8000) == sign;
            else if (isinf(x))
                infinity = infinity && got == upper;
            else
                finite = finite && got == (sign | nearest(plain, fabs((double)x)));
        }
    }
    ok(values, "the value of every finite bf16");
    ok(finite, "rounding to nearest even: ties, subnormal numbers, zeros of both signs, overflow");
    ok(infinity, "infinities stay");
    ok(nan, "a NaN stays one, whatever half its bits are in");
}

/* ---- operations: a buffer has the same numbers in both backends ---- */

static struct backend half, whole;
static struct arena arena;

struct buffer {
    size_t n;
    bf16 *half;    /* [n]; NULL if it is in acc: then */
    float *single; /* [n] */
    double *whole; /* [n] */
};

static double random_of(size_t i, unsigned long long stream) {
    return (double)(arch_hash(stream << 32 ^ i) >> 40) / (1 << 23) - 1;
}

/* Random numbers from middle - size to middle + size that bf16 represents exactly. */
static struct buffer elements(size_t n, double size, double middle) {
    static unsigned long long stream;
    struct buffer b = {n, ARENA_ARRAY(&arena, bf16, n), NULL, ARENA_ARRAY(&arena, double, n)};
    stream++;
    for (size_t i = 0; i < n; i++) {
        b.half[i] = bf16_round((float)(middle + size * random_of(i, stream)));
        b.whole[i] = (double)bf16_value(b.half[i]);
    }
    return b;
}

static struct buffer sums(size_t n, double size) {
    struct buffer x = elements(n, size, 0),
                  b = {n, NULL, ARENA_ARRAY(&arena, float, n), ARENA_ARRAY(&arena, double, n)};
    for (size_t i = 0; i < n; i++) b.single[i] = (float)x.whole[i], b.whole[i] = x.whole[i];
    return b;
}

/* Largest difference, relative to the largest number. */
static double off(struct buffer b) {
    double most = 0, worst = 0;
    for (size_t i = 0; i < b.n; i++) {
        double x = b.half ? (double)bf16_value(b.half[i]) : (double)b.single[i];
        most = fmax(most, fabs(b.whole[i]));
        worst = fmax(worst, fabs(x - b.whole[i]));
        if (isnan(x)) return INFINITY;
    }
    return worst / most;
}

/* `roundings`: how often half of bf16's last place may be lost, at most 2^-8 of the number. */
static void near(struct buffer b, double roundings, const char *what) {
    double is = off(b), tolerance = roundings * 0x1p-8;
    ok(is <= tolerance, arena_printf(&arena, "%s: off by %.1e of %.1e", what, is, tolerance));
}
enum { N = 150, IN = 300, OUT = 170 };

#define BOTH(b, p) ((b) == &half ? (p).half ? (void *)(p).half : (void *)(p).single : (void *)(p).whole)
#define EACH(b) for (struct backend *b = &half; b; b = b == &half ? &whole : NULL)

static void linear(bool inputs_first) {
    struct buffer x = elements(N * IN, 1, 0), w = elements(IN * OUT, 1, 0), bias = elements(OUT, 1, 0),
                  y = elements(N * OUT, 1, 0), z = elements(N * OUT, 1, 0), dy = elements(N * OUT, 1, 0),
                  dx = elements(N * IN, 1, 0), dw = sums(IN * OUT, 1), db = sums(OUT, 1);
    EACH(b) {
        b->linear(b, BOTH(b, y), BOTH(b, x), BOTH(b, w), BOTH(b, bias), N, IN, OUT, inputs_first);
        b->linear(b, BOTH(b, z), BOTH(b, x), BOTH(b, w), NULL, N, IN, OUT, inputs_first);
        b->linear_back(b, BOTH(b, dx), BOTH(b, dw), BOTH(b, db), BOTH(b, dy), BOTH(b, x), BOTH(b, w), N, IN,
                       OUT, inputs_first);
    }
    const char *name = inputs_first ? "linear, inputs first" : "linear, outputs first";
    near(y, 1.01, arena_printf(&arena, "%s", name));
    near(z, 1.01, arena_printf(&arena, "%s, without bias", name));
    near(dx, 1.01, arena_printf(&arena, "%s: dx", name));
    near(dw, 0.001, arena_printf(&arena, "%s: dw", name));
    near(db, 0.001, arena_printf(&arena, "%s: dbias", name));
}

static void norm(void) {
    struct buffer x = elements(N * IN, 2, 1), gain = elements(IN, 1, 1), bias = elements(IN, 1, 0),
                  y = elements(N * IN, 1, 0), mean = sums(N, 1), rstd = sums(N, 1),
                  dy = elements(N * IN, 1, 0), dx = elements(N * IN, 1, 0), dgain = sums(IN, 1),
                  dbias = sums(IN, 1), sum = elements(N * IN, 1, 0);
    EACH(b) {
        b->norm(b, BOTH(b, y), BOTH(b, mean), BOTH(b, rstd), BOTH(b, x), BOTH(b, gain), BOTH(b, bias), N, IN,
                1e-5);
        b->norm_back(b, BOTH(b, dx), BOTH(b, dgain), BOTH(b, dbias), BOTH(b, dy), BOTH(b, x), BOTH(b, gain),
                     BOTH(b, mean), BOTH(b, rstd), N, IN);
        b->residual(b, BOTH(b, sum), BOTH(b, x), BOTH(b, sum), BOTH(b, bias), N, IN);
    }
    near(y, 1.01, "norm");
    near(mean, 0.001, "norm: mean");
    near(rstd, 0.001, "norm: rstd");
    near(dx, 1.01, "norm: dx");
    near(dgain, 0.001, "norm: dgain");
    near(dbias, 0.001, "norm: dbias");
    near(sum, 1.01, "residual");
}

static void attention(void) {
    struct attention a = {.sequences = 2, .length = N, .heads = 3, .size = 20};
    size_t width = 3 * 20, saved, work;
    struct buffer qkv = elements(2 * N * 3 * width, 3, 0), out = elements(2 * N * width, 1, 0),
                  dout = elements(2 * N * width, 1, 0), dqkv = elements(2 * N * 3 * width, 1, 0);
    EACH(b) {
        b->attention_bytes(b, a, &saved, &work);
        void *s = b->alloc(b, saved), *w = b->alloc(b, work);
        b->attention(b, BOTH(b, out), s, w, BOTH(b, qkv), NULL, a);
        b->attention_back(b, BOTH(b, dqkv), NULL, BOTH(b, dout), BOTH(b, out), s, w, BOTH(b, qkv), NULL, a);
        b->release(b, s), b->release(b, w);
    }
    near(out, 2, "attention");
    near(dqkv, 2, "attention: dqkv");
}

static void activation(enum activation f, const char *name) {
    struct buffer x = elements(N * IN, 4, 0), y = elements(N * IN, 1, 0), dy = elements(N * IN, 1, 0),
                  again = elements(N * IN, 1, 0);
    EACH(b) {
        b->activate(b, BOTH(b, y), BOTH(b, x), f, N * IN);
        b->activate_back(b, BOTH(b, dy), BOTH(b, again), BOTH(b, dy), BOTH(b, x), f, N * IN);
    }
    near(y, 1.01, name);
    near(dy, 1.01, arena_printf(&arena, "%s: dx", name));
    ok(!memcmp(again.half, y.half, sizeof(bf16) * N * IN), arena_printf(&arena, "%s: the same again", name));
}

/* Half of the vocabulary, with padding; some sequences masked. */
static void embedding_and_loss(void) {
    enum { ROWS = 70, ROOM = 80, FIRST = 60, LENGTH = 50, VALID = 100 };
    int token[N];
    for (int i = 0; i < N; i++) token[i] = (int)(arch_hash((unsigned long long)i) % (2 * ROWS));
    struct buffer table = elements(ROWS * IN, 1, 0), positions = elements(LENGTH * IN, 1, 0),
                  y = elements(N * IN, 1, 0), dy = elements(N * IN, 1, 0), dtable = sums(ROWS * IN, 1),
                  dpositions = sums(LENGTH * IN, 1), logits = elements(N * ROOM, 5, 0), max = sums(N, 1),
                  sum = sums(2 * N, 1), loss = sums(1, 1);
    EACH(b) {
        b->embed(b, BOTH(b, y), BOTH(b, table), BOTH(b, positions), token, FIRST, ROWS, N, LENGTH, IN);
        b->embed_back(b, BOTH(b, dtable), BOTH(b, dpositions), BOTH(b, dy), token, FIRST, ROWS, N, LENGTH,
                      IN);
        b->loss_max(b, BOTH(b, max), BOTH(b, logits), N, ROWS, ROOM);
        b->loss_sums(b, BOTH(b, sum), BOTH(b, logits), BOTH(b, max), token, FIRST, N, ROWS, ROOM);
        b->loss_back(b, BOTH(b, loss), BOTH(b, logits), BOTH(b, sum), token, FIRST, N, VALID, ROWS, ROOM,
                     1.0 / VALID);
    }
    near(y, 1.01, "embedding");
    near(dtable, 0.001, "embedding: dtable");
    near(dpositions, 0.001, "embedding: dpositions");
    near(max, 0, "loss: maxima");
    near(sum, 0.001, "loss: sums");
    near(loss, 0.001, "loss");
    near(logits, 2.02, "loss: gradient"); /* rounded as exponentials and again */
}

static void optimizer(void) {
    struct buffer p = elements(N, 1, 0), g = sums(N, 1), m = sums(N, 1), v = sums(N, 1), master = sums(N, 1);
    struct adamw step = {0.125, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1};
    for (size_t i = 0; i < N; i++) v.whole[i] = fabs(v.whole[i]), v.single[i] = (float)v.whole[i];
    bool same = true;
    half.adamw(&half, p.half, master.single, g.single, m.single, v.single, N, step);
    whole.adamw(&whole, master.whole, NULL, g.whole, m.whole, v.whole, N, step);
    for (size_t i = 0; i < N; i++) same = same && p.half[i].bits == bf16_round(master.single[i]).bits;
    near(master, 0.001, "AdamW: masters");
    near(m, 0.001, "AdamW: mean");
    near(v, 0.001, "AdamW: mean of squares");
    ok(same, "AdamW: the weights are the masters, rounded");
}

/* Threads share tiles, but not sums. */
static void threads(void) {
    struct backend other;
    struct err e;
    struct attention a = {.sequences = 2, .length = N, .heads = 3, .size = 20};
    struct buffer x = elements(N * IN, 1, 0), w = elements(IN * OUT, 1, 0), y = elements(N * OUT, 1, 0),
                  dw = sums(IN * OUT, 1), qkv = elements(2 * N * 9 * 20, 3, 0),
                  out = elements(2 * N * 3 * 20, 1, 0);
    bf16 y1[N * OUT], out1[2 * N * 3 * 20];
    float *dw1 = ARENA_ARRAY(&arena, float, IN * OUT);
    bool same = true;
    for (int n = 1; n <= 3; n++) {
        size_t saved, work;
        backend_cpu_bf16_open(&other, n, &e);
        other.attention_bytes(&other, a, &saved, &work);
        void *s = other.alloc(&other, saved), *room = other.alloc(&other, work);
        memset(dw.single, 0, sizeof(float) * IN * OUT);
        other.linear(&other, y.half, x.half, w.half, NULL, N, IN, OUT, true);
        other.linear_back(&other, NULL, dw.single, NULL, y.half, x.half, NULL, N, IN, OUT, true);
        other.attention(&other, out.half, s, room, qkv.half, NULL, a);
        if (n == 1) {
            memcpy(y1, y.half, sizeof y1);
            memcpy(out1, out.half, sizeof out1);
        }
        if (n == 1) memcpy(dw1, dw.single, sizeof(float) * IN * OUT);
        same = same && !memcmp(y1, y.half, sizeof y1) && !memcmp(out1, out.half, sizeof out1) &&
               !memcmp(dw1, dw.single, sizeof(float) * IN * OUT);
        other.release(&other, s), other.release(&other, room);
        other.close(&other);
    }
    ok(same, "the same bits for any number of threads");
}

int main(void) {
    struct err e;
    rounding();
    backend_cpu_bf16_open(&half, 2, &e);
    backend_f64_open(&whole, 1, &e);
    linear(false);
    linear(true);
    norm();
    attention();
    activation(ACTIVATION_GELU, "gelu");
    activation(ACTIVATION_RELU, "relu");
    embedding_and_loss();
    optimizer();
    threads();
    half.close(&half), whole.close(&whole);
    arena_free(&arena);
    printf("1..%d\n", tests);
    return 0;
}
