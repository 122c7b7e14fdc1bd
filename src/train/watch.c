#include "train/watch.h"
#include "base/oom.h"
#include "io/mpx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int farewell = -1; /* where the watcher listens */

/* Without the handlers of libraries: OpenBLAS's waits for its threads, which without memory never end. */
static pid_t fork_plainly(void) {
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 34)
    return _Fork();
#endif
#endif
    return fork();
}

/* The first on this machine to find its rank dead reports it: `claim` is common to all ranks that one
 * launcher started here, and is removed once they must all be gone. */
static void watch(int from, const char *claim, int rank) {
    char c, host[64] = "", line[160];
    ssize_t n;
    do n = read(from, &c, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1) return;
    int fd = open(claim, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return;
    gethostname(host, sizeof host - 1);
    int length =
        snprintf(line, sizeof line, "sailor-train: error: rank %d on %s died; the job ends\n", rank, host);
    if (write(STDERR_FILENO, line, (size_t)length) != length) return; /* a stream might be locked for ever */
    close(STDERR_FILENO); /* the launcher waits until nobody can write any more */
    sleep(3);
    unlink(claim);
}

/* What oom() calls. */
static void end_job(void) {
    watch_end();
    mpx_abort();
}

void watch_begin(void) {
    int ends[2];
    char claim[80];
    if (!getenv("PMI_RANK") && !getenv("PMIX_RANK") && !getenv("OMPI_COMM_WORLD_RANK")) return;
    if (pipe2(ends, O_CLOEXEC)) return; /* then it is not reported */
    snprintf(claim, sizeof claim, "/dev/shm/sailor-train.%ld.%ld", (long)getuid(), (long)getppid());
    int rank = mpx_launch_rank(); /* the watcher, as a child of the rank, could not find out */
    fflush(NULL);
    pid_t child = fork_plainly();
    if (child == 0) {
        setsid(); /* out of reach of whatever kills the job */
        signal(SIGPIPE, SIG_IGN);
        /* the launcher notices that a rank is gone when its sockets close: keep none open here */
        for (int fd = 0; fd < 1024; fd++)
            if (fd != ends[0] && fd != STDERR_FILENO) close(fd);
        watch(ends[0], claim, rank);
        _exit(0);
    }
    close(ends[0]);
    if (child < 0)
        close(ends[1]);
    else
        farewell = ends[1];
    oom_prepare("sailor-train", end_job);
}

void watch_end(void) {
    if (farewell < 0) return;
    if (write(farewell, "x", 1) != 1) return; /* the watcher is gone: nothing to tell */
    close(farewell);
    farewell = -1;
}
