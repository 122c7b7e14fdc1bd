#ifndef SAILOR_IO_CSV_H
#define SAILOR_IO_CSV_H
/* Tables as text: a line is a row, and commas separate its cells. */

/** Ends the line at *at, moves on to the next one; NULL at the end of the text. The text is cut up. */
char *csv_line(char **at);

/** Splits one line in place; a cell may be in double quotes, inside which two stand for one. Returns the
 * number of cells, or -1 if there are more than `max` or a quote stays open. */
int csv_split(char *line, char **cell, int max);
#endif
