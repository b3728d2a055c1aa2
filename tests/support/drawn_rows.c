/* drawn_rows.c: input for drawn tables (see drawn_sql.h): good rows, rows that do not cast, rows
 * without a time, no rows at all, late ones, repeated ones; for a table with a key, rows and
 * deletions of few keys. Each value is drawn as what it means, and printed as one of its spellings. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"
#include "tests/support/drawn_sql.h"

struct value {
    struct datum cell;
    bool is_bad, is_missing;
    char token[DATUM_TEXT_BYTES + 8];
};

/* ---- casts ---- */

static bool fits(const struct datum *cell, int64_t limit)
{
    return cell->is_null || (cell->n <= limit && cell->n >= -limit - 1);
}

bool declared_cast(enum declared_type type, const struct datum *from, struct datum *to)
{
    *to = *from;
    to->type = declared_datum_type(type);
    switch (type) {
    case DECLARED_SMALLINT:
        return fits(to, INT16_MAX);
    case DECLARED_INTEGER:
        return fits(to, INT32_MAX);
    case DECLARED_MONEY:
        *to = datum_round(to, 2);
        return fits(to, 99999999) && (to->is_null || to->n > -100000000);
    default:
        return true;
    }
}

/* ---- values ---- */

static void print_token(struct value *value)
{
    struct buf out;
    buf_init(&out, 0);
    datum_print_json(&value->cell, &out);
    must(buf_ok(&out) && out.size < sizeof value->token);
    memcpy(value->token, out.data, out.size);
    value->token[out.size] = '\0';
    buf_deinit(&out);
}

static void quote_token(struct value *value)
{
    char quoted[sizeof value->token + 2];
    snprintf(quoted, sizeof quoted, "\"%s\"", value->token);
    must(strlen(quoted) < sizeof value->token);
    memcpy(value->token, quoted, strlen(quoted) + 1);
}

static void spoil(struct value *value, const char *token)
{
    value->is_bad = true;
    value->cell = datum_null(value->cell.type);
    snprintf(value->token, sizeof value->token, "%s", token);
}

static void draw_number(struct chance *chance, enum declared_type type, struct value *value)
{
    bool is_exact = declared_datum_type(type) == DATUM_NUMERIC;
    int scale = is_exact ? (int)chance_below(chance, 4) : 0;
    drawn_wide n = chance_below(chance, 12) - 3;
    if (scale > 0)
        n = chance_below(chance, 9000) - 2000;
    if (chance_below(chance, 12) == 0)
        n = type == DECLARED_SMALLINT ? 32768 : INT64_C(3000000000);
    value->cell = datum_number(is_exact ? DATUM_NUMERIC : DATUM_BIGINT, n, scale);
    print_token(value);
    if (chance_below(chance, 8) == 0)
        quote_token(value);
    struct datum drawn = value->cell;
    value->is_bad = !declared_cast(type, &drawn, &value->cell);
    if (chance_below(chance, 20) == 0)
        spoil(value, is_exact ? "\"much\"" : "\"1.5\"");
}

static void draw_text(struct chance *chance, struct value *value)
{
    static const char *const texts[] = {"a", "b", "c", "ab", "B", "7", "-2"};
    value->cell = datum_text(texts[chance_below(chance, 7)]);
    print_token(value);
    if (value->cell.text[0] == '7' && chance_below(chance, 2) == 0)
        snprintf(value->token, sizeof value->token, "7"); /* any token is a text */
}

static void draw_truth(struct chance *chance, struct value *value)
{
    value->cell = datum_number(DATUM_BOOLEAN, chance_below(chance, 2), 0);
    print_token(value);
    if (chance_below(chance, 8) == 0)
        quote_token(value);
    if (chance_below(chance, 16) == 0)
        spoil(value, "\"maybe\"");
}

static void draw_time(struct chance *chance, int64_t time_ms, struct value *value)
{
    value->cell = datum_number(DATUM_TIME, time_ms, 0);
    print_token(value);
    if (chance_below(chance, 2) == 0)
        snprintf(value->token, sizeof value->token, "%lld", (long long)time_ms);
    if (chance_below(chance, 20) == 0)
        spoil(value, "\"soon\"");
}

static void draw_value(struct chance *chance, enum declared_type type, int64_t time_ms,
                       struct value *value)
{
    *value = (struct value){.cell = datum_null(declared_datum_type(type))};
    if (chance_below(chance, 8) == 0) {
        value->is_missing = chance_below(chance, 2) == 0;
        snprintf(value->token, sizeof value->token, "null");
        return;
    }
    switch (type) {
    case DECLARED_TEXT:
        draw_text(chance, value);
        break;
    case DECLARED_BOOLEAN:
        draw_truth(chance, value);
        break;
    case DECLARED_TIME:
        draw_time(chance, time_ms, value);
        break;
    default:
        draw_number(chance, type, value);
        break;
    }
}

/* ---- rows ---- */

/* Fields of the object, or of the object in its field o. */
static bool print_fields(const struct drawn_relation *table, const struct value *values,
                         bool is_nested, struct buf *out)
{
    bool any = false;
    for (int i = 0; i < table->column_count; i++) {
        if (table->declared[i].is_nested != is_nested || values[i].is_missing)
            continue;
        buf_printf(out, "%s\"%s\":%s", any ? "," : "", table->columns[i].name, values[i].token);
        any = true;
    }
    return any;
}

static void print_object(const struct drawn_relation *table, const struct value *values,
                         struct buf *out)
{
    struct buf nested;
    buf_init(&nested, 0);
    buf_printf(out, "{");
    bool any = print_fields(table, values, false, out);
    if (print_fields(table, values, true, &nested))
        buf_printf(out, "%s\"o\":{%.*s}", any ? "," : "", (int)nested.size,
                   (const char *)nested.data);
    buf_printf(out, "}");
    buf_deinit(&nested);
}

