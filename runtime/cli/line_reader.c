/* line_reader.c: one growing buffer between read() and lines.
 *
 *   data |  taken  | start …… scanned …… end |  free  | capacity
 *
 * Bytes between start and scanned are known to hold no line feed, so a long line that arrives in
 * pieces is searched once. The free part is at least CHUNK_BYTES before each read; the waiting
 * bytes move to the front first, and the buffer doubles only when a single line needs it, which the
 * limit bounds. */
#include "runtime/cli/line_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20, FIRST_CAPACITY_BYTES = 4 << 20 };

int line_reader_init(struct line_reader *reader, int fd, size_t limit_bytes)
{
    *reader = (struct line_reader){.fd = fd, .limit_bytes = limit_bytes};
    reader->data = malloc(FIRST_CAPACITY_BYTES);
    reader->capacity = FIRST_CAPACITY_BYTES;
    return reader->data != NULL ? 0 : ERR_NOMEM;
}

void line_reader_deinit(struct line_reader *reader)
{
    free(reader->data);
    reader->data = NULL;
}

static int make_room(struct line_reader *reader)
{
    if (reader->start == reader->end)
        reader->start = reader->scanned = reader->end = 0;
    if (reader->capacity - reader->end >= CHUNK_BYTES)
        return 0;
    size_t waiting = line_reader_waiting(reader);
    memmove(reader->data, reader->data + reader->start, waiting);
    reader->scanned -= reader->start;
    reader->start = 0;
    reader->end = waiting;
    if (reader->capacity - reader->end >= CHUNK_BYTES)
        return 0;
    uint8_t *data = realloc(reader->data, reader->capacity * 2);
    if (data == NULL)
        return ERR_NOMEM;
    reader->data = data;
    reader->capacity *= 2;
    return 0;
}

int line_reader_fill(struct line_reader *reader)
{
    TRY(make_room(reader));
    ssize_t got;
    do
        got = read(reader->fd, reader->data + reader->end, reader->capacity - reader->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return ERR_IO;
    reader->ended = got == 0;
    reader->end += (size_t)got;
    reader->read_bytes += got;
    return 0;
}

int line_reader_next(struct line_reader *reader, struct bytes *line)
{
    const uint8_t *from = reader->data + reader->start;
    const uint8_t *feed = NULL;
    if (reader->scanned < reader->end)
        feed = memchr(reader->data + reader->scanned, '\n', reader->end - reader->scanned);
    if (feed == NULL)
        reader->scanned = reader->end;
    size_t size = feed != NULL ? (size_t)(feed - from) : line_reader_waiting(reader);
    size_t next = reader->start + size + (feed != NULL);
    if (size > 0 && from[size - 1] == '\r')
        size--;
    if (size > reader->limit_bytes)
        return ERR_TOO_LARGE;
    if (feed == NULL && (!reader->ended || reader->start == reader->end))
        return 0;
    *line = bytes_of(from, size);
    reader->start = reader->scanned = next;
    reader->line_count++;
    return 1;
}
