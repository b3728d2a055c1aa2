/* test_kill.c: kill -9, again and again, and then everything must be exactly as if nothing had
 * happened.
 *
 * A parent makes a data directory with two source partitions and lets a child (this program with
 * other arguments) run the job of kill_ledger.h: a check, two re-keyed windowed aggregates (changes
 * and final), a re-keyed rollup over the final one. The child is killed:
 *
 *   - by SIGKILL once its progress topic has grown by a random number of bytes (that is: after a
 * random number of commits),
 *   - by SIGKILL at once, a random number of clock readings after it was started (start-up,
 * recovery, restore),
 *   - by itself, at the N-th passing of a random crash point (log, state, engine, closing,
 * restore).
 *
 * Between kills the parent sometimes appends input, sometimes removes every store (P4), always
 * draws anew: workers 1 to 3, rows a batch, commit and checkpoint intervals, memory. In a third of
 * the cycles it opens the log and reads what is newly committed: every output partition must only
 * ever have been added to, and the counts of a key never fall; in the others the next child
 * recovers alone.
 *
 * At the end the child is left to finish, and five things must be identical: the naive model over
 * the input log, the read-committed outputs, the LMDB stores, the changelogs replayed into an empty
 * map, and the whole topics against what was seen on the way. Then windows are closed and all is
 * compared once more.
 *
 * WEIR_KILL_CYCLES (100) and WEIR_KILL_SEED choose; WEIR_KEEP=1 leaves the directory. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "operators/aggregate.h"
#include "operators/expr.h"
#include "operators/json_encode.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/state/state.h"
#include "tests/support/accounts.h"
#include "tests/support/fork_child.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/scratch_dir.h"

enum {
    CYCLES = 100,
    ROWS_FIRST = 3000,
    ROWS_MORE = 2500,
    CHILD_LIMIT_MS = 20000,
    IDLE_LIMIT_MS = 200,
    TOPICS = 7,
    CRASH_EXIT = 137
};

/* ---- the child ---- */

struct settings {
    int threads, batch_rows;
    int64_t commit_ms, checkpoint_ms, keeper_ms;
    size_t memory_bytes;
    bool until_end, close_windows;
};

static int child_main(char **argv)
{
    struct job job;
    char error[1024] = "";
    weir_options options = {
        .data = argv[2],
        .threads = atoi(argv[3]),
        .batch_rows = (int32_t)atoi(argv[4]),
        .commit_interval_ms = atoi(argv[5]),
        .checkpoint_interval_ms = atoi(argv[6]),
        .memory_bytes = (size_t)atoll(argv[7]),
        .until_end = argv[8][0] != 'f',
        .close_windows = argv[8][0] == 'c',
        .keeper_interval_ms = atoi(argv[9]),
    };
    kill_job(&job);
    int rc = job_run(&job, &options, NULL, error, sizeof error);
    if (rc < 0)
        fprintf(stderr, "the job failed: %s (%d)\n", error, rc);
    return rc < 0;
}

static pid_t start_child(const char *dir, const struct settings *settings, const char *crash_at)
{
    char text[6][24];
    snprintf(text[0], sizeof text[0], "%d", settings->threads);
    snprintf(text[1], sizeof text[1], "%d", settings->batch_rows);
    snprintf(text[2], sizeof text[2], "%lld", (long long)settings->commit_ms);
    snprintf(text[3], sizeof text[3], "%lld", (long long)settings->checkpoint_ms);
    snprintf(text[4], sizeof text[4], "%zu", settings->memory_bytes);
    snprintf(text[5], sizeof text[5], "%lld", (long long)settings->keeper_ms);
    pid_t child = fork_child();
    must(child >= 0);
    if (child == 0) {
        if (crash_at != NULL)
            setenv("WEIR_CRASH_AT", crash_at, 1);
        else
            unsetenv("WEIR_CRASH_AT");
        execl("/proc/self/exe", "test_kill", "child", dir, text[0], text[1], text[2], text[3],
              text[4],
              settings->close_windows ? "close"
              : settings->until_end   ? "until"
                                      : "forever",
              text[5], (char *)NULL);
        _exit(127);
    }
    return child;
}

