#ifndef TESTS_NCCL_NCCL_H
#define TESTS_NCCL_NCCL_H
#include <cuda_runtime.h>
#include <stdbool.h>
/* The part of NCCL that src/train/comm_nccl.c uses, for floats, between processes of one machine. As in NCCL,
 * two ranks meet at their first message: either waits until the other is there. Later ones are only
 * queued. */

typedef struct {
    char name[128];
} ncclUniqueId;
typedef struct communicator *ncclComm_t;
typedef enum {
    ncclSuccess,
    ncclUnhandledCudaError,
    ncclSystemError,
    ncclRemoteError = 6,
    ncclInProgress = 7
} ncclResult_t;
typedef enum { ncclFloat, ncclFloat32 = ncclFloat, ncclFloat64, ncclBfloat16 } ncclDataType_t;
typedef enum { ncclSum, ncclMax } ncclRedOp_t;

/** The device of this process has no memory for another communicator. */
extern bool device_is_full;
/** The next such call of this process fails at once, and its peers wait for it. */
extern enum nccl_call { NCCL_NONE, NCCL_INIT, NCCL_SEND, NCCL_SUM } nccl_fails;

const char *ncclGetErrorString(ncclResult_t r);
const char *ncclGetLastError(ncclComm_t c);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRank(ncclComm_t *c, int n, ncclUniqueId id, int rank);
ncclResult_t ncclCommAbort(ncclComm_t c);
ncclResult_t ncclCommDestroy(ncclComm_t c);
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state);
ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t t, ncclRedOp_t op,
                           ncclComm_t c, cudaStream_t s);
ncclResult_t ncclBroadcast(const void *from, void *to, size_t n, ncclDataType_t t, int root, ncclComm_t c,
                           cudaStream_t s);
ncclResult_t ncclSend(const void *buffer, size_t n, ncclDataType_t t, int to, ncclComm_t c, cudaStream_t s);
ncclResult_t ncclRecv(void *buffer, size_t n, ncclDataType_t t, int from, ncclComm_t c, cudaStream_t s);
#endif
