#ifndef SAILOR_FORMATS_PLANJSON_H
#define SAILOR_FORMATS_PLANJSON_H
#include "io/json.h"
#include "sim/estimate.h"
#include <cjson/cJSON.h>
/* Plans and estimates as JSON (cJSON trees owned by the caller: cJSON_Delete). Numbers as
 * json_double() has them. */

/** {"format": "sailor-plan/1", ...}: what plans_load() reads. dtype and optimizer are written when not
 * fp32/adam. */
cJSON *plan_to_json(const struct plan *p, const struct workload *w);

/** The inverse: structure, names and ranges are checked, plan_check() is not called. `where` names the source
 * in messages
 *  ("FILE" or "FILE: /plans/3"). Returns 0, or -1 with *e set (EXIT_INPUT). */
int plan_from_json(const cJSON *node, const char *where, const struct site *site, struct plan **plan,
                   struct arena *a, struct err *e);

/** The same for a reader that is walking a tree. */
int plan_read(const struct json_at *at, const struct site *site, struct plan **plan, struct arena *a,
              struct err *e);

/** The object of `sailor simulate --json`, per-stage breakdown from est->stage. */
cJSON *estimate_to_json(const struct estimate *est, const struct plan *p);

#endif
