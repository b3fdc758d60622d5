/* How a run ends, and what it says. */
#ifndef SAY_H
#define SAY_H

enum code { DONE = 0, REFUSED = 1, USAGE = 2, LATER = 75, NOT_PINNED = 76, LOCAL = 77 };

/* A line on standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and the end of the run. */
_Noreturn void fail(enum code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
