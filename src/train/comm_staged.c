/* Uses a communicator for host memory with device buffers: everything passes through pinned memory. Slow, but
 * it lets several ranks share one GPU. */
#include "train/comm.h"
#include "base/oom.h"
#include "train/die.h"

#include <stdbool.h>
#include <stdlib.h>

enum { PIECE = 64 << 20 };

struct message { /* memory of one being sent, kept for the next */
    void *p;
    size_t bytes;
    bool busy;
    struct pending inner;
    struct message *next;
};

struct staging {
    struct comm inner;
    struct backend *backend;
    void *room; /* [PIECE] */
    struct message *messages;
};

static void *pinned(struct backend *b, size_t bytes) {
    void *p = b->host_alloc(b, bytes);
    if (p) return p;
    die("out of pinned memory: %zu bytes for messages", bytes);
}

static struct group *staged_group(struct comm *c, const int *ranks, int n, struct arena *a) {
    struct staging *s = c->own;
    return s->inner.group(&s->inner, ranks, n, a);
}

static void by_pieces(struct staging *s, struct group *g, void *buffer, size_t n, enum elem t,
                      void (*reduce)(struct comm *, struct group *, void *, size_t, enum elem)) {
    size_t most = PIECE / elem_bytes(t);
    for (size_t at = 0, part; at < n; at += part) {
        part = n - at < most ? n - at : most;
        s->backend->download(s->backend, s->room, elem_at(buffer, at, t), part * elem_bytes(t));
        reduce(&s->inner, g, s->room, part, t);
        s->backend->upload(s->backend, elem_at(buffer, at, t), s->room, part * elem_bytes(t));
    }
}

static void staged_sum(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    struct staging *s = c->own;
    by_pieces(s, g, buffer, n, t, s->inner.sum);
}

static void staged_max(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    struct staging *s = c->own;
    by_pieces(s, g, buffer, n, t, s->inner.max);
}

static void staged_spread(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t, int from) {
    struct staging *s = c->own;
    size_t most = PIECE / elem_bytes(t);
    for (size_t at = 0, part; at < n; at += part) {
        part = n - at < most ? n - at : most;
        s->backend->download(s->backend, s->room, elem_at(buffer, at, t), part * elem_bytes(t));
        s->inner.spread(&s->inner, g, s->room, part, t, from);
        s->backend->upload(s->backend, elem_at(buffer, at, t), s->room, part * elem_bytes(t));
    }
}

static struct message *message_of(struct staging *s, size_t bytes) {
    struct message *m = s->messages;
    while (m && (m->busy || m->bytes < bytes)) m = m->next;
    if (!m) {
        m = oom_calloc(1, sizeof *m);
        *m = (struct message){.p = pinned(s->backend, bytes), .bytes = bytes, .next = s->messages};
        s->messages = m;
    }
    m->busy = true;
    return m;
}

static void staged_send(struct comm *c, const void *buffer, size_t n, enum elem t, int to,
                        struct pending *p) {
    struct staging *s = c->own;
    struct message *m = message_of(s, n * elem_bytes(t));
    s->backend->download(s->backend, m->p, buffer, n * elem_bytes(t));
    s->inner.send(&s->inner, m->p, n, t, to, &m->inner);
    p->request = m;
}

static void staged_wait(struct comm *c, struct pending *p) {
    struct staging *s = c->own;
    struct message *m = p->request;
    if (!m) return;
    s->inner.wait(&s->inner, &m->inner);
    m->busy = false;
    p->request = NULL;
}

static void staged_recv(struct comm *c, void *buffer, size_t n, enum elem t, int from) {
    struct staging *s = c->own;
    struct message *m = message_of(s, n * elem_bytes(t));
    s->inner.recv(&s->inner, m->p, n, t, from);
    s->backend->upload(s->backend, buffer, m->p, n * elem_bytes(t));
    m->busy = false;
}

static void staged_close(struct comm *c) {
    struct staging *s = c->own;
    if (!s) return;
    for (struct message *m = s->messages, *next; m; m = next) {
        next = m->next;
        s->backend->host_release(s->backend, m->p);
        free(m);
    }
    s->backend->host_release(s->backend, s->room);
    s->inner.close(&s->inner);
    free(s);
    c->own = NULL;
}

void comm_stage(struct comm *c, struct backend *b) {
    struct staging *s = oom_calloc(1, sizeof *s);
    *s = (struct staging){.inner = *c, .backend = b, .room = pinned(b, PIECE)};
    *c = (struct comm){.name = s->inner.name,
                       .rank = s->inner.rank,
                       .size = s->inner.size,
                       .own = s,
                       COMM_OPERATIONS(staged)};
}
