/* accounts.c: see the header. Progress records are read as the text that they are, so that the
 * engine's own decoder cannot hide what it wrote. */
#include "tests/support/accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/hash.h"
#include "tests/support/topic_rows.h"

struct account {
    char stage[260];
    int32_t partition;
    int64_t position, in, made, applied, filtered, late, duplicate, dead, unmatched;
    const struct topic_info *input; /* NULL: gone */
    struct bytes tables; /* what the record says of the tables that it joins with; borrowed */
};

/* The number behind "name": or 0 when the member is missing. */
static int64_t number(struct bytes value, const char *name)
{
    char pattern[64];
    int size = snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const uint8_t *at = memmem(value.data, value.size, pattern, (size_t)size);
    return at == NULL ? 0 : strtoll((const char *)at + size, NULL, 10);
}

/* The topic whose id stands behind the first "input": of the text. */
static const struct topic_info *input_topic(struct bytes value, const struct topic_info *topics,
                                            size_t count)
{
    static const char member[] = "\"input\":\"";
    const size_t skip = sizeof member - 1;
    const uint8_t *at = memmem(value.data, value.size, member, skip);
    for (size_t i = 0; at != NULL && i < count; i++) {
        char text[40];
        for (int b = 0; b < 16; b++)
            snprintf(text + 2 * b, 3, "%02x", topics[i].id.bytes[b]);
        if ((size_t)(value.data + value.size - at) >= skip + 32 && memcmp(at + skip, text, 32) == 0)
            return &topics[i];
    }
    return NULL;
}

static struct bytes tables_of(struct bytes value)
{
    static const char member[] = "\"tables\":[";
    const uint8_t *at = memmem(value.data, value.size, member, sizeof member - 1);
    return at == NULL ? bytes_of("", 0) : bytes_of(at, value.size - (size_t)(at - value.data));
}

/* "<stage>/<partition>"; records with more slashes are no accounts. */
static bool read_account(const struct topic_row *row, const struct topic_info *topics,
                         size_t topic_count, struct account *account)
{
    char key[280] = "";
    must(row->key.size < sizeof key);
    memcpy(key, row->key.data, row->key.size);
    char *slash = strchr(key, '/');
    if (slash == NULL || strchr(slash + 1, '/') != NULL)
        return false;
    *slash = '\0';
    *account = (struct account){.partition = (int32_t)strtol(slash + 1, NULL, 10),
                                .position = number(row->value, "position"),
                                .in = number(row->value, "in"),
                                .made = number(row->value, "made"),
                                .applied = number(row->value, "applied"),
                                .filtered = number(row->value, "filtered"),
                                .late = number(row->value, "late"),
                                .duplicate = number(row->value, "duplicate"),
                                .dead = number(row->value, "dead"),
                                .unmatched = number(row->value, "unmatched"),
                                .tables = tables_of(row->value),
                                .input = input_topic(row->value, topics, topic_count)};
    snprintf(account->stage, sizeof account->stage, "%s", key);
    return true;
}

static bool differs(const struct account *a, const char *what, int64_t wanted, int64_t is)
{
    if (wanted == is)
        return false;
    fprintf(stderr, "accounts of %s/%d: %s: %lld, but %lld counted\n", a->stage, (int)a->partition,
            what, (long long)wanted, (long long)is);
    return true;
}

/* Records below a position. *is_whole: none were removed at the front. */
static int64_t records_below(struct log *log, const char *topic, int32_t partition,
                             int64_t position, bool *is_whole)
{
    struct topic_rows rows;
    int64_t read = 0;
    topic_rows_init(&rows);
    topic_rows_read_partition(log, topic, partition, 0, READ_COMMITTED, &rows, NULL);
    for (size_t i = 0; i < rows.count; i++)
        read += rows.items[i].offset < position;
    *is_whole = *is_whole && (rows.count == 0 || rows.items[0].offset == 0);
    topic_rows_deinit(&rows);
    return read;
}

/* Whether the stage reads rows that were re-keyed: what it puts aside names their sources, so that it is known
 * of the whole stage, and not of a partition. */
