/* view_reader.c: stores and the rest of their changelogs, side by side (see view_reader.h).
 *
 * Where both have a key the rest is right, and a null value there says that the store's is gone. Both are as of the part's commit and do not change
 * while it is held, so that a scan can be left and gone on with. */
#include "runtime/view_reader.h"

#include <stdlib.h>

struct reader_part {
    bool is_taken;
    struct view_part part;
};

struct view_reader {
    struct view_source *source;
    struct reader_part *parts;
    bool is_lost;
};

const struct view *view_reader_view(const struct view_reader *reader)
{
    return view_source_view(reader->source);
}

const struct store_view_names *view_reader_names(const struct view_reader *reader)
{
    return view_source_names(reader->source);
}

struct port *view_reader_port(const struct view_reader *reader)
{
    return view_source_port(reader->source);
}

int32_t view_reader_partitions(const struct view_reader *reader)
{
    return view_source_partitions(reader->source);
}

bool view_reader_is_lost(const struct view_reader *reader)
{
    return reader->is_lost;
}

/* ---- parts ---- */

int view_reader_open(struct view_source *source, struct view_reader **result, struct diag *diag)
{
    struct view_reader *reader = calloc(1, sizeof *reader);
    if (reader != NULL)
        reader->parts = calloc((size_t)view_source_partitions(source), sizeof *reader->parts);
    *result = NULL;
    if (reader == NULL || reader->parts == NULL) {
        free(reader);
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    }
    reader->source = source;
    *result = reader;
    return 0;
}

static void release_parts(struct view_reader *reader)
{
    for (int32_t i = 0; i < view_source_partitions(reader->source); i++) {
        if (reader->parts[i].is_taken)
            view_part_release(&reader->parts[i].part);
        reader->parts[i].is_taken = false;
    }
}

void view_reader_close(struct view_reader *reader)
{
    if (reader == NULL)
        return;
    release_parts(reader);
    free(reader->parts);
    free(reader);
}

void view_reader_renew(struct view_reader *reader)
{
    reader->is_lost = false;
    if (view_source_runs(reader->source))
        release_parts(reader);
}

int view_reader_prepare(struct view_reader *reader, int32_t partition, struct diag *diag)
{
    struct reader_part *own = &reader->parts[partition];
    if (own->is_taken)
        return 0;
    TRY(view_source_take(reader->source, partition, &own->part, diag));
    own->is_taken = true;
    return 0;
}

struct view_time view_reader_time(const struct view_reader *reader, int32_t partition)
{
    const struct reader_part *own = &reader->parts[partition];
    return own->is_taken ? own->part.time : (struct view_time){INT64_MIN, INT64_MIN};
}

/* ---- reading ---- */

static int told_lost(struct view_reader *reader, int rc)
{
    reader->is_lost |= rc == ERR_STOPPED;
    return rc;
}

int view_reader_get(struct view_reader *reader, int32_t partition, struct bytes key,
                    struct arena *arena, struct bytes *value, struct diag *diag)
{
    TRY(view_reader_prepare(reader, partition, diag));
    const struct view_part *part = &reader->parts[partition].part;
    const struct tail_entry *entry = tail_runs_find(&part->rest, key);
    if (entry == NULL)
        return part->state != NULL
                   ? told_lost(reader, state_reader_get(part->state, key, arena, value, diag))
                   : 0;
    *value = entry->value; /* lives as long as the part */
    return entry->value.data != NULL;
}

struct merge {
    struct tail_walk walk;
    struct bytes to;
    int (*fn)(void *context, struct bytes key, struct bytes value);
    void *context;
};

/* Entries below a key (NULL: up to the end of the scan). */
static int give_entries(struct merge *merge, const struct bytes *below)
{
    for (; merge->walk.entry != NULL; tail_walk_next(&merge->walk)) {
        const struct tail_entry *entry = merge->walk.entry;
        if ((below != NULL && bytes_compare(entry->key, *below) >= 0) ||
            (merge->to.data != NULL && bytes_compare(entry->key, merge->to) >= 0))
            return 0;
        int answer =
            entry->value.data != NULL ? merge->fn(merge->context, entry->key, entry->value) : 0;
        if (answer != 0)
            return answer;
    }
    return 0;
}

/* Whether the rest has a key, below which all entries were given. Only long keys may come in another order. */
static bool is_changed(const struct merge *merge, struct bytes key)
{
    if (key.size >= STATE_ORDERED_BYTES)
        return tail_runs_find(merge->walk.runs, key) != NULL;
    return merge->walk.entry != NULL && bytes_equal(merge->walk.entry->key, key);
}

static int give_stored(void *context, struct bytes key, struct bytes value)
{
    struct merge *merge = context;
    int answer = give_entries(merge, &key);
    if (answer != 0 || is_changed(merge, key))
        return answer;
    return merge->fn(merge->context, key, value);
}

int view_reader_scan(struct view_reader *reader, int32_t partition, struct bytes from,
                     struct bytes to,
                     int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                     struct diag *diag)
{
    TRY(view_reader_prepare(reader, partition, diag));
    const struct view_part *part = &reader->parts[partition].part;
    if (part->rest.count == 0)
        return part->state != NULL
                   ? told_lost(reader, state_reader_scan(part->state, from, to, fn, context, diag))
                   : 0;
    struct merge merge = {.to = to, .fn = fn, .context = context};
    tail_walk_begin(&merge.walk, &part->rest, from);
    int answer =
        part->state != NULL
            ? told_lost(reader, state_reader_scan(part->state, from, to, give_stored, &merge, diag))
            : 0;
    return answer != 0 ? answer : give_entries(&merge, NULL);
}
