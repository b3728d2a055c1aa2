/* kafka_list_transactions.c: ListTransactions (key 66, versions 0 and 1): the transactional ids of clients.
 *
 *   request   states [text] (none: all), producer ids [i64] (none: all), v1+: open for at least i64 ms (negative: any), tags
 *   response  throttle time i32, error i16, unknown states [text], states {transactional id, producer id i64, state, tags}, tags
 *
 * The names come out of meta in one go, and each is then looked at: a name that has gone in between is left out. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"
#include "runtime/base/clock.h"

#include <stdlib.h>

static const char *const known_states[] = {
    "Empty",          "Ongoing",       "PrepareCommit",     "PrepareAbort",
    "CompleteCommit", "CompleteAbort", "PrepareEpochFence", "Dead"};
enum { KNOWN_STATES = sizeof known_states / sizeof *known_states };

struct listing {
    struct kafka_request *request;
    struct wire_reader states; /* where they begin */
    int32_t state_count;       /* 0: all pass */
    uint32_t known_asked;      /* bits: indexes of known_states */
    int64_t *ids;              /* sorted */
    int32_t id_count;          /* 0: all pass */
    int64_t duration_ms;
    struct buf names; /* without the prefix, with their zero bytes */
};

/* KNOWN_STATES: it is none. */
static int index_of_state(struct bytes text)
{
    int i = 0;
    while (i < KNOWN_STATES && !bytes_equal(text, bytes_text(known_states[i])))
        i++;
    return i;
}

static bool state_matches(const struct listing *listing, const char *state)
{
    return listing->state_count == 0 ||
           (listing->known_asked >> index_of_state(bytes_text(state)) & 1) != 0;
}

static int compare_ids(const void *left, const void *right)
{
    int64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static bool id_matches(const struct listing *listing, int64_t producer_id)
{
    return listing->id_count == 0 || bsearch(&producer_id, listing->ids, (size_t)listing->id_count,
                                             sizeof producer_id, compare_ids) != NULL;
}

static bool is_long_enough(const struct listing *listing, const struct kafka_txn_view *view)
{
    if (listing->duration_ms < 0)
        return true;
    return view->began_ms >= 0 && clock_wall_ms() - view->began_ms >= listing->duration_ms;
}

static int collect(void *context, const char *transactional_id,
                   const struct producer_record *record)
{
    struct listing *listing = context;
    const char *name = transactional_id + strlen(CLIENT_TRANSACTIONAL_ID);
    (void)record;
    buf_append(&listing->names, name, strlen(name) + 1);
    return buf_ok(&listing->names) ? 0 : ERR_NOMEM;
}

static void write_unknown_states(struct listing *listing)
{
    struct wire_writer *w = &listing->request->writer;
    for (int pass = 0; pass < 2; pass++) {
        struct wire_reader in = listing->states;
        int32_t count = wire_read_array(&in, 1), unknown = 0;
        for (int32_t i = 0; i < count; i++) {
            struct bytes text = wire_read_string(&in);
            if (index_of_state(text) < KNOWN_STATES)
                continue;
            unknown++;
            if (pass == 1)
                wire_write_string(w, text);
        }
        if (pass == 0)
            wire_write_array(w, unknown);
    }
}

/* Writes those that match to entries. */
static int32_t list(struct listing *listing, struct wire_writer *entries)
{
    int32_t count = 0;
    for (size_t at = 0; at < listing->names.size;) {
        const char *name = (const char *)listing->names.data + at;
        struct kafka_txn_view view;
        at += strlen(name) + 1;
        if (kafka_txn_look(listing->request, bytes_text(name), &view) != KAFKA_NONE)
            continue;
        free(view.partitions);
        if (!state_matches(listing, view.state) || !id_matches(listing, view.producer_id) ||
            !is_long_enough(listing, &view))
            continue;
        wire_write_text(entries, name);
        wire_write_i64(entries, view.producer_id);
        wire_write_text(entries, view.state);
        wire_write_tags(entries);
        count++;
    }
    return count;
}

static bool read_ids(struct listing *listing)
{
    struct wire_reader *in = &listing->request->in;
    int32_t count = wire_read_array(in, sizeof(int64_t));
    listing->ids =
        arena_alloc(&listing->request->arena, ((size_t)count + 1) * sizeof *listing->ids);
    if (listing->ids == NULL) {
        wire_read_fail(in, "no memory");
        return false;
    }
    for (int32_t i = 0; i < count; i++)
        listing->ids[i] = wire_read_i64(in);
    listing->id_count = count;
    qsort(listing->ids, (size_t)count, sizeof *listing->ids, compare_ids);
    return true;
}

/* The filters are taken apart here, once, and not for each transaction: there may be a million words. */
static bool read_request(struct listing *listing)
{
    struct wire_reader *in = &listing->request->in;
    listing->states = *in;
    listing->state_count = wire_read_array(in, 1);
    for (int32_t i = 0; i < listing->state_count; i++)
        listing->known_asked |= UINT32_C(1) << index_of_state(wire_read_string(in));
    listing->known_asked &= (UINT32_C(1) << KNOWN_STATES) - 1;
    if (!read_ids(listing))
        return false;
    if (listing->request->version >= 1)
        listing->duration_ms = wire_read_i64(in);
    wire_read_tags(in);
    return wire_read_ok(in);
}

enum kafka_result kafka_handle_list_transactions(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct listing listing = {.request = request, .duration_ms = -1};
    struct buf entries = {.limit = KAFKA_RESPONSE_BYTES};
    struct wire_writer to_entries = {&entries, w->flexible};
    if (!read_request(&listing))
        return KAFKA_CLOSE;
    int code = producer_each(request->log, CLIENT_TRANSACTIONAL_ID, collect, &listing, NULL);
    int32_t count = code == 0 ? list(&listing, &to_entries) : 0;
    wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)kafka_txn_error_of(request, code));
    write_unknown_states(&listing);
    wire_write_array(w, count);
    buf_append(&request->out, entries.data, entries.size);
    wire_write_tags(w);
    bool fits = buf_ok(&entries);
    buf_deinit(&entries);
    buf_deinit(&listing.names);
    if (!fits)
        request->reason = "the response is too large";
    return fits ? KAFKA_ANSWER : KAFKA_CLOSE;
}
