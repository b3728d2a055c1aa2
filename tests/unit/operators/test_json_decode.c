/* JSON objects to columns: what is accepted and as what, what is refused and why, that neighbours
 * never matter, and that jansson reads the same values from the same text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "operators/json_decode.h"
#include "tests/support/decode_compare.h"
#include "tests/support/random_json.h"

enum { MAX_PATHS = 48 };

/* A decoder for a few paths ("a", "b.c"), its arena and its last result. */
struct fixture {
    struct field_path paths[MAX_PATHS];
    const struct field_path *path_list[MAX_PATHS];
    uint32_t path_count;
    char *text[MAX_PATHS];
    struct json_decoder *decoder;
    struct arena arena;
    struct column columns[MAX_PATHS];
    struct reject_list rejects;
};

static void fixture_init(struct fixture *f, const char *const *dotted, uint32_t count)
{
    *f = (struct fixture){.path_count = count};
    for (uint32_t i = 0; i < count; i++) {
        f->text[i] = strdup(dotted[i]);
        char *rest = f->text[i];
        for (char *part; (part = strsep(&rest, ".")) != NULL;)
            f->paths[i].parts[f->paths[i].count++] = part;
        f->path_list[i] = &f->paths[i];
    }
    struct diag diag;
    assert_int_equal(0, json_decoder_create(f->path_list, count, &f->decoder, &diag));
    arena_init(&f->arena, 0);
}

static void fixture_deinit(struct fixture *f)
{
    json_decoder_destroy(f->decoder);
    arena_deinit(&f->arena);
    for (uint32_t i = 0; i < f->path_count; i++)
        free(f->text[i]);
}

static void decode(struct fixture *f, const struct bytes *docs, uint32_t count)
{
    arena_reset(&f->arena);
    f->rejects = (struct reject_list){.arena = &f->arena};
    assert_int_equal(
        0, json_decode(f->decoder, docs, count, false, &f->arena, f->columns, &f->rejects));
}

static void decode_text(struct fixture *f, const char *doc)
{
    struct bytes one = bytes_text(doc);
    decode(f, &one, 1);
}

/* "int 5", "number 1.0", "text abc", "json [1]", "true", "null" … */
static const char *shown(const struct variant *value)
{
    static char text[4][4096];
    static int turn;
    char *at = text[turn++ % 4];
    static const char *const kinds[] = {"null", "false", "true", "int", "number", "text", "json"};
    assert_true(value->kind <= VARIANT_JSON);
    if (value->kind == VARIANT_INT)
        snprintf(at, sizeof(text[0]), "int %lld", (long long)value->i64);
    else if (value->kind >= VARIANT_NUMBER)
        snprintf(at, sizeof(text[0]), "%s %.*s", kinds[value->kind], (int)value->size,
                 (const char *)value->data);
    else
        snprintf(at, sizeof(text[0]), "%s", kinds[value->kind]);
    return at;
}

static const char *const ab[] = {"a", "b.c"};

/* ---- values ---- */

