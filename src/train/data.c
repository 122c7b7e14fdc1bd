#include "train/data.h"
#include "train/arch.h"

#include <string.h>

enum { HEADER_INTS = 256, HEADER_BYTES = 4 * HEADER_INTS };

/* The forms of a .bin file. */
static const struct {
    uint32_t magic, version;
    int width;
} form[] = {{20240520, 1, 2}, {20240801, 7, 4}};
enum { FORMS = sizeof form / sizeof *form };

static uint32_t int_at(const char *bytes, size_t i) {
    const unsigned char *p = (const unsigned char *)bytes + 4 * i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int parse_bin(struct data *d, const char *path, const char *bytes, size_t size, struct err *e) {
    int k = 0;
    if (size < HEADER_BYTES)
        return err_set(e, EXIT_INPUT, "%s: not a token file: %zu bytes; expected a header of %d", path, size,
                       HEADER_BYTES);
    while (k < FORMS && (int_at(bytes, 0) != form[k].magic || int_at(bytes, 1) != form[k].version)) k++;
    if (k == FORMS)
        return err_set(
            e, EXIT_INPUT,
            "%s: not a token file: begins with %u, %u; expected %u, %u (ids of 16 bits) or %u, %u (32 "
            "bits), then the number of tokens",
            path, int_at(bytes, 0), int_at(bytes, 1), form[0].magic, form[0].version, form[1].magic,
            form[1].version);
    d->n = int_at(bytes, 2);
    d->width = form[k].width;
    d->id += HEADER_BYTES;
    if (size - HEADER_BYTES != (size_t)d->width * d->n)
        return err_set(e, EXIT_INPUT, "%s: %zu bytes of tokens; expected %zu, as the header says", path,
                       size - HEADER_BYTES, (size_t)d->width * d->n);
    return 0;
}

/* FNV-1a, by token. */
static unsigned long long hash_next(unsigned long long h, unsigned long long x) {
    return (h ^ x) * 0x100000001b3ull;
}
static void hash_tokens(struct data *d) {
    unsigned long long h = d->seed ^ d->n;
    for (size_t i = 0; i < d->n; i++) h = hash_next(h, data_token(d, i));
    d->hash = h;
}

/* Checks that both parts hold a sequence, and that the model has all tokens. */
static int check_tokens(struct data *d, int vocabulary, struct err *e) {
    for (size_t i = 0; i < d->n; i++)
        if (data_token(d, i) >= (uint32_t)vocabulary)
            return err_set(e, EXIT_INPUT,
                           "%s: token %zu is %u; expected less than the model's vocabulary of %d", d->name, i,
                           data_token(d, i), vocabulary);
    if (d->n / 10 < (size_t)d->length + 1)
        return err_set(e, EXIT_INPUT,
                       "%s: %zu tokens; expected at least %zu: a tenth is held out, and a sequence has %d",
                       d->name, d->n, 10 * ((size_t)d->length + 1), d->length);
    hash_tokens(d);
    return 0;
}

int data_parse(struct data *d, const char *path, const char *bytes, size_t size, int vocabulary, int length,
               unsigned long long seed, struct arena *a, struct err *e) {
    size_t name = strlen(path);
    *d = (struct data){.id = (const unsigned char *)bytes,
                       .width = 1,
                       .n = size,
                       .name = arena_strdup(a, path),
                       .seed = seed,
                       .length = length};
    if (name > 4 && !strcmp(path + name - 4, ".bin") && parse_bin(d, path, bytes, size, e)) return -1;
    d->train = d->n - d->n / 10;
    return check_tokens(d, vocabulary, e);
}

/* ---- Megatron's indexed datasets ---- */

enum { MAGIC = 9, INDEX_HEADER = MAGIC + 8 + 1 + 8 + 8 };

static uint64_t long_at(const char *bytes, size_t i) {
    return (uint64_t)int_at(bytes + i, 0) | (uint64_t)int_at(bytes + i, 1) << 32;
}

/* Bytes of a token by Megatron's code for its type: uint8, int8, int16, int32, int64 (too many ids for any
 * model), two floats, uint16. */
static int width_of(int type) {
    static const int width[] = {0, 1, 1, 2, 4, 0, 0, 0, 2};
    return type > 0 && type < (int)(sizeof width / sizeof *width) ? width[type] : 0;
}

/* Sequences must follow each other without gaps, as Megatron writes them. */
static int walk(struct data *d, const char *path, const char *sizes, const char *starts, uint64_t sequences,
                struct err *e) {
    uint64_t at = 0;
    for (uint64_t i = 0; i < sequences; i++) {
        uint32_t n = int_at(sizes, i);
        if (n > INT32_MAX || long_at(starts, 8 * i) != at * (uint64_t)d->width)
            return err_set(
                e, EXIT_INPUT,
                "%s: sequence %llu: %u tokens at byte %llu; expected it where the one before it ends, "
                "at byte %llu",
                path, (unsigned long long)i, n, (unsigned long long)long_at(starts, 8 * i),
                (unsigned long long)at * (unsigned long long)d->width);
        at += n;
    }
    if (at == d->n) return 0;
    return err_set(e, EXIT_INPUT,
                   "%s: sequences of %llu tokens; expected %zu, those of the .bin file next to it", path,
                   (unsigned long long)at, d->n);
}

/* The held-out part begins with the first document that begins in the last tenth. */
static int split(struct data *d, const char *path, const char *starts, const char *documents,
                 uint64_t boundaries, uint64_t sequences, struct err *e) {
    uint64_t before = 0;
    d->train = d->n - d->n / 10;
    for (uint64_t i = 0; i < boundaries; i++) {
        uint64_t sequence = long_at(documents, 8 * i);
        if (sequence < before || sequence > sequences)
            return err_set(e, EXIT_INPUT,
                           "%s: document %llu begins with sequence %llu; expected one from %llu to %llu",
                           path, (unsigned long long)i, (unsigned long long)sequence,
                           (unsigned long long)before, (unsigned long long)sequences);
        before = sequence;
        size_t at = sequence < sequences ? (size_t)long_at(starts, 8 * sequence) / (size_t)d->width : d->n;
        if (at >= d->train && d->n - at > (size_t)d->length) return d->train = at, 0;
    }
    return 0; /* the last document is too long, or the part too short: cut it */
}

int data_parse_indexed(struct data *d, const char *path, const char *index, size_t index_size,
                       const char *bytes, size_t size, int vocabulary, int length, unsigned long long seed,
                       struct arena *a, struct err *e) {
    *d = (struct data){
        .id = (const unsigned char *)bytes, .name = arena_strdup(a, path), .seed = seed, .length = length};
    if (index_size < INDEX_HEADER || memcmp(index, "MMIDIDX\0", MAGIC) || long_at(index, MAGIC) != 1)
        return err_set(e, EXIT_INPUT, "%s: not an index of tokens; expected one of Megatron's, version 1",
                       path);
    d->width = width_of((unsigned char)index[MAGIC + 8]);
    if (!d->width)
        return err_set(e, EXIT_INPUT,
                       "%s: tokens of type %d; expected 1, 2, 3, 4 or 8: integers of 8 to 32 bits", path,
                       (unsigned char)index[MAGIC + 8]);
    uint64_t sequences = long_at(index, MAGIC + 9), boundaries = long_at(index, MAGIC + 17);
    size_t left = index_size - INDEX_HEADER;
    if (sequences > left / 12 || boundaries > left / 8 || 12 * sequences + 8 * boundaries != left)
        return err_set(
            e, EXIT_INPUT,
            "%s: %zu bytes after the header; expected 12 for each of %llu sequences and 8 for each of "
            "%llu documents",
            path, left, (unsigned long long)sequences, (unsigned long long)boundaries);
    const char *sizes = index + INDEX_HEADER, *starts = sizes + 4 * sequences,
               *documents = starts + 8 * sequences;
    d->n = size / (size_t)d->width;
    if (walk(d, path, sizes, starts, sequences, e)) return -1;
    if (split(d, path, starts, documents, boundaries, sequences, e)) return -1;
    return check_tokens(d, vocabulary, e);
}

/* ---- documents in shuffled order ---- */

struct epoch {
    unsigned long long number; /* from 1; 0: none yet */
    uint32_t *document;        /* [n] in the order of this epoch */
    uint64_t *begin;           /* [n] where each begins in it */
};
struct documents {
    uint32_t n;
    uint64_t *start;              /* [n + 1] where each begins in the file, and where the last one ends */
    unsigned long long sequences; /* in an epoch */
    struct epoch epoch[2];        /* by the lowest bit of the number: a step may have parts of two */
};

/* The starts [*n] of the documents in tokens [0, end), then `end`; empty ones are omitted. */
static uint64_t *starts_of_documents(const struct data *d, const char *index, uint64_t end, size_t *n,
                                     struct arena *a) {
    uint64_t sequences = long_at(index, MAGIC + 9), boundaries = long_at(index, MAGIC + 17);
    const char *starts = index + INDEX_HEADER + 4 * sequences, *documents = starts + 8 * sequences;
    uint64_t *start = ARENA_ARRAY(a, uint64_t, boundaries + 2);
    start[0] = 0;
    *n = 1;
    for (uint64_t i = 0; i < boundaries; i++) {
        uint64_t sequence = long_at(documents, 8 * i);
        if (sequence == sequences) break;
        uint64_t at = long_at(starts, 8 * sequence) / (uint64_t)d->width;
        if (at > start[*n - 1] && at < end) start[(*n)++] = at;
    }
    start[*n] = end;
    return start;
}

void data_keep_apart(struct data *d, const char *index, struct arena *a) {
    d->border = starts_of_documents(d, index, d->n, &d->borders, a);
}

void data_by_documents(struct data *d, const char *index, struct arena *a) {
    struct documents *x = ARENA_NEW(a, struct documents);
    size_t n;
    *x = (struct documents){.sequences = (d->train - 1) / (size_t)d->length};
    x->start = starts_of_documents(d, index, d->train, &n, a);
    x->n = (uint32_t)n;
    for (int i = 0; i < 2; i++)
        x->epoch[i] = (struct epoch){0, ARENA_ARRAY(a, uint32_t, x->n), ARENA_ARRAY(a, uint64_t, x->n)};
    d->documents = x;
}

static void draw_epoch(const struct documents *x, struct epoch *e, unsigned long long number,
                       unsigned long long seed) {
    unsigned long long h = arch_hash(seed + 2) + arch_hash(number);
    for (uint32_t i = 0; i < x->n; i++) { /* swap each into a place drawn from those so far */
        uint32_t k = (uint32_t)(arch_hash(h + i) % (i + 1));
        e->document[i] = e->document[k];
        e->document[k] = i;
    }
    uint64_t at = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        e->begin[i] = at;
        at += x->start[e->document[i] + 1] - x->start[e->document[i]];
    }
    e->number = number;
}

