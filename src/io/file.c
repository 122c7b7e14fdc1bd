#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    if (file_begin(&f, path, e)) return -1; /* the surest test of a directory is to use it */
    file_drop(&f);
    return 0;
}

int file_begin(struct file_temp *f, const char *path, struct err *e) {
    char *real = realpath(path, NULL);
    f->path = path;
    snprintf(f->target, sizeof f->target, "%s", real ? real : path);
    free(real);
    const char *slash = strrchr(f->target, '/'), *base = slash ? slash + 1 : f->target;
    /* the process id keeps two runs apart */
    snprintf(f->temp, sizeof f->temp, "%.*s.%.200s.%ld", (int)(base - f->target), f->target, base,
             (long)getpid());
    unlink(f->temp); /* left by a killed run that had our process id */
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return f->fd < 0 ? unwritable(path, strerror(errno), e) : 0;
}

void file_drop(struct file_temp *f) {
    close(f->fd);
    unlink(f->temp);
}

int file_end(struct file_temp *f, struct err *e) {
    char dir[4096];
    int bad = fsync(f->fd) ? errno : 0;
    if (close(f->fd) && !bad) bad = errno;
    if (!bad && rename(f->temp, f->target)) bad = errno;
    if (bad) {
        unlink(f->temp);
        return unwritable(f->path, strerror(bad), e);
    }
    parent_of(f->target, dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) fsync(fd), close(fd); /* the new name, too, survives a power cut */
    return 0;
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
    if (!path) return fwrite(bytes, 1, n, stdout), 0; /* whether it arrived is seen at the program's end */
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

static char *read_open(int fd, const char *path, size_t *size, struct arena *a, struct err *e) {
    struct stat st;
    if (fstat(fd, &st)) return err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno)), NULL;
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
        return err_set(e, EXIT_INPUT, "%s: %s; expected a file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device"),
               NULL;
    size_t room = S_ISREG(st.st_mode) && st.st_size <= FILE_TEXT_MAX ? (size_t)st.st_size + 1 : 1 << 16,
           n = 0;
    char *buf = arena_alloc(a, room);
    for (;;) {
        if (n + 1 >= room) { /* a pipe, or a file that grows under our hands */
            char *more = arena_alloc(a, 2 * room + 2);
            memcpy(more, buf, n);
            buf = more;
            room = 2 * room + 2;
        }
        ssize_t got = read(fd, buf + n, room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno)), NULL;
        if (got == 0) break;
        n += (size_t)got;
        if (n > FILE_TEXT_MAX)
            return err_set(e, EXIT_INPUT, "%s: more than %d bytes; expected at most that", path,
                           FILE_TEXT_MAX),
                   NULL;
    }
    buf[n] = '\0';
    *size = n;
    return buf;
}

char *file_read_text(const char *path, size_t *size, struct arena *a, struct err *e) {
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, EXIT_INPUT, "%s: %s; expected a file that can be read", path, strerror(errno)),
               NULL;
    char *text = read_open(fd, path, size ? size : &n, a, e);
    close(fd);
    return text;
}
