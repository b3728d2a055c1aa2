/* cli_topic_records.c: weir topic delete-records: forget the beginning of partitions.
 *
 * A dry run shows each partition's start offset and the one it would have; --execute does it. All
 * partitions are looked at, and refused, before the first is touched. Whole segments below the new
 * start go at once; when all records go, the active one is closed first, so that its space comes
 * back too. Through a server (door.h) it is the same: DeleteRecords says no more than a partition and an offset. */
#include "runtime/cli/door.h"
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum before_kind { BEFORE_OFFSET, BEFORE_TIME, BEFORE_END };

struct deletion {
    struct door door;
    const char *topic;
    enum before_kind kind;
    int64_t number;
    int64_t only; /* partition; -1: all */
    bool execute, json;
    struct door_cut *cuts; /* the new starts */
    size_t cut_count;
    struct table table;
};

static int parse_before(const struct cli *cli, struct deletion *d)
{
    const char *text = flag_text(cli, "before");
    if (text == NULL)
        return usage_error(cli, "--before is missing: an OFFSET, @EPOCH_MS or end");
    if (strcmp(text, "end") == 0) {
        d->kind = BEFORE_END;
        return 0;
    }
    d->kind = text[0] == '@' ? BEFORE_TIME : BEFORE_OFFSET;
    if (parse_integer(text + (text[0] == '@'), &d->number) == 0 &&
        (d->kind == BEFORE_TIME || d->number >= 0))
        return 0;
    return usage_error(cli, "--before is an OFFSET, @EPOCH_MS or end, not '%s'", text);
}

/* Whose records may go at all. */
static int check_topic(struct deletion *d, struct door_topic *info, struct diag *diag)
{
    char policy[64];
    TRY(d->door.ops->topic_find(&d->door, d->topic, info, diag));
    if (d->only >= info->partitions)
        return diag_set(diag, ERR_NOT_FOUND, "topic %s has partitions 0 to %d, not %" PRId64,
                        d->topic, info->partitions - 1, d->only);
    if (info->internal)
        return diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, and cannot do without its "
                        "records",
                        d->topic);
    TRY(door_config(&d->door, d->topic, "cleanup.policy", policy, sizeof policy, diag));
    if (policy[0] != '\0' && strstr(policy, "delete") == NULL)
        return diag_set(diag, ERR_INVALID,
                        "topic %s has cleanup.policy=%s: a table's rows go by tombstones, one by "
                        "one, not from the beginning",
                        d->topic, policy);
    if (d->kind == BEFORE_OFFSET && d->only < 0 && info->partitions > 1)
        return diag_set(diag, ERR_INVALID,
                        "topic %s has %d partitions, and an offset means something else in each: "
                        "add --partition",
                        d->topic, info->partitions);
    return 0;
}

/* The offset below which records go. */
static int new_start(struct deletion *d, const struct door_partition *offsets, int32_t index,
                     int64_t *start, struct diag *diag)
{
    if (strcmp(offsets->status, "ok") != 0)
        return diag_set(diag, ERR_STATE, "%s", offsets->status);
    *start = d->number;
    if (d->kind == BEFORE_TIME)
        TRY(d->door.ops->topic_find_time(&d->door, d->topic, index, d->number, start, diag));
    if (d->kind == BEFORE_END ||
        (d->kind == BEFORE_TIME && (*start < 0 || *start > offsets->stable)))
        *start = offsets->stable;
    if (*start > offsets->stable)
        return diag_set(diag, ERR_RANGE,
                        "cannot delete records of %s-%d before offset %" PRId64
                        ": its last stable offset is %" PRId64,
                        d->topic, index, *start, offsets->stable);
    if (*start < offsets->start)
        *start = offsets->start;
    return 0;
}

static void put_row(struct deletion *d, int32_t index, int64_t old, int64_t new)
{
    if (d->json) {
        out_text("{\"topic\":");
        out_json_text(d->topic);
        buf_printf(&out,
                   ",\"partition\":%d,\"start_offset\":%" PRId64 ",\"new_start_offset\":%" PRId64
                   ",\"executed\":%s}\n",
                   index, old, new, d->execute ? "true" : "false");
        return;
    }
    table_cell(&d->table, "%s", d->topic);
    table_cell(&d->table, "%d", index);
    table_cell(&d->table, "%" PRId64, old);
    table_cell(&d->table, "%" PRId64, new);
    table_cell(&d->table, "%" PRId64, new - old);
}

static int make_cuts(struct deletion *d, const struct door_topic *topic,
                     const struct door_partition *rows, struct diag *diag)
{
    d->cuts = malloc(((size_t)topic->partitions + 1) * sizeof *d->cuts);
    if (d->cuts == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the partitions");
    for (int32_t i = 0; i < topic->partitions; i++) {
        int64_t start;
        if (d->only >= 0 && i != d->only)
            continue;
        TRY(new_start(d, &rows[i], i, &start, diag));
        put_row(d, i, rows[i].start, start);
        d->cuts[d->cut_count++] = (struct door_cut){i, start};
    }
    return 0;
}

static int delete_records(struct deletion *d, struct diag *diag)
{
    struct door_topic topic;
    struct door_partition *rows = NULL;
    TRY(check_topic(d, &topic, diag));
    int code = d->door.ops->topic_partitions(&d->door, &topic, 1, &rows, diag);
    if (code == 0)
        code = make_cuts(d, &topic, rows, diag);
    free(rows);
    return code == 0 && d->execute
               ? d->door.ops->topic_delete_records(&d->door, d->topic, d->cuts, d->cut_count, diag)
               : code;
}

static int run_delete_records(struct cli *cli)
{
    static const char *const headers[] = {"TOPIC", ">PARTITION", ">START", ">NEW-START",
                                          ">OFFSETS-GONE"};
    struct deletion d = {.topic = cli->arguments[0], .execute = flag_is_on(cli, "execute")};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    d.json = format == FORMAT_JSON;
    int exit_code = parse_before(cli, &d);
    if (exit_code == 0)
        exit_code = flag_number(cli, "partition", 0, 9999, -1, &d.only);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &d.door);
    if (exit_code != 0) {
        door_close(&d.door);
        return exit_code;
    }
    struct diag diag = {0};
    table_init(&d.table, headers, 5);
    int code = delete_records(&d, &diag);
    table_print(&d.table, code == 0 && !d.json);
    if (code < 0)
        buf_clear(&out); /* what was refused is not shown as if it were to happen */
    if (code < 0)
        exit_code = failed(code, &diag);
    else if (!d.execute)
        hint("nothing was changed: --execute does it");
    free(d.cuts);
    door_close(&d.door);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag delete_records_flags[] = {
    {"before", "WHERE", "an OFFSET, @EPOCH_MS (the first record from then on stays), or end: all",
     false, 0},
    {"partition", "N", "only this partition", false, 0},
    {"execute", NULL, "do it; without it only what would change is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_delete_records = {
    .noun = "topic",
    .verb = "delete-records",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "forget a topic's oldest records (a dry run unless --execute)",
    .examples = "  weir topic delete-records orders --before 1000 --partition 0\n"
                "  weir topic delete-records orders --before @1291191960000 --execute\n"
                "  weir topic delete-records orders --before end --execute\n",
    .details =
        "There is no way back. Whoever reads from an offset that is gone is told so. Records "
        "of undecided transactions, and what\nfollows them, stay. Topics with "
        "cleanup.policy=compact and internal ones are refused.\n",
    .flags = delete_records_flags,
    .reach = REACHES_KAFKA,
    .run = run_delete_records,
};
