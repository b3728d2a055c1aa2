/* verify_index.c: whether .index and .timeindex say what the batches say.
 *
 * Both files are read whole (a segment of 2 GiB has 4 MiB of entries) and merged with the walk over
 * the batches: an entry is right when a batch begins at its position and ends with its offset; a
 * time entry when some batch ends with its offset, has its timestamp, and nothing before is later.
 * Entries must ascend, and be whole.
 *
 * An entry that is missing makes a search longer and nothing else; it is reported all the same, for
 * closed segments, whose indexes are complete: one is due with the first batch after each 4096
 * bytes, and a time entry when the segment is closed. The newest entries of the active segment are
 * in memory, so its files may be short.
 *
 * After damage in the batches nothing is said about entries that point into it. */
#include "log/verify_internal.h"
#include "runtime/base/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENTRY_BYTES = 8, TIME_ENTRY_BYTES = 12, READ_LIMIT_BYTES = 64 << 20, SAID_MOST = 5 };

/* Says the first few of one file, then how many more there were. */
static void say(struct index_file_check *check, int64_t entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct index_file_check *check, int64_t entry, const char *format, ...)
{
    char text[400];
    if (++check->wrong > SAID_MOST)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    verify_say(check->verify, VERIFY_INDEX, check->path,
               entry >= 0 ? entry * (int64_t)check->entry_bytes : -1, -1, "%s", text);
}

static int read_entries(struct index_file_check *check, struct diag *diag)
{
    int fd;
    int64_t size;
    size_t got;
    if (io_open(check->path, O_RDONLY, 0, &fd, diag) < 0)
        return ERR_NOT_FOUND;
    int rc = io_file_size(fd, &size, diag);
    if (rc == 0 && check->limit_entries >= 0 &&
        size > check->limit_entries * (int64_t)check->entry_bytes)
        size = check->limit_entries * (int64_t)check->entry_bytes; /* more was written meanwhile */
    if (rc == 0 && size % (int64_t)check->entry_bytes != 0)
        say(check, size / (int64_t)check->entry_bytes,
            "the file has %" PRId64 " bytes, no multiple of %zu", size, check->entry_bytes);
    int64_t wanted = size > READ_LIMIT_BYTES ? READ_LIMIT_BYTES : size;
    if (rc == 0 && size > wanted)
        say(check, -1, "the file has %" PRId64 " bytes, more than any segment needs", size);
    if (rc == 0) {
        check->data = malloc((size_t)wanted + 1);
        rc = check->data == NULL ? diag_set(diag, ERR_NOMEM, "no memory for an index")
                                 : io_pread(fd, check->data, (size_t)wanted, 0, &got, diag);
    }
    io_close(fd);
    check->count = rc == 0 ? (int64_t)(got / check->entry_bytes) : 0;
    return rc;
}

static int file_start(struct index_file_check *check, struct verify *verify, const char *log_path,
                      const char *suffix, size_t entry_bytes, int64_t limit_entries,
                      struct diag *diag)
{
    int length = (int)strlen(log_path) - 4; /* without ".log" */
    *check = (struct index_file_check){
        .verify = verify, .entry_bytes = entry_bytes, .limit_entries = limit_entries};
    snprintf(check->path, sizeof check->path, "%.*s.%s", length, log_path, suffix);
    int rc = read_entries(check, diag);
    check->missing = rc == ERR_NOT_FOUND;
    return check->missing ? 0 : rc;
}

static void file_end(struct index_file_check *check)
{
    if (check->wrong > SAID_MOST)
        verify_say(check->verify, VERIFY_INDEX, check->path, -1, -1, "%" PRId64 " more like these",
                   check->wrong - SAID_MOST);
    free(check->data);
    check->data = NULL;
}

int index_check_start(struct index_check *check, struct verify *verify, const char *log_path,
                      int64_t base_offset, bool closed, const int32_t limits[2], struct diag *diag)
{
    *check = (struct index_check){.base_offset = base_offset,
                                  .closed = closed,
                                  .largest_ms = INT64_MIN,
                                  .last_entry_offset = -1,
                                  .last_time_offset = -1,
                                  .last_time_ms = INT64_MIN,
                                  .damage_from = -1};
    TRY(file_start(&check->offsets, verify, log_path, "index", ENTRY_BYTES, limits[0], diag));
    return file_start(&check->times, verify, log_path, "timeindex", TIME_ENTRY_BYTES, limits[1],
                      diag);
}

void index_check_damage(struct index_check *check, int64_t from, int64_t to)
{
    check->damage_from = from;
    check->damage_to = to;
    check->damaged = true;
}

