/* test_expr_text.c: text functions on JSON fields, their limits and UTF-8; values on typed text are
 * in data/expressions.tsv. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <locale.h>
#include <wctype.h>
#include <cmocka.h>

#include "tests/support/expression_rows.h"

static void on_json(void **state)
{
    (void)state;
    expect("a || b", "a:\"x\" b:5", "x5");
    expect("a || b", "a:1.50 b:\"x\"", "1.50x");
    expect("a || b", "a:true b:\"x\"", "truex");
    expect("a || b", "a:1 b:2", "!type_mismatch");
    expect("a || b", "a:\"x\"", "NULL");
    expect("a || '-' || b", "a:1 b:2", "1-2");
    expect("concat(a, '-', b, c)", "a:1 b:true", "1-true");
    expect("length(a)", "a:\"wörld\"", "5");
    expect("split_part(a, '/', n)", "a:\"x/y/z\" n:2", "y");
    expect("replace(a, b, c)", "a:\"aXbX\" b:\"X\" c:\"--\"", "a--b--");
    expect("a LIKE 'w%d'", "a:\"wörld\"", "true");
    expect("a LIKE 'w%d'", "a:7", "!type_mismatch");
    expect("a LIKE b", "a:\"abc\" b:\"a_c\"", "false");
    expect("a NOT ILIKE '%ÖR%'", "a:\"wörld\"", "false");
    expect("left(a, n)", "a:\"abc\" n:-9223372036854775808", "");
    expect("right(a, n)", "a:\"abc\" n:-9223372036854775808", "");
    expect("substr(a, n, 5)", "a:\"abc\" n:9223372036854775807", "");
    expect("substr(a, -9223372036854775807, n)", "a:\"abc\" n:9223372036854775807", "");
    expect("split_part(a, ',', n)", "a:\"abc\" n:-9223372036854775808", "");
}

/* Each step makes the text eight times as long: it must stop at the limit, not at the end of
 * memory. */
static void growth_is_bounded(void **state)
{
    (void)state;
    char sql[1024] = "x";
    for (int i = 0; i < 12; i++) {
        char next[1100];
        snprintf(next, sizeof next, "replace(%s, 'a', 'aaaaaaaa')", sql);
        snprintf(sql, sizeof sql, "%.1000s", next);
    }
    expect(sql, "x:\"a\"", "!out_of_range");
}

static size_t put(char *out, uint32_t c)
{
    if (c < 0x80)
        return (size_t)sprintf(out, "%c", (int)c);
    if (c < 0x800)
        return (size_t)sprintf(out, "%c%c", (int)(0xC0 | (c >> 6)), (int)(0x80 | (c & 0x3F)));
    return (size_t)sprintf(out, "%c%c%c", (int)(0xE0 | (c >> 12)), (int)(0x80 | ((c >> 6) & 0x3F)),
                           (int)(0x80 | (c & 0x3F)));
}

static bool covered(uint32_t c)
{
    return (c >= 'A' && c <= 'z') ||
           (c >= 0xC0 && c <= 0x17F && c != 0x130 && c != 0x131 && c != 0x17F) ||
           (c >= 0x386 && c <= 0x3CE) || (c >= 0x400 && c <= 0x45F);
}

/* libc's tables are the independent source for every character that ours cover. */
static void case_mapping_as_libc(void **state)
{
    (void)state;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0)
        skip();
    for (uint32_t c = 'A'; c <= 0x45F; c++) {
        char sql[64], lower[8], upper[8], text[8];
        if (!covered(c) || !iswalpha_l((wint_t)c, utf8))
            continue;
        put(text, c);
        put(lower, (uint32_t)towlower_l((wint_t)c, utf8));
        put(upper, (uint32_t)towupper_l((wint_t)c, utf8));
        snprintf(sql, sizeof sql, "lower('%s')", text);
        expect(sql, "", lower);
        snprintf(sql, sizeof sql, "upper('%s')", text);
        expect(sql, "", upper);
    }
    freelocale(utf8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_json),
                                       cmocka_unit_test(growth_is_bounded),
                                       cmocka_unit_test(case_mapping_as_libc)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
