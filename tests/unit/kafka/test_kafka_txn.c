/* test_kafka_txn.c: what transactional ids cost the server: a new epoch that takes long holds nobody else up; handles that nobody uses any more are closed, however
 * many there were; what one transaction may name is limited. What clients see of transactions: tests/interop/test_wire_txn.py.
 *
 * A new epoch takes as long as the test wants: the crash point in the middle of it waits. Time goes on when the test says so (clock_mono_ns is wrapped). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/kafka/kafka_server.h"
#include "log/kafka/kafka_txn.h"
#include "log/log_internal.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { API_VERSIONS = 18, INIT_PRODUCER_ID = 22, END_TXN = 26, PATIENCE_S = 120 };

int64_t __real_clock_mono_ns(void);
int64_t __wrap_clock_mono_ns(void);
static _Atomic int64_t skipped_ns;

int64_t __wrap_clock_mono_ns(void)
{
    return __real_clock_mono_ns() + atomic_load(&skipped_ns);
}

/* ---- a new epoch that waits ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool closed, held;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static void pass_gate(void *context, const char *name)
{
    (void)context;
    if (strcmp(name, "producer.open.fenced") != 0)
        return;
    pthread_mutex_lock(&gate.mutex);
    while (gate.closed) {
        gate.held = true;
        pthread_cond_broadcast(&gate.moved);
        pthread_cond_wait(&gate.moved, &gate.mutex);
    }
    gate.held = false;
    pthread_mutex_unlock(&gate.mutex);
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&gate.mutex);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.mutex);
}

static void await_held(void)
{
    pthread_mutex_lock(&gate.mutex);
    while (!gate.held)
        pthread_cond_wait(&gate.moved, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

/* ---- a log, and a client ---- */

struct place {
    char directory[64];
    struct log *log;
    struct kafka_server *server; /* NULL: none was started */
};

static int setup(void **state)
{
    static struct place place;
    place = (struct place){.directory = "/tmp/weir-kafka-txn-XXXXXX"};
    assert_non_null(mkdtemp(place.directory));
    io_set_flushing(false);
    crash_hook(pass_gate, NULL);
    place.log = fixture_open(place.directory);
    *state = &place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    atomic_store(&skipped_ns, 0);
    set_gate(false);
    if (place->server != NULL)
        kafka_server_stop(place->server);
    log_close(place->log);
    crash_hook(NULL, NULL);
    io_set_flushing(true);
    return io_remove_tree(place->directory, NULL);
}

static int connect_to(const struct place *place)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)kafka_server_port(place->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Version 0 of everything. */
static void begin_request(struct buf *out, int16_t key)
{
    buf_clear(out);
    buf_be32(out, 0);
    buf_be16(out, (uint16_t)key);
    buf_be16(out, 0);
    buf_be32(out, 7);
    buf_be16(out, UINT16_MAX); /* no client id */
}

static void put_name(struct buf *out, const char *name)
{
    buf_be16(out, (uint16_t)strlen(name));
    buf_append(out, name, strlen(name));
}

static void send_request(int fd, struct buf *out)
{
    assert_true(buf_ok(out));
    store_be32(out->data, (uint32_t)(out->size - 4));
    assert_int_equal(send(fd, out->data, out->size, 0), out->size);
}

static void receive(int fd, uint8_t *bytes, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t count = recv(fd, bytes + have, size - have, 0);
        assert_true(count > 0); /* 0: hung up; less: it was not answered in PATIENCE_S */
        have += (size_t)count;
    }
}

/* What follows the correlation id. */
static size_t answer(int fd, uint8_t *bytes, size_t room)
{
    uint8_t head[8];
    receive(fd, head, sizeof head);
    size_t size = load_be32(head) - 4;
    assert_true(size <= room);
    receive(fd, bytes, size);
    return size;
}

static void ask_for_epoch(int fd, struct buf *out, const char *name)
{
    begin_request(out, INIT_PRODUCER_ID);
    put_name(out, name);
    buf_be32(out, 60000);
    send_request(fd, out);
}

