/* fetch_reader.c: walks what partition_fetch brought, as a reader wants to see it.
 *
 * A fetch is whole batches in offset order and the list of aborted transactions that overlap them.
 * Skipped are
 *   - batches that end before the offset that was asked for (and, in the batch that contains it,
 * records before it);
 *   - control batches: they end transactions and hold no data;
 *   - batches without records, which compaction leaves behind;
 *   - data of aborted transactions: a transactional batch of producer P is aborted when some entry
 * has producer_id P and first_offset <= base_offset <= last_offset. One producer has one open
 * transaction at a time, so an entry's range holds nothing of P that another transaction owns. A
 * fetch that read uncommitted has no entries, and skips nothing.
 *
 * Entries are sorted by first offset, batches by base offset, so entries that end below the current
 * batch are left behind for good and the look-up costs only the transactions that were open around
 * the batch.
 *
 * The reader owns one buffer for decompressed records and reuses it: a record is valid until the
 * next call. */
#include "log/log.h"

#include <stdlib.h>

void fetch_init(struct fetch *fetch)
{
    *fetch = (struct fetch){.next_offset = 0};
    buf_init(&fetch->bytes, 0);
}

void fetch_deinit(struct fetch *fetch)
{
    buf_deinit(&fetch->bytes);
    free(fetch->aborted);
    fetch_init(fetch);
}

void fetch_reader_init(struct fetch_reader *reader)
{
    *reader = (struct fetch_reader){.fetch = NULL};
    buf_init(&reader->plain, 0);
}

void fetch_reader_deinit(struct fetch_reader *reader)
{
    buf_deinit(&reader->plain);
    fetch_reader_init(reader);
}

void fetch_reader_start(struct fetch_reader *reader, const struct fetch *fetch, int64_t from_offset)
{
    reader->fetch = fetch;
    reader->rest = bytes_of(fetch->bytes.data, fetch->bytes.size);
    reader->from_offset = from_offset;
    reader->aborted_first = 0;
    reader->in_batch = false;
}

static bool is_aborted(struct fetch_reader *reader, const struct batch_header *h)
{
    const struct fetch *fetch = reader->fetch;
    if ((h->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return false;
    while (reader->aborted_first < fetch->aborted_count &&
           fetch->aborted[reader->aborted_first].last_offset < h->base_offset)
        reader->aborted_first++;
    for (size_t i = reader->aborted_first; i < fetch->aborted_count; i++) {
        const struct aborted *aborted = &fetch->aborted[i];
        if (aborted->first_offset > h->base_offset)
            return false;
        if (aborted->producer_id == h->producer_id && h->base_offset <= aborted->last_offset)
            return true;
    }
    return false;
}

int fetch_reader_next_batch(struct fetch_reader *reader, struct bytes *batch,
                            struct batch_header *header)
{
    reader->in_batch = false;
    while (reader->rest.size > 0) {
        if (batch_parse_header(reader->rest, header, NULL) < 0)
            return ERR_CORRUPT; /* also when it is cut: a fetch holds whole batches */
        int rc = take_bytes(&reader->rest, (size_t)header->size_bytes, batch);
        must(rc == 0);
        bool has_data = header->record_count > 0 && (header->attributes & BATCH_ATTR_CONTROL) == 0;
        if (has_data && batch_last_offset(header) >= reader->from_offset &&
            !is_aborted(reader, header))
            return 1;
    }
    return 0;
}

int fetch_reader_next(struct fetch_reader *reader, struct record *record)
{
    for (;;) {
        while (reader->in_batch) {
            int rc = record_reader_next(&reader->records, record);
            if (rc < 0)
                return rc;
            if (rc == 1 && record->offset >= reader->from_offset)
                return 1;
            reader->in_batch = rc == 1;
        }
        struct bytes batch;
        struct batch_header header;
        int rc = fetch_reader_next_batch(reader, &batch, &header);
        if (rc != 1)
            return rc;
        TRY(record_reader_open(&reader->records, batch, BATCH_PLAIN_LIMIT_BYTES, &reader->plain,
                               NULL));
        reader->in_batch = true;
    }
}
