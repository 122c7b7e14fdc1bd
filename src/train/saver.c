#include "train/saver.h"
#include "base/clock.h"
#include "io/file.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void *save(void *arg) {
    struct saver *s = arg;
    double start_s = now_s();
    s->status = file_write(s->path, s->bytes, s->size, &s->e);
    s->time_s = now_s() - start_s;
    __atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
    return NULL;
}

bool saver_busy(const struct saver *s) { return s->started && !__atomic_load_n(&s->done, __ATOMIC_ACQUIRE); }

int saver_wait(struct saver *s, struct err *e) {
    if (!s->started) return 0;
    pthread_join(s->thread, NULL);
    s->started = false;
    free(s->bytes);
    s->bytes = NULL;
    if (s->status) *e = s->e;
    return s->status ? -1 : 0;
}

/* Signals are for the thread that trains. */
int saver_start(struct saver *s, const char *path, char *bytes, size_t size, struct err *e) {
    sigset_t all, before;
    if (saver_wait(s, e)) {
        free(bytes);
        return -1;
    }
    s->path = path;
    s->bytes = bytes;
    s->size = size;
    s->done = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int bad = pthread_create(&s->thread, NULL, save, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->started = !bad;
    if (!bad) return 0;
    save(s); /* without a thread, do it now */
    free(s->bytes);
    s->bytes = NULL;
    if (s->status) *e = s->e;
    return s->status ? -1 : 0;
}
