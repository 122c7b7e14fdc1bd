#ifndef SAILOR_BASE_ARENA_H
#define SAILOR_BASE_ARENA_H
#include <stddef.h>
/* Bump allocator: everything that lives as long as a command (tables, plans) comes from one arena and dies
 * with it. Running out of memory ends the program (base/oom.h). */

struct arena {
    struct arena_block *head;
};

/** n zeroed bytes, 64-byte aligned, owned by the arena. Never NULL. Not thread-safe. */
void *arena_alloc(struct arena *a, size_t n);
/** A copy of s owned by the arena; NULL for NULL. */
char *arena_strdup(struct arena *a, const char *s);
/** printf into the arena. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Where the arena stands; arena_release() forgets everything allocated since. Marks are released in the
 * order in which they were taken, the last one first. */
struct arena_mark {
    struct arena_block *head;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_release(struct arena *a, struct arena_mark m);

/** Free every block; the arena is empty and usable again. */
void arena_free(struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))
#endif
