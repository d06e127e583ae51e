/* What a dialect is to the rest of the modem; one dialect_*.c is linked into a modem. */
#ifndef DIALECT_H
#define DIALECT_H

#include "settings.h"

/* Characters that end a command line; a line end that is not among them is dropped. */
extern const char DIALECT_LINE_ENDS[];

/* What the modem leaves its maker with. */
void dialect_factory(struct settings *out);

/* After every reset, with the settings loaded: banners, events. */
void dialect_boot(enum settings_state stored);

/* A whole command line, without its end. */
void dialect_line(const char *line);

/* A line that was too long, or whose bytes were lost or arrived broken, and was dropped. */
void dialect_line_lost(bool too_long);

/* The timer of the join has run out (join.h). */
void dialect_join_timer(void);

#endif
