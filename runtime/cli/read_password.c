/* read_password.c: see read_password.h.
 *
 * At a terminal the echo is off from before the question until after the answer. Signals from keys are off, too, so that Ctrl-C cannot end the command in
 * between and leave a terminal that shows nothing: it comes as a byte, at once, and ends the command when the terminal is as it was. For that the terminal hands over every key as it
 * is pressed, and what it would do itself is done here: a backspace takes the last character back, Ctrl-U all of them, Ctrl-D ends the line. In a file or a pipe these are bytes like others. */
#include "runtime/cli/read_password.h"
#include "runtime/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_C = 3, CTRL_D = 4, CTRL_H = 8, CTRL_U = 21, BACKSPACE = 127 };

void forget_password(char password[PASSWORD_BYTES_MAX + 1])
{
    explicit_bzero(password, PASSWORD_BYTES_MAX + 1);
}

/* Whether a byte of a terminal is a key that changes what was typed before it. */
static bool takes_back(char byte, const char *password, size_t *size)
{
    bool takes_one = byte == BACKSPACE || byte == CTRL_H;
    while (takes_one && *size > 0 && ((uint8_t)password[--*size] & 0xC0) == 0x80)
        ; /* all bytes of a character of UTF-8 */
    if (byte == CTRL_U)
        *size = 0;
    return takes_one || byte == CTRL_U;
}

static bool ends_line(char byte, bool is_typed)
{
    return byte == '\n' || (is_typed && (byte == CTRL_C || byte == CTRL_D));
}

/* One line, byte by byte: what follows it is somebody else's. */
static int read_line(int fd, const char *what, bool is_typed, char password[PASSWORD_BYTES_MAX + 1])
{
    size_t size = 0;
    char byte = '\n';
    ssize_t got;
    while ((got = read(fd, &byte, 1)) == 1 && !ends_line(byte, is_typed)) {
        if (is_typed && takes_back(byte, password, &size))
            continue;
        if (size == PASSWORD_BYTES_MAX || byte == '\0') {
            message("%s: a password has 1 to %d bytes, none of them zero", what,
                    PASSWORD_BYTES_MAX);
            return EXIT_USAGE;
        }
        password[size++] = byte;
    }
    if (got < 0) {
        message("cannot read %s: %s", what, strerror(errno));
        return EXIT_FAILED;
    }
    if (is_typed && byte == CTRL_C)
        return EXIT_INTERRUPTED;
    if (size > 0 && password[size - 1] == '\r')
        size--;
    password[size] = '\0';
    if (size > 0)
        return 0;
    message("%s: there is no password", what);
    return EXIT_USAGE;
}

static int ask(int fd, const char *question, const char *user,
               char password[PASSWORD_BYTES_MAX + 1])
{
    struct termios before, quiet;
    if (tcgetattr(fd, &before) < 0) {
        message("cannot read from the terminal: %s", strerror(errno));
        return EXIT_FAILED;
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG | ICANON);
    tcsetattr(fd, TCSAFLUSH, &quiet);
    fprintf(stderr, "%s of %s: ", question, user);
    int code = read_line(fd, "the terminal", true, password);
    tcsetattr(fd, TCSAFLUSH, &before);
    fprintf(stderr, "\n");
    return code;
}

static int ask_twice(const char *user, char password[PASSWORD_BYTES_MAX + 1])
{
    char again[PASSWORD_BYTES_MAX + 1];
    int code = ask(STDIN_FILENO, "password", user, password);
    if (code == 0)
        code = ask(STDIN_FILENO, "once more, password", user, again);
    if (code == 0 && strcmp(password, again) != 0) {
        message("these are two passwords");
        code = EXIT_USAGE;
    }
    forget_password(again);
    return code;
}

int ask_password(const char *user, const char *flag, char password[PASSWORD_BYTES_MAX + 1])
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        message("there is no terminal to ask for the password of %s", user);
        hint("--%s FILE: its first line is the password", flag);
        return EXIT_USAGE;
    }
    int code = ask(fd, "password", user, password);
    close(fd);
    return code;
}

int read_password(const char *path, const char *user, char password[PASSWORD_BYTES_MAX + 1])
{
    if (path == NULL && terminal(STDIN_FILENO))
        return ask_twice(user, password);
    if (path == NULL)
        return read_line(STDIN_FILENO, "standard input", false, password);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        message("cannot read %s: %s", path, strerror(errno));
        return EXIT_FAILED;
    }
    int code = read_line(fd, path, false, password);
    close(fd);
    return code;
}
