/* Files that only the trainer reads. The first byte says what the rest is: t(okens to train on), d(evices and
 * their data sheets), w(eights): safetensors, x: the index of weights in pieces, i(ndexed tokens): the size
 * of the index, the index, ids, or r(un): a stored plan with its model and site. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "formats/devices.h"
#include "formats/inputs.h"
#include "train/arch.h"
#include "train/data.h"
#include "train/safetensors.h"

static void tokens(const uint8_t *bytes, size_t size, struct arena *a) {
    enum { LENGTH = 4, VOCABULARY = 300 };
    struct data d;
    struct err e = {0};
    int token[LENGTH], target[LENGTH];
    char *text = arena_alloc(a, size + 1);
    if (size) memcpy(text, bytes, size);
    if (data_parse(&d, "data", text, size, VOCABULARY, LENGTH, 1, a, &e)) {
        fuzz_error(&e);
        return;
    }
    for (int q = 0; q < 4; q++) {
        data_sequence(&d, q % 2, (unsigned long long)q, token, target);
        for (int i = 0; i < LENGTH; i++) {
            REQUIRE(token[i] >= 0 && token[i] < VOCABULARY && target[i] >= 0 && target[i] < VOCABULARY);
            REQUIRE(i == 0 || token[i] == target[i - 1]);
        }
    }
}

static void indexed(const uint8_t *bytes, size_t size, struct arena *a) {
    enum { LENGTH = 4, VOCABULARY = 300 };
    size_t n = (size_t)bytes[0] | (size_t)bytes[1] << 8;
    if (n > size - 2) n = size - 2;
    struct data d;
    struct err e = {0};
    int token[LENGTH], target[LENGTH];
    char *index = malloc(n + 1), *ids = malloc(size - 2 - n + 1);
    memcpy(index, bytes + 2, n);
    memcpy(ids, bytes + 2 + n, size - 2 - n);
    if (data_parse_indexed(&d, "data.idx", index, n, ids, size - 2 - n, VOCABULARY, LENGTH, 1, a, &e)) {
        fuzz_error(&e);
    } else {
        for (int q = 0; q < 4; q++) {
            data_sequence(&d, q % 2, (unsigned long long)q, token, target);
            for (int i = 0; i < LENGTH; i++) REQUIRE(token[i] >= 0 && token[i] < VOCABULARY);
        }
        data_keep_apart(&d, index, a);
        data_by_documents(&d, index, a);
        for (unsigned long long q = 0; q < 40; q++) {
            int begin[LENGTH];
            data_begins(&d, q % 2, q * q, begin);
            for (int i = 0; i < LENGTH; i++) REQUIRE(begin[i] >= (i ? begin[i - 1] : 0) && begin[i] <= i);
            data_sequence(&d, false, q * q, token, target);
            for (int i = 0; i < LENGTH; i++) REQUIRE(token[i] >= 0 && token[i] < VOCABULARY);
            for (int i = 1; i < LENGTH; i++) REQUIRE(token[i] == target[i - 1]);
        }
    }
    free(index);
    free(ids);
}

static void devices(const char *text) {
    static const char *const products[] = {"fp32", "tf32", "bf16", "fp16"};
    for (int i = 0; i < 4; i++) {
        struct err e = {0};
        double peak = -1;
        if (devices_peak("devices", text, "NVIDIA GH200 120GB", "H100", products[i], &peak, &e))
            fuzz_error(&e);
        else
            REQUIRE(isnan(peak) || peak > 0);
    }
}

/* A copy of exact size: the sanitizer sees reads past its end. */
static void weights(const uint8_t *bytes, size_t size, struct arena *a) {
    struct st_file f;
    struct err e = {0};
    unsigned char *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    if (st_parse(&f, "weights", exact, size, a, &e)) {
        fuzz_error(&e);
    } else {
        for (int i = 0; i < f.n; i++) {
            size_t n = f.tensor[i].shape[0] * f.tensor[i].shape[1];
            REQUIRE(st_find(&f, f.tensor[i].name));
            if (n) st_value(&f.tensor[i], 0), st_value(&f.tensor[i], n - 1);
        }
    }
    free(exact);
}

static void pieces(const uint8_t *bytes, size_t size, struct arena *a) {
    struct st_index x;
    struct err e = {0};
    char *text = fuzz_text(bytes, size, a);
    if (st_read_index(&x, "index", text, strlen(text), a, &e)) {
        fuzz_error(&e);
        return;
    }
    REQUIRE(x.n > 0 && x.files > 0);
    for (int i = 0; i < x.n; i++) REQUIRE(x.tensor[i].file >= 0 && x.tensor[i].file < x.files);
    for (int i = 0; i < x.files; i++) REQUIRE(*x.file[i] && !strchr(x.file[i], '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    struct training t;
    if (!size) return 0;
    if (data[0] == 't') {
        tokens(data + 1, size - 1, &a);
    } else if (data[0] == 'i' && size > 2) {
        indexed(data + 1, size - 1, &a);
    } else if (data[0] == 'w') {
        weights(data + 1, size - 1, &a);
    } else if (data[0] == 'x') {
        pieces(data + 1, size - 1, &a);
    } else if (data[0] == 'd') {
        devices(fuzz_text(data + 1, size - 1, &a));
    } else if (training_from_json(fuzz_text(data + 1, size - 1, &a), "run", &t, &a, &e)) {
        fuzz_error(&e);
    } else {
        struct arch arch;
        if (arch_make(&arch, t.workload.model, &e)) fuzz_error(&e);
    }
    arena_free(&a);
    return 0;
}
