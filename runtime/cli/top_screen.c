/* top_screen.c: a terminal, with plain escape sequences.
 *
 * The alternate screen keeps what the terminal showed before; one write replaces the picture, line by
 * line, so that nothing flickers. Keys come one by one and are not echoed, Ctrl-C stays a signal. Ctrl-Z
 * is switched off: a stopped top would leave the shell a terminal that it has changed. A changed size
 * wakes the command as a signal does, by cli_interrupt's descriptor, and is asked for at each picture. */
#include "runtime/cli/top_screen.h"

#include "runtime/cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct {
    bool is_open, has_keys;
    struct termios before;
} screen;

static void on_resize(int number)
{
    (void)number;
    interrupt_wake(NULL);
}

/* Keys come from the terminal that stdin is; a top without one is ended by a signal. */
static void take_keys(void)
{
    if (!terminal(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &screen.before) != 0)
        return;
    struct termios raw = screen.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;
    screen.has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

bool top_screen_open(void)
{
    const char *term = getenv("TERM");
    if (!terminal(STDOUT_FILENO) || term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0)
        return false;
    struct sigaction action = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
    take_keys();
    screen.is_open = true;
    out_text("\033[?1049h\033[?25l"); /* the other screen; no cursor */
    return true;
}

void top_screen_close(void)
{
    if (!screen.is_open)
        return;
    screen.is_open = false;
    out_text("\033[?25h\033[?1049l");
    out_flush();
    if (screen.has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
    screen.has_keys = false;
}

void top_screen_size(int *width, int *height)
{
    struct winsize size = {0};
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *width = is_known ? size.ws_col : 80;
    *height = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

int top_screen_show(struct bytes lines)
{
    out_text("\033[H");
    for (size_t at = 0; at < lines.size;) {
        const uint8_t *end = memchr(lines.data + at, '\n', lines.size - at);
        size_t size = end != NULL ? (size_t)(end - lines.data) - at : lines.size - at;
        /* The last line of a full screen has no line feed: that would scroll it. */
        out_text(at > 0 ? "\r\n" : "");
        buf_append(&out, lines.data + at, size);
        out_text("\033[K");
        at += size + 1;
    }
    out_text("\033[J");
    return out_flush();
}

char top_screen_key(void)
{
    char key = 0;
    struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
    if (!screen.has_keys || poll(&fd, 1, 0) <= 0 || read(STDIN_FILENO, &key, 1) != 1)
        return 0;
    return key;
}
