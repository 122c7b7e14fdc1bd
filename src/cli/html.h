#ifndef SAILOR_CLI_HTML_H
#define SAILOR_CLI_HTML_H
#include "cli/cli.h"
#include "formats/results.h"
#include "io/json.h"

/** Stored results as one HTML page that loads nothing; `only` >= 0: that row alone. */
void html_report(const struct results *r, int only, struct cli_gauge *gauge, struct text *t, struct arena *a);
#endif
