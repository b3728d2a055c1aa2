/* topic_scan.c: the committed records of a topic, from its start to the end that it has when the walk
 * comes to the partition. Nothing is kept but one fetch. */
#include "runtime/cli/topic_scan.h"

#include "runtime/cli/cli.h"

enum { SCAN_FETCH_BYTES = 4 << 20 };

static int scan_fetch(struct fetch_reader *reader, const struct scan_place *place, int64_t end,
                      scan_fn fn, void *context, struct diag *diag)
{
    struct record record;
    int code;
    while ((code = fetch_reader_next(reader, &record)) == 1 && record.offset < end) {
        int answer = fn(context, place, &record, diag);
        if (answer != 0)
            return answer;
    }
    return code < 0 ? diag_set(diag, code,
                               "%s-%d: a batch cannot be decoded; 'weir topic verify' says more",
                               place->topic, place->partition)
                    : 0;
}

static int scan_partition(struct log *log, const struct scan_place *place, scan_fn fn,
                          void *context, struct diag *diag)
{
    struct partition *partition;
    struct partition_offsets offsets;
    struct fetch fetch;
    struct fetch_reader reader;
    TRY(partition_get(log, place->topic, place->partition, &partition, diag));
    TRY(partition_status(partition, diag));
    partition_offsets(partition, &offsets);
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    int code = 0;
    for (int64_t at = offsets.start; code == 0 && at < offsets.stable;) {
        code = interrupted()
                   ? diag_set(diag, ERR_STOPPED, "interrupted")
                   : partition_fetch(partition, at, READ_COMMITTED, SCAN_FETCH_BYTES, &fetch, diag);
        if (code < 0 || fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        code = scan_fetch(&reader, place, offsets.stable, fn, context, diag);
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return code;
}

int topic_scan(struct log *log, const struct topic_info *topic, scan_fn fn, void *context,
               struct diag *diag)
{
    for (int32_t i = 0; i < topic->partitions; i++) {
        const struct scan_place place = {topic->name, i};
        int code = scan_partition(log, &place, fn, context, diag);
        if (code != 0)
            return code < 0 ? code : 0;
    }
    return 0;
}
