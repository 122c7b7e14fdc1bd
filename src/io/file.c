#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* the kernel's limit */

static int unwritable(const char *path, const char *why, struct err *e) {
    return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, why);
}

static void parent_of(const char *path, char dir[4096]) {
    snprintf(dir, 4096, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash)
        strcpy(dir, ".");
    else if (slash == dir)
        dir[1] = 0;
    else
        *slash = 0;
}

int file_can_create(const char *path, bool force, const char *hint, struct err *e) {
    struct stat st;
    struct file_temp f;
    if (strlen(path) > 3800) return err_set(e, EXIT_INPUT, "%.80s...: file name too long", path);
    if (!stat(path, &st)) {
        if (S_ISCHR(st.st_mode)) return 0; /* /dev/null and its like are written, not replaced */
        if (!S_ISREG(st.st_mode)) return unwritable(path, "not a regular file", e);
        if (!force) return err_set(e, EXIT_INPUT, "%s: exists; %s", path, hint);
    } else if (errno != ENOENT) {
        return unwritable(path, strerror(errno), e);
    }
    if (file_begin(&f, path, e)) return -1; /* the surest test of a directory is to write to it */
    file_drop(&f);
    return 0;
}

/* Resolves links, even if the file they lead to does not exist yet. 0, or an errno. */
static int follow(const char *path, char target[4096]) {
    char *real = realpath(path, NULL), link[4096], dir[4096];
    snprintf(target, 4096, "%s", real ? real : path);
    free(real);
    if (real) return 0;
    for (int i = 0; i < LINKS_MAX; i++) {
        ssize_t n = readlink(target, link, sizeof link - 1);
        if (n < 0) return 0;
        link[n] = '\0';
        parent_of(target, dir);
        if (snprintf(target, 4096, "%s%s%s", *link == '/' ? "" : dir, *link == '/' ? "" : "/", link) >= 4096)
            return ENAMETOOLONG;
    }
    return ELOOP;
}

bool file_same(const char *one, const char *other) {
    struct stat a, b;
    char to[2][4096], dir[4096];
    bool there = !stat(one, &a);
    if (there != !stat(other, &b)) return false;
    if (there) return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    if (follow(one, to[0]) || follow(other, to[1])) return false;
    const char *slash[2] = {strrchr(to[0], '/'), strrchr(to[1], '/')};
    if (strcmp(slash[0] ? slash[0] + 1 : to[0], slash[1] ? slash[1] + 1 : to[1])) return false;
    parent_of(to[0], dir);
    if (stat(dir, &a)) return !strcmp(to[0], to[1]);
    parent_of(to[1], dir);
    return !stat(dir, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int file_spare(const char *out, const char *in, struct err *e) {
    struct stat st;
    if (!out || !in || stat(in, &st) || !S_ISREG(st.st_mode) || !file_same(out, in)) return 0;
    return err_set(e, EXIT_INPUT, "%s: would replace %s, which is read; expected another path", out,
                   strcmp(out, in) ? in : "itself");
}

/* ---- files that were read ---- */

struct seen {
    dev_t device;
    ino_t inode;
    const char *path;
    struct seen *before;
};
static struct arena seen_arena;
static struct seen *seen_last;

static const struct seen *seen_find(const struct stat *st) {
    const struct seen *x = seen_last;
    while (x && (x->device != st->st_dev || x->inode != st->st_ino)) x = x->before;
    return x;
}

static void seen_add(const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode) || seen_find(st)) return;
    struct seen *x = ARENA_NEW(&seen_arena, struct seen);
    *x = (struct seen){st->st_dev, st->st_ino, arena_strdup(&seen_arena, path), seen_last};
    seen_last = x;
}

int file_spare_read(const char *out, const char *own, struct err *e) {
    struct stat st;
    const struct seen *x = out && !stat(out, &st) ? seen_find(&st) : NULL;
    if (!x || (own && file_same(out, own))) return 0;
    return err_set(e, EXIT_INPUT, "%s: would replace %s, which is read; expected another path", out,
                   strcmp(out, x->path) ? x->path : "itself");
}

int file_begin(struct file_temp *f, const char *path, struct err *e) {
    int bad = follow(path, f->target);
    f->path = path;
    if (bad) return unwritable(path, strerror(bad), e);
    const char *slash = strrchr(f->target, '/'), *base = slash ? slash + 1 : f->target;
    /* the process id keeps two runs apart */
    snprintf(f->temp, sizeof f->temp, "%.*s.%.200s.%ld", (int)(base - f->target), f->target, base,
             (long)getpid());
    unlink(f->temp); /* left by a killed run that had our process id */
    f->fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return f->fd < 0 ? unwritable(path, strerror(errno), e) : 0;
}

void file_drop(struct file_temp *f) {
    close(f->fd);
    unlink(f->temp);
}

/* So that the new name survives a power cut too. Not every file system can do this, and not every directory
 * may be read: only a disk that fails is an error. */
