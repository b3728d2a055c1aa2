/* json_decode.cc: JSON objects → columns of variants, only the asked fields.
 *
 * What costs time in JSON is finding where tokens begin. simdjson's stage 1 does that with vector
 * instructions for a whole buffer at once: it checks UTF-8, strings and control characters, and
 * leaves an array with the position of every token. This file copies the documents of a batch, each
 * followed by a line feed, window by window (128 KiB: stays in the second-level cache) into arena
 * memory and has each window indexed in one go; json_walk.c then reads the index, object by object.
 *
 * Why not the On-Demand front end with iterate_many on top of the same index. Measured on 200-byte
 * events of 7 fields, 2 of them asked (documents in one buffer, ns per event, one thread, walking
 * only):
 *
 *     iterate_many, find_field in document order: 50 (what json_parse_limit does)
 *
 *     iterate_many, iterating keys, raw memcmp: 55
 *
 *     stage 1, a cursor over the index: 34
 *
 * With the copy and the columns, json_decode takes 53 ns per 195-byte event where json_parse_limit
 * takes 43 to 54 (tests/bench/bench_decode.c): 6 for the copy, 14 for stage 1, the rest for the
 * walk and the values. On-Demand resets a document and a string buffer per document, skips with a
 * generic loop, and cannot say where a document ended without walking it twice. Here a window's
 * index is one array, so that bounds are checked by comparing positions, and a malformed document
 * costs its neighbours nothing: the cursor moves on to the first token of the next record.
 * docs/decisions/ has the long form.
 *
 * Only stage 1 looks at a window as a whole; when it reports an error (bad UTF-8, a control
 * character in a string, an unclosed string), the documents of that window are indexed one by one.
 * The verdict on a document is the same both ways: a line feed cannot be part of a string, so stage
 * 1 finds the same tokens, and the same code walks them.
 *
 * Relies on simdjson 3's dom_parser_implementation (stage1, structural_indexes: what both of its
 * front ends are built on), picked at run time for the machine's instruction set. Nothing here
 * throws. */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include <simdjson.h>

extern "C" {
#include "operators/json_decode.h"
#include "operators/json_token.h"
#include "operators/json_walk.h"
}

namespace
{

enum : uint32_t {
    WINDOW_BYTES = 128 << 10, /* documents that are indexed together; a larger document is alone */
    KEEP_BYTES = 4 << 20,     /* an index for larger documents is given back after the batch */
    PADDING_BYTES = 64,
};

} // namespace

struct json_decoder {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> index;
    struct json_walk walk;
    uint32_t path_count;
    uint32_t *same_as;       /* per path: the first equal path, whose column it shares */
    struct variant **values; /* per path */
    /* During a call: */
    struct reject_list *rejects;
    bool null_is_row;
    uint32_t starts[BATCH_ROWS]; /* of the window's documents, from its base */
};