static void values_come_as_they_are_written(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        /* document, a, b.c */
        {"{}", "null", "null"},
        {"{\"a\":1,\"b\":{\"c\":2}}", "int 1", "int 2"},
        {" \t\r\n{ \"a\" : 1 , \"b\" : { \"c\" : 2 } } \n", "int 1", "int 2"},
        {"{\"b\":{\"c\":\"x\"},\"a\":\"y\"}", "text y", "text x"},
        {"{\"a\":null,\"b\":null}", "null", "null"},
        {"{\"a\":true,\"b\":{\"c\":false}}", "true", "false"},
        {"{\"a\":\"\",\"b\":{}}", "text ", "null"},
        {"{\"a\":0,\"b\":{\"c\":-0}}", "int 0", "int 0"},
        {"{\"a\":9223372036854775807,\"b\":{\"c\":-9223372036854775808}}",
         "int 9223372036854775807", "int -9223372036854775808"},
        {"{\"a\":9223372036854775808,\"b\":{\"c\":-9223372036854775809}}",
         "number 9223372036854775808", "number -9223372036854775809"},
        {"{\"a\":99999999999999999999999999999999999999999,\"b\":{\"c\":12345678}}",
         "number 99999999999999999999999999999999999999999", "int 12345678"},
        {"{\"a\":1.50 ,\"b\":{\"c\":1e3}}", "number 1.50", "number 1e3"},
        {"{\"a\":-0.0,\"b\":{\"c\":1E-400\t}}", "number -0.0", "number 1E-400"},
        {"{\"a\":123456789012345678,\"b\":{\"c\":1234567890123456789}}", "int 123456789012345678",
         "int 1234567890123456789"},
        {"{\"a\":[1, {\"x\":\"\\n\"}] ,\"b\":{\"c\":{}}}", "json [1, {\"x\":\"\\n\"}]", "json {}"},
        {"{\"a\":[ ] ,\"b\":[{\"c\":1}]}", "json [ ]", "null"},
        {"{\"a\":{\"c\":5},\"c\":6}", "json {\"c\":5}", "null"},
        /* the first of duplicate keys wins, whatever it holds */
        {"{\"a\":1,\"a\":2}", "int 1", "null"},
        {"{\"a\":null,\"a\":2}", "null", "null"},
        {"{\"b\":{\"c\":1},\"b\":{\"c\":2}}", "null", "int 1"},
        {"{\"b\":{},\"b\":{\"c\":2}}", "null", "null"},
        {"{\"b\":5,\"b\":{\"c\":2}}", "null", "null"},
        /* keys compare unescaped */
        {"{\"\\u0061\":1,\"b\":{\"\\u0063\":2}}", "int 1", "int 2"},
        {"{\"\\u0061\":1,\"a\":2}", "int 1", "null"},
        {"{\"\\\"a\":1,\"a\\\\\":2,\"aa\":3,\"\":4}", "null", "null"},
        {"{\"A\":1,\"a \":2}", "null", "null"},
        /* escapes in text */
        {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "text \"\\/\b\f\n\r\t", "null"},
        {"{\"a\":\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}",
         "text A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "null"},
        {"{\"a\":\"x\\\\\",\"b\":{\"c\":\"\\\\\"}}", "text x\\", "text \\"},
        {"{\"a\":\"\xF0\x9F\x98\x80\"}", "text \xF0\x9F\x98\x80", "null"},
        /* what nothing asks for is only skipped */
        {"{\"x\":{\"a\":1,\"y\":[\"}\",\"]\"]},\"a\":2}", "int 2", "null"},
        {"{\"x\":01,\"y\":tru,\"z\":\"\\q\",\"a\":2}", "int 2", "null"},
    };
    struct fixture f;
    fixture_init(&f, ab, 2);
    for (int round = 0; round < 2; round++) /* the second one meets remembered keys */
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            decode_text(&f, cases[i][0]);
            if (f.rejects.count != 0)
                fail_msg("%s: %s", cases[i][0], f.rejects.items[0].message);
            if (strcmp(shown(&f.columns[0].variant[0]), cases[i][1]) != 0 ||
                strcmp(shown(&f.columns[1].variant[0]), cases[i][2]) != 0)
                fail_msg("%s: a is %s, b.c is %s", cases[i][0], shown(&f.columns[0].variant[0]),
                         shown(&f.columns[1].variant[0]));
        }
    fixture_deinit(&f);
}

static void paths_may_share_parts(void **state)
{
    (void)state;
    static const char *const paths[] = {"a", "a.b", "a.b.c", "a.b", "a.d"};
    struct fixture f;
    fixture_init(&f, paths, 5);
    decode_text(&f, "{\"a\":{\"x\":0,\"b\":{\"c\":[7]},\"d\":\"\\u0064\"}}");
    assert_int_equal(0, f.rejects.count);
    assert_string_equal("json {\"x\":0,\"b\":{\"c\":[7]},\"d\":\"\\u0064\"}",
                        shown(&f.columns[0].variant[0]));
    assert_string_equal("json {\"c\":[7]}", shown(&f.columns[1].variant[0]));
    assert_string_equal("json [7]", shown(&f.columns[2].variant[0]));
    assert_string_equal("json {\"c\":[7]}", shown(&f.columns[3].variant[0]));
    assert_string_equal("text d", shown(&f.columns[4].variant[0]));
    decode_text(&f, "{\"a\":{\"b\":{\"c\":[7]}");
    assert_int_equal(1, f.rejects.count);
    for (int i = 0; i < 5; i++)
        assert_int_equal(VARIANT_NULL, f.columns[i].variant[0].kind);
    fixture_deinit(&f);
}

static void no_path_asked_still_checks_the_object(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL, 0);
    struct bytes docs[] = {bytes_text("{\"a\":1}"), bytes_text("{\"a\":1"), bytes_text("{}")};
    decode(&f, docs, 3);
    assert_int_equal(1, f.rejects.count);
    assert_int_equal(1, f.rejects.items[0].row);
    fixture_deinit(&f);
}

