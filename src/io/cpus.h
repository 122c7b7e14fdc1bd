#ifndef SAILOR_IO_CPUS_H
#define SAILOR_IO_CPUS_H
#include <sched.h>
/* How many CPUs a process may use: those that it is bound to, and the share of their time that its control
 * group is allowed (the limit of a container or of a batch job). */

/** The CPUs that this process may run on. */
void cpus_allowed(cpu_set_t *set);

struct cpus_quota {
    double cpus;              /* CPU seconds per second; INFINITY: no limit */
    unsigned long long group; /* the same for processes that share it */
};
/** The least limit of the control groups of a process: version 2 (cpu.max) and 1 (cpu.cfs_quota_us), of the
 * group itself and of all above it. `membership` is /proc/self/cgroup, `root` is /sys/fs/cgroup. */
struct cpus_quota cpus_quota_of(const char *membership, const char *root);
/** That of this process. */
struct cpus_quota cpus_quota(void);
#endif
