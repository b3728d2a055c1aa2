/* json_walk.c: one forward pass over the tokens of a JSON object, for the asked fields only.
 *
 * The index is an array with the position of every token of a window of documents, as simdjson's
 * stage 1 leaves it; a cursor is a pointer into it, and base[*cursor] the token's first byte. What
 * is checked: the structure of the object (keys, colons, commas, braces) always; values that
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
 * The bounds of a document are two comparisons: its closing brace lies before its end, and the next
 * token does not. Functions may look at a neighbour's tokens before that is known; what they find
 * there is a failure at a position behind the end, which the caller reports as a document that ends
 * early, so that the verdict never depends on the neighbour.
 *
 * The cursor never needs to ask whether the index has ended: behind the last token stage 1 leaves
 * two positions at the window's end, where a line feed stands, which no rule accepts. Strings have
 * a closing quote and valid UTF-8, since stage 1 says so. */
#include "operators/json_walk.h"

#include <stdlib.h>

#include "operators/json_token.h"

enum { KNOWN_KEYS = 32 /* places of an object whose keys are remembered */, KNOWN_WORDS = 4 };

/* The raw text of a key with its closing quote, up to 32 bytes, as words with masks. */
struct known_key {
    uint64_t word[KNOWN_WORDS], mask[KNOWN_WORDS];
    int32_t child; /* node index, or −1: nothing asks for it */
};

/* One part of an asked path. */
struct walk_node {
    char *key; /* owned */
    uint32_t key_size;
    int32_t first_child, next_sibling; /* node indexes, −1: none */
    int32_t column;                    /* that takes the value, −1: only a step of longer paths */
    uint64_t stamp;                    /* of the document in which it was last seen */
    struct known_key *known;           /* KNOWN_KEYS of them, in nodes with children */
};

const char walk_empty_document[] = "the document is empty";

/* ---- paths ---- */

static int32_t node_child(const struct json_walk *walk, const struct walk_node *parent,
                          const void *key, size_t size)
{
    int32_t child = parent->first_child;
    for (; child >= 0; child = walk->nodes[child].next_sibling)
        if (walk->nodes[child].key_size == size && memcmp(walk->nodes[child].key, key, size) == 0)
            break;
    return child;
}

/* Makes room for what a node with children will remember. */
static bool forget_known(struct walk_node *node)
{
    if (node->known != NULL)
        return true;
    node->known = calloc(KNOWN_KEYS, sizeof(*node->known));
    if (node->known == NULL)
        return false;
    /* At first a place matches only eight NUL bytes, which stage 1 refuses. */
    for (uint32_t i = 0; i < KNOWN_KEYS; i++)
        node->known[i].mask[0] = UINT64_MAX;
    return true;
}

/* The child of nodes[parent] for a part, made when it is new; −1: no memory. */
static int32_t node_add(struct json_walk *walk, int32_t parent, const char *part)
{
    size_t size = strlen(part);
    int32_t child = node_child(walk, &walk->nodes[parent], part, size);
    if (child >= 0)
        return child;
    char *key = strdup(part);
    if (key == NULL || !forget_known(&walk->nodes[parent])) {
        free(key);
        return -1;
    }
    child = (int32_t)walk->node_count++;
    struct walk_node *added = &walk->nodes[child];
    added->key = key;
    added->key_size = (uint32_t)size;
    added->first_child = -1;
    added->column = -1;
    added->next_sibling = walk->nodes[parent].first_child;
    walk->nodes[parent].first_child = child;
    return child;
}

/* *same_as receives the first equal path, whose column this one shares. */
static bool add_path(struct json_walk *walk, const struct field_path *path, uint32_t column,
                     uint32_t *same_as)
{
    int32_t at = 0;
    for (uint32_t i = 0; i < path->count; i++) {
        at = node_add(walk, at, path->parts[i]);
        if (at < 0)
            return false;
    }
    struct walk_node *leaf = &walk->nodes[at];
    if (leaf->column < 0)
        leaf->column = (int32_t)column;
    *same_as = (uint32_t)leaf->column;
    return true;
}

int walk_init(struct json_walk *walk, const struct field_path *const *paths, uint32_t path_count,
              uint32_t *same_as)
{
    size_t room = 1;
    for (uint32_t i = 0; i < path_count; i++)
        room += paths[i]->count;
    *walk = (struct json_walk){0};
    walk->nodes = calloc(room, sizeof(*walk->nodes));
    if (walk->nodes == NULL)
        return ERR_NOMEM;
    walk->node_count = 1;
    walk->nodes[0].first_child = walk->nodes[0].next_sibling = walk->nodes[0].column = -1;
    bool complete = forget_known(&walk->nodes[0]);
    for (uint32_t i = 0; i < path_count && complete; i++)
        complete = add_path(walk, paths[i], i, &same_as[i]);
    return complete ? 0 : ERR_NOMEM;
}

