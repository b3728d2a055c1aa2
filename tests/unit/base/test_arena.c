/* test_arena.c: alignment, no overlap, growth, reuse after a reset, the limit, giving back after a
 * huge batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include "runtime/base/arena.h"

/* Under AddressSanitizer a reset frees the chunks (see arena.c), so reuse cannot be seen there. */
#if defined(__SANITIZE_ADDRESS__)
#define RESET_KEEPS 0
#elif defined(__has_feature)
#define RESET_KEEPS (!__has_feature(address_sanitizer))
#else
#define RESET_KEEPS 1
#endif

static void allocations_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct arena arena;
    arena_init(&arena, 0);
    uint8_t *at[COUNT];
    size_t size[COUNT], handed_out = 0;
    srand(1);
    for (size_t i = 0; i < COUNT; i++) {
        size_t align = (size_t)1 << (rand() % 7);
        size[i] = (size_t)(rand() % (i % 100 == 0 ? 200000 : 300));
        at[i] = arena_alloc_aligned(&arena, size[i], align);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % align, 0);
        memset(at[i], (int)(i % 251), size[i]);
        handed_out += size[i];
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < size[i]; j++)
            assert_int_equal(at[i][j], i % 251);
    assert_true(arena.used_bytes >= handed_out);
    assert_true(arena.held_bytes >= arena.used_bytes);
    arena_deinit(&arena);
    assert_int_equal(arena.held_bytes, 0);
}

static void the_common_allocation_is_aligned_to_16(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t size = 0; size < 100; size++)
        assert_int_equal((uintptr_t)arena_alloc(&arena, size) % 16, 0);
    arena_deinit(&arena);
}

static void a_reset_reuses_the_chunks(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    size_t held = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 1000; i++)
            assert_non_null(arena_alloc(&arena, 1000));
        if (round == 0)
            held = arena.held_bytes;
        assert_int_equal(arena.held_bytes, held);
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
        assert_int_equal(arena.held_bytes, RESET_KEEPS ? held : 0);
    }
    arena_deinit(&arena);
}

static void a_huge_batch_is_given_back(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    for (int i = 0; i < 100000; i++)
        assert_non_null(arena_alloc(&arena, 1000));
    assert_true(arena.held_bytes > 64u << 20);
    arena_reset(&arena);
    assert_true(arena.held_bytes < 8u << 20);
    assert_true(!RESET_KEEPS ||
                arena.held_bytes >= 1u << 20); /* the first chunks are small, and stay */
    assert_non_null(arena_alloc(&arena, 5 << 20));
    arena_reset(&arena);
    assert_true(!RESET_KEEPS || arena.held_bytes >= 5u << 20); /* below 64 MiB all is kept */
    arena_deinit(&arena);
}

static void a_request_larger_than_kept_chunks_gets_its_own(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    for (int i = 0; i < 200; i++)
        assert_non_null(arena_alloc(&arena, 4000));
    arena_reset(&arena);
    uint8_t *small = arena_alloc(&arena, 10), *large = arena_alloc(&arena, 10 << 20);
    assert_true(small != NULL && large != NULL);
    memset(large, 1, 10 << 20);
    size_t held = arena.held_bytes;
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&arena, 4000)); /* kept chunks come again */
    assert_true(!RESET_KEEPS || arena.held_bytes == held);
    arena_deinit(&arena);
}

static void the_limit_is_never_passed_and_is_usable(void **state)
{
    (void)state;
    enum { LIMIT = 1000000 };
    struct arena arena;
    arena_init(&arena, LIMIT);
    size_t handed_out = 0;
    while (arena_alloc(&arena, 1000) != NULL)
        handed_out += 1000;
    assert_true(arena.held_bytes <= LIMIT);
    assert_true(handed_out > LIMIT * 9 / 10);
    assert_null(arena_alloc(&arena, LIMIT));
    arena_reset(&arena);
    assert_null(arena_alloc(&arena, LIMIT));
    /* Kept chunks are given up for one request that needs nearly all. */
    assert_non_null(arena_alloc(&arena, LIMIT / 2));
    assert_true(arena.held_bytes <= LIMIT);
    arena_deinit(&arena);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_non_null(arena_alloc(&arena, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
    assert_non_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}

static void copies_keep_null_and_empty_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100000);
    char source[] = "hello";
    struct bytes copy = arena_copy(&arena, bytes_of(source, 5));
    source[0] = 'J';
    assert_true(bytes_equal(copy, bytes_text("hello")));
    assert_null(arena_copy(&arena, bytes_of(NULL, 0)).data);
    assert_int_equal(arena_copy(&arena, bytes_of(NULL, 0)).size, 0);
    assert_non_null(arena_copy(&arena, bytes_text("")).data);
    assert_string_equal(arena_text(&arena, "text"), "text");
    uint8_t *zeroed = arena_zalloc(&arena, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(zeroed[i], 0);
    uint8_t *large = calloc(1, 200000);
    copy = arena_copy(&arena, bytes_of(large, 200000));
    assert_null(copy.data);
    assert_true(copy.size == SIZE_MAX);
    free(large);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(the_common_allocation_is_aligned_to_16),
        cmocka_unit_test(a_reset_reuses_the_chunks),
        cmocka_unit_test(a_huge_batch_is_given_back),
        cmocka_unit_test(a_request_larger_than_kept_chunks_gets_its_own),
        cmocka_unit_test(the_limit_is_never_passed_and_is_usable),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(copies_keep_null_and_empty_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
