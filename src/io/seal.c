#include "io/seal.h"
#include "base/oom.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char word[] = "\nsailor-results checksum ";
_Static_assert(SEAL_BYTES == sizeof word - 1 + 16 + 1, "length of the checksum line");

enum { PIECE_BYTES = 1 << 20 };

static uint64_t begin(size_t size) { return 0xcbf29ce484222325u ^ size; }

/* n is a multiple of 8 except for the last piece. */
static uint64_t add(uint64_t h, const char *bytes, size_t n) {
    while (n) {
        uint64_t word8 = 0;
        size_t k = n < 8 ? n : 8;
        for (size_t i = 0; i < k; i++) word8 |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
        h = (h ^ word8) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        bytes += k;
        n -= k;
    }
    return h;
}

static void spell(uint64_t h, char seal[SEAL_BYTES + 1]) {
    snprintf(seal, SEAL_BYTES + 1, "%s%016llx\n", word, (unsigned long long)h);
}

void seal_make(const char *bytes, size_t size, char seal[SEAL_BYTES + 1]) {
    spell(add(begin(size), bytes, size), seal);
}

/* Does it look like a seal, right or wrong? */
static bool is_seal(const char *bytes) { return !memcmp(bytes, word, sizeof word - 1); }

bool seal_holds(const char *bytes, size_t size) {
    char seal[SEAL_BYTES + 1];
    if (size < SEAL_BYTES || !is_seal(bytes + size - SEAL_BYTES)) return true;
    seal_make(bytes, size - SEAL_BYTES, seal);
    return !memcmp(seal, bytes + size - SEAL_BYTES, SEAL_BYTES);
}

/* Reads exactly n bytes at that offset. 0, or an errno. */
static int read_at(int fd, char *to, size_t n, off_t at) {
    while (n) {
        ssize_t got = pread(fd, to, n, at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got ? errno : EIO; /* truncated meanwhile */
        to += got;
        n -= (size_t)got;
        at += got;
    }
    return 0;
}

/* Makes the seal of the first `size` bytes. 0, or an errno. */
static int make_of_file(int fd, size_t size, char seal[SEAL_BYTES + 1]) {
    char *piece = oom_malloc(PIECE_BYTES);
    uint64_t h = begin(size);
    int bad = 0;
    for (size_t at = 0; at < size && !bad; at += PIECE_BYTES) {
        size_t n = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
        bad = read_at(fd, piece, n, (off_t)at);
        if (!bad) h = add(h, piece, n);
    }
    free(piece);
    spell(h, seal);
    return bad;
}

int seal_file(int fd) {
    char seal[SEAL_BYTES + 1];
    off_t end = lseek(fd, 0, SEEK_END);
    int bad = end < 0 ? errno : make_of_file(fd, (size_t)end, seal);
    for (size_t n = 0; n < SEAL_BYTES && !bad;) {
        ssize_t k = pwrite(fd, seal + n, SEAL_BYTES - n, end + (off_t)n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0)
            bad = k ? errno : EIO;
        else
            n += (size_t)k;
    }
    return bad;
}

int seal_check_file(int fd, const char *path, struct err *e) {
    char there[SEAL_BYTES], seal[SEAL_BYTES + 1];
    off_t end = lseek(fd, 0, SEEK_END);
    if (end >= 0 && end < SEAL_BYTES) return 0;
    int bad = end < 0 ? errno : read_at(fd, there, SEAL_BYTES, end - SEAL_BYTES);
    if (!bad && !is_seal(there)) return 0;
    if (!bad) bad = make_of_file(fd, (size_t)end - SEAL_BYTES, seal);
    if (bad) return err_set(e, EXIT_INPUT, "%s: %s; expected a file that can be read", path, strerror(bad));
    if (!memcmp(seal, there, SEAL_BYTES)) return 0;
    return err_set(e, EXIT_INPUT, "%s: damaged: its checksum does not match its content", path);
}
