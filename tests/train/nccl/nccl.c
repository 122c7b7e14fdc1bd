#include <nccl.h>

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RANKS = 8, PIECE = 8192, RING = 32 }; /* floats of a message; messages under way */

struct shared {
    atomic_int joined, failed;   /* ranks */
    atomic_int waiting, round;   /* of sums */
    atomic_int sender, receiver; /* have reached their first message */
    atomic_int sent, received;   /* messages of rank 0 to rank 1 */
    float part[RANKS][PIECE], ring[RING][PIECE];
};

struct communicator {
    struct shared *at;
    int n, rank;
};

bool device_is_full;
enum nccl_call nccl_fails;

#define UNTIL(condition)                                                                                     \
    while (!(condition)) sched_yield()

const char *ncclGetErrorString(ncclResult_t r) {
    return r == ncclSystemError ? "unhandled system error" : r ? "unhandled cuda error" : "no error";
}
const char *ncclGetLastError(ncclComm_t c) {
    return (void)c, device_is_full ? "Cuda failure 2 'out of memory'" : "";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    static int count;
    return snprintf(id->name, sizeof id->name, "/sailor-nccl.%d.%d", (int)getpid(), count++), ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *c, int n, ncclUniqueId id, int rank) {
    int fd = shm_open(id.name, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) || n > RANKS) abort();
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (s == MAP_FAILED || !(*c = malloc(sizeof **c))) abort();
    **c = (struct communicator){s, n, rank};
    if (nccl_fails == NCCL_INIT) { /* when all others wait, and need the name no longer */
        UNTIL(s->joined == n - 1);
        shm_unlink(id.name);
        return ncclSystemError;
    }
    s->failed += device_is_full;
    s->joined++;
    UNTIL(s->joined == n);
    if (rank == 0) shm_unlink(id.name);
    return !s->failed ? ncclSuccess : device_is_full ? ncclUnhandledCudaError : ncclRemoteError;
}

ncclResult_t ncclCommAbort(ncclComm_t c) {
    munmap(c->at, sizeof *c->at);
    return free(c), ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t c) { return ncclCommAbort(c); }
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state) {
    return (void)c, *state = ncclSuccess;
}

static void all_here(struct communicator *c) {
    int round = c->at->round;
    if (++c->at->waiting == c->n) {
        c->at->waiting = 0;
        c->at->round++;
    } else {
        UNTIL(c->at->round != round);
    }
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t t, ncclRedOp_t op,
                           ncclComm_t c, cudaStream_t s) {
    (void)s;
    if (t != ncclFloat || from != to) abort();
    if (nccl_fails == NCCL_SUM) return ncclSystemError;
    for (size_t at = 0, k; at < n; at += k) {
        float *x = (float *)to + at;
        k = n - at < PIECE ? n - at : PIECE;
        memcpy(c->at->part[c->rank], x, k * sizeof *x);
        all_here(c);
        for (size_t i = 0; i < k; i++) {
            x[i] = c->at->part[0][i];
            for (int r = 1; r < c->n; r++) {
                float y = c->at->part[r][i];
                x[i] = op == ncclSum ? x[i] + y : fmaxf(x[i], y);
            }
        }
        all_here(c);
    }
    return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t n, ncclDataType_t t, int root, ncclComm_t c,
                           cudaStream_t s) {
    (void)s;
    if (t != ncclFloat || from != to || root >= c->n) abort();
    for (size_t at = 0, k; at < n; at += k) {
        float *x = (float *)to + at;
        k = n - at < PIECE ? n - at : PIECE;
        if (c->rank == root) memcpy(c->at->part[root], x, k * sizeof *x);
        all_here(c);
        memcpy(x, c->at->part[root], k * sizeof *x);
        all_here(c);
    }
    return ncclSuccess;
}

ncclResult_t ncclSend(const void *buffer, size_t n, ncclDataType_t t, int to, ncclComm_t c, cudaStream_t s) {
    struct shared *x = c->at;
    (void)s;
    if (t != ncclFloat || n > PIECE || to != 1 || c->rank != 0) abort();
    if (nccl_fails == NCCL_SEND) return ncclSystemError;
    x->sender = 1;
    UNTIL(x->receiver && x->sent - x->received < RING);
    memcpy(x->ring[x->sent % RING], buffer, n * sizeof(float));
    x->sent++;
    return ncclSuccess;
}

ncclResult_t ncclRecv(void *buffer, size_t n, ncclDataType_t t, int from, ncclComm_t c, cudaStream_t s) {
    struct shared *x = c->at;
    (void)s;
    if (t != ncclFloat || n > PIECE || from != 0 || c->rank != 1) abort();
    x->receiver = 1;
    UNTIL(x->sender && x->sent > x->received);
    memcpy(buffer, x->ring[x->received % RING], n * sizeof(float));
    x->received++;
    return ncclSuccess;
}