/* Objects with more keys than are remembered, keys longer than are remembered, and many paths. */
static void wide_objects_and_long_keys(void **state)
{
    (void)state;
    static char names[MAX_PATHS][128];
    const char *paths[MAX_PATHS];
    for (int i = 0; i < MAX_PATHS; i++) {
        snprintf(names[i], sizeof(names[i]), "%.*s%d", i * 2,
                 "key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_key_"
                 "key_key_key_key",
                 i);
        paths[i] = names[i];
    }
    struct fixture f;
    fixture_init(&f, paths, MAX_PATHS);
    for (int round = 0; round < 6; round++) {
        char doc[16384], *at = doc;
        at += sprintf(at, "{");
        for (int n = 0; n < MAX_PATHS; n++) {
            int i = round % 2 ? MAX_PATHS - 1 - n
                              : (n * (1 + round)) % MAX_PATHS; /* also with duplicates */
            at += sprintf(at, "%s\"%s\":%d,\"un%s\":[%d]", n ? "," : "", names[i], i, names[i], n);
        }
        sprintf(at, "}");
        decode_text(&f, doc);
        assert_int_equal(0, f.rejects.count);
        for (int i = 0; i < MAX_PATHS; i++) {
            const struct variant *value = &f.columns[i].variant[0];
            char quoted[140];
            snprintf(quoted, sizeof(quoted), "\"%s\":", names[i]);
            assert_int_equal(strstr(doc, quoted) ? VARIANT_INT : VARIANT_NULL, value->kind);
            assert_true(value->kind == VARIANT_NULL || value->i64 == i);
        }
    }
    fixture_deinit(&f);
}

static void nulls_are_rows_or_rejects(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ab, 2);
    struct bytes docs[] = {bytes_of(NULL, 0), bytes_text("{\"a\":1}"), bytes_of(NULL, 0),
                           bytes_of(NULL, 0)};
    decode(&f, docs, 4);
    assert_int_equal(3, f.rejects.count);
    for (int i = 0; i < 3; i++)
        assert_string_equal("value_null", f.rejects.items[i].error_class);
    assert_string_equal("int 1", shown(&f.columns[0].variant[1]));
    f.rejects = (struct reject_list){.arena = &f.arena};
    assert_int_equal(0, json_decode(f.decoder, docs, 4, true, &f.arena, f.columns, &f.rejects));
    assert_int_equal(0, f.rejects.count);
    assert_string_equal("null", shown(&f.columns[0].variant[0]));
    assert_string_equal("int 1", shown(&f.columns[0].variant[1]));
    decode(&f, docs, 0);
    decode(&f, docs, 1);
    assert_int_equal(1, f.rejects.count);
    fixture_deinit(&f);
}

static void a_value_of_a_mebibyte(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    struct fixture f;
    fixture_init(&f, ab, 2);
    char *doc = malloc(2 * SIZE + 64);
    for (int escaped = 0; escaped < 2; escaped++) {
        int head = sprintf(doc, "{\"a\":\"");
        memset(doc + head, 'x', SIZE);
        if (escaped)
            memcpy(doc + head + SIZE - 2, "\\n", 2);
        sprintf(doc + head + SIZE, "\",\"b\":{\"c\":7}}");
        struct bytes docs[] = {bytes_text("{\"a\":1}"), bytes_text(doc), bytes_text("{\"a\":2}"),
                               bytes_text(doc), bytes_text("{")};
        decode(&f, docs, 5);
        assert_int_equal(1, f.rejects.count);
        assert_int_equal(4, f.rejects.items[0].row);
        for (int i = 1; i < 4; i += 2) {
            assert_int_equal(VARIANT_TEXT, f.columns[0].variant[i].kind);
            assert_int_equal(SIZE - escaped, f.columns[0].variant[i].size);
            assert_memory_equal(doc + head, f.columns[0].variant[i].data, SIZE - 2);
            assert_string_equal("int 7", shown(&f.columns[1].variant[i]));
        }
        assert_string_equal("int 2", shown(&f.columns[0].variant[2]));
    }
    free(doc);
    fixture_deinit(&f);
}

/* ---- refusals ---- */

