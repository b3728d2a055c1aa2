/* fuzz_kafka_request.c: any bytes as a request, through the header's decoder and the handler of its API, over a log that is really there and holds a batch. It
 * is opened for reading alone: else one input would make thousands of directories, and the next would find another log. What parks is resumed at once, as if its
 * time were over; what waits for other members loses its connection, and an hour passes, so that no group keeps members. Whatever comes, a response is whole or
 * the connection ends with a reason. */
#include "log/coordinator.h"
#include "log/kafka/kafka_fetch_session.h"
#include "log/kafka/kafka_request.h"
#include "log/kafka/kafka_txn.h"
#include "log/kafka/kafka_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char directory[64];
static struct log *the_log;
static struct kafka_txns *txns;
static struct kafka_fetch_sessions *sessions;
static struct buf scratch;
static const struct kafka_server_options options = {.refuses_new_topics = true,
                                                    .requires_users = true};

static int64_t now;

static int64_t now_ms(void)
{
    return now;
}

/* Which handlers were run, for who asks: WEIR_FUZZ_APIS. */
static uint64_t runs[128];

static void tell_runs(void)
{
    const struct kafka_api *api;
    for (size_t i = 0; getenv("WEIR_FUZZ_APIS") != NULL && (api = kafka_api_at(i)) != NULL; i++)
        fprintf(stderr, "%-30s %" PRIu64 "%s\n", api->name, runs[api->key],
                runs[api->key] == 0 ? " NEVER" : "");
}

static void remove_directory(void)
{
    char command[128];
    tell_runs();
    snprintf(command, sizeof command, "rm -rf %s", directory);
    kafka_txns_destroy(txns);
    kafka_fetch_sessions_destroy(sessions);
    log_close(the_log);
    buf_deinit(&scratch);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    struct log_options log_options = {.durability = DURABILITY_OS};
    struct batch_builder builder;
    struct partition *partition;
    struct producer *producer;
    struct bytes batch;
    snprintf(directory, sizeof directory, "/tmp/weir-fuzz-kafka-XXXXXX");
    must(mkdtemp(directory) != NULL);
    must(log_open(directory, &log_options, &the_log, NULL) == 0);
    must(topic_create(the_log, "t", 2, NULL, 0, NULL) == 0);
    must(partition_get(the_log, "t", 0, &partition, NULL) == 0);
    batch_builder_init(&builder, CODEC_LZ4);
    for (int i = 0; i < 100; i++)
        must(batch_builder_add(&builder, 1700000000000 + i, bytes_text("key"), bytes_text("value"),
                               bytes_of("", 0), 0) == 0);
    must(batch_builder_finish(&builder, &batch) == 0);
    must(partition_append(partition, builder.batch.data, batch.size, NULL, NULL) == 0);
    batch_builder_deinit(&builder);
    must(producer_open_kept(the_log, CLIENT_TRANSACTIONAL_ID "tx", 60000, false, &producer, NULL) ==
         0);
    log_close(the_log);
    log_options.read_only = true;
    must(log_open(directory, &log_options, &the_log, NULL) == 0);
    must((txns = kafka_txns_create(the_log)) != NULL);
    must((sessions = kafka_fetch_sessions_create()) != NULL);
    log_line_mute(true);
    coordinator_set_clock(log_coordinator(the_log), now_ms);
    atexit(remove_directory);
    return 0;
}

static void run(struct kafka_request *request, struct kafka_session *session)
{
    if (request->api->key >= 0)
        runs[request->api->key]++;
    request->session = session;
    request->options = &options;
    request->log = the_log;
    request->txns = txns;
    request->fetch_sessions = sessions;
    request->peer_host = request->advertised_host = "127.0.0.1";
    request->advertised_port = 9092;
    request->stopping = true;
    request->scratch = &scratch;
    atomic_store(&request->called, true); /* who calls back finds that it came too late */
    bool elsewhere = kafka_request_run(request);
    while (!elsewhere && request->result == KAFKA_PARK)
        elsewhere = kafka_request_run(request);
    if (elsewhere) {
        request->forget(request);
        now += 3600000;
        coordinator_tick(log_coordinator(the_log));
        return;
    }
    if (request->result == KAFKA_ANSWER || request->result == KAFKA_LAST)
        must(request->out.size >= (request->api == &kafka_sasl_token ? 4 : 8) &&
             load_be32(request->out.data) == request->out.size - 4);
    if (request->result == KAFKA_CLOSE || request->result == KAFKA_LAST)
        must(request->reason != NULL);
}

/* A SASL token, in the middle of an authentication with each mechanism: of PLAIN, the first and the last of SCRAM. */
static void run_token(const uint8_t *data, size_t size, struct kafka_session *session)
{
    for (int i = 0; i <= SASL_SCRAM_SHA_512 + 1; i++) {
        struct buf frame = {0};
        struct kafka_request *request;
        buf_append(&frame, data, size);
        must(kafka_request_create_token(&frame, &request) == 0);
        session->may_say_password = true;
        session->mechanism = i <= SASL_SCRAM_SHA_512 ? (enum sasl_mechanism)i : SASL_SCRAM_SHA_512;
        if (i <= SASL_SCRAM_SHA_512)
            session->state = SESSION_CHOSEN;
        if (session->state != SESSION_NEW)
            run(request, session);
        kafka_request_free(request);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf frame = {0};
    struct kafka_request *request;
    struct kafka_session session;
    struct diag diag = {0};
    if (size > KAFKA_FRAME_BYTES)
        return 0;
    kafka_session_init(&session);
    buf_append(&frame, data, size);
    if (kafka_request_create(&frame, &request, &diag) == 0) {
        run(request, &session);
        kafka_request_free(request);
    } else {
        must(diag.text[0] != '\0');
    }
    buf_deinit(&frame);
    run_token(data, size, &session);
    kafka_session_deinit(&session);
    return 0;
}
