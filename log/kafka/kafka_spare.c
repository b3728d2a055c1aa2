/* kafka_spare.c: large buffers between two uses.
 *
 * A buffer of a megabyte that is taken from the system, filled and given back costs a page fault for every 4 KiB of it: a tenth of what a Produce of that size
 * takes in all. So the loop keeps a few that are not used, for the next request that arrives or the next response of a Fetch. It keeps at most SPARE_COUNT
 * of at least SPARE_LEAST_BYTES each, and SPARE_BYTES in all, whatever was once in use. A larger one takes the place of a smaller one.
 *
 * Loop thread. What such a buffer held is of no meaning to who gets it: it comes empty, and is only written to. */
#include "log/kafka/kafka_internal.h"

void kafka_spare_give(struct kafka_server *server, struct buf *buf)
{
    struct buf *spare = server->spares;
    for (int i = 1; i < SPARE_COUNT; i++)
        if (server->spares[i].capacity < spare->capacity)
            spare = &server->spares[i];
    size_t others = server->spare_bytes - spare->capacity;
    if (buf->capacity < SPARE_LEAST_BYTES || buf->capacity <= spare->capacity ||
        buf->capacity > SPARE_BYTES - others)
        return;
    buf_deinit(spare);
    *spare = *buf;
    *buf = (struct buf){.limit = buf->limit};
    server->spare_bytes = others + spare->capacity;
}

void kafka_spare_take(struct kafka_server *server, size_t least_bytes, size_t most_bytes,
                      struct buf *buf)
{
    struct buf *found = NULL;
    for (int i = 0; i < SPARE_COUNT; i++) {
        struct buf *spare = &server->spares[i];
        if (spare->capacity > 0 && spare->capacity >= least_bytes &&
            spare->capacity <= most_bytes && (found == NULL || spare->capacity < found->capacity))
            found = spare;
    }
    if (found == NULL || found->capacity <= buf->capacity)
        return;
    struct buf taken = *found;
    taken.size = 0;
    taken.limit = buf->limit;
    taken.failed = false;
    buf_append(&taken, buf->data, buf->size);
    buf_deinit(buf);
    *buf = taken;
    *found = (struct buf){0};
    server->spare_bytes -= buf->capacity;
}

void kafka_spare_fit(struct kafka_server *server, struct buf *buf)
{
    struct buf close = {.limit = buf->limit};
    if (buf->capacity < SPARE_LEAST_BYTES || buf->size >= buf->capacity / 4)
        return;
    buf_append(&close, buf->data, buf->size);
    if (!buf_ok(&close))
        return;
    kafka_spare_give(server, buf);
    buf_deinit(buf);
    *buf = close;
}

void kafka_spare_deinit(struct kafka_server *server)
{
    for (int i = 0; i < SPARE_COUNT; i++)
        buf_deinit(&server->spares[i]);
}