struct bad {
    const char *doc;
    size_t size; /* 0: strlen */
    const char *error_class;
};
static const struct bad bads[] = {
    {"", 0, "json_malformed"},
    {" \n\t ", 0, "json_malformed"},
    {"{", 0, "json_malformed"},
    {"}", 0, "json_malformed"},
    {"{\"a\"", 0, "json_malformed"},
    {"{\"a\":", 0, "json_malformed"},
    {"{\"a\":1", 0, "json_malformed"},
    {"{\"a\":1,", 0, "json_malformed"},
    {"{\"a\":1,}", 0, "json_malformed"},
    {"{,\"a\":1}", 0, "json_malformed"},
    {"{\"a\":1,,\"b\":2}", 0, "json_malformed"},
    {"{\"a\" 1}", 0, "json_malformed"},
    {"{\"a\"::1}", 0, "json_malformed"},
    {"{\"a\":}", 0, "json_malformed"},
    {"{\"a\":,\"b\":1}", 0, "json_malformed"},
    {"{a:1}", 0, "json_malformed"},
    {"{1:1}", 0, "json_malformed"},
    {"{'a':1}", 0, "json_malformed"},
    {"{\"a\":1 2}", 0, "json_malformed"},
    {"{\"a\":1\"x\"}", 0, "json_number"},
    {"{\"a\":\"x\"\"y\"}", 0, "json_malformed"},
    {"{\"a\"\"b\":1}", 0, "json_malformed"},
    {"{\"a\"x:1}", 0, "json_malformed"},
    {"{\"x\":1\"a\":2}", 0, "json_malformed"},
    {"{\"a\":1[]}", 0, "json_malformed"},
    {"{\"a\":true\"x\"}", 0, "json_malformed"},
    {"{\"a\":\"x\" \"y\"}", 0, "json_malformed"},
    {"{\"a\":\"x\"y}", 0, "json_malformed"},
    {"{\"x\":1 \"a\":2}", 0, "json_malformed"},
    {"{\"a\":1]", 0, "json_malformed"},
    {"{\"a\":1}}", 0, "json_malformed"},
    {"{\"a\":1}{\"a\":2}", 0, "json_malformed"},
    {"{\"a\":1}\n{\"a\":2}", 0, "json_malformed"},
    {"{\"a\":1},", 0, "json_malformed"},
    {"{\"a\":1}x", 0, "json_malformed"},
    {"{\"a\":1} \"", 0, "json_malformed"},
    {"{\"a\":1}\\", 0, "json_malformed"},
    {"\\{\"a\":1}", 0, "json_malformed"},
    {"{\"a\":1}\0", 8, "json_malformed"},
    {"\0{\"a\":1}", 8, "json_malformed"},
    {"{\"a\":\0}", 7, "json_malformed"},
    {"{\"a\":\"x\0y\"}", 11, "json_malformed"},
    {"{\"a\":\"x\ny\"}", 0, "json_malformed"},
    {"{\"a\":\"x\x1Fy\"}", 0, "json_malformed"},
    {"{\"x\":\"\t\"}", 0, "json_malformed"},
    {"{\"a\":\"x", 0, "json_malformed"},
    {"{\"a\":\"x\\\"}", 0, "json_malformed"},
    {"{\"a\":\"x}", 0, "json_malformed"},
    {"{\"x\":\"y}", 0, "json_malformed"},
    {"{\"a\":\"\\q\"}", 0, "json_malformed"},
    {"{\"a\":\"\\u12G4\"}", 0, "json_malformed"},
    {"{\"a\":\"\\u12\"}", 0, "json_malformed"},
    {"{\"a\":\"\\ud800\"}", 0, "json_malformed"},
    {"{\"a\":\"\\ud800x\"}", 0, "json_malformed"},
    {"{\"a\":\"\\ud800\\n\"}", 0, "json_malformed"},
    {"{\"a\":\"\\ud800\\ud800\"}", 0, "json_malformed"},
    {"{\"a\":\"\\udc00\"}", 0, "json_malformed"},
    {"{\"\\q\":1}", 0, "json_malformed"},
    {"{\"a\":tru}", 0, "json_malformed"},
    {"{\"a\":truex}", 0, "json_malformed"},
    {"{\"a\":True}", 0, "json_malformed"},
    {"{\"a\":nul}", 0, "json_malformed"},
    {"{\"a\":nullnull}", 0, "json_malformed"},
    {"{\"a\":NaN}", 0, "json_malformed"},
    {"{\"a\":Infinity}", 0, "json_malformed"},
    {"{\"a\":[1,2}", 0, "json_malformed"},
    {"{\"a\":[1,2}}", 0, "json_malformed"},
    {"{\"a\":[1,]}", 0, "json_malformed"},
    {"{\"a\":[,1]}", 0, "json_malformed"},
    {"{\"a\":[1 2]}", 0, "json_malformed"},
    {"{\"a\":[1:2]}", 0, "json_malformed"},
    {"{\"a\":{\"x\"}}", 0, "json_malformed"},
    {"{\"a\":{\"x\":1,}}", 0, "json_malformed"},
    {"{\"a\":{1:1}}", 0, "json_malformed"},
    {"{\"a\":{\"x\":\"\\q\"}}", 0, "json_malformed"},
    {"{\"a\":{\"\\q\":1}}", 0, "json_malformed"},
    {"{\"a\":[tru]}", 0, "json_malformed"},
    {"{\"a\":[1", 0, "json_malformed"},
    {"{\"a\":[", 0, "json_malformed"},
    {"{\"a\":{\"x\":", 0, "json_malformed"},
    {"{\"x\":[1", 0, "json_malformed"},
    {"{\"x\":[[]", 0, "json_malformed"},
    {"{\"x\":[1,2}", 0, "json_malformed"},
    {"{\"b\":{\"c\":1", 0, "json_malformed"},
    {"{\"b\":{\"c\":1}", 0, "json_malformed"},
    {"{\"b\":{\"c\":tru}}", 0, "json_malformed"},
    {"{\"b\":{\"c\" 1}}", 0, "json_malformed"},
    {"\xEF\xBB\xBF{\"a\":1}", 0, "json_malformed"},
    {"hello", 0, "json_malformed"},
    {",", 0, "json_malformed"},
    {":", 0, "json_malformed"},
    {"]", 0, "json_malformed"},
    {"null", 0, "json_not_object"},
    {"true", 0, "json_not_object"},
    {"5", 0, "json_not_object"},
    {"\"text\"", 0, "json_not_object"},
    {"[]", 0, "json_not_object"},
    {"[{\"a\":1}]", 0, "json_not_object"},
    {"{\"a\":01}", 0, "json_number"},
    {"{\"a\":-01}", 0, "json_number"},
    {"{\"a\":00}", 0, "json_number"},
    {"{\"a\":1.}", 0, "json_number"},
    {"{\"a\":.5}", 0, "json_number"},
    {"{\"a\":+1}", 0, "json_number"},
    {"{\"a\":-}", 0, "json_number"},
    {"{\"a\":-x}", 0, "json_number"},
    {"{\"a\":1.2.3}", 0, "json_number"},
    {"{\"a\":1e}", 0, "json_number"},
    {"{\"a\":1e+}", 0, "json_number"},
    {"{\"a\":1e5.5}", 0, "json_number"},
    {"{\"a\":0x10}", 0, "json_number"},
    {"{\"a\":1_000}", 0, "json_number"},
    {"{\"a\":12345678x}", 0, "json_number"},
    {"{\"a\":1234567890123456789x}", 0, "json_number"},
    {"{\"a\":[01]}", 0, "json_number"},
    {"{\"b\":{\"c\":01}}", 0, "json_number"},
    {"01", 0, "json_number"},
    {"{\"a\":\"\xFF\"}", 0, "json_utf8"},
    {"{\"x\":\"\xC3\"}", 0, "json_utf8"},
    {"{\"a\":\"\xC0\xAF\"}", 0, "json_utf8"},
    {"{\"a\":\"\xED\xA0\x80\"}", 0, "json_utf8"},
    {"{\"a\":\"\xF4\x90\x80\x80\"}", 0, "json_utf8"},
    {"{\"a\":1}\xE2\x82", 0, "json_utf8"},
    {"\xFF\xFE{\"a\":1}", 0, "json_utf8"},
};
enum { BADS = sizeof(bads) / sizeof(*bads) };

