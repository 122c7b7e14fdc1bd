#ifndef SAILOR_TRAIN_DATA_H
#define SAILOR_TRAIN_DATA_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Tokens to train on, from one of four sources: the bytes of any file (tokens 0 to 255); a .bin file of
 * token ids in llm.c's form; the .idx and .bin files of Megatron's indexed datasets; a made-up sequence whose
 * next token is one of four that follow from the last, so that the best loss is ln 4. A .bin file has a
 * header of 256 ints (magic, version, number of tokens), then the ids, all little endian: of 16 bits each for
 * 20240520, 1 (GPT-2), of 32 bits for 20240801, 7 (Llama 3).
 *
 * An .idx file has a header (9 bytes "MMIDIDX", version 1 in 8, type in 1, numbers of sequences and of
 * document boundaries in 8 each), the sizes of the sequences in 4 bytes each, where they begin in the .bin
 * file in 8, and the sequences at which documents begin in 8. The .bin file has the ids alone.
 *
 * The last tenth is held out; of documents, those that begin in it. Sequence q is S + 1 consecutive tokens
 * (inputs, and the same one further on as targets) at a place drawn from q alone: the data position of a run
 * is a number, and every plan reads the same. */

struct documents; /* data.c */

struct data {
    const unsigned char *id; /* [n][width] little endian */
    int width;               /* bytes of a token id: 1, 2 or 4 */
    size_t n, train;         /* train: tokens [0, train) are for training */
    unsigned long long hash; /* of tokens and seed, from when they were read */
    const char *name;        /* of the file, or "synthetic" */
    unsigned long long seed;
    int length;                  /* S */
    struct documents *documents; /* sequences are drawn by document; NULL: each at a place of its own */
    const uint64_t *border; /* [borders] where the documents of the file begin, and where the last one ends;
                               NULL: they are not kept apart */
    size_t borders;
};

/** Token i of all n. */
static inline uint32_t data_token(const struct data *d, size_t i) {
    const unsigned char *p = d->id + i * (size_t)d->width;
    uint32_t t = 0;
    for (int k = d->width - 1; k >= 0; k--) t = t << 8 | p[k];
    return t;
}

/** Tokens of what file_read_bytes() read, which stay where they are: `bytes` must outlive *d. Every token
 * must be below `vocabulary`, and both parts must hold a sequence. */
int data_parse(struct data *d, const char *path, const char *bytes, size_t size, int vocabulary, int length,
               unsigned long long seed, struct arena *a, struct err *e);

/** The same of Megatron's pair of files; `path` is that of the index. */
int data_parse_indexed(struct data *d, const char *path, const char *index, size_t index_size,
                       const char *bytes, size_t size, int vocabulary, int length, unsigned long long seed,
                       struct arena *a, struct err *e);

/** From now on sequence q is drawn by document: in each epoch all documents to train on are joined in an
 * order of that epoch's own and cut every S tokens, and the pieces are drawn in an order of their own, so
 * that an epoch has every token once (but for fewer than S + 1 at the end). `index` is what
 * data_parse_indexed() read; it is not kept. Not thread-safe: the last two epochs are remembered, in 12 bytes
 * per document each. */
void data_by_documents(struct data *d, const char *index, struct arena *a);

/** From now on data_begins() says where documents begin. `index` is as above. */
void data_keep_apart(struct data *d, const char *index, struct arena *a);

void data_synthetic(struct data *d, int vocabulary, int length, unsigned long long seed, struct arena *a);

/** A fingerprint of the tokens and the seed. */
unsigned long long data_hash(const struct data *d);

/** Inputs and targets of sequence q, [S] each; held_out: from the last tenth. */
void data_sequence(const struct data *d, bool held_out, unsigned long long q, int *token, int *target);

/** For each token of sequence q, [S], the place in it where the token's document begins; 0 where that is
 * before the sequence. After data_keep_apart() only. */
void data_begins(const struct data *d, bool held_out, unsigned long long q, int *begin);
#endif
