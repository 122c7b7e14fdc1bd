#include "io/cpus.h"
#include "io/mpx_comm.h"
#include "base/clock.h"
#include "base/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdbool.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct mpx_comm world;

/* The value of the first of these variables that holds a number; -1 if none does. */
static int env_number(const char *const *names) {
    for (; *names; names++) {
        const char *s = getenv(*names);
        char *end;
        long v = s ? strtol(s, &end, 10) : -1;
        if (s && *s && !*end && v >= 0 && v < (1 << 28)) return (int)v;
    }
    return -1;
}

/* Does the parent process have this among its first variables? */
static bool parent_has(const char *text) {
    char path[64], *word = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)getppid());
    FILE *f = fopen(path, "re");
    while (f && !found && getdelim(&word, &room, 0, f) > 0) found = !strcmp(word, text);
    free(word);
    if (f) fclose(f);
    return found;
}

/* The name of the parent's program, "" where it cannot be seen: in another PID namespace, or hidden. */
static void parent_name(char name[32]) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)getppid());
    FILE *f = fopen(path, "re");
    if (!f || !fgets(name, 32, f)) *name = '\0';
    if (f) fclose(f);
}

/* Everything that runs in a Slurm step has its variables, even the commands of a script that is a task; a
 * task that srun started itself is a child of slurmstepd. */
static bool started_by_srun(void) {
    char name[32];
    parent_name(name);
    return !strncmp(name, "slurmstepd", strlen("slurmstepd"));
}

/* A variable outlives its launcher: in a shell, in a batch script that a rank submits. A rank is a child of
 * the launcher, or of a proxy of it, or holds the proxy's socket. Where the parent cannot be seen, the
 * variable is believed. */
static bool started_by_launcher(void) {
    static const char *const names[] = {"hydra", "mpi",    "orte", "prte", "prun", "slurmstepd", "mpd",
                                        "pals",  "apinit", "flux", "psid", "jsm",  NULL};
    const char *socket = getenv("PMI_FD");
    char name[32];
    if (socket && *socket && fcntl(atoi(socket), F_GETFD) >= 0) return true;
    parent_name(name);
    for (int i = 0; names[i] && *name; i++)
        if (!strncmp(name, names[i], strlen(names[i]))) return true;
    return !*name;
}

/* PMI first: an mpirun inside a Slurm step sets it for its own ranks, while the step's variables count its
 * proxies. SLURM_NTASKS is no use: the batch script has it too, and is not a rank. */
static int launched_size(void) {
    int size = env_number((const char *const[]){"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", NULL});
    if (size >= 0 || !started_by_srun()) return size;
    return env_number((const char *const[]){"SLURM_STEP_NUM_TASKS", NULL});
}

/* Slurm's task number proves nothing: srun also starts unrelated tasks. Nor does a rank's number, for
 * processes that the rank itself starts. */
int mpx_launch_rank(void) {
    static const char *const names[] = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "PALS_RANKID", NULL};
    for (int i = 0; names[i]; i++) {
        int rank = env_number((const char *const[]){names[i], NULL});
        char text[80];
        if (rank < 0) continue;
        snprintf(text, sizeof text, "%s=%s", names[i], getenv(names[i]));
        return parent_has(text) || !started_by_launcher() ? 0 : rank;
    }
    return 0;
}

/* The rank among processes that a launcher started without MPI, each of which thinks it is alone. */
static int lonely_rank(void) {
    int rank = mpx_launch_rank(), task = env_number((const char *const[]){"SLURM_PROCID", NULL});
    return rank == 0 && task > 0 && started_by_srun() ? task : rank;
}

/* If a rank exits without MPI_Finalize, mpirun kills the others and reports success, and srun hangs. */
static void guard(void) {
    int on = 0, off = 0;
    MPI_Initialized(&on);
    MPI_Finalized(&off);
    if (on && !off) {
        fprintf(stderr, "%s: error: a rank left without MPI_Finalize; the job is aborted\n",
                program_invocation_short_name);
        MPI_Abort(MPI_COMM_WORLD, EXIT_INTERNAL);
    }
}

/* How many ranks on this machine share this one's quota. */
static int sharers(MPI_Comm node, int ranks, unsigned long long group) {
    unsigned long long *all = oom_calloc((size_t)ranks, sizeof *all);
    int n = 0;
    MPI_Allgather(&group, 1, MPI_UNSIGNED_LONG_LONG, all, 1, MPI_UNSIGNED_LONG_LONG, node);
    for (int i = 0; i < ranks; i++) n += all[i] == group;
    free(all);
    return n;
}

/* Divides the CPUs that the ranks of this machine may use evenly: right whether every rank is bound to its
 * own or none is bound at all. Then the quota: threads waiting for throttled ones would use up what they
 * share. */
