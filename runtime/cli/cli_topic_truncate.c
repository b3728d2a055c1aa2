/* cli_topic_truncate.c: weir topic truncate: cut the end of a partition off.
 *
 * The way out when damage stopped a partition, and back behind records that should not be there. A dry
 * run says what would go, and whom it concerns: transactions, and groups that committed an offset
 * beyond the new end. With --execute the cut is recorded, and made by opening the log again, which
 * this command does at once (log/truncate.c says why). */
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct truncate {
    struct log *log;
    const char *topic;
    int64_t partition, offset;
    bool execute, json;
    struct truncation result;
    struct buf groups; /* lines, or JSON objects, of groups beyond the new end */
};

static int look_at_group(struct truncate *t, const char *group)
{
    struct group_offset offset = {.offset = -1};
    TRY(group_fetch(t->log, group, t->topic, (int32_t)t->partition, &offset));
    if (offset.offset <= t->result.offset)
        return 0;
    if (!t->json) {
        buf_printf(&t->groups, "group %s committed offset %" PRId64 ", beyond the new end\n", group,
                   offset.offset);
        return 0;
    }
    struct buf kept = out; /* out_json_text writes to out */
    out = (struct buf){0};
    out_json_text(group);
    buf_printf(&t->groups, "%s{\"group\":", t->groups.size > 0 ? "," : "");
    buf_append(&t->groups, out.data, out.size);
    buf_printf(&t->groups, ",\"offset\":%" PRId64 "}", offset.offset);
    buf_deinit(&out);
    out = kept;
    return 0;
}

static int look_at_groups(struct truncate *t)
{
    char **groups = NULL;
    size_t count = 0;
    int code = group_list(t->log, &groups, &count);
    for (size_t i = 0; code == 0 && i < count; i++)
        code = look_at_group(t, groups[i]);
    free(groups);
    return code;
}

static void put_json(const struct truncate *t)
{
    const struct truncation *r = &t->result;
    out_text("{\"topic\":");
    out_json_text(t->topic);
    buf_printf(&out,
               ",\"partition\":%" PRId64 ",\"end_offset\":%" PRId64 ",\"new_end_offset\":%" PRId64
               ",\"batches\":%" PRId64 ",\"bytes\":%" PRId64 ",\"leader_epoch\":%d"
               ",\"transactions_aborted\":%d,\"transactions_committed\":%d"
               ",\"decisions\":%d,\"groups\":[",
               t->partition, r->end, r->offset, r->batches, r->bytes, r->leader_epoch, r->aborted,
               r->committed, r->decisions);
    buf_append(&out, t->groups.data, t->groups.size);
    buf_printf(&out, "],\"executed\":%s}\n", t->execute ? "true" : "false");
}

static void put_text(const struct truncate *t)
{
    const struct truncation *r = &t->result;
    buf_printf(&out,
               "%s-%" PRId64 "  end %" PRId64 " → %" PRId64 "  batches gone %" PRId64
               "  bytes gone %" PRId64 "  leader epoch %d\n",
               t->topic, t->partition, r->end, r->offset, r->batches, r->bytes, r->leader_epoch);
    if (r->offset < t->offset)
        buf_printf(&out, "offset %" PRId64 " lies inside a batch, which goes as a whole\n",
                   t->offset);
    if (r->aborted > 0)
        buf_printf(&out, "transactions that are open there, and aborted: %d\n", r->aborted);
    if (r->committed > 0)
        buf_printf(&out,
                   "transactions whose commit lies beyond: %d; what they wrote before stays "
                   "committed, the rest goes\n",
                   r->committed);
    if (r->decisions > 0)
        buf_printf(&out, "committed transactions that are not complete yet and lose records: %d\n",
                   r->decisions);
    buf_append(&out, t->groups.data, t->groups.size);
}

static int plan(struct truncate *t, struct diag *diag)
{
    struct partition *partition;
    struct topic_info info;
    TRY(topic_describe(t->log, t->topic, &info, diag));
    TRY(partition_get(t->log, t->topic, (int32_t)t->partition, &partition, diag));
    TRY(partition_truncate(partition, t->offset, t->execute, &t->result, diag));
    TRY(look_at_groups(t));
    if (t->json)
        put_json(t);
    else
        put_text(t);
    return 0;
}

/* The cut is made by opening; whether the partition runs again is looked at. */
static int open_again(const struct cli *cli, struct truncate *t)
{
    struct diag diag = {0};
    struct partition *partition;
    log_close(t->log);
    t->log = NULL;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &t->log);
    if (exit_code != 0)
        return exit_code;
    int code = partition_get(t->log, t->topic, (int32_t)t->partition, &partition, &diag);
    if (code == 0)
        code = partition_status(partition, &diag);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

static int run_truncate(struct cli *cli)
{
    struct truncate t = {.topic = cli->arguments[0], .execute = flag_is_on(cli, "execute")};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    t.json = format == FORMAT_JSON;
    int exit_code = flag_number(cli, "partition", 0, 9999, -1, &t.partition);
    if (exit_code == 0)
        exit_code = flag_number(cli, "to", 0, INT64_MAX, -1, &t.offset);
    if (exit_code == 0 && t.partition < 0)
        exit_code = usage_error(cli, "--partition is missing");
    if (exit_code == 0 && t.offset < 0)
        exit_code =
            usage_error(cli, "--to is missing: the OFFSET at which the partition shall end");
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &t.log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = plan(&t, &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    else if (t.execute)
        exit_code = open_again(cli, &t);
    else
        hint("nothing was changed: --execute does it");
    buf_deinit(&t.groups);
    if (t.log != NULL)
        log_close(t.log);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag truncate_flags[] = {
    {"partition", "N", "the partition", false, 0},
    {"to", "OFFSET", "the first offset that goes, with the batch that holds it", false, 0},
    {"execute", NULL, "do it; without it only what would change is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_truncate = {
    .noun = "topic",
    .verb = "truncate",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "cut the end of a partition off (a dry run unless --execute)",
    .examples = "  weir topic truncate orders --partition 2 --to 4711\n"
                "  weir topic truncate orders --partition 2 --to 4711 --execute\n",
    .details =
        "There is no way back: copy the directory first. It is the way out when damage stopped a "
        "partition; everything below the cut is\nread and must be right, and the message names "
        "the last right offset. Batches have a new leader epoch from there on. Offsets that\n"
        "groups committed beyond the new end are listed and stay: 'weir group reset' sets them. A "
        "job whose state is ahead of its\nchangelog refuses to start.\n",
    .flags = truncate_flags,
    .run = run_truncate,
};
