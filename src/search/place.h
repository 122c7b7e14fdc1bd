#ifndef SAILOR_SEARCH_PLACE_H
#define SAILOR_SEARCH_PLACE_H
#include "search/fill.h"
/* Sketches on real zones. */

/** Try orders of the part's zones, both directions of the pipeline and three ways to divide a stage among
 * zones; judge every plan that comes of it. */
void place_sketch(struct climb *c, const struct sketch *s, unsigned zones, struct draft *room);

#endif
