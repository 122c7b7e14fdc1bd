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
    for (size_t i = 0; i < d->n; i++)
        if (data_token(d, i) >= (uint32_t)vocabulary)
            return err_set(e, EXIT_INPUT,
                           "%s: token %zu is %u; expected less than the model's vocabulary of %d", path, i,
                           data_token(d, i), vocabulary);
    d->train = d->n - d->n / 10;
    if (d->n / 10 < (size_t)length + 1)
        return err_set(e, EXIT_INPUT,
                       "%s: %zu tokens; expected at least %zu: a tenth is held out, and a sequence has %d",
                       path, d->n, 10 * ((size_t)length + 1), length);
    return 0;
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
}

unsigned long long data_hash(const struct data *d) {
    unsigned long long h = d->seed ^ d->n;
    for (size_t i = 0; i < d->n; i++) h = (h ^ data_token(d, i)) * 0x100000001b3ull; /* FNV-1a, by token */
    return arch_hash(h);
}

void data_sequence(const struct data *d, bool held_out, unsigned long long q, int *token, int *target) {
    size_t from = held_out ? d->train : 0, room = (held_out ? d->n - d->train : d->train) - (size_t)d->length;
    size_t at = from + arch_hash(arch_hash(d->seed + 1) + q) % room;
    for (int i = 0; i < d->length; i++) {
        token[i] = (int)data_token(d, at + (size_t)i);
        target[i] = (int)data_token(d, at + (size_t)i + 1);
    }
}
