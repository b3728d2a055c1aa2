/* wire_load.c: a load client for whoever speaks Kafka's protocol, on librdkafka: wire.py runs it against `weir serve` and against Apache Kafka.
 *
 *   wire_load produce -b HOST:PORT -t TOPIC   sends --count records as fast as they are taken
 *   wire_load consume -b HOST:PORT -t TOPIC   reads --count records from the beginning and looks at every byte of each
 *   wire_load latency -b HOST:PORT -t TOPIC   sends --rate records a second, and tells how long each took to be acknowledged
 *
 *   --count N --size BYTES --partitions N     the same three for produce and consume, or the check fails
 *   --rate N, --warmup SECONDS                of latency: what is sent in the first seconds is not counted
 *   --create K=V[,K=V]…                       produce, latency: makes the topic with these configs first ("-": with none)
 *   -X K=V                                    any setting of librdkafka
 *
 * Record n is a pure function of n: its number in 16 digits, then a piece of one fixed random text. Records go to the partitions in blocks of
 * BLOCK_RECORDS, so that the consumer knows which number each offset of each partition must hold: a record that is lost, doubled, out of order or changed
 * ends it with exit code 4. One line of JSON on standard output.
 *
 * Latency is measured without coordinated omission: record n is due at start + n / rate, whatever happens to those before it, and its
 * time runs from then until librdkafka reports it delivered, however late it was sent. A thread of its own sends; another one hears
 * the reports. Nothing is retried (retries=0), since a delay that hides behind a retry would be none of the broker's. */
#include <librdkafka/rdkafka.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    BLOCK_RECORDS = 500,
    NUMBER_BYTES = 16,
    POOL_BYTES = 1 << 20,
    SIZE_MAX_BYTES = 1 << 16,
    POLL_MS = 100,
    STUCK_S = 60,
    WRONG = 4
};
#define S_NS INT64_C(1000000000)

struct load {
    const char *mode, *brokers, *topic, *create;
    int64_t count, rate, warmup_s;
    size_t size;
    int32_t partitions;
    rd_kafka_conf_t *conf;

    rd_kafka_t *kafka;
    char *pool; /* POOL_BYTES, and SIZE_MAX_BYTES more */

    /* what the reports said */
    _Atomic int64_t delivered, failed;
    char error[128];
    int64_t begin_ns, due_begin_ns;
    uint32_t *latency_us; /* of record n; latency */
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "wire_load: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * S_NS + t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* ---- records ---- */

/* Letters, so that a codec finds about what it finds in text without repetitions. */
static void make_pool(struct load *load)
{
    uint64_t state = 0x9e3779b97f4a7c15;
    load->pool = malloc(POOL_BYTES + SIZE_MAX_BYTES);
    if (load->pool == NULL)
        fail("records", "no memory");
    for (size_t i = 0; i < POOL_BYTES + SIZE_MAX_BYTES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        load->pool[i] = (char)('a' + state % 26);
    }
}

static void write_number(char *text, int64_t n)
{
    for (int i = NUMBER_BYTES - 1; i >= 0; i--, n /= 10)
        text[i] = (char)('0' + n % 10);
}

static const char *tail_of(const struct load *load, int64_t n)
{
    return load->pool + (uint64_t)n * 7919 % POOL_BYTES;
}

static void write_record(const struct load *load, int64_t n, char *record)
{
    write_number(record, n);
    memcpy(record + NUMBER_BYTES, tail_of(load, n), load->size - NUMBER_BYTES);
}

static int32_t partition_of(const struct load *load, int64_t n)
{
    return (int32_t)(n / BLOCK_RECORDS % load->partitions);
}

/* The number of the record at an offset. */
static int64_t number_at(const struct load *load, int32_t partition, int64_t offset)
{
    int64_t block = offset / BLOCK_RECORDS * load->partitions + partition;
    return block * BLOCK_RECORDS + offset % BLOCK_RECORDS;
}

static bool is_record(const struct load *load, int64_t n, const rd_kafka_message_t *message)
{
    char number[NUMBER_BYTES];
    write_number(number, n);
    return message->len == load->size && memcmp(message->payload, number, sizeof number) == 0 &&
           memcmp((const char *)message->payload + NUMBER_BYTES, tail_of(load, n),
                  load->size - NUMBER_BYTES) == 0;
}

/* ---- connecting ---- */

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
    struct load *load = opaque;
    (void)kafka;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (load->failed++ == 0)
            snprintf(load->error, sizeof load->error, "%s", rd_kafka_err2str(message->err));
        return;
    }
    if (load->latency_us != NULL) {
        int64_t n = (int64_t)(intptr_t)message->_private;
        int64_t us = (now_ns() - load->due_begin_ns - n * S_NS / load->rate) / 1000;
        load->latency_us[n] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    }
    load->delivered++;
}

