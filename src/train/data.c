#include "train/data.h"
#include "train/arch.h"

#include <string.h>

enum { HEADER_INTS = 256, HEADER_BYTES = 4 * HEADER_INTS, BIN_MAGIC = 20240520, BIN_VERSION = 1 };

static uint32_t int_at(const char *bytes, size_t i) {
    const unsigned char *p = (const unsigned char *)bytes + 4 * i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int parse_bin(const char *path, const char *bytes, size_t size, uint16_t *token, size_t *n,
                     struct err *e) {
    if (size < HEADER_BYTES || int_at(bytes, 0) != BIN_MAGIC || int_at(bytes, 1) != BIN_VERSION)
        return err_set(e, EXIT_INPUT,
                       "%s: not a token file; expected 256 ints that begin with %d, %d, number of tokens",
                       path, BIN_MAGIC, BIN_VERSION);
    *n = int_at(bytes, 2);
    if (size - HEADER_BYTES != 2 * *n)
        return err_set(e, EXIT_INPUT, "%s: %zu bytes of tokens; expected %zu, as the header says", path,
                       size - HEADER_BYTES, 2 * *n);
    const unsigned char *p = (const unsigned char *)bytes + HEADER_BYTES;
    for (size_t i = 0; i < *n; i++) token[i] = (uint16_t)(p[2 * i] | p[2 * i + 1] << 8);
    return 0;
}

int data_parse(struct data *d, const char *path, const char *bytes, size_t size, int vocabulary, int length,
               unsigned long long seed, struct arena *a, struct err *e) {
    size_t name = strlen(path), n = size;
    bool bin = name > 4 && !strcmp(path + name - 4, ".bin");
    uint16_t *token = ARENA_ARRAY(a, uint16_t, size + 1);
    if (bin && parse_bin(path, bytes, size, token, &n, e)) return -1;
    for (size_t i = 0; !bin && i < n; i++) token[i] = (unsigned char)bytes[i];
    for (size_t i = 0; i < n; i++)
        if (token[i] >= vocabulary)
            return err_set(e, EXIT_INPUT,
                           "%s: token %zu is %d; expected less than the model's vocabulary of %d", path, i,
                           token[i], vocabulary);
    *d = (struct data){.token = token,
                       .n = n,
                       .train = n - n / 10,
                       .name = arena_strdup(a, path),
                       .seed = seed,
                       .length = length};
    if (n / 10 < (size_t)length + 1)
        return err_set(e, EXIT_INPUT,
                       "%s: %zu tokens; expected at least %zu: a tenth is held out, and a sequence has %d",
                       path, n, 10 * ((size_t)length + 1), length);
    return 0;
}

void data_synthetic(struct data *d, int vocabulary, int length, unsigned long long seed, struct arena *a) {
    int range = vocabulary < 256 ? vocabulary : 256;
    size_t n = 20 * ((size_t)length + 1) < (1 << 18) ? 1 << 18 : 20 * ((size_t)length + 1);
    uint16_t *token = ARENA_ARRAY(a, uint16_t, n);
    for (size_t i = 1; i < n; i++)
        token[i] = (uint16_t)((5 * token[i - 1] + 1 + (int)(arch_hash(seed + i) % 4)) % range);
    *d = (struct data){
        .token = token, .n = n, .train = n - n / 10, .name = "synthetic", .seed = seed, .length = length};
}

unsigned long long data_hash(const struct data *d) {
    unsigned long long h = d->seed ^ d->n;
    for (size_t i = 0; i < d->n; i++) h = (h ^ d->token[i]) * 0x100000001b3ull; /* FNV-1a, by token */
    return arch_hash(h);
}

void data_sequence(const struct data *d, bool held_out, unsigned long long q, int *token, int *target) {
    size_t from = held_out ? d->train : 0, room = (held_out ? d->n - d->train : d->train) - (size_t)d->length;
    const uint16_t *t = d->token + from + arch_hash(arch_hash(d->seed + 1) + q) % room;
    for (int i = 0; i < d->length; i++) {
        token[i] = t[i];
        target[i] = t[i + 1];
    }
}
