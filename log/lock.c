/* lock.c: who may open a data directory, and whether this version can read it.
 *
 * DIR/LOCK is held with flock for as long as the log is open: the kernel drops it when the process
 * dies, however it dies, so that a crash leaves nothing to clean up. flock belongs to the open
 * file, so a second log_open in the same process is refused as well (LMDB must not be opened twice
 * in one process either). Who opens a directory for reading only holds it shared. The text in it is
 * for people and for the command: "pid N", one line; later lines name the addresses where the
 * process can be reached, a name and a value each, and the last of them is "kafka". The text outlives
 * a process that was killed: it counts only while the lock is held.
 *
 * DIR/FORMAT is text, two lines:
 *
 *   weir 1
 *   features 0000000000000000
 *
 * the format version, and 64 feature bits in hexadecimal: each set bit is something a reader must
 * understand. A higher version or an unknown bit is refused, before anything else in the directory
 * is touched. It is written last when a directory is made, so that it vouches for nothing that is
 * not there; a directory that has other files and no FORMAT is not ours and is left alone. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT_VERSION = 1, SMALL_FILE_BYTES = 4096 };
#define FORMAT_FEATURES UINT64_C(0) /* the bits that this version understands */

/* A line "NAME VALUE" of LOCK. What is not known is passed over. */
static void take_line(const char *line, struct log_server *server)
{
    struct {
        const char *name;
        char *value;
        size_t size;
    } fields[] = {{"kafka ", server->kafka, sizeof server->kafka},
                  {"http ", server->http, sizeof server->http},
                  {"security ", server->security, sizeof server->security}};
    if (sscanf(line, "pid %ld", &server->pid) == 1)
        return;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strncmp(line, fields[i].name, strlen(fields[i].name)) == 0)
            snprintf(fields[i].value, fields[i].size, "%s", line + strlen(fields[i].name));
}

/* Whole lines: one that is being written does not count. */
static void read_holder(const char *path, struct log_server *server)
{
    char *text = NULL, *end;
    size_t size;
    *server = (struct log_server){.pid = 0};
    if (io_read_file(path, SMALL_FILE_BYTES, &text, &size, NULL) == 0)
        for (char *line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            take_line(line, server);
        }
    free(text);
}

bool log_find_server(const char *dir, struct log_server *server)
{
    char path[LOG_PATH_BYTES];
    int fd;
    snprintf(path, sizeof path, "%s/LOCK", dir);
    read_holder(path, server);
    if (server->kafka[0] == '\0' || io_open(path, O_RDONLY, 0, &fd, NULL) < 0)
        return false;
    bool is_held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    io_close(fd);
    if (is_held) /* by whoever has written it since */
        read_holder(path, server);
    return is_held && server->kafka[0] != '\0';
}

static int report_holder(const char *dir, const char *path, struct diag *diag)
{
    struct log_server server;
    read_holder(path, &server);
    long pid = server.pid;
    if (pid == getpid())
        return diag_set(diag, ERR_BUSY,
                        "%s is in use by this process (%ld): one weir_log or app at a time; apps "
                        "can share an open weir_log (weir_options.log)",
                        dir, pid);
    if (pid > 0 && server.kafka[0] != '\0')
        return diag_set(diag, ERR_BUSY,
                        "%s is in use by process %ld, which serves it to Kafka clients on %s", dir,
                        pid, server.kafka);
    if (pid > 0)
        return diag_set(diag, ERR_BUSY, "%s is in use by process %ld", dir, pid);
    return diag_set(diag, ERR_BUSY, "%s is in use by another process", dir);
}

int lock_take(const char *dir, int *fd, struct diag *diag)
{
    char path[LOG_PATH_BYTES], text[64];
    snprintf(path, sizeof path, "%s/LOCK", dir);
    TRY(io_open(path, O_RDWR | O_CREAT, 0644, fd, diag));
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK ? report_holder(dir, path, diag)
                                      : diag_errno(diag, "cannot lock %s", path);
        io_close(*fd);
        *fd = -1;
        return rc;
    }
    snprintf(text, sizeof text, "pid %ld\n", (long)getpid());
    int rc = io_truncate(*fd, 0, diag);
    if (rc == 0)
        rc = io_pwrite(*fd, text, strlen(text), 0, diag);
    if (rc == ERR_FULL)
        rc = 0; /* the lock holds without its text, and a full disk must not keep readers out */
    if (rc < 0) {
        io_close(*fd);
        *fd = -1;
    }
    return rc;
}

