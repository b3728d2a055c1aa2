/* billing.c: every order is billed exactly once, by two workers at a time, whatever happens to them.
 *
 *     billing order N                 puts N orders into the topic "orders"
 *     billing work [--crash-after N]  two threads bill what is not billed yet; with N the process dies in its N-th transaction
 *     billing report                  compares the topic "invoices" with the orders
 *
 * The workers are members of one group, so each has some of the partitions. An invoice and the position behind its order are committed in one
 * transaction: a worker that dies leaves neither, and who comes after it bills the order. The data directory is $WEIR_DATA, else ./weir-data. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

enum { PARTITIONS = 4, WORKERS = 2, CUSTOMERS = 5 };
static const char *const customers[CUSTOMERS] = {"Ada", "Grace", "Edsger", "Barbara", "Donald"};
static const char *const orders = "orders", *const invoices = "invoices";

static weir_log *data;
static atomic_int transactions_left = -1; /* until the crash; negative: none is wanted */

static void check(int rc, const char *error)
{
    if (rc == 0)
        return;
    fprintf(stderr, "billing: %s\n", error);
    exit(1);
}

/* Orders and invoices are lines like "17 Grace 4200": number, customer, cents. */
struct line {
    int number, cents;
    char customer[32];
};

static struct line read_line(const weir_record *record)
{
    char text[80];
    struct line line = {0, 0, ""};
    snprintf(text, sizeof text, "%.*s", (int)record->value_size, (const char *)record->value);
    if (sscanf(text, "%d %31s %d", &line.number, line.customer, &line.cents) != 3)
        fprintf(stderr, "billing: %s-%d offset %lld is no order\n", record->topic, record->partition,
                (long long)record->offset);
    return line;
}

static int send_line(weir_producer *producer, const char *topic, const struct line *line)
{
    char text[80];
    int size = snprintf(text, sizeof text, "%d %s %d", line->number, line->customer, line->cents);
    return weir_send(producer, &(weir_record){.topic = topic,
                                              .key = line->customer,
                                              .key_size = strlen(line->customer),
                                              .value = text,
                                              .value_size = (size_t)size});
}

/* ---- order ---- */

static void order(int count)
{
    weir_producer *producer;
    check(weir_producer_open(data, NULL, &producer), weir_log_error());
    for (int i = 0; i < count; i++) {
        struct line line = {i, 100 + i * 37 % 9900, ""};
        snprintf(line.customer, sizeof line.customer, "%s", customers[i % CUSTOMERS]);
        check(send_line(producer, orders, &line), weir_producer_error(producer));
    }
    check(weir_flush(producer, -1), weir_producer_error(producer)); /* now all of them are on disk */
    weir_producer_close(producer);
    printf("%d orders\n", count);
}

/* ---- work ---- */

static int bill(weir_producer *producer, weir_consumer *consumer, const weir_record *records, size_t count)
{
    int rc = weir_txn_begin(producer);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct line line = read_line(&records[i]);
        line.cents += line.cents / 5; /* value added tax */
        rc = send_line(producer, invoices, &line);
    }
    if (atomic_fetch_sub(&transactions_left, 1) == 1)
        _Exit(1); /* the power goes out */
    if (rc == 0)
        rc = weir_txn_offsets(producer, consumer);
    if (rc == 0)
        return weir_txn_commit(producer);
    weir_txn_abort(producer);
    return rc;
}

/* Whether the group has committed the end of every partition. */
static bool is_all_billed(void)
{
    weir_group_lag *rows;
    size_t count;
    if (weir_group_describe(data, "billing", NULL, &rows, &count) < 0)
        return false;
    bool done = count == PARTITIONS;
    for (size_t i = 0; i < count; i++)
        done = done && (rows[i].committed_offset == rows[i].end_offset || rows[i].end_offset == 0);
    weir_free(rows);
    return done;
}

static void *worker(void *id)
{
    weir_producer *producer;
    weir_consumer *consumer;
    const weir_record *records;
    size_t count;
    check(weir_producer_open(data, &(weir_producer_options){.transactional_id = id}, &producer), weir_log_error());
    weir_consumer_options options = {.group = "billing", .topics = &orders, .topic_count = 1, .max_records = 50};
    check(weir_consumer_open(data, &options, &consumer), weir_log_error());
    do {
        check(weir_poll(consumer, 100, &records, &count), weir_consumer_error(consumer));
        if (count > 0 && bill(producer, consumer, records, count) < 0) {
            /* Not one of the records counts as billed. Perhaps the partitions were dealt out anew: go on from what is committed. */
            fprintf(stderr, "%s: %s\n", (char *)id, weir_producer_error(producer));
            check(weir_log_status(data), weir_log_error());
            check(weir_consumer_rewind(consumer), weir_consumer_error(consumer));
        }
    } while (count > 0 || !is_all_billed());
    weir_consumer_close(consumer);
    weir_producer_close(producer);
    return NULL;
}

static void work(void)
{
    pthread_t threads[WORKERS];
    char *ids[WORKERS] = {"billing-1", "billing-2"};
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, worker, ids[i]) != 0)
            check(-1, "cannot start a worker");
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    printf("all is billed\n");
}

/* ---- report ---- */

static void report(void)
{
    weir_consumer *reader;
    const weir_record *records;
    size_t count;
    int64_t order_count = 0, invoice_count = 0, cents[CUSTOMERS] = {0};
    for (int32_t p = 0; p < PARTITIONS; p++) {
        weir_partition_info info;
        check(weir_partition_describe(data, orders, p, &info), weir_log_error());
        order_count += info.end_offset;
    }
    check(weir_consumer_open(data, &(weir_consumer_options){.topics = &invoices, .topic_count = 1}, &reader),
          weir_log_error());
    for (;;) {
        check(weir_poll(reader, 0, &records, &count), weir_consumer_error(reader));
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            struct line line = read_line(&records[i]);
            for (int c = 0; c < CUSTOMERS; c++)
                cents[c] += strcmp(line.customer, customers[c]) == 0 ? line.cents : 0;
            invoice_count++;
        }
    }
    weir_consumer_close(reader);
    for (int c = 0; c < CUSTOMERS; c++)
        printf("%-8s %9.2f\n", customers[c], (double)cents[c] / 100);
    printf("%lld orders, %lld invoices\n", (long long)order_count, (long long)invoice_count);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *dir = getenv("WEIR_DATA");
    check(weir_log_open(dir != NULL ? dir : "weir-data", NULL, &data), weir_log_error());
    const char *const topics[] = {orders, invoices};
    for (int i = 0; i < 2; i++)
        if (weir_topic_create(data, topics[i], PARTITIONS, NULL, 0) != WEIR_EEXISTS)
            check(weir_topic_describe(data, topics[i], NULL), weir_log_error());
    if (strcmp(verb, "order") == 0 && argc == 3)
        order(atoi(argv[2]));
    else if (strcmp(verb, "work") == 0 && argc == 4 && strcmp(argv[2], "--crash-after") == 0)
        atomic_store(&transactions_left, atoi(argv[3])), work();
    else if (strcmp(verb, "work") == 0 && argc == 2)
        work();
    else if (strcmp(verb, "report") == 0 && argc == 2)
        report();
    else
        fprintf(stderr, "usage: billing order N | work [--crash-after N] | report\n");
    check(weir_log_close(data), weir_log_error());
    return 0;
}
