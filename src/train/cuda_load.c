#include "train/cuda_load.h"
#include "io/program.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char name[] = "sailor-train-cuda.so";

/* Where SAILOR_TRAIN_CUDA says; else beside the program, where it is built; else in ../lib/sailor, where it
 * is installed. */
int cuda_find(char *path, size_t size) {
    const char *told = getenv("SAILOR_TRAIN_CUDA");
    char self[3000], *slash;
    if (told) {
        snprintf(path, size, "%s", told);
        return 0;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    if (!(slash = strrchr(self, '/'))) return -1;
    *slash = 0;
    snprintf(path, size, "%s/%s", self, name);
    if (!access(path, R_OK)) return 0;
    snprintf(path, size, "%s/../lib/sailor/%s", self, name);
    return access(path, R_OK);
}

int cuda_load(const char *path, struct cuda_functions *f, struct err *e) {
    const char *(*version)(void);
    char found[4000];
    *f = (struct cuda_functions){0};
    if (!path && cuda_find(found, sizeof found))
        return err_set(e, EXIT_INPUT, "backend cuda: not in this build: no %s next to the program", name);
    if (!path && !getenv("SAILOR_TRAIN_CUDA") && !dlopen("libcuda.so.1", RTLD_LAZY))
        return err_set(e, EXIT_INPUT, "backend cuda: no CUDA driver on this machine (libcuda.so.1)");
    if (!path) path = found;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) return err_set(e, EXIT_INPUT, "backend cuda: %s", dlerror());
    /* the cast that POSIX recommends: ISO C knows none from void * to a function */
    *(void **)&version = dlsym(object, "cuda_version");
    if (!version || strcmp(version(), program_version()))
        return err_set(e, EXIT_INPUT, "backend cuda: %s: is of version %s; expected that of the program, %s",
                       path, version ? version() : "unknown", program_version());
    *(void **)&f->backend_open = dlsym(object, "backend_cuda_open");
    *(void **)&f->comm_open = dlsym(object, "comm_nccl_open");
    if (!f->backend_open)
        return err_set(e, EXIT_INPUT, "backend cuda: %s: not a CUDA backend: has no backend_cuda_open", path);
    return 0;
}