void walk_deinit(struct json_walk *walk)
{
    for (uint32_t i = 0; i < walk->node_count; i++) {
        free(walk->nodes[i].key);
        free(walk->nodes[i].known);
    }
    free(walk->nodes);
}

/* ---- the cursor ----
 *
 * A cursor is a pointer into the index; base[*x] is the first byte of the token. Functions that
 * read something take the cursor at its first token and return it behind its last, or NULL with
 * walk->failure filled. */

static __attribute__((cold, noinline)) walk_cursor
fail(struct json_walk *walk, const char *error_class, const char *reason, walk_cursor x)
{
    walk->failure = (struct walk_failure){error_class, reason, walk->base + *x};
    return NULL;
}

static __attribute__((cold, noinline)) walk_cursor malformed(struct json_walk *walk,
                                                             const char *reason, walk_cursor x)
{
    return fail(walk, "json_malformed", reason, x);
}

static walk_cursor too_deep(struct json_walk *walk, walk_cursor x)
{
    return fail(walk, "json_too_deep", "more than 1024 nested objects and arrays", x);
}

static walk_cursor no_memory(struct json_walk *walk)
{
    walk->out_of_memory = true;
    return NULL;
}

/* What a token's first byte can be. */
enum token_class { TOKEN_SCALAR = 0, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_OTHER };

static const uint8_t token_class[256] = {
    ['{'] = TOKEN_OPEN,  ['['] = TOKEN_OPEN,  ['}'] = TOKEN_CLOSE,  [']'] = TOKEN_CLOSE,
    [','] = TOKEN_OTHER, [':'] = TOKEN_OTHER, ['\n'] = TOKEN_OTHER, /* the end of the index */
};

/* Steps over the object or array at x without looking inside, except for brackets. It ends before
 * `end`. */
static walk_cursor skip_nested(struct json_walk *walk, walk_cursor x, uint32_t end)
{
    const uint8_t *base = walk->base;
    uint32_t depth = 1; /* the document */
    do {
        if (*x >= end)
            return malformed(walk, "an object or array is not closed", x);
        uint8_t kind = token_class[base[*x]];
        depth += kind == TOKEN_OPEN;
        depth -= kind == TOKEN_CLOSE;
        if (depth > WALK_MAX_DEPTH)
            return too_deep(walk, x);
        x++;
    } while (depth > 1);
    return x;
}

static inline walk_cursor skip_value(struct json_walk *walk, walk_cursor x, uint32_t end)
{
    uint8_t kind = token_class[walk->base[*x]];
    if (__builtin_expect(kind == TOKEN_SCALAR, 1))
        return x + 1;
    if (kind == TOKEN_OPEN)
        return skip_nested(walk, x, end);
    return malformed(walk, "a value is missing", x);
}

/* The inside of the string token at x. Between its closing quote and the next token there is only
 * white space. */
static inline struct bytes string_inside(const uint8_t *base, walk_cursor x)
{
    const uint8_t *first = base + x[0] + 1, *quote = base + x[1] - 1;
    while (*quote != '"')
        quote--;
    return bytes_of(first, (size_t)(quote - first));
}

static inline walk_cursor take_text(struct json_walk *walk, walk_cursor x, struct variant *value)
{
    struct bytes text = string_inside(walk->base, x);
    value->data = text.data;
    value->size = (uint32_t)text.size;
    value->kind = VARIANT_TEXT;
    if (__builtin_expect(memchr(text.data, '\\', text.size) != NULL, 0)) {
        uint8_t *out = arena_alloc_aligned(walk->arena, text.size, 1);
        if (out == NULL)
            return no_memory(walk);
        ptrdiff_t size = json_unescape(text.data, text.size, out);
        if (size < 0)
            return malformed(walk, "a string has an invalid escape", x);
        value->data = out;
        value->size = (uint32_t)size;
    }
    return x + 1;
}