int log_announce(struct log *log, const char *name, const char *address, struct diag *diag)
{
    char line[256];
    struct stat status;
    if (log->read_only || log->lock_fd < 0)
        return 0;
    if (fstat(log->lock_fd, &status) != 0)
        return diag_errno(diag, "cannot look at %s/LOCK", log->dir);
    snprintf(line, sizeof line, "%s %s\n", name, address);
    return io_pwrite(log->lock_fd, line, strlen(line), status.st_size, diag);
}

int lock_take_shared(const char *dir, int *fd, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    snprintf(path, sizeof path, "%s/LOCK", dir);
    int rc = io_open(path, O_RDONLY, 0, fd, diag);
    if (rc == ERR_IO && errno == ENOENT)
        return 0; /* a copy without it: nobody ever opened it to write */
    TRY(rc);
    if (flock(*fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    rc = errno == EWOULDBLOCK ? report_holder(dir, path, diag)
                              : diag_errno(diag, "cannot lock %s", path);
    io_close(*fd);
    *fd = -1;
    return rc;
}

void lock_release(int fd)
{
    if (fd >= 0)
        io_close(fd);
}

/* ---- FORMAT ---- */

static int check_text(const char *path, const char *text, size_t size, struct diag *diag)
{
    unsigned version;
    uint64_t features;
    int end = -1;
    if (sscanf(text, "weir %u\nfeatures %16" SCNx64 "\n%n", &version, &features, &end) != 2 ||
        end < 0 || (version == FORMAT_VERSION && (size_t)end != size))
        return diag_set(diag, ERR_CORRUPT, "%s is damaged: it must read \"weir 1\", \"features …\"",
                        path);
    if (version != FORMAT_VERSION)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "%s: format version %u; this version of weir reads version %d", path,
                        version, FORMAT_VERSION);
    if ((features & ~FORMAT_FEATURES) != 0)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "%s: needs features 0x%" PRIx64 " that this version of weir does not have",
                        path, features & ~FORMAT_FEATURES);
    return 0;
}

/* ERR_INVALID when the directory holds something that a new log does not. */
static int check_empty(const char *dir, struct diag *diag)
{
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", dir);
    static const char *const allowed[] = {".", "..", "LOCK", "FORMAT.tmp", "lost+found"};
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        bool known = false;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            known = known || strcmp(entry->d_name, allowed[i]) == 0;
        if (!known)
            rc = diag_set(diag, ERR_INVALID,
                          "%s is not a weir data directory: it has no FORMAT file, but it has %s",
                          dir, entry->d_name);
    }
    closedir(stream);
    return rc;
}

int format_precheck(const char *dir, bool may_create, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    snprintf(path, sizeof path, "%s/FORMAT", dir);
    if (access(path, F_OK) == 0)
        return 0;
    if (!may_create)
        return diag_set(diag, ERR_NOT_FOUND,
                        "%s is not a weir data directory: it has no FORMAT file", dir);
    return check_empty(dir, diag);
}

int format_check(const char *dir, bool may_create, struct diag *diag)
{
    char path[LOG_PATH_BYTES], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/FORMAT", dir);
    if (access(path, F_OK) == 0) {
        TRY(io_read_file(path, SMALL_FILE_BYTES, &text, &size, diag));
        int rc = check_text(path, text, size, diag);
        free(text);
        return rc;
    }
    if (errno != ENOENT)
        return diag_errno(diag, "cannot read %s", path);
    TRY(format_precheck(dir, may_create, diag));
    char line[64];
    snprintf(line, sizeof line, "weir %d\nfeatures %016" PRIx64 "\n", FORMAT_VERSION,
             FORMAT_FEATURES);
    return io_write_file(path, line, strlen(line), diag);
}
