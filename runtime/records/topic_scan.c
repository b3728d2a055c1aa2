/* topic_scan.c: the committed records of a topic, from its start, or from where another walk has ended,
 * to the end that each partition has when the walk comes to it. Nothing is kept but one fetch. */
#include "runtime/records/topic_scan.h"

enum { SCAN_FETCH_BYTES = 4 << 20 };

struct scan {
    const struct scan_stop *stop;
    scan_fn fn;
    void *context;
    struct scan_from *at;
};

static int scan_fetch(const struct scan *scan, struct fetch_reader *reader,
                      const struct scan_place *place, int64_t end, struct diag *diag)
{
    struct record record;
    int code;
    while ((code = fetch_reader_next(reader, &record)) == 1 && record.offset < end) {
        scan->at->offset = record.offset;
        int answer = scan->fn(scan->context, place, &record, diag);
        if (answer != 0)
            return answer;
    }
    return code < 0 ? diag_set(diag, code,
                               "%s-%d: a batch cannot be decoded; 'weir topic verify' says more",
                               place->topic, place->partition)
                    : 0;
}

static bool is_stopped(const struct scan *scan)
{
    return scan->stop != NULL && scan->stop->is_asked(scan->stop->context);
}

static int scan_partition(const struct scan *scan, struct log *log, const struct scan_place *place,
                          struct diag *diag)
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
    if (scan->at->offset < offsets.start)
        scan->at->offset = offsets.start;
    while (code == 0 && scan->at->offset < offsets.stable) {
        int64_t at = scan->at->offset;
        code = is_stopped(scan)
                   ? diag_set(diag, ERR_STOPPED, "interrupted")
                   : partition_fetch(partition, at, READ_COMMITTED, SCAN_FETCH_BYTES, &fetch, diag);
        if (code < 0 || fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        code = scan_fetch(scan, &reader, place, offsets.stable, diag);
        if (code == 0)
            scan->at->offset = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return code;
}

int topic_scan(struct log *log, const struct topic_info *topic, struct scan_from *from,
               const struct scan_stop *stop, scan_fn fn, void *context, struct diag *diag)
{
    struct scan_from begin = {0, 0};
    const struct scan scan = {stop, fn, context, from != NULL ? from : &begin};
    for (; scan.at->partition < topic->partitions; scan.at->partition++, scan.at->offset = 0) {
        const struct scan_place place = {topic->name, scan.at->partition};
        int code = scan_partition(&scan, log, &place, diag);
        if (code != 0)
            return code;
    }
    return 0;
}