static inline walk_cursor take_literal(struct json_walk *walk, walk_cursor x, struct variant *value)
{
    static const struct {
        const char *text;
        uint8_t size, kind;
    } literals[] = {
        {"null", 4, VARIANT_NULL}, {"true", 4, VARIANT_TRUE}, {"false", 5, VARIANT_FALSE}};
    const uint8_t *token = walk->base + *x;
    for (size_t i = 0; i < sizeof(literals) / sizeof(*literals); i++)
        if (memcmp(token, literals[i].text, literals[i].size) == 0 &&
            json_is_delimiter(token[literals[i].size])) {
            value->kind = literals[i].kind;
            return x + 1;
        }
    if (*token == '+' || *token == '.')
        return fail(walk, "json_number", "a number does not follow JSON's grammar", x);
    if (token_class[*token] != TOKEN_SCALAR)
        return malformed(walk, "a value is missing", x);
    return malformed(walk, "a value is neither string, number, true, false nor null", x);
}

/* Any value but an object or array. */
static inline walk_cursor take_scalar(struct json_walk *walk, walk_cursor x, struct variant *value)
{
    uint8_t first = walk->base[*x];
    if (first == '"')
        return take_text(walk, x, value);
    if ((uint8_t)(first - '0') < 10 || first == '-') {
        if (!json_number_take(walk->base + *x, value))
            return fail(walk, "json_number", "a number does not follow JSON's grammar", x);
        return x + 1;
    }
    return take_literal(walk, x, value);
}

/* Like take_scalar, for values inside of raw JSON: only checks. */
static walk_cursor check_scalar(struct json_walk *walk, walk_cursor x)
{
    struct variant unused;
    if (walk->base[*x] != '"')
        return take_scalar(walk, x, &unused);
    struct bytes text = string_inside(walk->base, x);
    if (json_unescape(text.data, text.size, NULL) < 0)
        return malformed(walk, "a string has an invalid escape", x);
    return x + 1;
}

/* "key": */
static walk_cursor check_key(struct json_walk *walk, walk_cursor x)
{
    if (walk->base[*x] != '"')
        return malformed(walk, "an object's key is missing", x);
    if (check_scalar(walk, x) == NULL)
        return NULL;
    if (walk->base[x[1]] != ':')
        return malformed(walk, "a colon is missing after a key", x + 1);
    return x + 2;
}

/* Checks the object or array at x completely. */
static walk_cursor check_nested(struct json_walk *walk, walk_cursor x, uint32_t end)
{
    const uint8_t *base = walk->base;
    uint8_t closer[WALK_MAX_DEPTH];
    uint32_t depth = 0;
    for (;;) { /* a value starts at x */
        uint8_t first = base[*x];
        if (*x >= end)
            return malformed(walk, "an object or array is not closed", x);
        if (token_class[first] == TOKEN_OPEN) {
            if (depth == WALK_MAX_DEPTH - 1)
                return too_deep(walk, x);
            closer[depth++] = first == '{' ? '}' : ']';
            x++;
            if (base[*x] != closer[depth - 1]) {
                if (first == '{' && (x = check_key(walk, x)) == NULL)
                    return NULL;
                continue;
            }
        } else if ((x = check_scalar(walk, x)) == NULL) {
            return NULL;
        }
        /* A value is complete: what ends here is closed, then a comma leads to the next one. */
        while (depth > 0 && *x < end && base[*x] == closer[depth - 1]) {
            x++;
            depth--;
        }
        if (depth == 0)
            return x;
        if (*x >= end || base[*x] != ',')
            return malformed(walk, "a comma or closing bracket is missing after a value", x);
        x++;
        if (closer[depth - 1] == '}' && (x = check_key(walk, x)) == NULL)
            return NULL;
    }
}

static inline bool known_matches(const struct known_key *known, const uint8_t *key)
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
static void known_remember(struct known_key *known, const uint8_t *key, size_t size, int32_t child)
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

enum { KEY_UNASKED = -1, KEY_FAILED = -2 };

/* Which child the key at x leads to, when its place has seen another key before. */
static __attribute__((noinline)) int32_t find_child(struct json_walk *walk,
                                                    const struct walk_node *parent, uint32_t place,
                                                    walk_cursor x, uint32_t end)
{
    struct bytes raw = string_inside(walk->base, x), key = raw;
    if (memchr(raw.data, '\\', raw.size) != NULL) {
        uint8_t *out = arena_alloc_aligned(walk->arena, raw.size, 1);
        if (out == NULL) {
            walk->out_of_memory = true;
            return KEY_FAILED;
        }
        ptrdiff_t size = json_unescape(raw.data, raw.size, out);
        if (size < 0) {
            /* When the colon was a neighbour's, that is what is wrong first. */
            malformed(walk, "a key has an invalid escape", x[1] < end ? x : x + 1);
            return KEY_FAILED;
        }
        key = bytes_of(out, (size_t)size);
    }
    int32_t child = node_child(walk, parent, key.data, key.size);
    if (place < KNOWN_KEYS)
        known_remember(&parent->known[place], raw.data, raw.size, child);
    return child;
}