static struct bytes bad_bytes(uint32_t i)
{
    return bytes_of(bads[i].doc, bads[i].size ? bads[i].size : strlen(bads[i].doc));
}

/* Row `at` of a batch must be refused as bads[bad] says, all others be good; other rows are
 * {"a":row,"b":{"c":"row"}}. */
static void check_batch(struct fixture *f, uint32_t count, uint32_t at, uint32_t bad,
                        const char *message)
{
    const struct reject *reject = &f->rejects.items[0];
    if (f->rejects.count != 1 || reject->row != at ||
        strcmp(reject->error_class, bads[bad].error_class) != 0)
        fail_msg("%s at row %u of %u: %u rejects, row %u, %s", bads[bad].doc, at, count,
                 f->rejects.count, f->rejects.count ? reject->row : 0,
                 f->rejects.count ? reject->error_class : "");
    assert_string_equal(message, reject->message);
    assert_int_equal(VARIANT_NULL, f->columns[0].variant[at].kind);
    assert_int_equal(VARIANT_NULL, f->columns[1].variant[at].kind);
    for (uint32_t row = 0; row < count; row++) {
        const struct variant *a = &f->columns[0].variant[row], *c = &f->columns[1].variant[row];
        if (row != at &&
            (a->kind != VARIANT_INT || a->i64 != row || c->kind != VARIANT_TEXT || c->size != 4))
            fail_msg("%s at row %u of %u: row %u is harmed", bads[bad].doc, at, count, row);
    }
}