/* A permutation of 0 to n - 1 without a table: four Feistel rounds on as few bits as hold n - 1, repeated
 * while the result is out of range. */
static unsigned long long shuffled(unsigned long long k, unsigned long long n, unsigned long long seed) {
    int half = 1;
    while (half < 31 && n > 1ull << 2 * half) half++;
    unsigned long long mask = (1ull << half) - 1;
    do
        for (int round = 0; round < 4; round++)
            k = (k & mask) << half |
                ((k >> half ^ arch_hash(seed + (unsigned long long)round + 4 * (k & mask))) & mask);
    while (k >= n);
    return k;
}

/* The index of the last of [n] ascending places that is no later than `at`; the first one is not later. */
static size_t last_up_to(const uint64_t *place, size_t n, uint64_t at) {
    size_t low = 0, high = n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (place[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The epoch of sequence q, and where the sequence begins in it. */
static const struct epoch *epoch_of(const struct data *d, unsigned long long q, uint64_t *at) {
    struct documents *x = d->documents;
    unsigned long long number = q / x->sequences + 1, seed = arch_hash(d->seed + 3) + arch_hash(number);
    struct epoch *e = &x->epoch[number & 1];
    if (e->number != number) draw_epoch(x, e, number, d->seed);
    *at = shuffled(q % x->sequences, x->sequences, seed) * (uint64_t)d->length;
    return e;
}

static void sequence_of_documents(const struct data *d, unsigned long long q, int *token, int *target) {
    const struct documents *x = d->documents;
    uint64_t at;
    const struct epoch *e = epoch_of(d, q, &at);
    size_t low = last_up_to(e->begin, x->n, at);
    for (int i = 0; i <= d->length; i++, at++) {
        if (low + 1 < x->n && at == e->begin[low + 1]) low++;
        int t = (int)data_token(d, x->start[e->document[low]] + at - e->begin[low]);
        if (i < d->length) token[i] = t;
        if (i) target[i - 1] = t;
    }
}

void data_synthetic(struct data *d, int vocabulary, int length, unsigned long long seed, struct arena *a) {
    int range = vocabulary < 256 ? vocabulary : 256;
    size_t n = 20 * ((size_t)length + 1) < (1 << 18) ? 1 << 18 : 20 * ((size_t)length + 1);
    unsigned char *token = ARENA_ARRAY(a, unsigned char, n);
    for (size_t i = 1; i < n; i++)
        token[i] = (unsigned char)((5 * token[i - 1] + 1 + (int)(arch_hash(seed + i) % 4)) % range);
    *d = (struct data){.id = token,
                       .width = 1,
                       .n = n,
                       .train = n - n / 10,
                       .name = "synthetic",
                       .seed = seed,
                       .length = length};
    hash_tokens(d);
}

unsigned long long data_hash(const struct data *d) {
    unsigned long long h = d->hash;
    if (d->border) h = hash_next(h, d->borders) + 2;
    if (d->documents) /* other sequences of the same tokens */
        for (uint32_t i = 0; i < d->documents->n; i++) h = hash_next(h, d->documents->start[i]) + 1;
    return arch_hash(h);
}

/* Where sequence q begins among the tokens. */
static size_t place_of(const struct data *d, bool held_out, unsigned long long q) {
    size_t from = held_out ? d->train : 0, room = (held_out ? d->n - d->train : d->train) - (size_t)d->length;
    return from + arch_hash(arch_hash(d->seed + 1) + q) % room;
}

void data_sequence(const struct data *d, bool held_out, unsigned long long q, int *token, int *target) {
    if (d->documents && !held_out) {
        sequence_of_documents(d, q, token, target);
        return;
    }
    size_t at = place_of(d, held_out, q);
    for (int i = 0; i < d->length; i++) {
        token[i] = (int)data_token(d, at + (size_t)i);
        target[i] = (int)data_token(d, at + (size_t)i + 1);
    }
}

void data_begins(const struct data *d, bool held_out, unsigned long long q, int *begin) {
    bool drawn = d->documents && !held_out;
    uint64_t at = 0;
    const struct epoch *e = drawn ? epoch_of(d, q, &at) : NULL;
    const uint64_t *border = drawn ? e->begin : d->border;
    size_t n = drawn ? d->documents->n : d->borders, k;
    if (!drawn) at = place_of(d, held_out, q);
    k = last_up_to(border, n, at);
    for (int i = 0, first = 0; i < d->length; i++) {
        if (k + 1 < n && at + (uint64_t)i == border[k + 1]) {
            k++;
            first = i;
        }
        begin[i] = first;
    }
}