/* ---- the parent's view ---- */

struct seen {
    const char *topic;
    struct topic_rows rows[KILL_PARTITIONS];
    int64_t next[KILL_PARTITIONS];
};
struct trial {
    char *dir;
    struct chance chance;
    struct kill_input input;
    struct seen seen[TOPICS];
    int kills, crashes, ends, wipes, reads;
    int64_t compacted; /* records of upsert topics that were seen and are gone */
};

static int64_t progress_bytes(const char *dir)
{
    char *path = scratch_path(dir, "topics/%s-progress-0", KILL_APP);
    DIR *directory = opendir(path);
    int64_t bytes = 0;
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        struct stat status;
        if (strstr(entry->d_name, ".log") != NULL &&
            fstatat(dirfd(directory), entry->d_name, &status, 0) == 0)
            bytes += status.st_size;
    }
    if (directory != NULL)
        closedir(directory);
    free(path);
    return bytes;
}

/* True when the child has ended by itself. */
static bool has_ended(pid_t child, int *status)
{
    pid_t rc = waitpid(child, status, WNOHANG);
    must(rc >= 0 || errno == EINTR);
    return rc == child;
}

enum wait_end { WAIT_GREW, WAIT_ENDED, WAIT_STUCK };

/* Lets the child live until its progress topic has grown by `bytes`, or it ends. Waits for
 * progress, not for time; the limits are for a child that has nothing left to do and would run
 * forever, and for one that hangs. */
static enum wait_end wait_for_growth(const struct trial *trial, pid_t child, int64_t bytes,
                                     bool may_idle, int *status)
{
    int64_t size = progress_bytes(trial->dir), grown = 0, grew_ms = clock_mono_ms();
    while (!has_ended(child, status)) {
        int64_t now = progress_bytes(trial->dir);
        grown += now > size ? now - size : 0; /* a compaction makes it smaller */
        if (grown >= bytes)
            return WAIT_GREW;
        if (now != size) {
            size = now;
            grew_ms = clock_mono_ms();
        }
        int64_t idle_ms = clock_mono_ms() - grew_ms;
        if (may_idle && idle_ms > IDLE_LIMIT_MS)
            return WAIT_GREW;
        if (idle_ms > CHILD_LIMIT_MS)
            return WAIT_STUCK;
        usleep(200);
    }
    return WAIT_ENDED;
}

static enum wait_end wait_for_clock(struct trial *trial, pid_t child, int *status)
{
    for (int64_t left = chance_below(&trial->chance, 400000); left > 0; left--)
        (void)clock_mono_ns();
    return has_ended(child, status) ? WAIT_ENDED : WAIT_GREW;
}