static bool has_crossed(const struct account *a)
{
    size_t size = a->input != NULL ? strlen(a->input->name) : 0;
    return size > 9 && strcmp(a->input->name + size - 9, "-distinct") == 0;
}

static bool input_adds_up(struct log *log, const struct account *a, const struct topic_info *topics,
                          size_t topic_count)
{
    bool is_whole = true;
    /* Partials are no rows, and what was consumed of them is gone. */
    if (a->input == NULL || has_crossed(a) || strstr(a->input->name, "-repartition") != NULL)
        return true;
    int64_t read = records_below(log, a->input->name, a->partition, a->position, &is_whole);
    struct bytes rest = a->tables;
    for (const uint8_t *at; (at = memmem(rest.data, rest.size, "{\"table\":", 9)) != NULL;) {
        rest = bytes_of(at + 1, rest.size - (size_t)(at + 1 - rest.data));
        const struct topic_info *table = input_topic(rest, topics, topic_count);
        if (table == NULL)
            return true;
        read += records_below(log, table->name, (int32_t)number(rest, "partition"),
                              number(rest, "position"), &is_whole);
    }
    return !is_whole || !differs(a, "rows in", read, a->in);
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Whether a record that was put aside is of this stage and partition: of its input, or of a table, whose bad records are told by one
 * task of all. */
static bool is_of(const struct topic_row *row, const struct account *a)
{
    int64_t partition = topic_row_header_i64(row, "weir.source.partition");
    struct bytes topic = topic_row_header(row, "weir.source.topic");
    if (!bytes_equal(topic_row_header(row, "weir.stage"), bytes_text(a->stage)) ||
        topic_row_header(row, "weir.source.offset").data == NULL ||
        topic_row_header(row, "weir.windows.taken").data != NULL) /* other windows took it */
        return false;
    if (has_crossed(a))
        return true;
    if (a->tables.size > 0 && a->input != NULL && !bytes_equal(topic, bytes_text(a->input->name)))
        return partition % a->input->partitions == a->partition;
    return partition == a->partition;
}

/* How many records of the topic name this stage and partition as their source; each source record,
 * and each row that was made of one, once when is_once. */
static int64_t kept(const struct topic_rows *rows, const struct account *a, bool is_once)
{
    int64_t *offsets = malloc((rows->count + 1) * sizeof *offsets);
    size_t count = 0, different = 0;
    must(offsets != NULL);
    for (size_t i = 0; i < rows->count; i++) {
        const struct topic_row *row = &rows->items[i];
        if (!is_of(row, a))
            continue;
        struct bytes element = topic_row_header(row, "weir.source.element");
        offsets[count] = topic_row_header_i64(row, "weir.source.offset") +
                         (topic_row_header_i64(row, "weir.source.partition") << 40);
        if (has_crossed(a)) { /* several sources may have come together */
            struct bytes topic = topic_row_header(row, "weir.source.topic");
            offsets[count] ^= (int64_t)hash64(topic.data, topic.size);
        }
        if (element.data != NULL) /* a row that was made of the record counts by itself */
            offsets[count] ^= (int64_t)(hash64(element.data, element.size) << 20);
        count++;
    }
    qsort(offsets, count, sizeof *offsets, compare_numbers);
    for (size_t i = 0; i < count; i++)
        different += i == 0 || offsets[i] != offsets[i - 1];
    free(offsets);
    return (int64_t)(is_once ? different : count);
}

/* What lies beside the outputs of an app: all of it, read once. */
struct asides {
    struct topic_rows dead, late;
};

/* Late topics are named after views; the stage that a row was late for stands in its headers. */
static void asides_read(struct log *log, const char *app, const struct topic_info *topics,
                        size_t topic_count, struct asides *asides)
{
    char dead_topic[300];
    snprintf(dead_topic, sizeof dead_topic, "%s.dlq", app);
    topic_rows_init(&asides->dead);
    topic_rows_init(&asides->late);
    topic_rows_read(log, dead_topic, READ_COMMITTED, &asides->dead);
    for (size_t i = 0; i < topic_count; i++) {
        size_t size = strlen(topics[i].name);
        if (size > 5 && strcmp(topics[i].name + size - 5, ".late") == 0)
            topic_rows_read(log, topics[i].name, READ_COMMITTED, &asides->late);
    }
}

/* Letters of other stages about rows that this one has read too: it may have refused them as well. */
static int64_t told_by_others(const struct topic_rows *rows, const struct account *a)
{
    int64_t count = 0;
    for (size_t i = 0; a->input != NULL && i < rows->count; i++) {
        const struct topic_row *row = &rows->items[i];
        count +=
            !bytes_equal(topic_row_header(row, "weir.stage"), bytes_text(a->stage)) &&
            bytes_equal(topic_row_header(row, "weir.source.topic"), bytes_text(a->input->name)) &&
            topic_row_header_i64(row, "weir.source.partition") == a->partition &&
            topic_row_header_i64(row, "weir.source.offset") < a->position;
    }
    return count;
}

static bool asides_add_up(const struct asides *asides, const struct account *a)
{
    int64_t own = kept(&asides->dead, a, false), others = told_by_others(&asides->dead, a);
    int64_t told = a->dead < own ? own : a->dead > own + others ? own + others : a->dead;
    bool ok = !differs(a, "dead letters in the topic", told, a->dead);
    return !differs(a, "late rows in the topics", kept(&asides->late, a, true), a->late) && ok;
}

/* Adds the other partitions of the account's stage. False: it was done with an earlier record. */
static bool add_stage(const struct topic_rows *rows, size_t number, const struct topic_info *topics,
                      size_t topic_count, struct account *sum)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct account a;
        if (i == number || !read_account(&rows->items[i], topics, topic_count, &a) ||
            strcmp(a.stage, sum->stage) != 0)
            continue;
        if (i < number)
            return false;
        sum->late += a.late;
        sum->dead += a.dead;
    }
    return true;
}

