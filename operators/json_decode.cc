/* json_decode.cc: JSON objects → columns of variants, only the asked fields.
 *
 * What costs time in JSON is finding where tokens begin. simdjson's stage 1 does that with vector
 * instructions for a whole buffer at once: it checks UTF-8, strings and control characters, and
 * leaves an array with the position of every token. This file copies the documents of a batch, each
 * followed by a line feed, window by window (128 KiB: stays in the second-level cache) into arena
 * memory, has each window indexed in one go, and walks the index with a cursor: object by object,
 * one forward pass.
 *
 * Why a cursor of our own and not the On-Demand front end with iterate_many on top of the same
 * index. Measured on 200-byte events of 7 fields, 2 of them asked (documents in one buffer, ns per
 * event, one thread):
 *
 *     iterate_many, find_field in document order, raw_json_token   50      the limit that
 * benchmarks are measured against iterate_many, iterating keys, raw memcmp                     55
 *     stage 1, cursor over the index                               34
 *
 * With the copy and the columns, json_decode takes 51 ns per 195-byte event where json_parse_limit
 * takes 43 to 54 (tests/bench/bench_decode.c): 6 for the copy, 14 for stage 1, the rest for the
 * walk and the values.
 *
 * On-Demand resets a document and a string buffer per document, skips with a generic loop, and
 * cannot say where a document ended without walking it twice. Here the window's index is one array,
 * so that the bounds of a document are two comparisons: its first token is the first one at or
 * behind the record's start, its closing brace lies before the record's end, and the next token
 * does not. A malformed document costs its neighbours nothing: the cursor moves on to the first
 * token of the next record. Only stage 1 looks at a window as a whole; when it reports an error
 * (bad UTF-8, a control character in a string, an unclosed string), the documents of that window
 * are indexed one by one. The verdict on a document is the same both ways: a line feed cannot be
 * part of a string, so stage 1 finds the same tokens, and the same cursor walks them.
 *
 * What is checked: the structure of the object (keys, colons, commas, braces) always; values that
 * nothing asks for only as far as they must be skipped, so a nested one for balanced brackets and
 * depth; values that are asked for completely, also inside a nested one, because it may leave again
 * as raw JSON.
 *
 * Keys: the asked paths form a trie. Objects of one topic nearly always list the same keys in the
 * same order, so each trie node remembers the raw text of the key that it saw at each place and
 * what it led to; comparing 8 to 32 bytes with that settles most fields, asked or not. A key that
 * differs is looked up (unescaped, when it has a backslash) and remembered instead. The memory is
 * only a cache: any order is read correctly. The first of duplicate keys wins; a stamp per node
 * tells that it was seen.
 *
 * The cursor never needs to ask whether the index has ended: behind the last token stage 1 leaves
 * two positions at the window's end, where a line feed stands, which no rule accepts.
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
}

namespace
{

enum : uint32_t {
    WINDOW_BYTES = 128 << 10, /* documents that are indexed together; a larger document is alone */
    KEEP_BYTES = 4 << 20,     /* an index for larger documents is given back after the batch */
    PADDING_BYTES = 64,
    MAX_DEPTH = 1024, /* of nested objects and arrays, the document itself included */
    KNOWN_KEYS = 32,  /* places of an object whose keys are remembered */
    KNOWN_WORDS = 4,
};

/* The raw text of a key with its closing quote, up to 32 bytes, as words with masks. */
struct known_key {
    uint64_t word[KNOWN_WORDS], mask[KNOWN_WORDS];
    int32_t child; /* node index, or −1: nothing asks for it */
};

/* One part of an asked path. */
struct node {
    char *key; /* owned */
    uint32_t key_size;
    int32_t first_child, next_sibling; /* node indexes, −1: none */
    int32_t column;                    /* that takes the value, −1: only a step of longer paths */
    uint64_t stamp;                    /* of the document in which it was last seen */
    struct known_key *known;           /* KNOWN_KEYS of them, in nodes with children */
};

struct failure {
    const char *error_class, *reason;
    const uint8_t *at;
};

} // namespace

