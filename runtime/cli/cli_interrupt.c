/* cli_interrupt.c: SIGINT and SIGTERM as something a command can wait for.
 *
 * The handler notes the signal and makes an eventfd readable, so that one poll() waits for input,
 * for new records (a partition watcher writes the same eventfd) and for Ctrl-C. A command that is
 * asked to stop finishes what it promises first: records flushed, offsets committed; a signal
 * seconds later, from somebody who lost patience, ends the process at once, which is as safe as any
 * crash of it. One that follows closely does not: `timeout` sends each signal twice. */
#include "runtime/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 2 };

/* When the first signal came; 0: none yet. One word, since the handler runs on whichever thread a
 * signal reaches, on two at once when two come close together. */
static _Atomic int64_t noted_s;
static int event_fd = -1;

void interrupt_wake(void *unused)
{
    (void)unused;
    uint64_t one = 1;
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written; /* full means readable, which is all that is asked for */
}

static int64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1; /* never 0 */
}

static void on_signal(int number)
{
    (void)number;
    int saved_errno = errno;
    int64_t now = now_s(), first = 0;
    if (!atomic_compare_exchange_strong(&noted_s, &first, now) && now - first >= PATIENCE_S)
        _exit(EXIT_INTERRUPTED);
    interrupt_wake(NULL);
    errno = saved_errno;
}

void interrupt_install(void)
{
    if (event_fd >= 0)
        return;
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(event_fd >= 0);
#ifdef __SANITIZE_THREAD__
    /* ThreadSanitizer makes a thread's list of pending signals when the thread first blocks, and a
     * signal that comes meanwhile makes another one, which is then lost with it. */
    poll(NULL, 0, 0);
#endif
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
    return atomic_load(&noted_s) != 0;
}

static bool is_asked(void *unused)
{
    (void)unused;
    return interrupted();
}
const struct scan_stop interrupt_stop = {is_asked, NULL};

int interrupt_fd(void)
{
    return event_fd;
}

void interrupt_clear(void)
{
    uint64_t count;
    ssize_t taken = read(event_fd, &count, sizeof count);
    (void)taken;
}
