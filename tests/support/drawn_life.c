/* drawn_life.c: see the header.
 *
 * The files' texts are one program, so that one app has all their pipelines. In each round the records
 * of the round are sent and read, on the way of a live job (what there is, changes of tables first) or
 * of one that runs to the end of its input (by the records' times). Between rounds the engine goes on,
 * is ended and started with other options, or is killed; and it dies at a drawn place now and then. */
#include "tests/support/drawn_life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/drawn_kills.h"

/* ---- drawing ---- */

static void draw_run(struct sql_life_run *run, struct chance *chance)
{
    static const int batch_rows[] = {1, 2, 7, 100, 4096};
    *run = (struct sql_life_run){.threads = 1 + (int)chance_below(chance, 3),
                                 .batch_rows = batch_rows[chance_below(chance, 5)],
                                 .commit_interval_ms = 1 + (int)chance_below(chance, 20),
                                 .checkpoint_interval_ms = 1 + (int)chance_below(chance, 50),
                                 .steps = (int)chance_below(chance, 6)};
    static const enum sql_begin begins[] = {SQL_GOES_ON, SQL_RESTARTS, SQL_IS_KILLED};
    run->begin = begins[chance_below(chance, 3)];
    if (chance_below(chance, 2) == 0) {
        run->kill_at = kill_place(chance);
        run->kill_number = 1 + chance_below(chance, chance_below(chance, 2) == 0 ? 3 : 30);
    }
}

void sql_life_draw(struct sql_life *life, uint64_t seed)
{
    struct chance chance = {seed ^ 0x2545f4914f6cdd1d};
    memset(life, 0, sizeof *life);
    life->seed = seed;
    life->rounds = 1 + (int)chance_below(&chance, 3);
    life->is_timed = chance_below(&chance, 4) == 0;
    life->closes_windows = chance_below(&chance, 2) == 0;
    for (int i = 0; i < life->rounds; i++)
        draw_run(&life->runs[i], &chance);
    life->file_count = SQL_LIFE_FILES;
    for (int i = 0; i < life->file_count; i++)
        drawn_file_draw(&life->files[i], chance_next(&chance), i, life->rounds, life->is_timed);
}

void sql_life_free(struct sql_life *life)
{
    for (int i = 0; i < SQL_LIFE_FILES; i++)
        drawn_file_free(&life->files[i]);
}

/* ---- running ---- */

struct sql_drive {
    struct sql_life *life;
    struct job job;
    weir_app *app;
    weir_test *test;
};

static weir_app *make_app(const struct sql_drive *drive, int round)
{
    const struct sql_life_run *run = &drive->life->runs[round];
    weir_options options = {.threads = run->threads,
                            .batch_rows = run->batch_rows,
                            .commit_interval_ms = run->commit_interval_ms,
                            .checkpoint_interval_ms = run->checkpoint_interval_ms};
    weir_app *app = weir_app_open(drive->job.app, &options);
    must(app != NULL);
    job_build(&drive->job, app);
    return app;
}

static bool call(struct sql_drive *drive, enum driven_call what)
{
    return call_through_kills(drive->test, what, &drive->life->kills);
}

static bool begin(struct sql_drive *drive, int round)
{
    const struct sql_life_run *run = &drive->life->runs[round];
    if (round == 0 || run->begin == SQL_GOES_ON)
        return true;
    if (run->begin == SQL_IS_KILLED)
        must(weir_test_kill(drive->test) == 0);
    weir_app *app = make_app(drive, round);
    int rc = weir_test_restart(drive->test, app);
    if (rc != 0)
        fprintf(stderr, "restart: %s (%d)\n", weir_test_error(drive->test), rc);
    weir_app_close(drive->app);
    drive->app = app;
    return rc == 0;
}

static void send_table(struct sql_drive *drive, const struct drawn_relation *table, int round)
{
    for (int i = 0; i < table->input_count; i++) {
        const struct drawn_input *input = &table->inputs[i];
        weir_record record = {.topic = table->topic,
                              .key = table->is_table ? input->key : NULL,
                              .key_size = strlen(input->key),
                              .value = input->is_tombstone ? NULL : input->text,
                              .value_size = input->is_tombstone ? 0 : strlen(input->text),
                              .timestamp_ms = input->timestamp_ms};
        if (input->round == round)
            must(weir_test_send_record(drive->test, table->is_table ? -1 : input->partition,
                                       &record) == 0);
    }
}