static walk_cursor walk_object(struct json_walk *walk, const struct walk_node *node, walk_cursor x,
                               uint32_t end);

/* The object or array at x, which something asks for: as raw JSON, or fields inside it. */
static walk_cursor take_nested(struct json_walk *walk, const struct walk_node *node, walk_cursor x,
                               uint32_t end)
{
    walk_cursor behind = NULL;
    if (node->column >= 0) {
        behind = check_nested(walk, x, end);
        if (behind == NULL)
            return NULL;
        struct variant *value = &walk->values[node->column][walk->row];
        value->data = walk->base + *x;
        value->size = behind[-1] + 1 - *x;
        value->kind = VARIANT_JSON;
    }
    if (node->first_child >= 0 && walk->base[*x] == '{')
        return walk_object(walk, node, x, end);
    return behind != NULL ? behind : skip_nested(walk, x, end);
}

static inline walk_cursor take_value(struct json_walk *walk, struct walk_node *node, walk_cursor x,
                                     uint32_t end)
{
    node->stamp = walk->stamp;
    if (token_class[walk->base[*x]] == TOKEN_OPEN)
        return take_nested(walk, node, x, end);
    if (node->column < 0)
        return skip_value(walk, x, end);
    return take_scalar(walk, x, &walk->values[node->column][walk->row]);
}

/* The object whose opening brace is at x. */
static walk_cursor walk_object(struct json_walk *walk, const struct walk_node *node, walk_cursor x,
                               uint32_t end)
{
    const uint8_t *base = walk->base;
    x++;
    if (base[*x] == '}')
        return x + 1;
    for (uint32_t place = 0;; place++) {
        const uint8_t *quote = base + *x;
        if (__builtin_expect(*quote != '"', 0))
            return malformed(walk, "an object's key is missing", x);
        if (__builtin_expect(base[x[1]] != ':', 0))
            return malformed(walk, "a colon is missing after a key", x + 1);
        int32_t child;
        if (__builtin_expect(place < KNOWN_KEYS && known_matches(&node->known[place], quote + 1),
                             1)) {
            child = node->known[place].child;
        } else {
            child = find_child(walk, node, place, x, end);
            if (child == KEY_FAILED)
                return NULL;
        }
        x += 2;
        if (child >= 0 && walk->nodes[child].stamp != walk->stamp)
            x = take_value(walk, &walk->nodes[child], x, end);
        else
            x = skip_value(walk, x, end);
        if (__builtin_expect(x == NULL, 0))
            return NULL;
        uint8_t after = base[*x++];
        if (after == ',')
            continue;
        if (__builtin_expect(after == '}', 1))
            return x;
        return malformed(walk, "a comma or closing brace is missing after a value", x - 1);
    }
}

/* A document that does not start with a brace. */
static __attribute__((cold)) walk_cursor not_an_object(struct json_walk *walk, walk_cursor x,
                                                       uint32_t end)
{
    struct variant unused = {0};
    const char *type = "an array";
    if (walk->base[*x] == '[') {
        walk_cursor behind = skip_nested(walk, x, end);
        if (behind == NULL)
            return NULL;
    } else {
        walk_cursor behind = check_scalar(walk, x);
        if (behind == NULL)
            return NULL;
        if (walk->base[*x] == '"')
            type = "a string";
        else if ((uint8_t)(walk->base[*x] - '0') < 10 || walk->base[*x] == '-')
            type = "a number";
        else
            type = take_literal(walk, x, &unused) && unused.kind == VARIANT_NULL ? "null"
                                                                                 : "a boolean";
    }
    walk->failure = (struct walk_failure){"json_not_object", type, walk->base + *x};
    return NULL;
}

/* The document that ends before `end`; x is its first token. Returns the cursor at the first token
 * of the next one. */
walk_cursor walk_document(struct json_walk *walk, walk_cursor x, uint32_t end)
{
    if (__builtin_expect(*x >= end, 0))
        return malformed(walk, walk_empty_document, x);
    if (__builtin_expect(walk->base[*x] != '{', 0))
        return not_an_object(walk, x, end);
    walk->stamp++;
    x = walk_object(walk, &walk->nodes[0], x, end);
    if (__builtin_expect(x == NULL, 0))
        return NULL;
    if (__builtin_expect(x[-1] >= end, 0))
        return malformed(walk, "an object or array is not closed", x - 1);
    if (__builtin_expect(*x < end, 0))
        return malformed(walk, "something follows the document", x);
    return x;
}
