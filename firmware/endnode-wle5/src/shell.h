/* The line shell; README.md lists its commands. */
#ifndef SHELL_H
#define SHELL_H

#define SHELL_LINE_MAX 64 /* characters, line end not counted */

/* "lorafab <product> <version> ready" */
void shell_banner(void);

/* Takes one byte, or HAL_CONSOLE_DAMAGED; at the end of a line runs the command. */
void shell_feed(int event);

#endif