/* Tables first, unless records are read by their times. */
static void send_rows(struct sql_drive *drive, int round)
{
    for (int pass = 0; pass < 2; pass++)
        for (int f = 0; f < drive->life->file_count; f++) {
            const struct drawn_file *file = &drive->life->files[f];
            for (int i = 0; i < file->relation_count; i++) {
                const struct drawn_relation *relation = file->relations[i];
                if (relation->form == FORM_TABLE && relation->writer == NULL &&
                    relation->is_table == (pass == 0))
                    send_table(drive, relation, round);
            }
        }
    must(weir_test_flush(drive->test) == 0);
}

static bool drive_round(struct sql_drive *drive, int round)
{
    const struct sql_life *life = drive->life;
    const struct sql_life_run *run = &life->runs[round];
    if (!begin(drive, round))
        return false;
    send_rows(drive, round);
    must(weir_test_kill_at(drive->test, run->kill_at, run->kill_number) == 0);
    bool ok = true;
    for (int i = 0; ok && !life->is_timed && i < run->steps; i++)
        ok = call(drive, DRIVEN_STEP);
    if (!life->is_timed)
        ok = ok && call(drive, DRIVEN_RUN);
    bool is_last = round == life->rounds - 1;
    if (ok && (life->is_timed || is_last))
        ok = call(drive, is_last && life->closes_windows ? DRIVEN_CLOSE : DRIVEN_FINISH);
    must(weir_test_kill_at(drive->test, NULL, 0) == 0);
    return ok;
}

static void make_topics(struct sql_drive *drive)
{
    for (int f = 0; f < drive->life->file_count; f++) {
        const struct drawn_file *file = &drive->life->files[f];
        for (int i = 0; i < file->relation_count; i++) {
            const struct drawn_relation *relation = file->relations[i];
            if (relation->form == FORM_TABLE && relation->writer == NULL)
                must(weir_topic_create(weir_test_log(drive->test), relation->topic,
                                       file->partitions, NULL, 0) == 0);
        }
    }
}

/* ---- comparing ---- */

static struct bytes header_of(const weir_record *record, const char *name)
{
    for (size_t h = 0; h < record->header_count; h++)
        if (strcmp(record->headers[h].key, name) == 0)
            return bytes_of(record->headers[h].value, record->headers[h].value_size);
    return (struct bytes){NULL, 0};
}

static struct bytes value_of(const weir_record *record)
{
    return bytes_of(record->value, record->value_size);
}

/* The last record of each key, of those that have a value; of topics that are no upserts all. */
static void add_records(struct pairs *pairs, const weir_record *records, size_t count,
                        bool is_upsert, bool has_key)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes key = bytes_of(records[i].key, records[i].key_size);
        bool is_last = true;
        for (size_t later = i + 1; later < count && is_upsert && is_last; later++)
            is_last = !bytes_equal(key, bytes_of(records[later].key, records[later].key_size));
        if (is_last && (records[i].value != NULL || !is_upsert))
            pairs_add(pairs, has_key ? key : bytes_text(""), value_of(&records[i]));
    }
}

static bool read_all(weir_test *test, const char *topic, weir_record **records, size_t *count)
{
    *records = NULL;
    *count = 0;
    int rc = weir_test_read(test, topic, records, count);
    if (rc != 0 && rc != WEIR_ENOTFOUND)
        fprintf(stderr, "%s: %s\n", topic, weir_test_error(test));
    return rc == 0 || rc == WEIR_ENOTFOUND;
}

static bool same_topic(weir_test *test, const char *topic, bool is_upsert, bool has_key,
                       struct pairs *expected)
{
    weir_record *records;
    size_t count;
    struct pairs actual;
    pairs_init(&actual);
    bool same = read_all(test, topic, &records, &count);
    add_records(&actual, records, count, is_upsert, has_key);
    same = pairs_same(topic, expected, &actual) && same;
    pairs_deinit(&actual);
    weir_free(records);
    return same;
}

/* What wrote the record, without what tells stages of one result apart. */
static int stage_size(struct bytes stage)
{
    static const char *const suffixes[] = {"-repartition", "-distinct"};
    size_t size = 0;
    while (size < stage.size && stage.data[size] != ':')
        size++;
    for (int i = 0; i < 2; i++) {
        size_t end = strlen(suffixes[i]);
        if (size > end && memcmp(stage.data + size - end, suffixes[i], end) == 0)
            size -= end;
    }
    return (int)size;
}

static bool writes(const struct drawn_file *file, struct bytes stage)
{
    struct bytes name = {stage.data, (size_t)stage_size(stage)};
    for (int i = 0; i < file->result_count; i++)
        if (bytes_equal(name, bytes_text(file->results[i]->name)))
            return true;
    return false;
}

static bool is_table_of(const struct drawn_file *file, struct bytes topic)
{
    for (int i = 0; i < file->relation_count; i++)
        if (file->relations[i]->is_table &&
            bytes_equal(topic, bytes_text(file->relations[i]->topic)))
            return true;
    return false;
}

