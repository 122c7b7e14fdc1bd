#ifndef SAILOR_TRAIN_CUDA_H
#define SAILOR_TRAIN_CUDA_H
#include "train/backend.h"
#include "train/comm.h"
/* The backend and the communicator for NVIDIA GPUs. They are a shared object of their own,
 * sailor-train-cuda.so next to the program, which is loaded on demand: sailor-train itself also runs where
 * there is no CUDA. */

/** GPU `place` modulo their number; elem F32 (products in TF32) or BF16 (sums, gradients and optimizer in
 * float). Attention in bf16 never stores scores for heads of up to 128. A failing device ends the process:
 * its peers cannot be told. -1 with *e set (EXIT_INPUT) without a driver or a device. */
int backend_cuda_open(struct backend *b, enum elem elem, int place, struct err *e);

/** Over NCCL: one GPU per rank; sums, maxima and receptions in the backend's order of work, each pair of
 * ranks with a stream of its own for what is sent. world NULL: a single rank. Collective
 * over it. -1 with *e set; then, too, *c is to be closed, by all ranks. */
int comm_nccl_open(struct comm *c, const struct mpx_comm *world, struct backend *b, struct err *e);

/** Version of the shared object. It shares structures with the program, whose version must be the same. */
const char *cuda_version(void);

/* ---- between the two ---- */

/** The stream (cudaStream_t) in which the backend's work is queued. */
void *backend_cuda_stream(const struct backend *b);
/** poll(own) is called again and again while the host waits for the device, to notice that a peer is gone.
 * NULL: no more. */
void backend_cuda_poll(struct backend *b, void (*poll)(void *own), void *own);
#endif