static bool judge_end(struct trial *trial, int status, bool armed)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        trial->ends++;
        return true;
    }
    if (armed && WIFEXITED(status) && WEXITSTATUS(status) == CRASH_EXIT) {
        trial->crashes++;
        return true;
    }
    fprintf(stderr, "the child ended by itself: %s %d\n", WIFSIGNALED(status) ? "signal" : "code",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static struct settings draw_settings(struct chance *chance)
{
    static const int batch_rows[] = {7, 64, 500, 4096};
    return (struct settings){
        .threads = 1 + (int)chance_below(chance, 3),
        .batch_rows = batch_rows[chance_below(chance, 4)],
        .commit_ms = 1 + chance_below(chance, 10),
        .checkpoint_ms = 5 + chance_below(chance, 60),
        .keeper_ms = 1 + chance_below(chance, 40),
        .memory_bytes = chance_below(chance, 2) == 0 ? (size_t)1 << 20 : (size_t)64 << 20,
        .until_end = true,
    };
}

/* One life of the child. False: it failed in a way that no kill explains. */
static bool live_and_die(struct trial *trial)
{
    struct settings settings = draw_settings(&trial->chance);
    int64_t way = chance_below(&trial->chance, 10);
    bool armed = way >= 6;
    int status = 0;
    enum wait_end end;
    char crash_at[64] = "";
    settings.until_end = way != 0;
    /* Some points are passed once in a life, some a hundred times: small numbers are the likelier
     * ones. */
    if (armed)
        snprintf(
            crash_at, sizeof crash_at, "%s:%d", kill_place(&trial->chance),
            1 + (int)chance_below(&trial->chance, INT64_C(1) << chance_below(&trial->chance, 6)));
    pid_t child = start_child(trial->dir, &settings, armed ? crash_at : NULL);
    if (way == 5)
        end = wait_for_clock(trial, child, &status);
    else
        end = wait_for_growth(trial, child,
                              armed ? INT64_MAX / 2 : 1 + chance_below(&trial->chance, 6000),
                              way == 0, &status);
    if (end == WAIT_ENDED)
        return judge_end(trial, status, armed);
    kill(child, SIGKILL);
    must(waitpid(child, &status, 0) == child);
    if (end == WAIT_STUCK) {
        fprintf(stderr, "the child makes no progress and does not end\n");
        return false;
    }
    trial->kills++;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? true
                                                              : judge_end(trial, status, false);
}

/* ---- what was committed stays ---- */

static const char *const topics[TOPICS] = {"valid",       "totals",      "finals",       "rollup",
                                           "totals.late", "finals.late", KILL_APP ".dlq"};
static const bool upserts[TOPICS] = {[1] = true, [3] = true};

static void read_new(struct trial *trial, struct log *log)
{
    trial->reads++;
    for (int t = 0; t < TOPICS; t++) {
        struct topic_info info;
        if (topic_describe(log, topics[t], &info, NULL) < 0)
            continue;
        must(info.partitions == KILL_PARTITIONS);
        for (int p = 0; p < KILL_PARTITIONS; p++) {
            struct seen *seen = &trial->seen[t];
            topic_rows_read_partition(log, topics[t], p, seen->next[p], READ_COMMITTED,
                                      &seen->rows[p], &seen->next[p]);
        }
    }
}

static bool is_same_row(const struct topic_row *a, const struct topic_row *b)
{
    return a->offset == b->offset && bytes_equal(a->key, b->key) && bytes_equal(a->value, b->value);
}

/* Of a compacted topic: what is left was there before, as it was, and of each key the last record
 * is left, unless it is a tombstone: then nothing of the key may be. */
static bool is_compacted_from(const struct topic_rows *whole, const struct topic_rows *seen)
{
    struct topic_rows left = *whole, before = *seen;
    size_t at = 0;
    for (size_t i = 0; i < whole->count; i++) {
        while (at < seen->count && seen->items[at].offset < whole->items[i].offset)
            at++;
        if (at == seen->count || !is_same_row(&whole->items[i], &seen->items[at]))
            return false;
    }
    left.items = malloc((whole->count + 1) * sizeof *left.items);
    before.items = malloc((seen->count + 1) * sizeof *before.items);
    must(left.items != NULL && before.items != NULL);
    for (size_t i = 0; i < whole->count; i++)
        left.items[i] = whole->items[i];
    for (size_t i = 0; i < seen->count; i++)
        before.items[i] = seen->items[i];
    topic_rows_latest(&left);
    topic_rows_latest(&before);
    bool same = left.count == before.count;
    for (size_t i = 0; same && i < left.count; i++)
        same = is_same_row(&left.items[i], &before.items[i]);
    free(left.items);
    free(before.items);
    return same;
}

static bool is_as_seen(const struct topic_rows *whole, const struct topic_rows *seen)
{
    bool same = whole->count == seen->count;
    for (size_t i = 0; same && i < whole->count; i++)
        same = is_same_row(&whole->items[i], &seen->items[i]);
    return same;
}

/* A whole read at the end must be what was read piece by piece while the child was killed: nothing
 * vanished but what compaction may remove, nothing changed, offsets only grow. */
static bool nothing_vanished(struct trial *trial, struct log *log)
{
    bool ok = true;
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < KILL_PARTITIONS; p++) {
            const struct topic_rows *seen = &trial->seen[t].rows[p];
            struct topic_rows whole;
            topic_rows_init(&whole);
            topic_rows_read_partition(log, topics[t], p, 0, READ_COMMITTED, &whole, NULL);
            bool same = upserts[t] ? is_compacted_from(&whole, seen) : is_as_seen(&whole, seen);
            for (size_t i = 1; same && i < whole.count; i++)
                same = whole.items[i].offset > whole.items[i - 1].offset;
            if (!same)
                fprintf(stderr, "%s-%d: what was committed earlier is not what is there now\n",
                        topics[t], p);
            trial->compacted += (int64_t)seen->count - (int64_t)whole.count;
            ok = ok && same;
            topic_rows_deinit(&whole);
        }
    return ok;
}

