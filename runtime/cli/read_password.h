/* read_password.h: a password, from where nobody else sees it: a file, a pipe, or a terminal that does not show it. Never from the command
 * line, which everybody on the machine can read, nor from a variable, which every child process gets. */
#ifndef WEIR_CLI_READ_PASSWORD_H
#define WEIR_CLI_READ_PASSWORD_H

#include <stddef.h>

enum { PASSWORD_BYTES_MAX = 1000 };
/* path: a file whose first line it is; NULL: standard input's first line, which at a terminal is asked for twice. 0, or an exit code after a message. */
int read_password(const char *path, const char *user, char password[PASSWORD_BYTES_MAX + 1]);
/* Asks for it once, at the terminal that the process belongs to, whatever standard input is. flag: what spares the question. 0, or an exit code after a message. */
int ask_password(const char *user, const char *flag, char password[PASSWORD_BYTES_MAX + 1]);
/* So that it does not stay in memory. */
void forget_password(char password[PASSWORD_BYTES_MAX + 1]);

#endif
