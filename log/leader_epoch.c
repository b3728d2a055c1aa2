/* leader_epoch.c: which leader epoch the batches of a partition carry, from which offset on.
 *
 * Kafka's idea: when the end of a partition is cut off and written anew, offsets alone no longer
 * say which records they mean. So a truncation begins a new epoch, every batch from then on carries
 * it, and a reader who knows "offset 70 in epoch 3" can ask where epoch 3 ended. A partition that
 * was never truncated is in epoch 0 from its first offset, and has no file.
 *
 * The file is Kafka's, to the letter, so that its tools read it:
 *
 *     leader-epoch-checkpoint      0                   the version
 *                                  2                   entries
 *                                  0 0                 epoch, first offset in it
 *                                  1 4711
 *
 * Epochs and offsets ascend. It is written as a whole (write aside, flush, rename). */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_FILE_LIMIT_BYTES = 16 << 20 };
#define EPOCH_FILE "leader-epoch-checkpoint"

void leader_epochs_deinit(struct leader_epochs *epochs)
{
    free(epochs->entries);
    *epochs = (struct leader_epochs){0};
}

int leader_epochs_add(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset)
{
    if (epochs->count == epochs->capacity) {
        size_t capacity = epochs->capacity == 0 ? 4 : epochs->capacity * 2;
        struct leader_epoch *entries = realloc(epochs->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return ERR_NOMEM;
        epochs->entries = entries;
        epochs->capacity = capacity;
    }
    epochs->entries[epochs->count++] = (struct leader_epoch){epoch, start_offset};
    return 0;
}

/* A decimal number and the character that must end it. */
static bool take_number(const char **at, char end, int64_t *number)
{
    char *stop;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    long long value = strtoll(*at, &stop, 10);
    if (errno != 0 || *stop != end)
        return false;
    *number = value;
    *at = stop + 1;
    return true;
}

static int parse(const char *text, struct leader_epochs *epochs)
{
    int64_t version, count, epoch, start, last_epoch = -1, last_start = -1;
    if (!take_number(&text, '\n', &version) || version != 0 || !take_number(&text, '\n', &count))
        return ERR_CORRUPT;
    for (int64_t i = 0; i < count; i++) {
        if (!take_number(&text, ' ', &epoch) || !take_number(&text, '\n', &start) ||
            epoch <= last_epoch || epoch > INT32_MAX || start < last_start)
            return ERR_CORRUPT;
        TRY(leader_epochs_add(epochs, (int32_t)epoch, start));
        last_epoch = epoch;
        last_start = start;
    }
    return *text == '\0' ? 0 : ERR_CORRUPT;
}

int leader_epochs_read(const char *directory, struct leader_epochs *epochs, struct diag *diag)
{
    char path[LOG_PATH_BYTES + 64], *text;
    size_t size;
    *epochs = (struct leader_epochs){0};
    snprintf(path, sizeof path, "%s/" EPOCH_FILE, directory);
    int rc = io_read_file(path, EPOCH_FILE_LIMIT_BYTES, &text, &size, diag);
    if (rc == ERR_IO && errno == ENOENT)
        return 0;
    TRY(rc);
    rc = strlen(text) == size ? parse(text, epochs) : ERR_CORRUPT;
    free(text);
    if (rc < 0)
        leader_epochs_deinit(epochs);
    if (rc == ERR_CORRUPT)
        return diag_set(diag, rc, "%s is not what a leader epoch checkpoint looks like", path);
    return rc < 0 ? diag_set(diag, rc, "no memory for leader epochs") : 0;
}

int leader_epochs_write(const char *directory, const struct leader_epochs *epochs,
                        struct diag *diag)
{
    char path[LOG_PATH_BYTES + 64];
    struct buf text;
    snprintf(path, sizeof path, "%s/" EPOCH_FILE, directory);
    buf_init(&text, 0);
    buf_printf(&text, "0\n%zu\n", epochs->count);
    for (size_t i = 0; i < epochs->count; i++)
        buf_printf(&text, "%d %" PRId64 "\n", epochs->entries[i].epoch,
                   epochs->entries[i].start_offset);
    int rc = buf_ok(&text) ? io_write_file(path, text.data, text.size, diag)
                           : diag_set(diag, ERR_NOMEM, "no memory for leader epochs");
    buf_deinit(&text);
    return rc;
}

int32_t leader_epoch_latest(const struct leader_epochs *epochs)
{
    return epochs->count > 0 ? epochs->entries[epochs->count - 1].epoch : 0;
}

int32_t leader_epoch_at(const struct leader_epochs *epochs, int64_t offset)
{
    int32_t epoch = 0;
    for (size_t i = 0; i < epochs->count && epochs->entries[i].start_offset <= offset; i++)
        epoch = epochs->entries[i].epoch;
    return epoch;
}

int leader_epochs_cut(struct leader_epochs *epochs, int64_t offset)
{
    if (epochs->count == 0)
        TRY(leader_epochs_add(epochs, 0, 0));
    int32_t next = leader_epoch_latest(epochs) + 1;
    while (epochs->count > 0 && epochs->entries[epochs->count - 1].start_offset >= offset)
        epochs->count--;
    return leader_epochs_add(epochs, next, offset);
}

int32_t leader_epoch_end(const struct leader_epochs *epochs, int32_t epoch, int64_t log_end,
                         int64_t *end_offset)
{
    size_t after = 0;
    while (after < epochs->count && epochs->entries[after].epoch <= epoch)
        after++;
    *end_offset = -1;
    if (epoch < 0 || epoch > leader_epoch_latest(epochs))
        return -1;
    *end_offset = after < epochs->count ? epochs->entries[after].start_offset : log_end;
    return after > 0 ? epochs->entries[after - 1].epoch : epoch;
}
