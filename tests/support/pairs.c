/* pairs.c: see the header. Comparing two lists sorted by the same order is a merge; everything that
 * one side alone has is a difference. */
#include "tests/support/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/state/state.h"

enum { SHOWN_MAX = 5 };

void pairs_init(struct pairs *pairs)
{
    memset(pairs, 0, sizeof *pairs);
    arena_init(&pairs->arena, 0);
}

void pairs_deinit(struct pairs *pairs)
{
    free(pairs->items);
    arena_deinit(&pairs->arena);
    memset(pairs, 0, sizeof *pairs);
}

void pairs_add(struct pairs *pairs, struct bytes key, struct bytes value)
{
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity ? pairs->capacity * 2 : 256;
        pairs->items = realloc(pairs->items, pairs->capacity * sizeof *pairs->items);
        must(pairs->items != NULL);
    }
    pairs->items[pairs->count++] =
        (struct pair){arena_copy(&pairs->arena, key), arena_copy(&pairs->arena, value)};
}

void pairs_add_text(struct pairs *pairs, const char *key, const char *value)
{
    pairs_add(pairs, bytes_text(key), bytes_text(value));
}

void pairs_add_rows(struct pairs *pairs, const struct topic_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        pairs_add(pairs, rows->items[i].key, rows->items[i].value);
}

static int compare_nullable(struct bytes a, struct bytes b)
{
    if ((a.data == NULL) != (b.data == NULL))
        return a.data == NULL ? -1 : 1;
    return a.data == NULL ? 0 : bytes_compare(a, b);
}

static int compare_pairs(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    int order = compare_nullable(a->key, b->key);
    return order != 0 ? order : compare_nullable(a->value, b->value);
}

static void print_bytes(struct bytes bytes)
{
    if (bytes.data == NULL)
        fprintf(stderr, "(null)");
    for (size_t i = 0; i < bytes.size && i < 200; i++)
        fprintf(stderr, bytes.data[i] < 32 || bytes.data[i] > 126 ? "\\x%02x" : "%c",
                bytes.data[i]);
}

static void print_pair(const char *side, const struct pair *pair)
{
    fprintf(stderr, "  %s ", side);
    print_bytes(pair->key);
    fprintf(stderr, " => ");
    print_bytes(pair->value);
    fputc('\n', stderr);
}

bool pairs_same(const char *what, struct pairs *expected, struct pairs *actual)
{
    size_t e = 0, a = 0, differences = 0;
    if (expected->count > 0)
        qsort(expected->items, expected->count, sizeof *expected->items, compare_pairs);
    if (actual->count > 0)
        qsort(actual->items, actual->count, sizeof *actual->items, compare_pairs);
    while (e < expected->count || a < actual->count) {
        int order = e == expected->count ? 1
                    : a == actual->count ? -1
                                         : compare_pairs(&expected->items[e], &actual->items[a]);
        if (order == 0) {
            e++;
            a++;
            continue;
        }
        if (differences++ == 0)
            fprintf(stderr, "%s: %zu expected, %zu there\n", what, expected->count, actual->count);
        const struct pair *odd = order < 0 ? &expected->items[e++] : &actual->items[a++];
        if (differences <= SHOWN_MAX)
            print_pair(order < 0 ? "missing:   " : "unexpected:", odd);
    }
    if (differences > SHOWN_MAX)
        fprintf(stderr, "  and %zu more\n", differences - SHOWN_MAX);
    return differences == 0;
}

static int add_stored(void *context, struct bytes key, struct bytes value)
{
    pairs_add(context, key, value);
    return 0;
}

bool pairs_add_store(struct pairs *pairs, const char *dir, struct state_position *position)
{
    struct state_options options = {.must_exist = true, .read_only = true};
    struct state *state;
    struct diag diag = {0};
    if (access(dir, F_OK) != 0)
        return false;
    int rc = state_open(dir, 0, &options, &state, &diag);
    if (rc == 0)
        rc = state_scan(state, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}, add_stored, pairs,
                        &diag);
    if (rc < 0) {
        fprintf(stderr, "store %s: %s\n", dir, diag.text);
        exit(1);
    }
    if (position != NULL)
        state_position(state, position);
    state_close(state);
    return true;
}
