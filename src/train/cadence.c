#include "train/cadence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double unit_s(const char *unit) {
    return !strcmp(unit, "s") ? 1 : !strcmp(unit, "m") ? 60 : !strcmp(unit, "h") ? 3600 : NAN;
}

/* A number with a unit of time. */
static bool read_time(const char *text, double *s) {
    char *end;
    double number = strtod(text, &end), unit = unit_s(end);
    bool plain = strspn(text, "0123456789.") == (size_t)(end - text) && end > text;
    *s = number * unit;
    return plain && *s > 0 && *s <= 1e9;
}

int cadence_read(struct cadence *c, const char *every, const char *mtbf, struct err *e) {
    *c = (struct cadence){.kind = CADENCE_NEVER};
    if (every && !strcmp(every, "auto")) {
        c->kind = CADENCE_AUTO;
    } else if (every) {
        char *end;
        long n = strtol(every, &end, 10);
        if (read_time(every, &c->interval_s))
            c->kind = CADENCE_TIME;
        else if (*every >= '0' && *every <= '9' && !*end && n >= 1 && n <= 1000000000) {
            c->kind = CADENCE_STEPS;
            c->steps = (int)n;
        } else
            return err_set(
                e, EXIT_INPUT,
                "run: --checkpoint-every %.40s; expected a number of steps, a time (30s, 5m, 2h) or auto",
                every);
    }
    if (!mtbf != (c->kind != CADENCE_AUTO))
        return err_set(e, EXIT_INPUT, "run: %s; expected both",
                       mtbf ? "--mtbf without --checkpoint-every auto"
                            : "--checkpoint-every auto without --mtbf");
    if (mtbf && !read_time(mtbf, &c->mtbf_s))
        return err_set(e, EXIT_INPUT, "run: --mtbf %.40s; expected a time (30s, 5m, 2h)", mtbf);
    return 0;
}

/* From one checkpoint to the next: Young's sqrt(2 write_s mtbf_s) with CADENCE_AUTO, and at once if it is not
 * yet known how long one takes. */
static double interval_s(const struct cadence *c, double write_s) {
    if (c->kind == CADENCE_TIME) return c->interval_s;
    return write_s < 0 ? 0 : sqrt(2 * write_s * c->mtbf_s);
}

bool cadence_due(const struct cadence *c, int done, double since_s, double write_s, bool busy) {
    if (c->kind == CADENCE_NEVER) return false;
    if (c->kind == CADENCE_STEPS) return done % c->steps == 0;
    return !busy && since_s >= interval_s(c, write_s);
}