static void set(struct load *load, const char *name, const char *value)
{
    char why[512];
    if (rd_kafka_conf_set(load->conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        fail(name, why);
}

static void set_pair(struct load *load, char *pair)
{
    char *equals = strchr(pair, '=');
    if (equals == NULL)
        fail(pair, "not NAME=VALUE");
    *equals = '\0';
    set(load, pair, equals + 1);
}

static void connect_as(struct load *load, rd_kafka_type_t type)
{
    char why[512];
    set(load, "bootstrap.servers", load->brokers);
    if (type == RD_KAFKA_PRODUCER)
        set(load, "retries", "0");
    rd_kafka_conf_set_opaque(load->conf, load);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(load->conf, on_delivery);
    load->kafka = rd_kafka_new(type, load->conf, why, sizeof why);
    if (load->kafka == NULL)
        fail("librdkafka", why);
}

static void create_topic(struct load *load)
{
    char why[512] = "";
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(load->topic, load->partitions, 1, why, sizeof why);
    if (topic == NULL)
        fail(load->topic, why);
    char *copy = strdup(strcmp(load->create, "-") == 0 ? "" : load->create);
    for (char *pair = strtok(copy, ","); pair != NULL; pair = strtok(NULL, ",")) {
        char *equals = strchr(pair, '=');
        if (equals == NULL)
            fail(pair, "not NAME=VALUE");
        *equals = '\0';
        rd_kafka_NewTopic_set_config(topic, pair, equals + 1);
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(load->kafka);
    rd_kafka_CreateTopics(load->kafka, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, STUCK_S * 1000);
    if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(load->topic, event == NULL ? "no answer" : rd_kafka_event_error_string(event));
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            fail(load->topic, rd_kafka_topic_result_error_string(results[i]));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    free(copy);
}

/* The broker answers for every partition: the first records are not those that find it unready. */
static void await_topic(struct load *load)
{
    for (int32_t i = 0, tries = 0; i < load->partitions; tries++) {
        int64_t low, high;
        rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(load->kafka, load->topic, i,
                                                                     &low, &high, POLL_MS * 10);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            i++;
        else if (tries == STUCK_S)
            fail(load->topic, rd_kafka_err2str(error));
        else
            rd_kafka_poll(load->kafka, POLL_MS);
    }
}

static rd_kafka_topic_t *begin_producing(struct load *load)
{
    connect_as(load, RD_KAFKA_PRODUCER);
    if (load->create != NULL)
        create_topic(load);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(load->kafka, load->topic, NULL);
    if (topic == NULL)
        fail(load->topic, rd_kafka_err2str(rd_kafka_last_error()));
    await_topic(load);
    load->begin_ns = now_ns();
    return topic;
}

/* ---- produce ---- */

/* Librdkafka copies the payloads: one block's memory is enough. */
static void produce_block(struct load *load, rd_kafka_topic_t *topic, int64_t first, char *memory)
{
    rd_kafka_message_t messages[BLOCK_RECORDS] = {0};
    int64_t left = load->count - first;
    int count = (int)(left < BLOCK_RECORDS ? left : BLOCK_RECORDS);
    for (int i = 0; i < count; i++) {
        messages[i].payload = memory + (size_t)i * load->size;
        messages[i].len = load->size;
        write_record(load, first + i, messages[i].payload);
    }
    int32_t partition = partition_of(load, first);
    for (int taken = 0; taken < count;) {
        taken += rd_kafka_produce_batch(topic, partition, RD_KAFKA_MSG_F_COPY, messages + taken,
                                        count - taken);
        if (taken == count)
            break;
        if (messages[taken].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            fail("produce", rd_kafka_err2str(messages[taken].err));
        rd_kafka_poll(load->kafka, POLL_MS);
    }
    rd_kafka_poll(load->kafka, 0);
}

static void run_produce(struct load *load)
{
    char *memory = malloc(BLOCK_RECORDS * load->size);
    rd_kafka_topic_t *topic = begin_producing(load);
    if (memory == NULL)
        fail("records", "no memory");
    for (int64_t n = 0; n < load->count && load->failed == 0; n += BLOCK_RECORDS)
        produce_block(load, topic, n, memory);
    rd_kafka_flush(load->kafka, STUCK_S * 1000);
    rd_kafka_topic_destroy(topic);
    free(memory);
}

/* ---- latency ---- */

static void *hear_reports(void *context)
{
    struct load *load = context;
    int64_t heard = 0, heard_ns = now_ns();
    while (load->delivered + load->failed < load->count) {
        if (rd_kafka_poll(load->kafka, POLL_MS) > 0 || load->delivered + load->failed != heard)
            heard_ns = now_ns();
        heard = load->delivered + load->failed;
        if (now_ns() - heard_ns > STUCK_S * S_NS)
            fail("latency", "no report for a minute");
    }
    return NULL;
}

static void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / S_NS, .tv_nsec = at_ns % S_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void send_on_time(struct load *load, rd_kafka_topic_t *topic)
{
    char record[SIZE_MAX_BYTES];
    for (int64_t n = 0; n < load->count; n++) {
        sleep_until(load->due_begin_ns + n * S_NS / load->rate);
        write_record(load, n, record);
        int32_t partition = (int32_t)(n % load->partitions);
        while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, record, load->size, NULL, 0,
                                (void *)(intptr_t)n) < 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
            sleep_until(now_ns() + S_NS / 1000);
        }
    }
}

static void run_latency(struct load *load)
{
    pthread_t reports;
    load->latency_us = calloc((size_t)load->count, sizeof *load->latency_us);
    if (load->latency_us == NULL)
        fail("latency", "no memory");
    rd_kafka_topic_t *topic = begin_producing(load);
    load->due_begin_ns = now_ns() + S_NS / 10;
    if (pthread_create(&reports, NULL, hear_reports, load) != 0)
        fail("latency", "no thread");
    send_on_time(load, topic);
    pthread_join(reports, NULL);
    rd_kafka_topic_destroy(topic);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void print_latency(struct load *load)
{
    static const struct {
        const char *name;
        double part;
    } wanted[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    int64_t skipped = load->warmup_s * load->rate, counted = load->count - skipped;
    if (counted <= 0)
        fail("latency", "nothing is left after the warm-up");
    uint32_t *us = load->latency_us + skipped;
    qsort(us, (size_t)counted, sizeof *us, compare_u32);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t at = (int64_t)((double)counted * wanted[i].part);
        printf(",\"%s_ms\":%.3f", wanted[i].name, us[at < counted ? at : counted - 1] / 1000.0);
    }
}

/* ---- consume ---- */

static void assign_all(struct load *load)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(load->partitions);
    for (int32_t i = 0; i < load->partitions; i++)
        rd_kafka_topic_partition_list_add(list, load->topic, i)->offset = 0;
    rd_kafka_resp_err_t error = rd_kafka_assign(load->kafka, list);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(load->topic, rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}

static void wrong(const char *what, const rd_kafka_message_t *message)
{
    printf("{\"check\":\"failed: %s at offset %" PRId64 " of partition %d\"}\n", what,
           message->offset, message->partition);
    exit(WRONG);
}

static void look_at(struct load *load, const rd_kafka_message_t *message, int64_t *next)
{
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("consume", rd_kafka_message_errstr(message));
    if (message->partition < 0 || message->partition >= load->partitions ||
        message->offset != next[message->partition]++)
        wrong("an offset that is not the next one", message);
    if (!is_record(load, number_at(load, message->partition, message->offset), message))
        wrong("not the record that was sent", message);
    load->delivered++;
}

static void run_consume(struct load *load)
{
    enum { TAKEN = 4096 };
    rd_kafka_message_t *messages[TAKEN];
    int64_t *next = calloc((size_t)load->partitions, sizeof *next);
    if (next == NULL)
        fail("consume", "no memory");
    set(load, "group.id", "wire-load");
    set(load, "enable.auto.commit", "false");
    connect_as(load, RD_KAFKA_CONSUMER);
    rd_kafka_poll_set_consumer(load->kafka);
    load->begin_ns = now_ns();
    assign_all(load);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(load->kafka);
    int64_t heard_ns = now_ns();
    while (load->delivered < load->count) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, TAKEN);
        for (ssize_t i = 0; i < count; i++) {
            look_at(load, messages[i], next);
            rd_kafka_message_destroy(messages[i]);
        }
        heard_ns = count > 0 ? now_ns() : heard_ns;
        if (now_ns() - heard_ns > STUCK_S * S_NS)
            fail("consume", "no record for a minute");
    }
    rd_kafka_queue_destroy(queue);
    free(next);
}

/* ---- */

static int64_t number(const char *text, int64_t least, int64_t most)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || value < least || value > most)
        fail(text, "not a number that can be");
    return value;
}