static void count_cpus(struct mpx *m) {
    cpu_set_t set;
    struct cpus_quota quota = cpus_quota();
    cpus_allowed(&set);
    m->node_ranks = 1;
    if (m->comm) {
        MPI_Comm node;
        MPI_Comm_split_type(world.mpi, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
        MPI_Comm_size(node, &m->node_ranks);
        MPI_Comm_rank(node, &m->node_rank);
        MPI_Allreduce(MPI_IN_PLACE, &set, (int)sizeof set, MPI_BYTE, MPI_BOR, node);
        quota.cpus /= sharers(node, m->node_ranks, quota.group);
        MPI_Comm_free(&node);
    }
    m->cpus = CPU_COUNT(&set) / m->node_ranks;
    if (m->cpus > quota.cpus) m->cpus = (int)quota.cpus;
    if (m->cpus < 1) m->cpus = 1;
}

int mpx_threads(const struct mpx *m) {
    const char *s = getenv("OMP_NUM_THREADS"); /* may be a list, one number for each level */
    int n = s ? atoi(s) : 0;
    return n > 0 && n <= 4096 ? n : m->cpus;
}

int mpx_start(struct mpx *m, struct err *e) {
    *m = (struct mpx){.rank = 0, .size = 1, .node_ranks = 1, .cpus = 1};
    int want = launched_size();
    bool start = want > 1 || (want < 0 && (getenv("PMIX_RANK") || getenv("PALS_RANKID") || getenv("PMI_FD")));
    if (start) {
        int provided;
        atexit(guard);
        H5open(); /* before MPI: otherwise MPI_Finalize() shuts it down, and it crashes on a file it cannot
                     close */
        MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided); /* for mpx_abort() */
        world.mpi = MPI_COMM_WORLD;
        MPI_Comm_rank(world.mpi, &m->rank);
        MPI_Comm_size(world.mpi, &m->size);
        m->comm = &world;
        if (m->size == 1 && want > 1) {
            char lib[80];
            mpx_version(lib, sizeof lib);
            m->rank = lonely_rank();
            return err_set(
                e, EXIT_INPUT,
                "the launcher started %d processes, but each sees itself alone: this program is linked with "
                "%s; start it with that library's mpirun (Debian: mpirun.mpich), or srun --mpi=pmi2",
                want, lib);
        }
        if (provided < MPI_THREAD_FUNNELED)
            return err_set(e, EXIT_INTERNAL, "the MPI library gives no thread support (MPI_THREAD_FUNNELED)");
    }
    count_cpus(m);
    return 0;
}

void mpx_finish(struct mpx *m) {
    int on = 0;
    MPI_Initialized(&on);
    if (on) {
        mpx_node_free();
        MPI_Finalize();
    }
    m->comm = NULL;
}

bool mpx_may_call(void) {
    int on = 0, off = 0, main_thread = 0, level = MPI_THREAD_SINGLE;
    MPI_Initialized(&on);
    MPI_Finalized(&off);
    if (!on || off) return false;
    MPI_Is_thread_main(&main_thread);
    MPI_Query_thread(&level);
    return main_thread || level >= MPI_THREAD_SERIALIZED;
}

void mpx_abort(void) {
    enum { HEARD_MS = 100 }; /* a launcher that kills the job at once may lose the last line */
    poll(NULL, 0, HEARD_MS);
    if (!mpx_may_call()) return;
    close(STDERR_FILENO); /* the error is printed: keep the MPI library from repeating it */
    MPI_Abort(MPI_COMM_WORLD, EXIT_INTERNAL);
}

void mpx_leave(struct mpx *m, int status) {
    fflush(NULL);
    mpx_finish(m);
    _exit(status);
}

/* MPI libraries wait by asking over and over again. Where ranks are more than CPUs, they take turns of
 * several milliseconds then, most of them in vain. */
void mpx_wait(MPI_Request *request) {
    const double MOMENT_S = 100e-6;
    const struct timespec nap = {.tv_nsec = 20000};
    double begun = now_s();
    for (int done = 0;;) {
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (done) return;
        if (now_s() - begun > MOMENT_S) nanosleep(&nap, NULL);
    }
}

void mpx_reduce(const struct mpx_comm *c, void *buf, int n, MPI_Datatype type, MPI_Op op) {
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, buf, n, type, op, c->mpi, &request);
    mpx_wait(&request);
}

void mpx_tell(const struct mpx_comm *c, int from, void *buf, int n, MPI_Datatype type) {
    MPI_Request request;
    MPI_Ibcast(buf, n, type, from, c->mpi, &request);
    mpx_wait(&request);
}

int mpx_agree(const struct mpx *m, int rc, struct err *e) {
    if (!m->comm) return rc ? -1 : 0;
    int first = rc ? m->rank : m->size;
    mpx_reduce(&world, &first, 1, MPI_INT, MPI_MIN);
    if (first == m->size) return 0;
    mpx_tell(&world, first, e, (int)sizeof *e, MPI_BYTE);
    return -1;
}

int mpx_same_int(const struct mpx *m, int value) {
    if (m->comm) mpx_tell(&world, 0, &value, 1, MPI_INT);
    return value;
}

char *mpx_read(const struct mpx *m, char *(*reader)(const char *, size_t *, struct arena *, struct err *),
               const char *path, size_t *size, struct arena *a, struct err *e) {
    char *text = m->rank == 0 ? reader(path, size, a, e) : NULL;
    if (mpx_agree(m, m->rank == 0 && !text ? -1 : 0, e)) return NULL;
    if (!m->comm) return text;
    unsigned long long n = *size;
    mpx_tell(&world, 0, &n, 1, MPI_UNSIGNED_LONG_LONG);
    *size = (size_t)n;
    if (m->rank) text = arena_alloc(a, *size + 1);
    for (size_t at = 0; at < *size;) { /* MPI counts are ints */
        int part = *size - at > (1 << 30) ? 1 << 30 : (int)(*size - at);
        mpx_tell(&world, 0, text + at, part, MPI_BYTE);
        at += (size_t)part;
    }
    return text;
}

void mpx_version(char *buf, size_t size) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int n = 0;
    MPI_Get_library_version(text, &n);
    char *word = strstr(text, " Version:"); /* MPICH's page starts "MPICH Version:\t4.0.2" */
    if (word) memset(word, ' ', 9);
    size_t used = 0;
    bool space = false;
    for (const char *p = text; *p && *p != '\n' && *p != ',' && used + 2 < size; p++) {
        if (*p == ' ' || *p == '\t') {
            space = used > 0;
            continue;
        }
        if (space) buf[used++] = ' ';
        space = false;
        buf[used++] = *p;
    }
    buf[used] = 0;
}
