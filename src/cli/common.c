#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_fail(const struct err *e) {
    fflush(stdout);
    fprintf(stderr, "sailor: error: %s\n", e->text);
    return e->code;
}

bool cli_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
               struct arena *a, int *status) {
    struct err e;
    switch (opt_parse(c, argc, argv, files, n_file, a, &e)) {
    case OPT_OK:
        return true;
    case OPT_HELP:
        fputs(opt_help(c, a), stdout);
        *status = EXIT_OK;
        return false;
    case OPT_ERROR:
        break;
    }
    *status = cli_fail(&e);
    return false;
}

int cli_write_text(const char *path, const char *text, bool force, struct err *e) {
    size_t n = strlen(text);
    char temp[4200];
    struct stat st;
    if (!path) {
        fwrite(text, 1, n, stdout);
        return 0;
    }
    bool there = !stat(path, &st), device = there && S_ISCHR(st.st_mode);
    if (there && !device && !S_ISREG(st.st_mode))
        return err_set(e, EXIT_INTERNAL, "%s: cannot be written: not a regular file", path);
    if (there && !device && !force) return err_set(e, EXIT_INPUT, "%s: exists; -f overwrites it", path);
    snprintf(temp, sizeof temp, device ? "%.4000s" : "%.4000s.%ld", path, (long)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | (device ? 0 : O_TRUNC) | O_CLOEXEC, 0666),
        bad = fd < 0 ? errno : 0;
    while (!bad && n) {
        ssize_t k = write(fd, text, n);
        if (k < 0 && errno != EINTR) bad = errno;
        if (k > 0) text += k, n -= (size_t)k;
    }
    if (!bad && !device && fsync(fd)) bad = errno;
    if (fd >= 0 && close(fd) && !bad) bad = errno;
    if (!bad && !device && rename(temp, path)) bad = errno;
    if (!bad) return 0;
    if (fd >= 0 && !device) unlink(temp);
    return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(bad));
}

int cli_pick_row(const struct results *r, const char *path, int wanted, struct err *e) {
    if (wanted >= r->n_row)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", path, wanted, r->n_row - 1);
    if (wanted >= 0) return wanted;
    for (int i = 0; i < r->n_row; i++)
        if (show_best(&r->row[i])) return i;
    return err_set(e, EXIT_INPUT, "%s: holds no plan", path);
}
