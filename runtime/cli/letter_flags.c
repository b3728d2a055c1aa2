/* letter_flags.c: from --class, --stage, --topic, --partition, --from and --until to a filter of letters. */
#include "runtime/cli/letter_flags.h"

static int parse_time(const struct cli *cli, const char *flag, int64_t fallback, int64_t *time_ms)
{
    const char *text = flag_text(cli, flag);
    *time_ms = fallback;
    if (text == NULL || letter_time_parse(text, time_ms) == 0)
        return 0;
    return usage_error(cli, "--%s is @EPOCH_MS or ISO 8601 (2026-01-31T12:00:00Z), not '%s'", flag,
                       text);
}

int letter_flags_parse(const struct cli *cli, struct letter_filter *filter)
{
    *filter = (struct letter_filter){.error_class = flag_text(cli, "class"),
                                     .stage = flag_text(cli, "stage"),
                                     .topic = flag_text(cli, "topic")};
    int exit_code = flag_number(cli, "partition", 0, INT32_MAX, -1, &filter->partition);
    if (exit_code == 0)
        exit_code = parse_time(cli, "from", INT64_MIN, &filter->from_ms);
    if (exit_code == 0)
        exit_code = parse_time(cli, "until", INT64_MAX, &filter->until_ms);
    return exit_code;
}
