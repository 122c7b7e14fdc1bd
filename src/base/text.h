#ifndef SAILOR_BASE_TEXT_H
#define SAILOR_BASE_TEXT_H
#include "base/arena.h"
#include <stddef.h>
/* Text from files and command lines, on its way to a terminal. */

/** The length of the character at s, and its code in *c, if a terminal could take it for a command (control
 * characters, including C1, and those that change the direction of writing); otherwise 0. A byte that is not
 * UTF-8 is U+FFFD. Not for the end of the text. */
size_t text_control(const char *s, unsigned *c);

/** Copy `in` to out[size] with all such characters and every byte that is not UTF-8 as \xNN. What does not
 * fit is cut off between characters. Returns the length of the whole, without the 0. */
size_t text_escape(const char *in, char *out, size_t size);

/** The same in `a`; `in` itself where nothing has to be escaped. */
const char *text_printable(const char *in, struct arena *a);

/** Columns that a UTF-8 text takes on a terminal: 2 for a wide (East Asian) character, 0 for a combining one.
 */
int text_width(const char *s);
/** The same of its first n bytes. */
int text_columns(const char *s, size_t n);

/** Bytes of the character at s; a byte that is not UTF-8 is one of its own. 0 at the end. */
size_t text_next(const char *s);

/** A word of a shell command: quoted where the shell would take it apart. In `a`, or `in` itself. */
const char *text_shell_word(const char *in, struct arena *a);

/** Cut the line at *at off the text, which is changed, and move *at behind it. Returns the line without its
 * end; NULL at the end of the text. */
char *text_take_line(char **at);

/** The text after a byte order mark, which some programs write at the start of their exports; `in` itself
 * without one. */
const char *text_after_mark(const char *in);
#endif