static const char *kept_text(struct drawn_file *file, struct buf *out)
{
    buf_u8(out, 0);
    must(buf_ok(out));
    const char *text = arena_text(&file->arena, (const char *)out->data);
    must(text != NULL);
    buf_deinit(out);
    return text;
}

static int place_of(const struct drawn_file *file, const struct drawn_relation *table,
                    const struct drawn_input *input, int drawn)
{
    const struct datum *cell = &input->cells[table->placed_column];
    if (!table->is_placed)
        return drawn;
    return cell->is_null ? 0 : murmur2_partition(cell->text, strlen(cell->text), file->partitions);
}

static void set_time(const struct drawn_file *file, const struct drawn_relation *table,
                     const struct value *values, struct drawn_input *input, int64_t sequence)
{
    input->timestamp_ms = file->is_timed          ? DRAWN_START_MS + sequence
                          : table->has_event_time ? DRAWN_START_MS
                                                  : input->time_ms;
    if (!table->has_event_time) {
        input->time_ms = input->timestamp_ms;
        return;
    }
    const struct value *time = &values[table->time_column];
    if (time->is_bad)
        input->defect = "event_time_invalid";
    else if (time->cell.is_null)
        input->defect = "event_time_missing";
}

static void draw_row(struct drawn_file *file, struct drawn_relation *table,
                     struct drawn_input *input, int64_t sequence)
{
    static const char *const broken[] = {"{\"id\":", "[]", "hello"};
    static const char *const classes[] = {"json_malformed", "json_not_object", "json_malformed"};
    struct chance *chance = &file->chance;
    struct value values[DRAWN_COLUMNS_MAX];
    struct buf text;
    buf_init(&text, 0);
    for (int i = 0; i < table->column_count; i++) {
        draw_value(chance, table->declared[i].type, input->time_ms, &values[i]);
        if (i == table->key_column) {
            values[i] = (struct value){.cell = datum_text(input->key)};
            print_token(&values[i]);
        }
        input->cells[i] = values[i].cell;
        input->is_bad[i] = values[i].is_bad;
    }
    set_time(file, table, values, input, sequence);
    print_object(table, values, &text);
    int which = (int)chance_below(chance, 90);
    if (which < 3) {
        input->defect = classes[which];
        buf_clear(&text);
        buf_printf(&text, "%s", broken[which]);
    }
    input->text = kept_text(file, &text);
}

/* Times go on by some seconds, back by some, and rarely back by much. */
static int64_t draw_moment(struct chance *chance, int64_t *clock_ms)
{
    *clock_ms += chance_below(chance, 4000);
    int64_t back_ms = chance_below(chance, 3) == 0 ? chance_below(chance, 15000) : 0;
    if (chance_below(chance, 12) == 0)
        back_ms = chance_below(chance, 120000);
    return *clock_ms - back_ms;
}

/* In the order of sending: what is read by time gets stamps that grow; else what a round changes in tables stands before its rows. */
static int64_t stamp_of(const struct drawn_file *file, const struct drawn_relation *table,
                        int round, int64_t sequence)
{
    return file->is_timed ? sequence : 2 * round + (table->is_table ? 0 : 1);
}

static void draw_input(struct drawn_file *file, struct drawn_relation *table, int round,
                       int64_t *clocks_ms, int64_t sequence)
{
    static const char *const keys[] = {"a", "b", "ab", "A", "c"};
    struct chance *chance = &file->chance;
    int partition = (int)chance_below(chance, file->partitions);
    struct drawn_input *input = &table->inputs[table->input_count++];
    if (table->input_count > 1 && !table->is_table && chance_below(chance, 10) == 0) {
        *input = input[-1]; /* sent twice */
    } else {
        if (table->is_table)
            snprintf(input->key, sizeof input->key, "%s", keys[chance_below(chance, 5)]);
        input->is_tombstone = table->is_table && chance_below(chance, 5) == 0;
        input->time_ms = draw_moment(chance, &clocks_ms[partition]);
        input->partition = partition;
        draw_row(file, table, input, sequence);
        input->partition = place_of(file, table, input, partition);
    }
    if (file->is_timed) {
        input->timestamp_ms = DRAWN_START_MS + sequence;
        if (!table->has_event_time)
            input->time_ms = input->timestamp_ms;
    }
    input->round = round;
    input->stamp = stamp_of(file, table, round, sequence);
}

void drawn_rows_draw(struct drawn_file *file, struct drawn_relation *table)
{
    int64_t clocks_ms[DRAWN_PARTITIONS_MAX];
    int count = (int)chance_below(&file->chance, chance_below(&file->chance, 8) == 0 ? 2 : 40);
    for (int p = 0; p < DRAWN_PARTITIONS_MAX; p++)
        clocks_ms[p] = DRAWN_START_MS + chance_below(&file->chance, 20000);
    table->inputs = arena_zalloc(&file->arena, (size_t)(count + 1) * sizeof *table->inputs);
    must(table->inputs != NULL && count <= DRAWN_ROWS_MAX);
    for (int i = 0; i < count; i++) {
        int round = i * file->rounds / count;
        int64_t moment = round * 1000 + i * 10 + chance_below(&file->chance, 11);
        draw_input(file, table, round, clocks_ms, moment);
    }
}

void drawn_row_print(const struct drawn_relation *table, const struct datum *cells, struct buf *out)
{
    struct value values[DRAWN_COLUMNS_MAX];
    for (int i = 0; i < table->column_count; i++) {
        values[i] = (struct value){.cell = cells[i]};
        print_token(&values[i]);
    }
    print_object(table, values, out);
}