static void wrong_entry(struct index_check *check, int64_t offset, int64_t position)
{
    if (check->damage_from >= 0 && position >= check->damage_from && position < check->damage_to)
        return;
    say(&check->offsets, check->offsets.next,
        "entry {offset %" PRId64 ", position %" PRId64 "}: no batch that ends with this offset "
        "begins there",
        check->base_offset + offset, position);
}

static void check_entries(struct index_check *check, const struct batch_header *header,
                          int64_t position)
{
    struct index_file_check *file = &check->offsets;
    int64_t last = batch_last_offset(header) - check->base_offset;
    bool found = false;
    for (; file->next < file->count; file->next++) {
        const uint8_t *at = file->data + file->next * ENTRY_BYTES;
        int64_t offset = (int32_t)load_be32(at), place = (int32_t)load_be32(at + 4);
        if (place > position && offset > check->last_entry_offset)
            break;
        if (offset <= check->last_entry_offset || place <= check->last_entry_place)
            say(file, file->next,
                "entry {offset %" PRId64 ", position %" PRId64 "} does not ascend",
                check->base_offset + offset, place);
        else if (place != position || offset != last)
            wrong_entry(check, offset, place);
        else
            found = true;
        if (offset > check->last_entry_offset && place > check->last_entry_place && found) {
            check->last_entry_offset = offset;
            check->last_entry_place = place;
        }
    }
    if (found) {
        check->covered_to = position;
    } else if (position - check->covered_to > INDEX_INTERVAL_BYTES) {
        check->due_missing++;
        check->covered_to = position;
    }
}

static void check_times(struct index_check *check, const struct batch_header *header)
{
    struct index_file_check *file = &check->times;
    int64_t last = batch_last_offset(header) - check->base_offset;
    for (; file->next < file->count; file->next++) {
        const uint8_t *at = file->data + file->next * TIME_ENTRY_BYTES;
        int64_t time = (int64_t)load_be64(at), offset = (int32_t)load_be32(at + 8);
        bool ascends = time > check->last_time_ms && offset > check->last_time_offset;
        if (ascends && offset > last)
            break;
        if (!ascends)
            say(file, file->next,
                "entry {timestamp %" PRId64 ", offset %" PRId64 "} does not ascend", time,
                check->base_offset + offset);
        else if (!check->damaged &&
                 (offset != last || time != header->max_timestamp_ms || time != check->largest_ms))
            say(file, file->next,
                "entry {timestamp %" PRId64 ", offset %" PRId64
                "}: the batch that ends there is another, or is not the latest so far",
                time, check->base_offset + offset);
        if (ascends) {
            check->last_time_ms = time;
            check->last_time_offset = offset;
        }
    }
}

void index_check_batch(struct index_check *check, const struct batch_header *header,
                       int64_t position)
{
    if (header->max_timestamp_ms > check->largest_ms)
        check->largest_ms = header->max_timestamp_ms;
    check->batch_count++;
    check_entries(check, header, position);
    check_times(check, header);
}

static void finish_closed(struct index_check *check)
{
    if (check->offsets.missing && check->due_missing > 0)
        verify_say(check->offsets.verify, VERIFY_INDEX, check->offsets.path, -1, -1,
                   "the file is missing; it is built again when somebody searches the segment");
    else if (check->due_missing > 0)
        say(&check->offsets, -1,
            "%" PRId64 " entries are missing: one is due for each %d bytes of batches",
            check->due_missing, INDEX_INTERVAL_BYTES);
    if (check->damaged || check->batch_count == 0)
        return;
    if (check->times.missing)
        verify_say(check->times.verify, VERIFY_INDEX, check->times.path, -1, -1,
                   "the file is missing");
    else if (check->last_time_ms != check->largest_ms && check->times.wrong == 0)
        say(&check->times, -1,
            "the last entry has timestamp %" PRId64 ", the segment's largest is %" PRId64,
            check->last_time_ms, check->largest_ms);
}

void index_check_end(struct index_check *check)
{
    for (; check->offsets.next < check->offsets.count; check->offsets.next++) {
        const uint8_t *at = check->offsets.data + check->offsets.next * ENTRY_BYTES;
        wrong_entry(check, (int32_t)load_be32(at), (int32_t)load_be32(at + 4));
    }
    for (; check->times.next < check->times.count && !check->damaged; check->times.next++) {
        const uint8_t *at = check->times.data + check->times.next * TIME_ENTRY_BYTES;
        say(&check->times, check->times.next,
            "entry {timestamp %" PRId64 ", offset %" PRId64 "}: no batch ends with this offset",
            (int64_t)load_be64(at), check->base_offset + (int32_t)load_be32(at + 8));
    }
    if (check->closed)
        finish_closed(check);
    file_end(&check->offsets);
    file_end(&check->times);
}