static void bad_rows_never_cost_their_neighbours(void **state)
{
    (void)state;
    static char good[BATCH_ROWS][40];
    static struct bytes docs[BATCH_ROWS];
    static char messages[BADS][256];
    struct fixture f;
    fixture_init(&f, ab, 2);
    for (uint32_t i = 0; i < BATCH_ROWS; i++)
        sprintf(good[i], "{\"a\":%u,\"b\":{\"c\":\"%04u\"}}", i, i);
    for (uint32_t bad = 0; bad < BADS; bad++) {
        docs[0] = bad_bytes(bad);
        decode(&f, docs, 1);
        if (f.rejects.count != 1 ||
            strcmp(f.rejects.items[0].error_class, bads[bad].error_class) != 0)
            fail_msg("%s: %s", bads[bad].doc,
                     f.rejects.count ? f.rejects.items[0].error_class : "accepted");
        snprintf(messages[bad], sizeof(messages[bad]), "%s", f.rejects.items[0].message);
    }
    for (uint32_t i = 0; i < BATCH_ROWS; i++)
        docs[i] = bytes_text(good[i]);
    for (uint32_t bad = 0; bad < BADS; bad++)
        for (uint32_t at = 0; at < 7; at++) {
            docs[at] = bad_bytes(bad);
            decode(&f, docs, 7);
            check_batch(&f, 7, at, bad, messages[bad]);
            docs[at] = bytes_text(good[at]);
        }
    for (uint32_t at = 0; at < BATCH_ROWS; at++) { /* each position, each kind often */
        docs[at] = bad_bytes(at % BADS);
        decode(&f, docs, BATCH_ROWS);
        check_batch(&f, BATCH_ROWS, at, at % BADS, messages[at % BADS]);
        docs[at] = bytes_text(good[at]);
    }
    fixture_deinit(&f);
}

/* Two halves of one document in two records, and the like: never joined, whatever stands on either
 * side. */
static void pairs_of_bad_rows_stay_two(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ab, 2);
    for (uint32_t first = 0; first < BADS; first++)
        for (uint32_t second = 0; second < BADS; second++) {
            struct bytes docs[] = {bytes_text("{\"a\":1}"), bad_bytes(first), bad_bytes(second),
                                   bytes_text("{\"a\":2}")};
            decode(&f, docs, 4);
            if (f.rejects.count != 2 ||
                strcmp(f.rejects.items[0].error_class, bads[first].error_class) != 0 ||
                strcmp(f.rejects.items[1].error_class, bads[second].error_class) != 0)
                fail_msg("%s and %s", bads[first].doc, bads[second].doc);
            assert_string_equal("int 1", shown(&f.columns[0].variant[0]));
            assert_string_equal("int 2", shown(&f.columns[0].variant[3]));
            arena_reset(&f.arena);
            const char *difference = decode_compare(f.path_list, 2, docs, 4, &f.arena);
            if (difference != NULL)
                fail_msg("%s and %s: %s", bads[first].doc, bads[second].doc, difference);
        }
    fixture_deinit(&f);
}

static void messages_name_the_byte(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\":\"xy\xFFz\"}", "the bytes are not valid UTF-8, at byte 8 of 12"},
        {"{\"a\":\"xy\nz\"}",
         "a control character inside a string is not escaped, at byte 8 of 12"},
        {"{\"x\":\"y\",\"a\":\"z", "a string is not closed, at byte 13 of 15"},
        {"{\"a\":1 2}", "a comma or closing brace is missing after a value, at byte 7 of 9"},
        {"{\"a\":01}", "a number does not follow JSON's grammar, at byte 5 of 8"},
        {"{\"a\":1", "the document ends early, at byte 6 of 6"},
        {"{\"a\":1}{}", "something follows the document, at byte 7 of 9"},
        {"", "the document is empty, at byte 0 of 0"},
        {"[1]", "the document is an array, not an object"},
        {"null", "the document is null, not an object"},
        {"true", "the document is a boolean, not an object"},
    };
    struct fixture f;
    fixture_init(&f, ab, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        decode_text(&f, cases[i][0]);
        assert_int_equal(1, f.rejects.count);
        assert_string_equal(cases[i][1], f.rejects.items[0].message);
    }
    fixture_deinit(&f);
}