static void expect_epoch(int fd, int16_t epoch, int64_t *id)
{
    uint8_t bytes[16];
    assert_int_equal(answer(fd, bytes, sizeof bytes), 16);
    assert_int_equal(load_be16(bytes + 4), 0);
    assert_int_equal(load_be16(bytes + 14), epoch);
    *id = (int64_t)load_be64(bytes + 6);
}

static int end_txn(int fd, struct buf *out, const char *name, int64_t id, int16_t epoch)
{
    uint8_t bytes[6];
    begin_request(out, END_TXN);
    put_name(out, name);
    buf_be64(out, (uint64_t)id);
    buf_be16(out, (uint16_t)epoch);
    buf_u8(out, 1);
    send_request(fd, out);
    assert_int_equal(answer(fd, bytes, sizeof bytes), 6);
    return load_be16(bytes + 4);
}

static void a_new_epoch_that_takes_long_holds_nobody_up(void **state)
{
    struct place *place = *state;
    struct kafka_server_options options = {.workers = 1};
    struct buf out = {0};
    uint8_t versions[4096];
    int64_t id, other;
    assert_int_equal(kafka_server_start(place->log, &options, &place->server, NULL), 0);
    int opener = connect_to(place), next = connect_to(place), third = connect_to(place);
    ask_for_epoch(opener, &out, "a");
    expect_epoch(opener, 0, &id);
    set_gate(true);
    ask_for_epoch(opener, &out, "a");
    await_held();
    ask_for_epoch(next, &out, "b");
    begin_request(&out, API_VERSIONS);
    send_request(third, &out);
    assert_true(answer(third, versions, sizeof versions) > 6);
    /* The same id: it is neither the old epoch's nor the new one's now. Another one: as ever. */
    assert_int_equal(end_txn(third, &out, "a", id, 0), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    assert_int_equal(end_txn(third, &out, "c", id, 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    set_gate(false);
    expect_epoch(opener, 1, &other);
    assert_int_equal(other, id);
    expect_epoch(next, 0, &other);
    assert_int_equal(end_txn(third, &out, "a", id, 0), KAFKA_INVALID_PRODUCER_EPOCH);
    assert_int_equal(end_txn(third, &out, "a", id, 1), KAFKA_INVALID_TXN_STATE);
    close(opener);
    close(next);
    close(third);
    buf_deinit(&out);
}

/* ---- without a server ---- */

static struct kafka_request request_of(struct place *place, struct kafka_txns *txns)
{
    return (struct kafka_request){.log = place->log,
                                  .txns = txns,
                                  .api = kafka_api_find(INIT_PRODUCER_ID),
                                  .version = 4,
                                  .peer_host = "a test"};
}

static struct kafka_producer open_one(struct kafka_request *request, const char *name)
{
    struct kafka_producer nobody = {bytes_text(name), -1, -1}, who = nobody;
    assert_int_equal(kafka_txn_open(request, &nobody, 900000, &who.producer_id, &who.epoch), 0);
    return who;
}

static int handles(struct log *log)
{
    int count = 0;
    pthread_mutex_lock(&log->producers_mutex);
    for (struct producer *producer = log->producers; producer != NULL; producer = producer->next)
        count++;
    pthread_mutex_unlock(&log->producers_mutex);
    return count;
}

static void handles_that_nobody_uses_are_closed_however_many(void **state)
{
    enum { IDS = 200, OPENS = 60, ELEVEN_MINUTES_S = 660 };
    struct place *place = *state;
    struct kafka_txns *txns = kafka_txns_create(place->log);
    struct kafka_request request = request_of(place, txns);
    struct kafka_producer who[IDS];
    char names[IDS][16];
    struct kafka_txn *txn;
    for (int i = 0; i < IDS; i++) {
        snprintf(names[i], sizeof names[i], "id-%d", i);
        who[i] = open_one(&request, names[i]);
    }
    assert_int_equal(kafka_txn_take(&request, &who[7], &txn), 0);
    assert_int_equal(kafka_txn_begin(&request, txn), 0);
    kafka_txn_give_back(&request, txn);
    for (int i = 0; i < OPENS; i++)
        open_one(&request, "again");
    assert_int_equal(handles(place->log), IDS + 1); /* they were used a moment ago */
    atomic_store(&skipped_ns, INT64_C(1000000000) * ELEVEN_MINUTES_S);
    for (int i = 0; i < OPENS; i++)
        open_one(&request, "again");
    assert_int_equal(handles(place->log), 2); /* that one, and the open transaction's */
    /* Nobody is fenced by that. */
    assert_int_equal(kafka_txn_take(&request, &who[8], &txn), 0);
    kafka_txn_give_back(&request, txn);
    assert_int_equal(handles(place->log), 3);
    kafka_txns_destroy(txns);
}

static void a_transaction_names_some_hundred_groups(void **state)
{
    struct place *place = *state;
    struct kafka_txns *txns = kafka_txns_create(place->log);
    struct kafka_request request = request_of(place, txns);
    struct kafka_producer who = open_one(&request, "tx");
    struct kafka_txn *txn;
    char name[250];
    int count = 0;
    enum kafka_error error = KAFKA_NONE;
    assert_int_equal(kafka_txn_take(&request, &who, &txn), 0);
    for (; error == KAFKA_NONE && count < 100000; count++) {
        snprintf(name, sizeof name, "%0249d", count);
        error = kafka_txn_add_group(txn, name);
    }
    assert_int_equal(error, KAFKA_POLICY_VIOLATION);
    assert_true(count > 200 && count < 1000);
    assert_false(kafka_txn_has_group(txn, name));
    snprintf(name, sizeof name, "%0249d", 0);
    assert_true(kafka_txn_has_group(txn, name));
    assert_int_equal(kafka_txn_add_group(txn, name), KAFKA_NONE);
    kafka_txn_give_back(&request, txn);
    kafka_txns_destroy(txns);
}

/* The clock that aborts such a transaction would have no epoch to fence it with. */
static void nobody_has_the_epoch_that_fences_the_last_one(void **state)
{
    struct place *place = *state;
    struct kafka_txns *txns = kafka_txns_create(place->log);
    struct kafka_request request = request_of(place, txns);
    struct kafka_producer who = open_one(&request, "tx"), last = who;
    struct meta_producer record = {.producer_id = who.producer_id,
                                   .epoch = INT16_MAX,
                                   .outcome = TXN_OUTCOME_CONTINUED,
                                   .timeout_ms = 1};
    struct meta_batch batch;
    struct kafka_txn *txn;
    kafka_txns_destroy(txns);
    log_close(place->log);
    place->log = fixture_open(place->directory);
    request.log = place->log;
    request.txns = txns = kafka_txns_create(place->log);
    meta_batch_init(&batch);
    meta_put_producer(&batch, CLIENT_TRANSACTIONAL_ID "tx", &record);
    assert_int_equal(log_meta_apply(place->log, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    who.epoch = INT16_MAX;
    assert_int_equal(kafka_txn_take(&request, &who, &txn), KAFKA_PRODUCER_FENCED);
    /* Who had the last one goes on with another producer id. */
    last.epoch = INT16_MAX - 1;
    int64_t id;
    int16_t epoch;
    assert_int_equal(kafka_txn_open(&request, &last, 1000, &id, &epoch), KAFKA_NONE);
    assert_int_not_equal(id, who.producer_id);
    assert_int_equal(epoch, 0);
    kafka_txns_destroy(txns);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_epoch_that_takes_long_holds_nobody_up),
        TEST(handles_that_nobody_uses_are_closed_however_many),
        TEST(a_transaction_names_some_hundred_groups),
        TEST(nobody_has_the_epoch_that_fences_the_last_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