static int sync_parent(const struct file_temp *f, struct err *e) {
    char dir[4096];
    parent_of(f->target, dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    int bad = fsync(fd) ? errno : 0;
    close(fd);
    if (bad != EIO && bad != ENOSPC && bad != EDQUOT) return 0;
    return err_set(e, EXIT_INTERNAL, "%s: written, but its directory could not be: %s", f->path,
                   strerror(bad));
}

int file_end(struct file_temp *f, struct err *e) {
    int bad = fsync(f->fd) ? errno : 0;
    if (close(f->fd) && !bad) bad = errno;
    if (!bad && rename(f->temp, f->target)) bad = errno;
    if (bad) {
        unlink(f->temp);
        return unwritable(f->path, strerror(bad), e);
    }
    return sync_parent(f, e);
}

/* 0, or an errno. */
static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = write(fd, p, n > (1 << 30) ? 1 << 30 : n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return errno;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

int file_write(const char *path, const char *bytes, size_t n, struct err *e) {
    struct stat st;
    struct file_temp f;
    if (!path) {
        fwrite(bytes, 1, n, stdout); /* errors show when the program ends */
        return 0;
    }
    if (!stat(path, &st) && S_ISCHR(st.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC), bad = fd < 0 ? errno : write_all(fd, bytes, n);
        if (fd >= 0 && close(fd) && !bad) bad = errno;
        return bad ? unwritable(path, strerror(bad), e) : 0;
    }
    if (file_begin(&f, path, e)) return -1;
    int bad = write_all(f.fd, bytes, n);
    if (!bad) return file_end(&f, e);
    file_drop(&f);
    return unwritable(path, strerror(bad), e);
}

/* ---- reading ---- */

/* What read_whole() accepts. */
struct limits {
    size_t max_bytes;
    bool pipes; /* besides regular files */
};

/* Does not wait for a pipe to have a writer. */
static int open_to_read(const char *path, struct limits may, struct stat *st, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st)) {
        err_set(e, EXIT_INPUT, "%s: %s; expected a file that can be read", path, strerror(errno));
    } else if (!S_ISREG(st->st_mode) && !(may.pipes && S_ISFIFO(st->st_mode))) {
        err_set(e, EXIT_INPUT, "%s: %s; expected a %sfile", path,
                S_ISDIR(st->st_mode)    ? "a directory"
                : S_ISFIFO(st->st_mode) ? "a pipe"
                                        : "a device",
                may.pipes ? "" : "regular ");
    } else {
        seen_add(path, st);
        return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}

static char *read_open(int fd, const char *path, const struct stat *st, size_t max, size_t *size,
                       struct arena *a, struct err *e) {
    enum { PAUSE_MS = 20, PAUSES = 100 }; /* for a pipe whose other end is not open yet */
    bool pipe = S_ISFIFO(st->st_mode);
    size_t promised = (size_t)st->st_size, room = promised && promised <= max ? promised + 2 : 1 << 16, n = 0;
    char *buf = arena_alloc(a, room);
    int pauses = 0;
    for (;;) {
        if (n + 1 >= room) { /* a pipe, or a file that grows meanwhile */
            char *more = arena_alloc(a, 2 * room + 2);
            memcpy(more, buf, n);
            buf = more;
            room = 2 * room + 2;
        }
        ssize_t got = read(fd, buf + n, room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) { /* there is a writer, but a slow one */
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
            continue;
        }
        if (got < 0) return err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno)), NULL;
        if (got == 0 && pipe && n == 0) {
            if (++pauses > PAUSES)
                return err_set(e, EXIT_INPUT, "%s: a pipe that nobody writes to", path), NULL;
            poll(NULL, 0, PAUSE_MS);
            continue;
        }
        if (got == 0) break;
        n += (size_t)got;
        if (n > max)
            return err_set(e, EXIT_INPUT, "%s: more than %zu bytes; expected at most that", path, max), NULL;
    }
    buf[n] = '\0';
    *size = n;
    return buf;
}

static char *read_whole(const char *path, struct limits may, size_t *size, struct arena *a, struct err *e) {
    struct stat st;
    size_t n;
    int fd = open_to_read(path, may, &st, e);
    if (fd < 0) return NULL;
    char *bytes = read_open(fd, path, &st, may.max_bytes, size ? size : &n, a, e);
    close(fd);
    return bytes;
}

/* Whatever follows a NUL would be ignored: C strings end there. */
static int refuse_nul(const char *path, const char *text, size_t size, struct err *e) {
    const char *nul = memchr(text, '\0', size), *start = text;
    int line = 1;
    if (!nul) return 0;
    if (size >= 8 && !memcmp(text, "\211HDF\r\n\032\n", 8))
        return err_set(e, EXIT_INPUT, "%s: an HDF5 file; expected text", path);
    for (const char *c = text; c < nul; c++) {
        if (*c != '\n') continue;
        line++;
        start = c + 1;
    }
    return err_set(e, EXIT_INPUT, "%s: line %d, column %d: a NUL byte; expected text", path, line,
                   (int)(nul - start) + 1);
}

char *file_read_text(const char *path, size_t *size, struct arena *a, struct err *e) {
    size_t n;
    char *text = read_whole(path, (struct limits){FILE_TEXT_MAX, true}, &n, a, e);
    if (!text || refuse_nul(path, text, n, e)) return NULL;
    if (size) *size = n;
    return text;
}

char *file_read_bytes(const char *path, size_t *size, struct arena *a, struct err *e) {
    return read_whole(path, (struct limits){FILE_BYTES_MAX, false}, size, a, e);
}

int file_open_regular(const char *path, struct err *e) {
    struct stat st;
    return open_to_read(path, (struct limits){.pipes = false}, &st, e);
}
