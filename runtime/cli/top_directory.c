/* top_directory.c: a reading of a directory that nobody holds: what apps have recorded of themselves,
 * and what their stores hold.
 *
 * Positions, watermarks and counts are those of the last commit (<app>-progress), the lag is what lies
 * behind the position in the stage's input now. Nothing moves, so there are no rates; memory and
 * commits belong to a process, and there is none. */
#include "runtime/records/app_progress.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/top_reading.h"
#include "runtime/state/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct directory {
    struct log *log;
    struct topic_info *topics;
    size_t topic_count;
    struct top_reading *reading;
};

/* The topic with this id; NULL: it is gone. */
static const struct topic_info *find_topic(const struct directory *directory, const uint8_t id[16])
{
    for (size_t i = 0; i < directory->topic_count; i++)
        if (memcmp(directory->topics[i].id.bytes, id, 16) == 0)
            return &directory->topics[i];
    return NULL;
}

static void put(struct top_row *row, enum top_number number, double value)
{
    row->numbers[number] = value;
    row->has[number] = true;
}

/* Records from offset to the end of what readers see. */
static void put_lag(const struct directory *directory, struct top_row *row, enum top_number number,
                    const struct topic_info *topic, int64_t offset)
{
    struct partition *partition;
    struct partition_offsets offsets;
    struct diag unused = {0};
    if (topic == NULL ||
        partition_get(directory->log, topic->name, row->partition, &partition, &unused) < 0)
        return;
    partition_offsets(partition, &offsets);
    put(row, number, offsets.stable > offset ? (double)(offsets.stable - offset) : 0);
}

/* A store that cannot be read is said and left out; one that is not there has nothing to tell. */
static void put_store(const struct directory *directory, struct top_row *row)
{
    char path[PATH_MAX];
    struct state *state;
    struct state_statistics statistics;
    struct state_position position;
    const struct state_options options = {.must_exist = true, .read_only = true};
    struct diag diag = {0};
    int size = snprintf(path, sizeof path, "%s/state/%s/%s-%d", log_dir(directory->log), row->app,
                        row->stage, row->partition);
    if (size < 0 || size >= (int)sizeof path)
        return;
    int code = state_open(path, 0, &options, &state, &diag);
    if (code == 0) {
        state_position(state, &position);
        code = state_stat(state, &statistics, &diag);
        state_close(state);
    }
    if (code == 0) {
        put(row, TOP_STORE_ENTRIES, (double)statistics.entries);
        put(row, TOP_STORE_BYTES, (double)statistics.used_bytes);
        put_lag(directory, row, TOP_STORE_LAG, find_topic(directory, position.topic_id),
                position.offset);
    } else if (code != ERR_NOT_FOUND) {
        message("%s", diag.text);
    }
}

static void put_counts(struct top_row *row, const struct counts *counts, bool reads_rows)
{
    put(row, TOP_OUT, (double)counts->out);
    if (!reads_rows)
        return;
    put(row, TOP_ROWS_IN, (double)counts->rows_in);
    put(row, TOP_APPLIED, (double)counts->applied);
    put(row, TOP_FILTERED, (double)counts->filtered);
    put(row, TOP_LATE, (double)counts->late);
    put(row, TOP_DUPLICATE, (double)counts->duplicate);
    put(row, TOP_DEAD, (double)counts->dead);
    put(row, TOP_UNMATCHED, (double)counts->unmatched);
}

static int add_task(struct directory *directory, const char *app, const struct progress *progress)
{
    static const uint8_t none[16];
    struct top_row *row = top_reading_add(directory->reading);
    if (row == NULL)
        return ERR_NOMEM;
    row->partition = progress->partition;
    snprintf(row->app, sizeof row->app, "%s", app);
    snprintf(row->stage, sizeof row->stage, "%s", progress->stage);
    const struct topic_info *input = find_topic(directory, progress->input_id);
    snprintf(row->topic, sizeof row->topic, "%s", input != NULL ? input->name : "");
    put_lag(directory, row, TOP_LAG, input, progress->position);
    put_counts(row, &progress->counts, !progress->reads_partials);
    if (progress->watermark_ms != TIME_NONE)
        put(row, TOP_WATERMARK, (double)progress->watermark_ms / 1000);
    if (memcmp(progress->changelog_id, none, sizeof none) != 0)
        put_store(directory, row);
    return 0;
}

static int add_app(struct directory *directory, const char *app, struct diag *diag)
{
    struct top_reading *reading = directory->reading;
    struct progress_set set;
    int code = app_progress_read(directory->log, app, &interrupt_stop, &set, diag);
    for (uint32_t i = 0; code == 0 && i < set.count; i++)
        if (!set.items[i].is_reset && !set.items[i].is_begin &&
            add_task(directory, app, &set.items[i]) < 0)
            code = diag_set(diag, ERR_NOMEM, "no memory for the stages of app %s", app);
    progress_set_deinit(&set);
    TRY(code);
    struct top_app *grown = realloc(reading->apps, (reading->app_count + 1) * sizeof *grown);
    if (grown == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the apps");
    reading->apps = grown;
    grown[reading->app_count] = (struct top_app){.commit_p50_s = -1, .commit_p99_s = -1};
    snprintf(grown[reading->app_count++].name, sizeof grown->name, "%s", app);
    return 0;
}

int top_reading_directory(struct log *log, const char *app, struct top_reading *reading,
                          struct diag *diag)
{
    struct directory directory = {.log = log, .reading = reading};
    char name[250];
    *reading = (struct top_reading){0};
    int code = topic_list(log, &directory.topics, &directory.topic_count);
    for (size_t i = 0; code == 0 && i < directory.topic_count; i++)
        if (app_progress_topic(&directory.topics[i], name) &&
            (app == NULL || strcmp(app, name) == 0))
            code = add_app(&directory, name, diag);
    if (code == 0 && app != NULL && reading->app_count == 0)
        code = diag_set(diag, ERR_NOT_FOUND, "app %s never ran here", app);
    free(directory.topics);
    if (code < 0)
        top_reading_deinit(reading);
    return code;
}