void accounts_read(struct log *log, const char *app, struct topic_rows *progress)
{
    char topic[260];
    snprintf(topic, sizeof topic, "%s-progress", app);
    topic_rows_init(progress);
    topic_rows_read(log, topic, READ_COMMITTED, progress);
    topic_rows_latest(progress);
}

void accounts_of(const struct topic_rows *progress, const char *view, struct account_sum *sum)
{
    char source_stage[280], arms[280];
    snprintf(source_stage, sizeof source_stage, "%s-repartition", view);
    int arms_size =
        snprintf(arms, sizeof arms, "%s:", view); /* of several sources each has a stage */
    *sum = (struct account_sum){0};
    for (size_t i = 0; i < progress->count; i++) {
        struct account a;
        if (!read_account(&progress->items[i], NULL, 0, &a) ||
            (strcmp(a.stage, view) != 0 && strcmp(a.stage, source_stage) != 0 &&
             strncmp(a.stage, arms, (size_t)arms_size) != 0))
            continue;
        sum->in += a.in;
        sum->made += a.made;
        sum->applied += a.applied;
        sum->filtered += a.filtered;
        sum->late += a.late;
        sum->dead += a.dead;
    }
}

bool accounts_close(struct log *log, const char *app, bool was_reset)
{
    struct topic_info *topics = NULL;
    size_t topic_count = 0;
    struct topic_rows rows;
    struct asides asides;
    bool ok = true;
    accounts_read(log, app, &rows);
    must(topic_list(log, &topics, &topic_count) == 0);
    asides_read(log, app, topics, topic_count, &asides);
    for (size_t i = 0; i < rows.count; i++) {
        struct account a;
        if (!read_account(&rows.items[i], topics, topic_count, &a))
            continue;
        ok = !differs(&a,
                      "in + made against applied + filtered + late + duplicate + dead + unmatched",
                      a.in + a.made,
                      a.applied + a.filtered + a.late + a.duplicate + a.dead + a.unmatched) &&
             ok;
        ok = input_adds_up(log, &a, topics, topic_count) && ok;
        if (has_crossed(&a) && !add_stage(&rows, i, topics, topic_count, &a))
            continue;
        ok = (was_reset || asides_add_up(&asides, &a)) && ok;
    }
    free(topics);
    topic_rows_deinit(&asides.dead);
    topic_rows_deinit(&asides.late);
    topic_rows_deinit(&rows);
    return ok;
}