static void parse(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'n'},
                                            {"size", required_argument, NULL, 's'},
                                            {"partitions", required_argument, NULL, 'p'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"warmup", required_argument, NULL, 'w'},
                                            {"create", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "b:t:X:", options, NULL)) >= 0)
        switch (option) {
        case 'b':
            load->brokers = optarg;
            break;
        case 't':
            load->topic = optarg;
            break;
        case 'X':
            set_pair(load, optarg);
            break;
        case 'n':
            load->count = number(optarg, 1, INT64_C(1) << 40);
            break;
        case 's':
            load->size = (size_t)number(optarg, NUMBER_BYTES, SIZE_MAX_BYTES);
            break;
        case 'p':
            load->partitions = (int32_t)number(optarg, 1, 10000);
            break;
        case 'r':
            load->rate = number(optarg, 1, 10000000);
            break;
        case 'w':
            load->warmup_s = number(optarg, 0, 3600);
            break;
        case 'c':
            load->create = optarg;
            break;
        default:
            exit(2);
        }
    if (optind + 1 != argc || load->brokers == NULL || load->topic == NULL)
        fail("usage", "wire_load produce|consume|latency -b HOST:PORT -t TOPIC …");
    load->mode = argv[optind];
}

int main(int argc, char **argv)
{
    struct load load = {
        .count = 1000000, .rate = 10000, .warmup_s = 1, .size = 100, .partitions = 1};
    load.conf = rd_kafka_conf_new();
    parse(&load, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    make_pool(&load);
    bool consumes = strcmp(load.mode, "consume") == 0, waits = strcmp(load.mode, "latency") == 0;
    if (consumes)
        run_consume(&load);
    else if (waits)
        run_latency(&load);
    else if (strcmp(load.mode, "produce") == 0)
        run_produce(&load);
    else
        fail(load.mode, "produce, consume or latency");
    double seconds = (double)(now_ns() - load.begin_ns) / 1e9;
    bool ok = load.delivered == load.count;
    printf("{\"records\":%" PRId64 ",\"failed\":%" PRId64 ",\"seconds\":%.4f,\"client_cpu_s\":%.3f",
           load.delivered, load.failed, seconds, cpu_seconds());
    if (waits && ok)
        print_latency(&load);
    printf(",\"check\":\"%s%s\"}\n", ok ? "ok" : "failed: ",
           ok                      ? ""
           : load.error[0] != '\0' ? load.error
                                   : "not all were delivered");
    fflush(stdout);
    _exit(
        ok ? 0
           : WRONG); /* librdkafka's own end takes seconds after a consumer's, and is nobody's result */
}
