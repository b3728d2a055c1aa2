/* weir_fixture.c: see weir_fixture.h. */
#include "tests/support/weir_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' does not say '%s'", text, part);
}

void assert_works(int rc, const char *error)
{
    if (rc < 0)
        fail_msg("%s: %s", weir_strerror(rc), error);
}

weir_log *weir_fixture_open(const char *dir)
{
    weir_log *log;
    assert_works(weir_log_open(dir, &(weir_log_options){.keeper_interval_ms = -1}, &log),
                 weir_log_error());
    return log;
}

weir_producer *weir_fixture_producer(weir_log *log, const weir_producer_options *options)
{
    weir_producer *producer;
    assert_works(weir_producer_open(log, options, &producer), weir_log_error());
    return producer;
}

weir_consumer *weir_fixture_consumer(weir_log *log, const weir_consumer_options *options)
{
    weir_consumer *consumer;
    assert_works(weir_consumer_open(log, options, &consumer), weir_log_error());
    return consumer;
}

weir_record text_record(const char *topic, const char *key, const char *value)
{
    return (weir_record){.topic = topic,
                         .key = key,
                         .key_size = key != NULL ? strlen(key) : 0,
                         .value = value,
                         .value_size = value != NULL ? strlen(value) : 0};
}

int send_text(weir_producer *producer, const char *topic, const char *key, const char *value)
{
    weir_record record = text_record(topic, key, value);
    return weir_send(producer, &record);
}

const char *weir_fixture_values(weir_log *log, const char *topic, int32_t partition,
                                weir_isolation isolation)
{
    static char text[64 << 10];
    const weir_topic_partition place = {topic, partition};
    const weir_record *records;
    size_t count, at = 0;
    weir_consumer *reader = weir_fixture_consumer(
        log, &(weir_consumer_options){
                 .partitions = &place, .partition_count = 1, .isolation = isolation});
    text[0] = '\0';
    do {
        assert_works(weir_poll(reader, 0, &records, &count), weir_consumer_error(reader));
        for (size_t i = 0; i < count; i++) {
            assert_true(at + records[i].value_size + 3 < sizeof text);
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", at > 0 ? " " : "",
                                   records[i].value != NULL ? (int)records[i].value_size : 1,
                                   records[i].value != NULL ? (const char *)records[i].value : "-");
        }
    } while (count > 0);
    weir_consumer_close(reader);
    return text;
}

weir_partition_info weir_fixture_partition(weir_log *log, const char *topic, int32_t partition)
{
    weir_partition_info info;
    assert_works(weir_partition_describe(log, topic, partition, &info), weir_log_error());
    return info;
}

int64_t weir_fixture_committed(weir_log *log, const char *group, const char *topic,
                               int32_t partition)
{
    weir_group_lag *rows;
    size_t count;
    int64_t offset = -1;
    if (weir_group_describe(log, group, NULL, &rows, &count) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].topic, topic) == 0 && rows[i].partition == partition)
            offset = rows[i].committed_offset;
    weir_free(rows);
    return offset;
}