/* Each pair once, of those whose key ends in " once": every task that reads a table rejects its records. */
static void drop_repeats(struct pairs *pairs)
{
    static const char mark[] = " once";
    size_t kept = 0, size = sizeof mark - 1;
    for (size_t i = 0; i < pairs->count; i++) {
        struct pair pair = pairs->items[i];
        bool is_there = false;
        if (pair.key.size > size && memcmp(pair.key.data + pair.key.size - size, mark, size) == 0)
            for (size_t k = 0; k < kept && !is_there; k++)
                is_there = bytes_equal(pairs->items[k].key, pair.key) &&
                           bytes_equal(pairs->items[k].value, pair.value);
        if (!is_there)
            pairs->items[kept++] = pair;
    }
    pairs->count = kept;
}

/* "result/class" of a key, without what says how it came about. */
static struct bytes unmarked(struct bytes key)
{
    const uint8_t *mark = memmem(key.data, key.size, DRAWN_DECLARED, sizeof DRAWN_DECLARED - 1);
    return mark != NULL ? bytes_of(key.data, (size_t)(mark - (const uint8_t *)key.data)) : key;
}

static struct bytes class_of(struct bytes key)
{
    struct bytes plain = unmarked(key);
    const uint8_t *slash = memchr(plain.data, '/', plain.size);
    must(slash != NULL);
    return bytes_of(slash, plain.size - (size_t)(slash - (const uint8_t *)plain.data));
}

static bool is_alike(const struct pair *a, const struct pair *b)
{
    return bytes_equal(class_of(a->key), class_of(b->key)) && bytes_equal(a->value, b->value);
}

/* Letters of any result about this record, or one like it, for this reason. */
static size_t told_of(const struct pairs *actual, const struct pair *letter)
{
    size_t count = 0;
    for (size_t i = 0; i < actual->count; i++)
        count += is_alike(&actual->items[i], letter);
    return count;
}

static size_t count_of(const struct pairs *pairs, const struct pair *letter)
{
    size_t count = 0;
    for (size_t i = 0; i < pairs->count; i++)
        count += bytes_equal(pairs->items[i].key, letter->key) &&
                 bytes_equal(pairs->items[i].value, letter->value);
    return count;
}

/* The topic of a letter about what breaks a declaration; empty: it is about something else. */
static struct bytes topic_of(struct bytes key)
{
    size_t skip = unmarked(key).size + sizeof DRAWN_DECLARED - 1;
    const uint8_t *topic = (const uint8_t *)key.data + skip;
    const uint8_t *end = skip < key.size ? memchr(topic, '#', key.size - skip) : NULL;
    return end != NULL ? bytes_of(topic, (size_t)(end - topic)) : bytes_of("", 0);
}

/* How many records of this topic are like the letter's: each result that reads it reads all of them. */
static size_t most_of(const struct pairs *expected, const struct pair *letter, struct bytes topic)
{
    size_t most = 0;
    for (size_t i = 0; i < expected->count; i++) {
        const struct pair *other = &expected->items[i];
        if (!is_alike(other, letter) || !bytes_equal(topic_of(other->key), topic))
            continue;
        size_t count = count_of(expected, other);
        most = count > most ? count : most;
    }
    return most;
}

/* The same of all topics. */
static size_t records_of(const struct pairs *expected, const struct pair *letter)
{
    size_t sum = 0;
    for (size_t i = 0; i < expected->count; i++) {
        const struct pair *other = &expected->items[i];
        struct bytes topic = topic_of(other->key);
        bool is_first = topic.size > 0 && is_alike(other, letter);
        for (size_t k = 0; k < i && is_first; k++)
            is_first = !is_alike(&expected->items[k], letter) ||
                       !bytes_equal(topic_of(expected->items[k].key), topic);
        sum += is_first ? most_of(expected, letter, topic) : 0;
    }
    return sum;
}

/* Results that refuse a row alike have one letter for it, of any of them: what others have told is no
 * longer expected of a result. Of what breaks a declaration as many are told as there are records. */