struct json_decoder {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> index;
    struct node *nodes; /* nodes[0] is the root */
    uint32_t node_count;
    uint32_t path_count;
    uint32_t *same_as; /* per path: the first equal path, whose column it shares */
    uint64_t stamp;    /* of the current document */
    /* During a call: */
    struct arena *arena;
    struct reject_list *rejects;
    bool null_is_row, out_of_memory;
    struct variant **values; /* per path */
    uint32_t row;
    const uint8_t *base; /* of the window */
    struct failure failure;
    uint32_t starts[BATCH_ROWS]; /* of the window's documents, from base */
};

namespace
{

/* ---- paths ---- */

int32_t node_child(const struct json_decoder *d, const struct node *parent, const void *key,
                   size_t size)
{
    int32_t child = parent->first_child;
    for (; child >= 0; child = d->nodes[child].next_sibling)
        if (d->nodes[child].key_size == size && memcmp(d->nodes[child].key, key, size) == 0)
            break;
    return child;
}

/* Makes room for what a node with children will remember. */
bool forget_known(struct node *node)
{
    if (node->known != nullptr)
        return true;
    node->known = static_cast<struct known_key *>(calloc(KNOWN_KEYS, sizeof(*node->known)));
    if (node->known == nullptr)
        return false;
    for (uint32_t i = 0; i < KNOWN_KEYS; i++)
        node->known[i].mask[0] =
            UINT64_MAX; /* matches only eight NUL bytes, which stage 1 refuses */
    return true;
}

/* The child of nodes[parent] for a part, made when it is new; −1: no memory. */
int32_t node_add(struct json_decoder *d, int32_t parent, const char *part)
{
    size_t size = strlen(part);
    int32_t child = node_child(d, &d->nodes[parent], part, size);
    if (child >= 0)
        return child;
    char *key = strdup(part);
    if (key == nullptr || !forget_known(&d->nodes[parent])) {
        free(key);
        return -1;
    }
    child = static_cast<int32_t>(d->node_count++);
    struct node *added = &d->nodes[child];
    added->key = key;
    added->key_size = static_cast<uint32_t>(size);
    added->first_child = -1;
    added->column = -1;
    added->next_sibling = d->nodes[parent].first_child;
    d->nodes[parent].first_child = child;
    return child;
}

bool add_path(struct json_decoder *d, const struct field_path *path, uint32_t column)
{
    int32_t at = 0;
    for (uint32_t i = 0; i < path->count; i++) {
        at = node_add(d, at, path->parts[i]);
        if (at < 0)
            return false;
    }
    struct node *leaf = &d->nodes[at];
    if (leaf->column < 0)
        leaf->column = static_cast<int32_t>(column);
    d->same_as[column] = static_cast<uint32_t>(leaf->column);
    return true;
}

/* ---- the cursor ----
 *
 * A cursor is a pointer into the index; base[*x] is the first byte of the token. Functions that
 * read something take the cursor at its first token and return it behind its last, or NULL with
 * d->failure filled. */

typedef const uint32_t *cursor;

const char empty_document[] = "the document is empty";

__attribute__((cold, noinline)) cursor fail(struct json_decoder *d, const char *error_class,
                                            const char *reason, cursor x)
{
    d->failure = {error_class, reason, d->base + *x};
    return nullptr;
}

__attribute__((cold, noinline)) cursor malformed(struct json_decoder *d, const char *reason,
                                                 cursor x)
{
    return fail(d, "json_malformed", reason, x);
}

cursor too_deep(struct json_decoder *d, cursor x)
{
    return fail(d, "json_too_deep", "more than 1024 nested objects and arrays", x);
}

cursor no_memory(struct json_decoder *d)
{
    d->out_of_memory = true;
    return nullptr;
}

/* What a token's first byte can be. */
enum token_class : uint8_t { TOKEN_SCALAR, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_OTHER };

struct token_table {
    uint8_t of[256];
    constexpr token_table() : of()
    {
        of[static_cast<uint8_t>('{')] = of[static_cast<uint8_t>('[')] = TOKEN_OPEN;
        of[static_cast<uint8_t>('}')] = of[static_cast<uint8_t>(']')] = TOKEN_CLOSE;
        of[static_cast<uint8_t>(',')] = of[static_cast<uint8_t>(':')] = TOKEN_OTHER;
        of[static_cast<uint8_t>('\n')] = TOKEN_OTHER; /* the end of the index */
    }
};
constexpr token_table tokens;

/* Steps over the object or array at x without looking inside, except for brackets. It ends before
 * `end`. */
cursor skip_nested(struct json_decoder *d, cursor x, uint32_t end)
{
    const uint8_t *base = d->base;
    uint32_t depth = 1; /* the document */
    do {
        if (*x >= end)
            return malformed(d, "an object or array is not closed", x);
        uint8_t kind = tokens.of[base[*x]];
        depth += kind == TOKEN_OPEN;
        depth -= kind == TOKEN_CLOSE;
        if (depth > MAX_DEPTH)
            return too_deep(d, x);
        x++;
    } while (depth > 1);
    return x;
}

inline cursor skip_value(struct json_decoder *d, cursor x, uint32_t end)
{
    uint8_t kind = tokens.of[d->base[*x]];
    if (__builtin_expect(kind == TOKEN_SCALAR, 1))
        return x + 1;
    if (kind == TOKEN_OPEN)
        return skip_nested(d, x, end);
    return malformed(d, "a value is missing", x);
}

/* The inside of the string token at x. Between its closing quote and the next token there is only
 * white space. */
inline struct bytes string_inside(const uint8_t *base, cursor x)
{
    const uint8_t *first = base + x[0] + 1, *quote = base + x[1] - 1;
    while (*quote != '"')
        quote--;
    return bytes_of(first, static_cast<size_t>(quote - first));
}

inline cursor take_text(struct json_decoder *d, cursor x, struct variant *value)
{
    struct bytes text = string_inside(d->base, x);
    value->data = text.data;
    value->size = static_cast<uint32_t>(text.size);
    value->kind = VARIANT_TEXT;
    if (__builtin_expect(memchr(text.data, '\\', text.size) != nullptr, 0)) {
        auto *out = static_cast<uint8_t *>(arena_alloc_aligned(d->arena, text.size, 1));
        if (out == nullptr)
            return no_memory(d);
        ptrdiff_t size = json_unescape(text.data, text.size, out);
        if (size < 0)
            return malformed(d, "a string has an invalid escape", x);
        value->data = out;
        value->size = static_cast<uint32_t>(size);
    }
    return x + 1;
}

inline cursor take_literal(struct json_decoder *d, cursor x, struct variant *value)
{
    static const struct {
        const char *text;
        uint8_t size, kind;
    } literals[] = {
        {"null", 4, VARIANT_NULL}, {"true", 4, VARIANT_TRUE}, {"false", 5, VARIANT_FALSE}};
    const uint8_t *token = d->base + *x;
    for (auto &literal : literals)
        if (memcmp(token, literal.text, literal.size) == 0 &&
            json_is_delimiter(token[literal.size])) {
            value->kind = literal.kind;
            return x + 1;
        }
    if (*token == '+' || *token == '.')
        return fail(d, "json_number", "a number does not follow JSON's grammar", x);
    if (tokens.of[*token] != TOKEN_SCALAR)
        return malformed(d, "a value is missing", x);
    return malformed(d, "a value is neither string, number, true, false nor null", x);
}

/* Any value but an object or array. */
inline cursor take_scalar(struct json_decoder *d, cursor x, struct variant *value)
{
    uint8_t first = d->base[*x];
    if (first == '"')
        return take_text(d, x, value);
    if (static_cast<uint8_t>(first - '0') < 10 || first == '-') {
        if (!json_number_take(d->base + *x, value))
            return fail(d, "json_number", "a number does not follow JSON's grammar", x);
        return x + 1;
    }
    return take_literal(d, x, value);
}

/* Like take_scalar, for values inside of raw JSON: only checks. */
cursor check_scalar(struct json_decoder *d, cursor x)
{
    struct variant unused;
    if (d->base[*x] != '"')
        return take_scalar(d, x, &unused);
    struct bytes text = string_inside(d->base, x);
    if (json_unescape(text.data, text.size, nullptr) < 0)
        return malformed(d, "a string has an invalid escape", x);
    return x + 1;
}

/* "key": */
cursor check_key(struct json_decoder *d, cursor x)
{
    if (d->base[*x] != '"')
        return malformed(d, "an object's key is missing", x);
    if (check_scalar(d, x) == nullptr)
        return nullptr;
    if (d->base[x[1]] != ':')
        return malformed(d, "a colon is missing after a key", x + 1);
    return x + 2;
}

/* Checks the object or array at x completely. */
cursor check_nested(struct json_decoder *d, cursor x, uint32_t end)
{
    const uint8_t *base = d->base;
    uint8_t closer[MAX_DEPTH];
    uint32_t depth = 0;
    for (;;) { /* a value starts at x */
        uint8_t first = base[*x];
        if (*x >= end)
            return malformed(d, "an object or array is not closed", x);
        if (tokens.of[first] == TOKEN_OPEN) {
            if (depth == MAX_DEPTH - 1)
                return too_deep(d, x);
            closer[depth++] = first == '{' ? '}' : ']';
            x++;
            if (base[*x] != closer[depth - 1]) {
                if (first == '{' && (x = check_key(d, x)) == nullptr)
                    return nullptr;
                continue;
            }
        } else if ((x = check_scalar(d, x)) == nullptr) {
            return nullptr;
        }
        /* A value is complete: what ends here is closed, then a comma leads to the next one. */
        while (depth > 0 && *x < end && base[*x] == closer[depth - 1]) {
            x++;
            depth--;
        }
        if (depth == 0)
            return x;
        if (*x >= end || base[*x] != ',')
            return malformed(d, "a comma or closing bracket is missing after a value", x);
        x++;
        if (closer[depth - 1] == '}' && (x = check_key(d, x)) == nullptr)
            return nullptr;
    }
}

inline bool known_matches(const struct known_key *known, const uint8_t *key)
{
    uint64_t word[KNOWN_WORDS];
    memcpy(word, key, 16);
    if ((((word[0] ^ known->word[0]) & known->mask[0]) |
         ((word[1] ^ known->word[1]) & known->mask[1])) != 0)
        return false;
    if (__builtin_expect(known->mask[2] == 0, 1))
        return true;
    memcpy(word + 2, key + 16, 16);
    return (((word[2] ^ known->word[2]) & known->mask[2]) |
            ((word[3] ^ known->word[3]) & known->mask[3])) == 0;
}

/* Remembers that the raw key, whose inside has `size` bytes, led to child. */
void known_remember(struct known_key *known, const uint8_t *key, size_t size, int32_t child)
{
    uint8_t text[KNOWN_WORDS * 8] = {0}, mask[KNOWN_WORDS * 8] = {0};
    if (size + 1 > sizeof(text))
        return;
    memcpy(text, key, size + 1);
    memset(mask, 0xFF, size + 1);
    memcpy(known->word, text, sizeof(text));
    memcpy(known->mask, mask, sizeof(mask));
    known->child = child;
}

enum : int32_t { KEY_UNASKED = -1, KEY_FAILED = -2 };

/* Which child the key at x leads to, when its place has seen another key before. */
__attribute__((noinline)) int32_t find_child(struct json_decoder *d, const struct node *parent,
                                             uint32_t place, cursor x, uint32_t end)
{
    struct bytes raw = string_inside(d->base, x), key = raw;
    if (memchr(raw.data, '\\', raw.size) != nullptr) {
        auto *out = static_cast<uint8_t *>(arena_alloc_aligned(d->arena, raw.size, 1));
        if (out == nullptr) {
            d->out_of_memory = true;
            return KEY_FAILED;
        }
        ptrdiff_t size = json_unescape(raw.data, raw.size, out);
        if (size < 0) {
            /* When the colon was a neighbour's, that is what is wrong first. */
            malformed(d, "a key has an invalid escape", x[1] < end ? x : x + 1);
            return KEY_FAILED;
        }
        key = bytes_of(out, static_cast<size_t>(size));
    }
    int32_t child = node_child(d, parent, key.data, key.size);
    if (place < KNOWN_KEYS)
        known_remember(&parent->known[place], raw.data, raw.size, child);
    return child;
}

cursor walk_object(struct json_decoder *d, const struct node *node, cursor x, uint32_t end);

/* The object or array at x, which something asks for: as raw JSON, or fields inside it. */
cursor take_nested(struct json_decoder *d, const struct node *node, cursor x, uint32_t end)
{
    cursor behind = nullptr;
    if (node->column >= 0) {
        behind = check_nested(d, x, end);
        if (behind == nullptr)
            return nullptr;
        struct variant *value = &d->values[node->column][d->row];
        value->data = d->base + *x;
        value->size = behind[-1] + 1 - *x;
        value->kind = VARIANT_JSON;
    }
    if (node->first_child >= 0 && d->base[*x] == '{')
        return walk_object(d, node, x, end);
    return behind != nullptr ? behind : skip_nested(d, x, end);
}

inline cursor take_value(struct json_decoder *d, struct node *node, cursor x, uint32_t end)
{
    node->stamp = d->stamp;
    if (tokens.of[d->base[*x]] == TOKEN_OPEN)
        return take_nested(d, node, x, end);
    if (node->column < 0)
        return skip_value(d, x, end);
    return take_scalar(d, x, &d->values[node->column][d->row]);
}

/* The object whose opening brace is at x. */
cursor walk_object(struct json_decoder *d, const struct node *node, cursor x, uint32_t end)
{
    const uint8_t *base = d->base;
    x++;
    if (base[*x] == '}')
        return x + 1;
    for (uint32_t place = 0;; place++) {
        const uint8_t *quote = base + *x;
        if (__builtin_expect(*quote != '"', 0))
            return malformed(d, "an object's key is missing", x);
        if (__builtin_expect(base[x[1]] != ':', 0))
            return malformed(d, "a colon is missing after a key", x + 1);
        int32_t child;
        if (__builtin_expect(place < KNOWN_KEYS && known_matches(&node->known[place], quote + 1),
                             1)) {
            child = node->known[place].child;
        } else {
            child = find_child(d, node, place, x, end);
            if (child == KEY_FAILED)
                return nullptr;
        }
        x += 2;
        if (child >= 0 && d->nodes[child].stamp != d->stamp)
            x = take_value(d, &d->nodes[child], x, end);
        else
            x = skip_value(d, x, end);
        if (__builtin_expect(x == nullptr, 0))
            return nullptr;
        uint8_t after = base[*x++];
        if (after == ',')
            continue;
        if (__builtin_expect(after == '}', 1))
            return x;
        return malformed(d, "a comma or closing brace is missing after a value", x - 1);
    }
}

/* ---- documents ---- */

/* A document that does not start with a brace. */
__attribute__((cold)) cursor not_an_object(struct json_decoder *d, cursor x, uint32_t end)
{
    struct variant unused = {};
    const char *type = "an array";
    if (d->base[*x] == '[') {
        cursor behind = skip_nested(d, x, end);
        if (behind == nullptr)
            return nullptr;
    } else {
        cursor behind = check_scalar(d, x);
        if (behind == nullptr)
            return nullptr;
        if (d->base[*x] == '"')
            type = "a string";
        else if (static_cast<uint8_t>(d->base[*x] - '0') < 10 || d->base[*x] == '-')
            type = "a number";
        else
            type =
                take_literal(d, x, &unused) && unused.kind == VARIANT_NULL ? "null" : "a boolean";
    }
    d->failure = {"json_not_object", type, d->base + *x};
    return nullptr;
}

/* The document that ends before `end`; x is its first token. Returns the cursor at the first token
 * of the next one. */
inline cursor walk_document(struct json_decoder *d, cursor x, uint32_t end)
{
    if (__builtin_expect(*x >= end, 0))
        return malformed(d, empty_document, x);
    if (__builtin_expect(d->base[*x] != '{', 0))
        return not_an_object(d, x, end);
    d->stamp++;
    x = walk_object(d, &d->nodes[0], x, end);
    if (__builtin_expect(x == nullptr, 0))
        return nullptr;
    if (__builtin_expect(x[-1] >= end, 0))
        return malformed(d, "an object or array is not closed", x - 1);
    if (__builtin_expect(*x < end, 0))
        return malformed(d, "something follows the document", x);
    return x;
}

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
    d->failure = {"json_malformed", simdjson::error_message(error), doc.data};
    if (error == simdjson::UTF8_ERROR) {
        d->failure = {"json_utf8", "the bytes are not valid UTF-8",
                      doc.data + json_find_bad_utf8(doc.data, doc.size)};
    } else if (error == simdjson::UNESCAPED_CHARS) {
        d->failure.reason = "a control character inside a string is not escaped";
        d->failure.at += json_find_control(doc.data, doc.size);
    } else if (error == simdjson::UNCLOSED_STRING) {
        d->failure.reason = "a string is not closed";
        d->failure.at += json_find_unclosed(doc.data, doc.size);
    }
}

