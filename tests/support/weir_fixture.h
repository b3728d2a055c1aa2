/* weir_fixture.h: what the tests of weir.h's log share. It uses nothing but weir.h; failures end the test through cmocka's assertions with the
 * library's own sentence. */
#ifndef WEIR_TESTS_WEIR_FIXTURE_H
#define WEIR_TESTS_WEIR_FIXTURE_H

#include "runtime/weir.h"

void assert_says(const char *text, const char *part);
/* rc must be 0; else the test fails with error. */
void assert_works(int rc, const char *error);

weir_log *weir_fixture_open(const char *dir);
weir_producer *weir_fixture_producer(weir_log *log, const weir_producer_options *options);
weir_consumer *weir_fixture_consumer(weir_log *log, const weir_consumer_options *options);

/* A record of two texts; NULL is null. */
weir_record text_record(const char *topic, const char *key, const char *value);
int send_text(weir_producer *producer, const char *topic, const char *key, const char *value);

/* The values of a partition from the first offset on, as "a b c"; null is "-". Static buffer of 64 KiB. */
const char *weir_fixture_values(weir_log *log, const char *topic, int32_t partition, weir_isolation isolation);
weir_partition_info weir_fixture_partition(weir_log *log, const char *topic, int32_t partition);
/* Of the group, for a partition; -1: none. */
int64_t weir_fixture_committed(weir_log *log, const char *group, const char *topic, int32_t partition);

#endif