static void deep_nesting_is_refused_not_followed(void **state)
{
    (void)state;
    enum { DEEP = 1000000 };
    static const struct {
        const char *head, *unit, *tail;
        int count;
        const char *error_class; /* NULL: good */
    } cases[] = {
        {"", "[", "", DEEP, "json_too_deep"},
        {"{\"a\":", "[", "", DEEP, "json_too_deep"},
        {"{\"x\":", "[", "", DEEP, "json_too_deep"},
        {"{\"a\":", "{\"a\":", "", DEEP, "json_too_deep"},
        {"{\"x\":", "{\"a\":", "", DEEP, "json_too_deep"},
        {"", "{\"b\":", "", DEEP, "json_too_deep"},
        {"{\"a\":", "[", "]", 1023, NULL},
        {"{\"a\":", "[", "]", 1024, "json_too_deep"},
        {"{\"x\":", "[", "]", 1023, NULL},
        {"{\"x\":", "[", "]", 1024, "json_too_deep"},
    };
    struct fixture f;
    fixture_init(&f, ab, 2);
    char *doc = malloc(DEEP * 5 + 64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *at = stpcpy(doc, cases[i].head);
        for (int n = 0; n < cases[i].count; n++)
            at = stpcpy(at, cases[i].unit);
        for (int n = 0; n < cases[i].count && cases[i].tail[0]; n++)
            at = stpcpy(at, cases[i].tail);
        if (cases[i].tail[0])
            strcpy(at, "}");
        struct bytes docs[] = {bytes_text("{\"a\":1}"), bytes_text(doc), bytes_text("{\"a\":2}")};
        decode(&f, docs, 3);
        assert_int_equal(cases[i].error_class != NULL, f.rejects.count);
        if (cases[i].error_class != NULL)
            assert_string_equal(cases[i].error_class, f.rejects.items[0].error_class);
        assert_string_equal("int 1", shown(&f.columns[0].variant[0]));
        assert_string_equal("int 2", shown(&f.columns[0].variant[2]));
    }
    free(doc);
    fixture_deinit(&f);
}

static void lack_of_memory_is_an_error_code(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ab, 2);
    static char text[300000];
    sprintf(text, "{\"a\":\"%0200000d\\n\"}", 0);
    struct bytes docs[] = {bytes_text("{\"a\":1}"), bytes_text(text), bytes_text("[]")};
    for (size_t limit = 1; limit < 2000000; limit = limit * 2 + 1) {
        struct arena small;
        arena_init(&small, limit);
        struct reject_list rejects = {.arena = &small};
        int rc = json_decode(f.decoder, docs, 3, false, &small, f.columns, &rejects);
        assert_true(rc == ERR_NOMEM || (rc == 0 && rejects.count == 1));
        arena_deinit(&small);
    }
    fixture_deinit(&f);
}

static void impossible_paths_are_refused(void **state)
{
    (void)state;
    struct field_path none = {.count = 0}, many = {.count = 9};
    const struct field_path *list = &none;
    struct json_decoder *decoder;
    struct diag diag;
    assert_int_equal(ERR_INVALID, json_decoder_create(&list, 1, &decoder, &diag));
    list = &many;
    assert_int_equal(ERR_INVALID, json_decoder_create(&list, 1, &decoder, &diag));
    json_decoder_destroy(NULL);
}

/* ---- jansson as the second opinion ---- */

static json_t *jansson_load(const void *data, size_t size, json_error_t *error)
{
    return json_loadb(data, size, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, error);
}

/* jansson knows limits that we do not share: doubles that overflow, integers over 64 bits, NUL in a
 * key, duplicates. */
static bool is_jansson_limit(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_duplicate_key || code == json_error_stack_overflow;
}

static bool same_as_jansson(const struct variant *value, const json_t *json)
{
    switch ((enum variant_kind)value->kind) {
    case VARIANT_NULL:
        return json == NULL || json_is_null(json);
    case VARIANT_FALSE:
        return json_is_false(json);
    case VARIANT_TRUE:
        return json_is_true(json);
    case VARIANT_INT:
        return json_is_integer(json) && json_integer_value(json) == value->i64;
    case VARIANT_TEXT:
        return json_is_string(json) && json_string_length(json) == value->size &&
               memcmp(json_string_value(json), value->data, value->size) == 0;
    case VARIANT_NUMBER: {
        char token[512];
        snprintf(token, sizeof(token), "%.*s", (int)value->size, (const char *)value->data);
        return json_is_real(json) && json_real_value(json) == strtod(token, NULL);
    }
    case VARIANT_JSON: {
        json_error_t error;
        json_t *again = jansson_load(value->data, value->size, &error);
        bool same = again != NULL && json_equal(again, json);
        json_decref(again);
        return same;
    }
    }
    return false;
}

static const char *const keys[] = {"a",        "b", "user_id", "a longer key than one vector",
                                   "\xC3\xA9", "z"};
enum { KEYS = sizeof(keys) / sizeof(*keys) };