static int64_t count_of(struct bytes value)
{
    const uint8_t *at = value.data != NULL ? memmem(value.data, value.size, "\"n\":", 4) : NULL;
    return at != NULL ? strtoll((const char *)at + 4, NULL, 10) : -1;
}

static int compare_key_then_offset(const void *left, const void *right)
{
    const struct topic_row *a = left, *b = right;
    int order = bytes_compare(a->key, b->key);
    return order != 0 ? order : a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* In the history of an upsert topic the count of a key only grows: a change is never committed
 * twice or taken back. */
static bool counts_only_grow(const struct trial *trial, int topic)
{
    for (int p = 0; p < KILL_PARTITIONS; p++) {
        const struct topic_rows *seen = &trial->seen[topic].rows[p];
        struct topic_row *rows = malloc((seen->count + 1) * sizeof *rows);
        must(rows != NULL);
        if (seen->count > 0) {
            memcpy(rows, seen->items, seen->count * sizeof *rows);
            qsort(rows, seen->count, sizeof *rows, compare_key_then_offset);
        }
        for (size_t i = 1; i < seen->count; i++)
            if (bytes_equal(rows[i].key, rows[i - 1].key) &&
                count_of(rows[i].value) <= count_of(rows[i - 1].value)) {
                fprintf(stderr, "%s-%d: the count of %.*s goes from %lld to %lld\n", topics[topic],
                        p, (int)rows[i].key.size, (const char *)rows[i].key.data,
                        (long long)count_of(rows[i - 1].value), (long long)count_of(rows[i].value));
                free(rows);
                return false;
            }
        free(rows);
    }
    return true;
}

/* ---- the oracle ---- */

/* Compares one topic (its rows as they are, or the latest per key) with what is expected. */
static bool topic_is(struct log *log, const char *topic, bool is_upsert, struct pairs *expected)
{
    struct topic_rows rows;
    struct pairs actual;
    topic_rows_init(&rows);
    pairs_init(&actual);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    if (is_upsert)
        topic_rows_latest(&rows);
    pairs_add_rows(&actual, &rows);
    bool ok = pairs_same(topic, expected, &actual);
    pairs_deinit(&actual);
    topic_rows_deinit(&rows);
    return ok;
}

/* Dead letters and late rows: header `name` (NULL: none) and the source row's own value. */
static bool kept_is(struct log *log, const char *topic, const char *name, struct pairs *expected)
{
    struct topic_rows rows;
    struct pairs actual;
    topic_rows_init(&rows);
    pairs_init(&actual);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    for (size_t i = 0; i < rows.count; i++)
        pairs_add(&actual,
                  name != NULL ? topic_row_header(&rows.items[i], name) : rows.items[i].key,
                  rows.items[i].value);
    bool ok = pairs_same(topic, expected, &actual);
    pairs_deinit(&actual);
    topic_rows_deinit(&rows);
    return ok;
}

/* A pass-through keeps partition and order. */
static bool valid_is(struct log *log, struct kill_expected *expected)
{
    bool ok = true;
    for (int p = 0; p < KILL_PARTITIONS; p++) {
        struct topic_rows rows;
        topic_rows_init(&rows);
        topic_rows_read_partition(log, "valid", p, 0, READ_COMMITTED, &rows, NULL);
        bool same = rows.count == expected->valid[p].count;
        for (size_t i = 0; same && i < rows.count; i++)
            same = bytes_equal(rows.items[i].value, expected->valid[p].items[i].value);
        if (!same)
            fprintf(stderr, "valid-%d: %zu rows, expected %zu, or another order\n", p, rows.count,
                    expected->valid[p].count);
        ok = ok && same;
        topic_rows_deinit(&rows);
    }
    return ok;
}

/* The changelog of a partition replayed into an empty map must be what the store holds, and the
 * store must stand at its end. */
static bool store_is_changelog(const struct trial *trial, struct log *log, const char *topic,
                               int partition, struct pairs *all)
{
    char *dir = scratch_path(trial->dir, "state/%s/%s-%d", KILL_APP, topic, partition),
         changelog[64];
    struct topic_rows rows;
    struct pairs replayed, stored;
    struct state_position position = {.offset = -1};
    struct partition *handle;
    struct partition_offsets offsets;
    snprintf(changelog, sizeof changelog, "%s-%s-changelog", KILL_APP, topic);
    topic_rows_init(&rows);
    pairs_init(&replayed);
    pairs_init(&stored);
    topic_rows_read_partition(log, changelog, partition, 0, READ_COMMITTED, &rows, NULL);
    topic_rows_latest(&rows);
    pairs_add_rows(&replayed, &rows);
    bool ok = pairs_add_store(&stored, dir, &position);
    must(partition_get(log, changelog, partition, &handle, NULL) == 0);
    partition_offsets(handle, &offsets);
    if (!ok || position.offset != offsets.stable) {
        fprintf(stderr, "%s stands at %lld, its changelog at %lld\n", dir,
                (long long)position.offset, (long long)offsets.stable);
        ok = false;
    }
    ok = pairs_same(dir, &replayed, &stored) && ok;
    for (size_t i = 0; i < stored.count; i++)
        pairs_add(all, stored.items[i].key, stored.items[i].value);
    pairs_deinit(&replayed);
    pairs_deinit(&stored);
    topic_rows_deinit(&rows);
    free(dir);
    return ok;
}

/* The five aggregates of a stored row, as the topic prints them. */
struct decoder {
    struct field_set *fields;
    struct agg_list *list;
    struct agg_plan *plan;
    void *row;
};

static void decoder_open(struct decoder *decoder, const char *group)
{
    static const enum col_type types[] = {COL_VARIANT};
    const char *names[] = {group};
    struct named_columns groups = {names, types, 1};
    struct diag diag = {0};
    decoder->fields = field_set_create();
    struct scope scope = field_set_scope(decoder->fields);
    int rc = expr_parse_aggregates(
        "count(*) AS n, sum(id) AS ids, sum(amount) AS total, min(id) AS low, max(id) AS high",
        &scope, &groups, true, &decoder->list, &diag);
    if (rc == 0)
        rc =
            agg_plan_create(decoder->list->calls, decoder->list->call_count, &decoder->plan, &diag);
    if (rc < 0)
        fprintf(stderr, "%s\n", diag.text);
    must(rc == 0 && decoder->list->call_count == 5);
    decoder->row = malloc(agg_plan_row_bytes(decoder->plan));
    must(decoder->row != NULL);
    agg_row_init(decoder->plan, decoder->row);
}

static void decoder_close(struct decoder *decoder)
{
    agg_row_release(decoder->plan, decoder->row);
    free(decoder->row);
    agg_plan_destroy(decoder->plan);
    agg_list_destroy(decoder->list);
    field_set_destroy(decoder->fields);
}

static void decoder_print(struct decoder *decoder, struct bytes encoded, struct arena *arena,
                          struct buf *out)
{
    static const char *const labels[] = {
        "\"n\":", ",\"ids\":", ",\"total\":", ",\"low\":", ",\"high\":"};
    struct column results[5];
    must(agg_decode(decoder->plan, decoder->row, encoded) == 0);
    for (int c = 0; c < 5; c++)
        must(column_alloc(&results[c], decoder->list->calls[c].result_type, 1, true, arena) == 0);
    must(agg_result(decoder->plan, decoder->row, results, 0) == 0);
    buf_clear(out);
    for (int c = 0; c < 5; c++) {
        buf_printf(out, "%s", labels[c]);
        json_encode_value(out, &results[c], 0, false);
    }
    buf_u8(out, '}');
    must(buf_ok(out));
}

/* Stored keys and aggregates against the model's open windows. */
static bool store_is_model(const char *topic, const char *group, const struct pairs *stored,
                           const struct pairs *open)
{
    struct decoder decoder;
    struct pairs left, right;
    struct buf text;
    buf_init(&text, 0);
    pairs_init(&left);
    pairs_init(&right);
    decoder_open(&decoder, group);
    for (size_t i = 0; i < stored->count; i++) {
        decoder_print(&decoder, stored->items[i].value, &right.arena, &text);
        pairs_add(&right, stored->items[i].key, bytes_of(text.data, text.size));
    }
    for (size_t i = 0; i < open->count; i++) {
        struct bytes value = open->items[i].value;
        const uint8_t *n = memmem(value.data, value.size, "\"n\":", 4);
        must(n != NULL);
        pairs_add(&left, open->items[i].key, bytes_of(n, (size_t)(value.data + value.size - n)));
    }
    decoder_close(&decoder);
    bool ok = pairs_same(topic, &left, &right);
    pairs_deinit(&left);
    pairs_deinit(&right);
    buf_deinit(&text);
    return ok;
}

static bool stores_are_right(const struct trial *trial, struct log *log,
                             struct kill_expected *expected)
{
    struct pairs totals, finals, rollup;
    bool ok = true;
    pairs_init(&totals);
    pairs_init(&finals);
    pairs_init(&rollup);
    for (int p = 0; p < KILL_PARTITIONS; p++) {
        ok = store_is_changelog(trial, log, "totals", p, &totals) && ok;
        ok = store_is_changelog(trial, log, "finals", p, &finals) && ok;
        ok = store_is_changelog(trial, log, "rollup", p, &rollup) && ok;
    }
    ok = store_is_model("store of totals", "region", &totals, &expected->open_totals) && ok;
    ok = store_is_model("store of finals", "user", &finals, &expected->open_finals) && ok;
    if (rollup.count != expected->rollup.count) {
        fprintf(stderr, "store of rollup: %zu groups, expected %zu\n", rollup.count,
                expected->rollup.count);
        ok = false;
    }
    pairs_deinit(&totals);
    pairs_deinit(&finals);
    pairs_deinit(&rollup);
    return ok;
}

static bool everything_is_right(struct trial *trial, bool closed)
{
    struct log *log = topic_log_open(trial->dir);
    struct kill_expected expected;
    kill_expected_build(log, closed, &expected);
    read_new(trial, log);
    bool ok = valid_is(log, &expected);
    ok = topic_is(log, "totals", true, &expected.totals) && ok;
    ok = topic_is(log, "finals", false, &expected.finals) && ok;
    ok = topic_is(log, "rollup", true, &expected.rollup) && ok;
    ok = kept_is(log, "totals.late", NULL, &expected.late) && ok;
    ok = kept_is(log, "finals.late", NULL, &expected.late) && ok;
    ok = kept_is(log, KILL_APP ".dlq", "weir.error.class", &expected.dead) && ok;
    ok = accounts_close(log, KILL_APP, false) && ok;
    ok = stores_are_right(trial, log, &expected) && ok;
    ok = nothing_vanished(trial, log) && ok;
    ok = counts_only_grow(trial, 1) && counts_only_grow(trial, 3) && ok;
    fprintf(stderr,
            "%s: %lld rows in, %zu totals, %zu finals, %zu late, %zu dead, %zu windows open: %s\n",
            closed ? "closed" : "to the end", (long long)expected.rows_in, expected.totals.count,
            expected.finals.count, expected.late.count, expected.dead.count,
            expected.open_totals.count, ok ? "exact" : "WRONG");
    kill_expected_free(&expected);
    log_close(log);
    return ok;
}

/* ---- the trial ---- */

static bool finish(struct trial *trial, bool close_windows)
{
    struct settings settings = draw_settings(&trial->chance);
    settings.close_windows = close_windows;
    int status;
    pid_t child = start_child(trial->dir, &settings, NULL);
    must(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void between_lives(struct trial *trial, int ends_before)
{
    struct diag diag;
    if (chance_below(&trial->chance, 6) == 0) {
        char *state = scratch_path(trial->dir, "state");
        must(access(state, F_OK) != 0 || io_remove_tree(state, &diag) == 0);
        free(state);
        trial->wipes++;
    }
    /* A life that came to its end leaves nothing to be killed at: then there is always more. */
    if (trial->ends == ends_before && chance_below(&trial->chance, 3) != 0)
        return;
    struct log *log = topic_log_open(trial->dir);
    read_new(trial, log);
    kill_input_append(log, &trial->input, &trial->chance,
                      (int)chance_below(&trial->chance, ROWS_MORE));
    log_close(log);
}

static const struct {
    const char *name;
    int32_t partitions;
    bool is_compact;
} small_topics[] = {
    {"valid", KILL_PARTITIONS, false},
    {"totals", KILL_PARTITIONS, true},
    {"rollup", KILL_PARTITIONS, true},
    {KILL_APP "-totals-changelog", KILL_PARTITIONS, true},
    {KILL_APP "-finals-changelog", KILL_PARTITIONS, true},
    {KILL_APP "-totals-repartition", KILL_PARTITIONS, false},
    {KILL_APP "-finals-repartition", KILL_PARTITIONS, false},
    {KILL_APP "-progress", 1, true},
};

static void trial_open(struct trial *trial, uint64_t seed)
{
    memset(trial, 0, sizeof *trial);
    trial->dir = scratch_dir_create();
    trial->chance.state = seed;
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < KILL_PARTITIONS; p++)
            topic_rows_init(&trial->seen[t].rows[p]);
    struct log *log = topic_log_open(trial->dir);
    kill_input_create(log, &trial->input);
    /* Small segments and eager compaction, so that rolls, indexes, purges and compactions take
     * part; tombstones that go soon, so that a store may be too old to follow its changelog. */
    for (size_t t = 0; t < sizeof small_topics / sizeof small_topics[0]; t++) {
        struct config_entry config[] = {
            {"segment.bytes", small_topics[t].is_compact ? "8192" : "65536"},
            {"cleanup.policy", "compact"},
            {"min.cleanable.dirty.ratio", "0.01"},
            {"delete.retention.ms", "100"}};
        struct diag diag;
        must(topic_create(log, small_topics[t].name, small_topics[t].partitions, config,
                          small_topics[t].is_compact ? 4 : 1, &diag) == 0);
    }
    kill_input_append(log, &trial->input, &trial->chance, ROWS_FIRST);
    log_close(log);
}

static void trial_close(struct trial *trial)
{
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < KILL_PARTITIONS; p++)
            topic_rows_deinit(&trial->seen[t].rows[p]);
    scratch_dir_remove(trial->dir);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static void kill_minus_nine_leaves_everything_exact(void **state)
{
    (void)state;
    uint64_t seed = number_from_environment("WEIR_KILL_SEED", (uint64_t)clock_wall_ms());
    int cycles = (int)number_from_environment("WEIR_KILL_CYCLES", CYCLES);
    struct trial trial;
    int64_t start_ms = clock_mono_ms();
    trial_open(&trial, seed);
    fprintf(stderr, "WEIR_KILL_SEED=%llu, %d cycles in %s\n", (unsigned long long)seed, cycles,
            trial.dir);
    bool ok = true;
    for (int cycle = 0; ok && cycle < cycles; cycle++) {
        int ends_before = trial.ends;
        ok = live_and_die(&trial);
        if (!ok)
            fprintf(stderr, "in cycle %d\n", cycle);
        else
            between_lives(&trial, ends_before);
    }
    fprintf(stderr,
            "%d killed, %d at crash points, %d came to their end; stores removed %d times; read %d "
            "times\n",
            trial.kills, trial.crashes, trial.ends, trial.wipes, trial.reads);
    ok = ok && finish(&trial, false) && everything_is_right(&trial, false);
    ok = ok && finish(&trial, true) && everything_is_right(&trial, true);
    fprintf(stderr, "%lld records seen and compacted away since; %lld s\n",
            (long long)trial.compacted, (long long)(clock_mono_ms() - start_ms) / 1000);
    trial_close(&trial);
    assert_true(ok);
}

int main(int argc, char **argv)
{
    if (argc == 10 && strcmp(argv[1], "child") == 0)
        return child_main(argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(kill_minus_nine_leaves_everything_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
