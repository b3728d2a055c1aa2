/* dead_letter.c: reads the headers that the engine adds to dead letters and late rows.
 *
 * A letter has the source record's own headers first, byte for byte, and behind them what
 * runtime/task_output.c adds, in this order:
 *
 *   weir.source.topic  weir.source.partition  weir.source.offset  weir.source.timestamp
 *   [weir.source.element]  weir.stage
 *   weir.error.class  weir.error.message                                    of a dead letter
 *   weir.window.start  weir.window.end  weir.lateness_ms  [weir.windows.taken]   of a late row
 *
 * The first line is missing when there was no source record. A source record may have headers of the same names: it was
 * itself a dead letter that somebody reads as a source. So names alone decide nothing. What was added is the one tail of
 * the headers that reads as the whole sequence, from its first name to the record's end; it begins with the only
 * weir.source.topic from which that holds. Any other record is foreign, and all of its headers are its own. */
#include "runtime/records/dead_letter.h"

#include "runtime/base/hash.h"
#include "runtime/records/integer_text.h"

enum { PARTITION_MAX = 9999 };

/* Takes the next header when it has this name and a value. */
static bool take_named(struct bytes *rest, const char *name, struct bytes *value)
{
    struct bytes after = *rest;
    struct header header;
    if (after.size == 0 || header_take(&after, &header) < 0 || header.value.data == NULL ||
        !bytes_equal(header.key, bytes_text(name)))
        return false;
    *value = header.value;
    *rest = after;
    return true;
}

/* A name, which is compared and shown: without a zero byte. */
static bool take_name(struct bytes *rest, const char *name, struct bytes *value)
{
    return take_named(rest, name, value) &&
           (value->size == 0 || memchr(value->data, '\0', value->size) == NULL);
}

static bool take_number(struct bytes *rest, const char *name, int64_t min, int64_t max,
                        int64_t *number)
{
    struct bytes after = *rest, value;
    char text[24];
    if (!take_named(&after, name, &value) || value.size >= sizeof text)
        return false;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    if (strlen(text) != value.size || parse_integer(text, number) < 0 || *number < min ||
        *number > max)
        return false;
    *rest = after;
    return true;
}

/* Names go into keys and onto screens: one that no topic can have is no name. */
static bool is_topic_name(struct bytes text)
{
    char name[250];
    struct diag unused = {0};
    if (text.size >= sizeof name)
        return false;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return strlen(name) == text.size && topic_name_check(name, &unused) == 0;
}

static bool take_source(struct bytes *rest, struct dead_letter *letter)
{
    int64_t partition;
    if (!take_named(rest, "weir.source.topic", &letter->source_topic) ||
        !is_topic_name(letter->source_topic) ||
        !take_number(rest, "weir.source.partition", 0, PARTITION_MAX, &partition) ||
        !take_number(rest, "weir.source.offset", 0, INT64_MAX, &letter->source_offset) ||
        !take_number(rest, "weir.source.timestamp", INT64_MIN, INT64_MAX,
                     &letter->source_timestamp_ms))
        return false;
    letter->source_partition = (int32_t)partition;
    return true;
}

static bool take_error(struct bytes *rest, struct dead_letter *letter)
{
    return take_name(rest, "weir.error.class", &letter->error_class) &&
           take_named(rest, "weir.error.message", &letter->error_message);
}

static bool take_lateness(struct bytes *rest, struct dead_letter *letter)
{
    letter->error_class = bytes_text("late");
    letter->error_message = bytes_of(NULL, 0);
    if (!take_named(rest, "weir.window.start", &letter->window_start) ||
        !take_named(rest, "weir.window.end", &letter->window_end) ||
        !take_number(rest, "weir.lateness_ms", INT64_MIN, INT64_MAX, &letter->lateness_ms))
        return false;
    take_number(rest, "weir.windows.taken", 1, INT64_MAX, &letter->windows_taken);
    return true;
}

/* Reads rest as the whole of what is added. False: it is something else. */
static bool read_added(struct bytes rest, bool has_source, struct dead_letter *letter)
{
    *letter = (struct dead_letter){.kind = LETTER_FOREIGN};
    if (has_source && !take_source(&rest, letter))
        return false;
    take_named(&rest, "weir.source.element", &letter->element);
    if (!take_name(&rest, "weir.stage", &letter->stage))
        return false;
    struct bytes tail = rest;
    if (take_error(&tail, letter) && tail.size == 0) {
        letter->kind = has_source ? LETTER_DEAD : LETTER_RESULT;
        return true;
    }
    letter->kind = LETTER_LATE;
    return has_source && take_lateness(&rest, letter) && rest.size == 0;
}

/* What the letter of a row that COPY refused begins with: file and line. Nothing is taken when it does not. */
static bool take_copy(struct bytes *rest)
{
    struct bytes all = *rest, file;
    int64_t line;
    if (take_named(rest, "weir.copy.file", &file) &&
        take_number(rest, "weir.copy.line", 1, INT64_MAX, &line))
        return true;
    *rest = all;
    return false;
}

void dead_letter_read(const struct record *record, struct dead_letter *letter)
{
    const struct bytes all = record->headers;
    struct bytes rest = all;
    struct header header;
    int32_t begun = take_copy(&rest) ? 2 : 0;
    if (read_added(rest, false, letter)) {
        letter->headers = bytes_of(all.data, all.size - rest.size);
        letter->header_count = begun;
        return;
    }
    rest = all;
    for (int32_t i = 0; i < record->header_count; i++) {
        if (read_added(rest, true, letter)) {
            letter->headers = bytes_of(all.data, all.size - rest.size);
            letter->header_count = i;
            return;
        }
        if (header_take(&rest, &header) < 0)
            break;
    }
    *letter = (struct dead_letter){
        .kind = LETTER_FOREIGN, .headers = all, .header_count = record->header_count};
}

bool dead_letter_is_part(const struct dead_letter *letter)
{
    return letter->element.data != NULL || letter->windows_taken > 0;
}

/* Lengths stand before the bytes, so that no two records read alike. */
static void add_bytes(struct buf *buf, struct bytes bytes)
{
    buf_be64(buf, bytes.data == NULL ? UINT64_MAX : bytes.size);
    buf_append(buf, bytes.data != NULL ? (const void *)bytes.data : "", bytes.size);
}

int dead_letter_fingerprint(const struct record *record, const struct dead_letter *letter,
                            struct buf *scratch, uint64_t *fingerprint)
{
    buf_clear(scratch);
    buf_be64(scratch, (uint64_t)letter->source_timestamp_ms);
    add_bytes(scratch, record->key);
    add_bytes(scratch, record->value);
    add_bytes(scratch, letter->headers);
    if (!buf_ok(scratch))
        return ERR_NOMEM;
    *fingerprint = hash64(scratch->data, scratch->size);
    return 0;
}