namespace
{

/* Indexes [base, base + size), behind which a line feed stands. White space alone is an empty
 * index. */
simdjson::error_code index_tokens(struct json_decoder *d, const uint8_t *base, uint32_t size)
{
    simdjson::error_code error = simdjson::EMPTY;
    if (size > d->index->capacity()) {
        error = d->index->set_capacity(size);
        if (error)
            return error;
    }
    if (size > 0)
        error = d->index->stage1(base, size, simdjson::stage1_mode::regular);
    if (error == simdjson::EMPTY || size == 0) {
        d->index->structural_indexes[0] = d->index->structural_indexes[1] = size;
        d->index->n_structural_indexes = 0;
        return simdjson::SUCCESS;
    }
    return error;
}

/* Says in words, with a position, what stage 1 did not like about a document. */
__attribute__((cold)) void explain(struct json_decoder *d, struct bytes doc,
                                   simdjson::error_code error)
{
    d->walk.failure = {"json_malformed", simdjson::error_message(error), doc.data};
    if (error == simdjson::UTF8_ERROR) {
        d->walk.failure = {"json_utf8", "the bytes are not valid UTF-8",
                           doc.data + json_find_bad_utf8(doc.data, doc.size)};
    } else if (error == simdjson::UNESCAPED_CHARS) {
        d->walk.failure.reason = "a control character inside a string is not escaped";
        d->walk.failure.at += json_find_control(doc.data, doc.size);
    } else if (error == simdjson::UNCLOSED_STRING) {
        d->walk.failure.reason = "a string is not closed";
        d->walk.failure.at += json_find_unclosed(doc.data, doc.size);
    }
}

/* Adds d->walk.row, whose document failed, to the rejects; all its values become NULL. */
__attribute__((cold)) int reject_row(struct json_decoder *d, struct bytes doc)
{
    if (d->walk.out_of_memory)
        return ERR_NOMEM;
    for (uint32_t path = 0; path < d->path_count; path++)
        d->values[path][d->walk.row] = variant();
    struct walk_failure *f = &d->walk.failure;
    /* What is missing at a document's end shows at the first token of its neighbour, or, when it is
     * alone, behind its last byte. The verdict must not depend on the neighbour. */
    size_t at = static_cast<size_t>(f->at - doc.data);
    if (at >= doc.size)
        *f = {"json_malformed",
              f->reason == walk_empty_document ? walk_empty_document : "the document ends early",
              f->at};
    if (strcmp(f->error_class, "json_not_object") == 0)
        return reject_add(d->rejects, d->walk.row, f->error_class,
                          "the document is %s, not an object", f->reason);
    return reject_add(d->rejects, d->walk.row, f->error_class, "%s, at byte %zu of %zu", f->reason,
                      std::min(at, doc.size), doc.size);
}

int null_row(struct json_decoder *d, uint32_t row)
{
    return d->null_is_row ? 0
                          : reject_add(d->rejects, row, "value_null", "the record has no value");
}

/* Rows [first, last) of docs, copied to base + starts[…]; size bytes without the last line feed. */
struct window {
    const struct bytes *docs;
    const uint8_t *base;
    uint32_t first, last, size;
};

/* Documents one by one, each with an index of its own. */
int decode_singly(struct json_decoder *d, const struct window *w)
{
    for (d->walk.row = w->first; d->walk.row < w->last; d->walk.row++) {
        if (w->docs[d->walk.row].data == nullptr) {
            TRY(null_row(d, d->walk.row));
            continue;
        }
        struct bytes doc = bytes_of(w->base + d->starts[d->walk.row], w->docs[d->walk.row].size);
        uint32_t size = static_cast<uint32_t>(doc.size);
        simdjson::error_code error = index_tokens(d, doc.data, size);
        if (error == simdjson::MEMALLOC)
            return ERR_NOMEM;
        d->walk.base = doc.data;
        if (error)
            explain(d, doc, error);
        if (error || walk_document(&d->walk, d->index->structural_indexes.get(), size) == nullptr)
            TRY(reject_row(d, doc));
    }
    return 0;
}

/* All documents of a window with one index. */
int decode_window(struct json_decoder *d, const struct window *w)
{
    simdjson::error_code error = index_tokens(d, w->base, w->size);
    if (error == simdjson::MEMALLOC)
        return ERR_NOMEM;
    if (error)
        return decode_singly(d, w);
    walk_cursor x = d->index->structural_indexes.get(), behind = x + d->index->n_structural_indexes;
    d->walk.base = w->base;
    for (d->walk.row = w->first; d->walk.row < w->last; d->walk.row++) {
        if (w->docs[d->walk.row].data == nullptr) {
            TRY(null_row(d, d->walk.row));
            continue;
        }
        struct bytes doc = bytes_of(w->base + d->starts[d->walk.row], w->docs[d->walk.row].size);
        uint32_t end = d->starts[d->walk.row] + static_cast<uint32_t>(doc.size);
        walk_cursor next = walk_document(&d->walk, x, end);
        if (__builtin_expect(next == nullptr, 0)) {
            TRY(reject_row(d, doc));
            next = std::lower_bound(x, behind, end);
        }
        x = next;
    }
    return 0;
}

/* Copies documents from w->first on to w->base until the window is full; sets last and size.
 * Returns the bytes used. */
size_t fill_window(struct json_decoder *d, struct window *w, uint32_t count, uint8_t *base)
{
    uint32_t at = 0, row = w->first;
    while (row < count) {
        struct bytes doc = w->docs[row];
        if (at > 0 && at + doc.size >= WINDOW_BYTES)
            break;
        d->starts[row++] = at;
        if (doc.data == nullptr)
            continue;
        memcpy(base + at, doc.data, doc.size);
        at += static_cast<uint32_t>(doc.size);
        base[at++] = '\n';
    }
    w->base = base;
    w->last = row;
    w->size = at > 0 ? at - 1 : 0;
    return at;
}

int prepare_columns(struct json_decoder *d, uint32_t count, struct column *columns)
{
    for (uint32_t path = 0; path < d->path_count; path++) {
        if (d->same_as[path] == path) {
            TRY(column_alloc(&columns[path], COL_VARIANT, count, false, d->walk.arena));
            memset(columns[path].data, 0, count * sizeof(struct variant)); /* VARIANT_NULL */
        } else {
            columns[path] = columns[d->same_as[path]];
        }
        d->values[path] = columns[path].variant;
    }
    return 0;
}

} // namespace

