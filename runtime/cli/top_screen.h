/* top_screen.h: the terminal while 'weir top' has it: a screen of its own, keys as they are pressed. One thread, one screen. */
#ifndef WEIR_CLI_TOP_SCREEN_H
#define WEIR_CLI_TOP_SCREEN_H

#include "runtime/base/bytes.h"

/* Takes the terminal of stdout. False, and nothing happened: it cannot show a screen (TERM is unset or dumb). The caller calls top_screen_close on every way
 * out; until then stdout takes nothing but top_screen_show. */
bool top_screen_open(void);
/* Gives the terminal back as it was. Harmless when it was not taken. */
void top_screen_close(void);
/* Columns and lines, now. */
void top_screen_size(int *width, int *height);
/* Puts lines on the screen in place of what it shows. 0; ERR_STOPPED: nobody sees it any more; ERR_IO after a message. */
int top_screen_show(struct bytes lines);
/* The next key that was pressed; 0: none. Never waits. */
char top_screen_key(void);

#endif
