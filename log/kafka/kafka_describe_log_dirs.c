/* kafka_describe_log_dirs.c: DescribeLogDirs (key 35, versions 1 to 4): how much of the disk partitions take.
 *
 *   request   topics {name, [index i32], tags} (nullable: all), tags
 *   response  throttle time i32, v3+: error i16, results {error i16, directory, topics {name, partitions {index i32, size i64, lag i64, future bool, tags}, tags},
 *             v4+: total bytes i64, usable bytes i64, tags}, tags
 *
 * There is one directory. A size is that of the .log files, as with Kafka. A partition that is asked for and that there is not stands in no
 * directory. */
#include "log/kafka/kafka_handlers.h"

#include <stdlib.h>
#include <sys/statvfs.h>

struct listing { /* topics go to the worker's buffer: their number stands before them */
    struct kafka_request *request;
    struct wire_writer writer;
    int32_t count;
};

static void list_partition(struct listing *listing, int32_t index, struct partition *partition)
{
    struct wire_writer *w = &listing->writer;
    struct partition_files files;
    if (w->out->size > KAFKA_RESPONSE_BYTES) { /* one may be named as often as a request has room */
        w->out->failed = true;
        return;
    }
    partition_files(partition, &files);
    wire_write_i32(w, index);
    wire_write_i64(w, files.bytes);
    wire_write_i64(w, 0);
    wire_write_bool(w, false);
    wire_write_tags(w);
}

static void list_topic(struct listing *listing, const struct topic_info *info)
{
    struct wire_writer *w = &listing->writer;
    int32_t there = 0;
    struct partition *partition;
    while (there < info->partitions &&
           partition_get(listing->request->log, info->name, there, &partition, NULL) == 0)
        there++;
    if (there == 0)
        return; /* it was deleted meanwhile */
    wire_write_text(w, info->name);
    wire_write_array(w, there);
    for (int32_t i = 0; i < there; i++) {
        if (partition_get(listing->request->log, info->name, i, &partition, NULL) < 0) {
            w->out->failed = true; /* deleted between the two: there is no such answer */
            return;
        }
        list_partition(listing, i, partition);
    }
    wire_write_tags(w);
    listing->count++;
}

static int list_all(struct listing *listing)
{
    struct topic_info *topics = NULL;
    size_t count = 0;
    TRY(topic_list(listing->request->log, &topics, &count));
    for (size_t i = 0; i < count; i++)
        list_topic(listing, &topics[i]);
    free(topics);
    return 0;
}

/* One topic of the request, with those of its partitions that there are. */
static void list_asked(struct listing *listing)
{
    struct wire_reader *in = &listing->request->in;
    struct wire_writer *w = &listing->writer;
    struct bytes topic = wire_read_string(in);
    int32_t count = wire_read_array(in, 4), there = 0;
    struct wire_reader again = *in;
    struct partition *partition;
    for (int32_t i = 0; i < count; i++)
        there +=
            kafka_partition(listing->request, topic, wire_read_i32(in), &partition) == KAFKA_NONE;
    wire_read_tags(in);
    if (there == 0 || !wire_read_ok(in))
        return;
    wire_write_string(w, topic);
    wire_write_array(w, there);
    for (int32_t i = 0; i < count && buf_ok(w->out); i++) {
        int32_t index = wire_read_i32(&again);
        if (kafka_partition(listing->request, topic, index, &partition) != KAFKA_NONE)
            continue;
        list_partition(listing, index, partition);
        there--;
    }
    if (there != 0)
        w->out->failed = true; /* deleted between the two: there is no such answer */
    wire_write_tags(w);
    listing->count++;
}

static void write_space(struct kafka_request *request)
{
    struct statvfs disk;
    bool is_known = statvfs(log_dir(request->log), &disk) == 0;
    int64_t unit = is_known ? (int64_t)disk.f_frsize : 0;
    wire_write_i64(&request->writer, is_known ? (int64_t)disk.f_blocks * unit : -1);
    wire_write_i64(&request->writer, is_known ? (int64_t)disk.f_bavail * unit : -1);
}

/* Before version 3 there is no place for it: nothing is said. */
static enum kafka_result refuse(struct kafka_request *request, enum kafka_error error)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, 0);
    if (request->version >= 3)
        wire_write_i16(w, (int16_t)error);
    wire_write_array(w, 0);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}

static void write_directory(struct kafka_request *request, const struct listing *listing, int code)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, 0);
    if (request->version >= 3)
        wire_write_i16(w, KAFKA_NONE);
    wire_write_array(w, 1);
    wire_write_i16(w, (int16_t)kafka_error_of(code));
    wire_write_text(w, log_dir(request->log));
    wire_write_array(w, listing->count);
    buf_append(&request->out, request->scratch->data, request->scratch->size);
    if (request->version >= 4)
        write_space(request);
    wire_write_tags(w);
    wire_write_tags(w);
}

enum kafka_result kafka_handle_describe_log_dirs(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct listing listing = {request, {request->scratch, request->writer.flexible}, 0};
    int code = 0;
    buf_clear(request->scratch);
    int32_t asked = wire_read_nullable_array(in, in->flexible ? 3 : 6);
    for (int32_t i = 0; i < asked && wire_read_ok(in) && buf_ok(request->scratch); i++)
        list_asked(&listing);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    enum kafka_error error = kafka_check_cluster(request);
    if (error != KAFKA_NONE)
        return refuse(request, error);
    if (asked < 0)
        code = list_all(&listing);
    if (!buf_ok(request->scratch))
        request->out.failed = true;
    write_directory(request, &listing, code);
    return KAFKA_ANSWER;
}