int json_decode(struct json_decoder *d, const struct bytes *docs, uint32_t count, bool null_is_row,
                struct arena *arena, struct column *columns, struct reject_list *rejects)
{
    must(count <= BATCH_ROWS);
    size_t total = PADDING_BYTES;
    for (uint32_t row = 0; row < count; row++) {
        must(docs[row].size < INT32_MAX); /* a record's length is an int32 */
        total += docs[row].size + 1;
    }
    d->walk.arena = arena;
    d->walk.values = d->values;
    d->rejects = rejects;
    d->null_is_row = null_is_row;
    d->walk.out_of_memory = false;
    TRY(prepare_columns(d, count, columns));
    auto *buffer = static_cast<uint8_t *>(arena_alloc_aligned(arena, total, 64));
    if (buffer == nullptr)
        return ERR_NOMEM;
    memset(buffer + total - PADDING_BYTES, '\n', PADDING_BYTES);

    struct window w = {};
    w.docs = docs;
    int rc = 0;
    for (w.first = 0; w.first < count && rc == 0; w.first = w.last) {
        size_t used = fill_window(d, &w, count, buffer);
        rc = decode_window(d, &w);
        buffer += used;
    }
    if (d->index->capacity() > KEEP_BYTES && d->index->set_capacity(WINDOW_BYTES))
        return ERR_NOMEM;
    return rc;
}

int json_decoder_create(const struct field_path *const *paths, uint32_t path_count,
                        struct json_decoder **decoder, struct diag *diag)
{
    for (uint32_t i = 0; i < path_count; i++)
        if (paths[i]->count == 0 || paths[i]->count > std::size(paths[i]->parts))
            return diag_set(diag, ERR_INVALID, "a field path has %u parts", paths[i]->count);
    auto *d = new (std::nothrow) json_decoder();
    if (d == nullptr)
        return diag_set(diag, ERR_NOMEM, "no memory for a JSON decoder");
    d->path_count = path_count;
    d->same_as = static_cast<uint32_t *>(calloc(path_count + 1, sizeof(*d->same_as)));
    d->values = static_cast<struct variant **>(calloc(path_count + 1, sizeof(*d->values)));
    if (d->same_as == nullptr || d->values == nullptr ||
        walk_init(&d->walk, paths, path_count, d->same_as) < 0 ||
        simdjson::get_active_implementation()->create_dom_parser_implementation(
            WINDOW_BYTES, WALK_MAX_DEPTH, d->index)) {
        json_decoder_destroy(d);
        return diag_set(diag, ERR_NOMEM, "no memory for a JSON decoder of %u fields", path_count);
    }
    *decoder = d;
    return 0;
}

void json_decoder_destroy(struct json_decoder *d)
{
    if (d == nullptr)
        return;
    walk_deinit(&d->walk);
    free(d->same_as);
    free(d->values);
    delete d;
}