static void random_documents_agree_with_jansson(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, keys, KEYS);
    struct random_json random = {42};
    struct buf texts[64] = {0};
    for (int round = 0; round < 300; round++) {
        struct bytes docs[64];
        for (int i = 0; i < 64; i++) {
            buf_clear(&texts[i]);
            random_json_object(&random, &texts[i], keys, KEYS);
            docs[i] = bytes_of(texts[i].data, texts[i].size);
        }
        decode(&f, docs, 64);
        if (f.rejects.count != 0)
            fail_msg("%.*s: %s", (int)docs[f.rejects.items[0].row].size,
                     (const char *)docs[f.rejects.items[0].row].data, f.rejects.items[0].message);
        for (int i = 0; i < 64; i++) {
            json_error_t error;
            json_t *json = jansson_load(docs[i].data, docs[i].size, &error);
            assert_non_null(json);
            for (int k = 0; k < KEYS; k++)
                if (!same_as_jansson(&f.columns[k].variant[i], json_object_get(json, keys[k])))
                    fail_msg("%.*s: %s is %s", (int)docs[i].size, (const char *)docs[i].data,
                             keys[k], shown(&f.columns[k].variant[i]));
            json_decref(json);
        }
    }
    for (int i = 0; i < 64; i++)
        buf_deinit(&texts[i]);
    fixture_deinit(&f);
}

/* One field, whose value is damaged: the verdict is jansson's in both directions. */
static void damaged_values_agree_with_jansson(void **state)
{
    (void)state;
    static const char head[] = "{\"a\":";
    static const char *const path[] = {"a"};
    struct fixture f;
    fixture_init(&f, path, 1);
    struct random_json random = {7};
    struct buf text = {0};
    int accepted = 0, refused = 0;
    for (int i = 0; i < 60000; i++) {
        buf_clear(&text);
        buf_append(&text, head, strlen(head));
        random_json_value(&random, &text, 3);
        buf_append(&text, "}", 1);
        random_json_damage(&random, &text, strlen(head));
        struct bytes doc = bytes_of(text.data, text.size);
        decode(&f, &doc, 1);
        const struct variant *value = &f.columns[0].variant[0];
        json_error_t error;
        json_t *json = jansson_load(doc.data, doc.size, &error);
        bool good = f.rejects.count == 0;
        if ((json == NULL && is_jansson_limit(&error)) || memchr(doc.data, 0, doc.size) != NULL) {
            json_decref(json); /* and it overlooks NUL bytes between tokens */
            continue;
        }
        if (json != NULL && (!good || !same_as_jansson(value, json_object_get(json, "a"))))
            fail_msg("%.*s: %s", (int)doc.size, (const char *)doc.data,
                     good ? shown(value) : f.rejects.items[0].message);
        /* The damage may have made a second field, which nothing asks for and nobody validates. */
        bool lone = memchr(doc.data + strlen(head), ':', doc.size - strlen(head)) == NULL;
        if (json == NULL && good && (lone || value->kind == VARIANT_JSON) &&
            memchr(doc.data, ',', doc.size) == NULL)
            fail_msg("%.*s was accepted as %s; jansson: %s", (int)doc.size, (const char *)doc.data,
                     shown(value), error.text);
        accepted += json != NULL;
        refused += json == NULL;
        json_decref(json);
    }
    assert_true(accepted > 3000 && refused > 3000);
    buf_deinit(&text);
    fixture_deinit(&f);
}

static void damaged_batches_agree_with_their_rows(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const paths[] = {"a", "b", "b.a0", "user_id"};
    fixture_init(&f, paths, 4);
    struct random_json random = {99};
    struct buf texts[48] = {0};
    for (int round = 0; round < 800; round++) {
        struct bytes docs[48];
        uint32_t harm = 1 + random_json_below(&random, 20);
        for (int i = 0; i < 48; i++) {
            buf_clear(&texts[i]);
            random_json_object(&random, &texts[i], keys, KEYS);
            if (random_json_below(&random, harm) == 0)
                random_json_damage(&random, &texts[i], 0);
            docs[i] = bytes_of(texts[i].data, texts[i].size);
        }
        arena_reset(&f.arena);
        const char *difference = decode_compare(f.path_list, 4, docs, 48, &f.arena);
        if (difference != NULL)
            fail_msg("round %d: %s", round, difference);
    }
    for (int i = 0; i < 48; i++)
        buf_deinit(&texts[i]);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_as_they_are_written),
        cmocka_unit_test(paths_may_share_parts),
        cmocka_unit_test(no_path_asked_still_checks_the_object),
        cmocka_unit_test(wide_objects_and_long_keys),
        cmocka_unit_test(nulls_are_rows_or_rejects),
        cmocka_unit_test(a_value_of_a_mebibyte),
        cmocka_unit_test(bad_rows_never_cost_their_neighbours),
        cmocka_unit_test(pairs_of_bad_rows_stay_two),
        cmocka_unit_test(messages_name_the_byte),
        cmocka_unit_test(deep_nesting_is_refused_not_followed),
        cmocka_unit_test(lack_of_memory_is_an_error_code),
        cmocka_unit_test(impossible_paths_are_refused),
        cmocka_unit_test(random_documents_agree_with_jansson),
        cmocka_unit_test(damaged_values_agree_with_jansson),
        cmocka_unit_test(damaged_batches_agree_with_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