static bool drop_told(struct pairs *expected, const struct pairs *actual)
{
    bool *found = calloc(actual->count + 1, sizeof *found);
    size_t kept = 0;
    bool same = true;
    must(found != NULL);
    for (size_t e = 0; e < expected->count; e++) {
        const struct pair *letter = &expected->items[e];
        struct bytes key = unmarked(letter->key);
        size_t records = topic_of(letter->key).size > 0 ? records_of(expected, letter) : 0;
        if (records > 0 && told_of(actual, letter) != records) {
            fprintf(stderr, "%.*s: %zu letters, of %zu records %.*s\n", (int)key.size,
                    (const char *)key.data, told_of(actual, letter), records,
                    (int)letter->value.size, (const char *)letter->value.data);
            same = false;
        }
    }
    for (size_t e = 0; e < expected->count; e++) {
        struct pair letter = expected->items[e];
        size_t told = told_of(actual, &letter), a = 0;
        letter.key = unmarked(letter.key);
        while (a < actual->count && (found[a] || !bytes_equal(actual->items[a].key, letter.key) ||
                                     !bytes_equal(actual->items[a].value, letter.value)))
            a++;
        found[a] = true;
        if (a < actual->count || told == 0)
            expected->items[kept++] = letter;
    }
    expected->count = kept;
    free(found);
    return same;
}

static bool same_dead(const struct drawn_file *file, const weir_record *records, size_t count,
                      struct pairs *expected)
{
    struct pairs actual;
    pairs_init(&actual);
    for (size_t i = 0; i < count; i++) {
        struct bytes stage = header_of(&records[i], "weir.stage");
        struct bytes class = header_of(&records[i], "weir.error.class");
        bool is_table = is_table_of(file, header_of(&records[i], "weir.source.topic"));
        char key[160];
        if (!writes(file, stage))
            continue;
        int size =
            snprintf(key, sizeof key, "%.*s/%.*s%s", stage_size(stage), (const char *)stage.data,
                     (int)class.size, (const char *)class.data, is_table ? " once" : "");
        pairs_add(&actual, bytes_of(key, (size_t)size), value_of(&records[i]));
    }
    drop_repeats(&actual);
    drop_repeats(expected);
    bool same = drop_told(expected, &actual);
    same = pairs_same("dead letters", expected, &actual) && same;
    pairs_deinit(&actual);
    return same;
}

static bool same_file(struct sql_drive *drive, struct drawn_file *file, const weir_record *dead,
                      size_t dead_count)
{
    struct drawn_expected expected;
    bool same = true;
    drawn_evaluate(file, drive->life->closes_windows, &expected);
    for (int i = 0; i < file->result_count; i++) {
        const struct drawn_result *result = file->results[i];
        bool is_upsert = (result->is_grouped && !result->emit_final) ||
                         (!result->is_grouped && result->rows->is_table);
        char late[DRAWN_NAME_BYTES + 8];
        snprintf(late, sizeof late, "%s.late", result->name);
        same = same_topic(drive->test, result->name, is_upsert, is_upsert || result->is_grouped,
                          &expected.outputs[i]) &&
               same;
        same = same_topic(drive->test, late, false, false, &expected.late[i]) && same;
    }
    same = same_dead(file, dead, dead_count, &expected.dead) && same;
    drawn_expected_free(&expected);
    return same;
}

static unsigned compare(struct sql_drive *drive)
{
    weir_record *dead;
    size_t dead_count;
    unsigned failed = 0;
    if (!read_all(drive->test, "drawn.dlq", &dead, &dead_count))
        failed = (1u << drive->life->file_count) - 1;
    for (int f = 0; f < drive->life->file_count; f++)
        if (!same_file(drive, &drive->life->files[f], dead, dead_count))
            failed |= 1u << f;
    weir_free(dead);
    return failed;
}

/* ---- the whole ---- */

static bool compile(struct sql_drive *drive)
{
    struct buf text;
    buf_init(&text, 0);
    for (int f = 0; f < drive->life->file_count; f++)
        buf_append(&text, drive->life->files[f].sql.data, drive->life->files[f].sql.size);
    must(buf_ok(&text));
    int rc = job_set_sql(&drive->job, (const char *)text.data, text.size);
    buf_deinit(&text);
    return rc == 0;
}

unsigned sql_life_run(struct sql_life *life)
{
    static struct sql_drive drive;
    unsigned all = (1u << life->file_count) - 1, failed = all;
    drive = (struct sql_drive){.life = life, .job = {.app = "drawn"}};
    if (!compile(&drive)) {
        job_release(&drive.job);
        return all;
    }
    drive.app = make_app(&drive, 0);
    weir_test_options options = {.start_ms = DRAWN_START_MS};
    if (weir_test_open(drive.app, &options, &drive.test) < 0) {
        fprintf(stderr, "driven: %s\n", weir_log_error());
    } else {
        make_topics(&drive);
        bool ok = true;
        for (int round = 0; ok && round < life->rounds; round++)
            ok = drive_round(&drive, round);
        if (ok)
            failed = compare(&drive);
        must(weir_test_close(drive.test) == 0);
    }
    weir_app_close(drive.app);
    job_release(&drive.job);
    return failed;
}