/* Adds d->row, whose document failed, to the rejects; all its values become NULL. */
__attribute__((cold)) int reject_row(struct json_decoder *d, struct bytes doc)
{
    if (d->out_of_memory)
        return ERR_NOMEM;
    for (uint32_t path = 0; path < d->path_count; path++)
        d->values[path][d->row] = variant();
    struct failure *f = &d->failure;
    /* What is missing at a document's end shows at the first token of its neighbour, or, when it is
     * alone, behind its last byte. The verdict must not depend on the neighbour. */
    size_t at = static_cast<size_t>(f->at - doc.data);
    if (at >= doc.size)
        *f = {"json_malformed",
              f->reason == empty_document ? empty_document : "the document ends early", f->at};
    if (strcmp(f->error_class, "json_not_object") == 0)
        return reject_add(d->rejects, d->row, f->error_class, "the document is %s, not an object",
                          f->reason);
    return reject_add(d->rejects, d->row, f->error_class, "%s, at byte %zu of %zu", f->reason,
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
    for (d->row = w->first; d->row < w->last; d->row++) {
        if (w->docs[d->row].data == nullptr) {
            TRY(null_row(d, d->row));
            continue;
        }
        struct bytes doc = bytes_of(w->base + d->starts[d->row], w->docs[d->row].size);
        uint32_t size = static_cast<uint32_t>(doc.size);
        simdjson::error_code error = index_tokens(d, doc.data, size);
        if (error == simdjson::MEMALLOC)
            return ERR_NOMEM;
        d->base = doc.data;
        if (error)
            explain(d, doc, error);
        if (error || walk_document(d, d->index->structural_indexes.get(), size) == nullptr)
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
    cursor x = d->index->structural_indexes.get(), behind = x + d->index->n_structural_indexes;
    d->base = w->base;
    for (d->row = w->first; d->row < w->last; d->row++) {
        if (w->docs[d->row].data == nullptr) {
            TRY(null_row(d, d->row));
            continue;
        }
        struct bytes doc = bytes_of(w->base + d->starts[d->row], w->docs[d->row].size);
        uint32_t end = d->starts[d->row] + static_cast<uint32_t>(doc.size);
        cursor next = walk_document(d, x, end);
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
            TRY(column_alloc(&columns[path], COL_VARIANT, count, false, d->arena));
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
    d->arena = arena;
    d->rejects = rejects;
    d->null_is_row = null_is_row;
    d->out_of_memory = false;
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
    size_t node_count = 1;
    for (uint32_t i = 0; i < path_count; i++) {
        if (paths[i]->count == 0 || paths[i]->count > std::size(paths[i]->parts))
            return diag_set(diag, ERR_INVALID, "a field path has %u parts", paths[i]->count);
        node_count += paths[i]->count;
    }
    auto *d = new (std::nothrow) json_decoder();
    if (d == nullptr)
        return diag_set(diag, ERR_NOMEM, "no memory for a JSON decoder");
    d->path_count = path_count;
    d->nodes = static_cast<struct node *>(calloc(node_count, sizeof(*d->nodes)));
    d->same_as = static_cast<uint32_t *>(calloc(path_count + 1, sizeof(*d->same_as)));
    d->values = static_cast<struct variant **>(calloc(path_count + 1, sizeof(*d->values)));
    bool complete = d->nodes != nullptr && d->same_as != nullptr && d->values != nullptr;
    if (complete) {
        d->node_count = 1;
        d->nodes[0].first_child = d->nodes[0].next_sibling = d->nodes[0].column = -1;
        complete = forget_known(&d->nodes[0]) &&
                   !simdjson::get_active_implementation()->create_dom_parser_implementation(
                       WINDOW_BYTES, MAX_DEPTH, d->index);
    }
    for (uint32_t i = 0; i < path_count && complete; i++)
        complete = add_path(d, paths[i], i);
    if (!complete) {
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
    for (uint32_t i = 0; i < d->node_count; i++) {
        free(d->nodes[i].key);
        free(d->nodes[i].known);
    }
    free(d->nodes);
    free(d->same_as);
    free(d->values);
    delete d;
}
