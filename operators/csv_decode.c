/* csv_decode.c: comma-separated values (see csv_decode.h).
 *
 * RFC 4180, read strictly: a field is either plain (no quote in it) or all of it in quotes, where a
 * quote is written twice and commas and line ends are text. A record of the topic is one row, so a
 * line end outside of quotes may only be the record's last bytes. Types are not decided here: the
 * columns are text, and casts read them as expressions read any text. */
#include "operators/csv_decode.h"

#include "operators/json_token.h"

struct csv {
    struct bytes doc;
    size_t at;
    struct arena *arena;
    const char *problem;
    bool is_out_of_memory;
};

static bool refuse(struct csv *csv, const char *problem)
{
    csv->problem = problem;
    return false;
}

/* The text between the quotes, with doubled quotes made single. */
static bool take_quoted(struct csv *csv, struct bytes *text)
{
    size_t first = ++csv->at, doubled = 0;
    const uint8_t *data = csv->doc.data;
    for (;; csv->at++) {
        if (csv->at == csv->doc.size)
            return refuse(csv, "a quoted field is not closed");
        if (data[csv->at] != '"')
            continue;
        if (csv->at + 1 == csv->doc.size || data[csv->at + 1] != '"')
            break;
        doubled++;
        csv->at++;
    }
    *text = bytes_of(data + first, csv->at++ - first);
    if (doubled == 0)
        return true;
    uint8_t *out = arena_alloc_aligned(csv->arena, text->size, 1);
    if (out == NULL) {
        csv->is_out_of_memory = true;
        return false;
    }
    size_t size = 0;
    for (size_t i = 0; i < text->size; i++) {
        out[size++] = text->data[i];
        i += text->data[i] == '"';
    }
    *text = bytes_of(out, size);
    return true;
}

/* A plain field; null when it is empty. */
static bool take_plain(struct csv *csv, struct bytes *text)
{
    size_t first = csv->at;
    for (; csv->at < csv->doc.size && csv->doc.data[csv->at] != ','; csv->at++) {
        uint8_t byte = csv->doc.data[csv->at];
        if (byte == '"')
            return refuse(csv, "a quote inside a field that is not quoted");
        if (byte == '\n' || byte == '\r')
            return refuse(csv, "a line ends before the record does");
    }
    size_t size = csv->at - first;
    *text = size > 0 ? bytes_of(csv->doc.data + first, size) : (struct bytes){NULL, 0};
    return true;
}

/* The fields of one record. Returns how many there are, or −1. */
static int64_t take_fields(struct csv *csv, struct column *columns, uint32_t column_count,
                           uint32_t row)
{
    for (int64_t count = 0;; csv->at++) {
        struct bytes text;
        bool is_quoted = csv->at < csv->doc.size && csv->doc.data[csv->at] == '"';
        if (!(is_quoted ? take_quoted(csv, &text) : take_plain(csv, &text)))
            return -1;
        if (csv->at < csv->doc.size && csv->doc.data[csv->at] != ',') {
            refuse(csv, "something follows a quoted field");
            return -1;
        }
        if (count < column_count) {
            columns[count].text[row] = text;
            columns[count].nulls[row] = text.data == NULL;
        }
        count++;
        if (csv->at == csv->doc.size)
            return count;
    }
}

static int reject_row(const struct csv *csv, struct column *columns, uint32_t column_count,
                      uint32_t row, int64_t count, struct reject_list *rejects)
{
    for (uint32_t i = 0; i < column_count; i++) {
        columns[i].text[row] = (struct bytes){NULL, 0};
        columns[i].nulls[row] = 1;
    }
    if (csv->is_out_of_memory)
        return ERR_NOMEM;
    if (count < 0)
        return reject_add(rejects, row, "csv_malformed", "%s, at byte %zu of %zu", csv->problem,
                          csv->at, csv->doc.size);
    return reject_add(rejects, row, "csv_columns", "the row has %lld fields and not %u",
                      (long long)count, column_count);
}

int csv_decode(const struct bytes *docs, uint32_t count, uint32_t column_count, struct arena *arena,
               struct column *columns, struct reject_list *rejects)
{
    must(count <= BATCH_ROWS);
    for (uint32_t i = 0; i < column_count; i++)
        TRY(column_alloc(&columns[i], COL_TEXT, count, true, arena));
    for (uint32_t row = 0; row < count; row++) {
        struct csv csv = {.doc = docs[row], .arena = arena};
        for (uint32_t i = 0; i < column_count; i++)
            columns[i].nulls[row] = 1;
        if (csv.doc.data == NULL) {
            TRY(reject_add(rejects, row, "value_null", "the record has no value"));
            continue;
        }
        size_t bad = json_find_bad_utf8(csv.doc.data, csv.doc.size);
        if (bad < csv.doc.size) {
            TRY(reject_add(rejects, row, "csv_utf8",
                           "the bytes are not valid UTF-8, at byte %zu of %zu", bad, csv.doc.size));
            continue;
        }
        if (csv.doc.size > 0 && csv.doc.data[csv.doc.size - 1] == '\n')
            csv.doc.size--;
        if (csv.doc.size > 0 && csv.doc.data[csv.doc.size - 1] == '\r')
            csv.doc.size--;
        int64_t fields = take_fields(&csv, columns, column_count, row);
        if (fields != (int64_t)column_count)
            TRY(reject_row(&csv, columns, column_count, row, fields, rejects));
    }
    return 0;
}
