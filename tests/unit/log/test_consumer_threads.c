/* test_consumer_threads.c: a group of threads at work: members join, leave, die without a word and come back as others, while records
 * are appended and topics grow.
 *
 * What must hold: every record is read; exactly once while nobody dies; no partition has two owners at a time, but for
 * a dead one and its heir; and what is committed in the end is the end, also after the log was opened again. Members that
 * may die have a short session, the others one that outlasts the test: so nobody is taken for dead because the machine is slow. */
#include "log/consumer.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    THREADS = 5,
    TOPICS = 2,
    PARTITIONS_FIRST = 2,
    PARTITIONS_LAST = 5,
    OFFSETS = 2000, /* per partition, at most */
    APPENDS = 400,
    LIMIT_S = 60
};
static const char *const topic_names[TOPICS] = {"a", "b"};

struct owner {
    int member; /* 0: nobody */
    int32_t generation;
    bool may_die;
};

static struct world {
    struct log *log;
    enum assignor assignor;
    bool deaths;
    pthread_mutex_t mutex;
    struct owner owners[TOPICS][PARTITIONS_LAST];
    uint8_t seen[TOPICS][PARTITIONS_LAST][OFFSETS];
    int64_t ends[TOPICS][PARTITIONS_LAST];
    int64_t appended, read; /* records; read: for the first time */
    bool all_appended;
    int next_member;
    struct consumer *dead[256]; /* closed in the end */
    int dead_count;
    const char *failure; /* the first; threads do not assert */
} world;

struct life {
    int member;
    bool may_die;
    unsigned seed;
};

static unsigned next_random(unsigned *seed, unsigned limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % limit;
}

static void expect(bool held, const char *what)
{
    if (!held && world.failure == NULL)
        world.failure = what;
}

static int topic_of(const char *name)
{
    return name[0] - 'a';
}

/* ---- what members are told ---- */

static void on_assigned(void *context, struct consumer *consumer,
                        const struct topic_partition *partitions, size_t count)
{
    const struct life *life = context;
    struct group_member me;
    consumer_member(consumer, &me);
    pthread_mutex_lock(&world.mutex);
    for (size_t i = 0; i < count; i++) {
        struct owner *owner = &world.owners[topic_of(partitions[i].topic)][partitions[i].partition];
        expect(owner->member == 0 || (owner->may_die && owner->generation < me.generation),
               "a partition was given to one member before another one gave it up");
        *owner = (struct owner){life->member, me.generation, life->may_die};
    }
    pthread_mutex_unlock(&world.mutex);
}

static void give_up(const struct life *life, const struct topic_partition *partitions, size_t count)
{
    pthread_mutex_lock(&world.mutex);
    for (size_t i = 0; i < count; i++) {
        struct owner *owner = &world.owners[topic_of(partitions[i].topic)][partitions[i].partition];
        if (owner->member == life->member)
            *owner = (struct owner){0};
        else
            expect(life->may_die, "a member gave up what was another one's");
    }
    pthread_mutex_unlock(&world.mutex);
}

static void on_revoked(void *context, struct consumer *consumer,
                       const struct topic_partition *partitions, size_t count)
{
    const struct life *life = context;
    int code = consumer_commit(consumer, NULL, 0, NULL);
    if (!life->may_die) {
        pthread_mutex_lock(&world.mutex);
        expect(code == 0, "the commit of partitions that are revoked was refused");
        pthread_mutex_unlock(&world.mutex);
    }
    give_up(life, partitions, count);
}

static void on_lost(void *context, struct consumer *consumer,
                    const struct topic_partition *partitions, size_t count)
{
    const struct life *life = context;
    int code = consumer_commit(consumer, NULL, 0, NULL);
    pthread_mutex_lock(&world.mutex);
    expect(life->may_die, "a member that lives was removed");
    /* 0: it had read nothing since its last commit, so nothing was asked for */
    expect(code == ERR_MEMBER || code == 0, "a removed member's commit");
    pthread_mutex_unlock(&world.mutex);
    give_up(life, partitions, count);
}

/* ---- members ---- */

static void note_records(const struct consumer_record *records, int64_t count)
{
    pthread_mutex_lock(&world.mutex);
    for (int64_t i = 0; i < count; i++) {
        uint8_t *seen =
            &world.seen[topic_of(records[i].topic)][records[i].partition][records[i].offset];
        expect(*seen == 0 || world.deaths, "a record was read twice");
        if (*seen == 0)
            world.read++;
        *seen = 1;
    }
    pthread_mutex_unlock(&world.mutex);
}

static bool is_over(void)
{
    pthread_mutex_lock(&world.mutex);
    bool over = (world.all_appended && world.read == world.appended) || world.failure != NULL;
    pthread_mutex_unlock(&world.mutex);
    return over;
}

/* Opens, reads for a while, then leaves; or dies: it is never polled again. */
static void live(struct life *life)
{
    struct consumer *consumer;
    const struct consumer_record *records;
    struct consumer_options options = {.group = "g",
                                       .topics = topic_names,
                                       .topic_count = TOPICS,
                                       .assignors = {world.assignor},
                                       .session_timeout_ms = life->may_die ? 100 : 600000,
                                       .heartbeat_interval_ms = 10,
                                       .max_records = 1 + next_random(&life->seed, 20),
                                       .assigned = on_assigned,
                                       .revoked = on_revoked,
                                       .lost = on_lost,
                                       .context = life};
    if (consumer_open(world.log, &options, &consumer, NULL) < 0) {
        expect(false, "a consumer could not be opened");
        return;
    }
    unsigned polls = 5 + next_random(&life->seed, 40);
    for (unsigned i = 0; i < polls && !is_over(); i++) {
        int64_t count = consumer_poll(consumer, 5, &records, NULL);
        if (count > 0)
            note_records(records, count);
        else
            expect(count == 0, "a poll failed");
        if (next_random(&life->seed, 4) == 0)
            consumer_commit(consumer, NULL, 0, NULL);
    }
    pthread_mutex_lock(&world.mutex);
    bool dies = life->may_die && next_random(&life->seed, 2) == 0 && world.dead_count < 256;
    if (dies)
        world.dead[world.dead_count++] = consumer;
    pthread_mutex_unlock(&world.mutex);
    if (!dies)
        consumer_close(consumer);
}

static void *run_thread(void *context)
{
    unsigned seed = *(unsigned *)context;
    struct life *lives[512];
    size_t count = 0;
    while (!is_over() && count < 512) {
        struct life *life = lives[count++] = malloc(sizeof *life);
        pthread_mutex_lock(&world.mutex);
        *life = (struct life){++world.next_member, world.deaths && next_random(&seed, 3) == 0,
                              seed * 7 + 1};
        pthread_mutex_unlock(&world.mutex);
        live(life);
        seed = life->seed;
        if (!life->may_die) /* dead ones still point at theirs */
            free(lives[--count]);
    }
    struct life **kept = malloc((count + 1) * sizeof(struct life *));
    memcpy(kept, lives, count * sizeof(struct life *));
    kept[count] = NULL;
    return kept;
}

/* ---- the world ---- */

static void append_some(unsigned *seed, int32_t partitions)
{
    int t = (int)next_random(seed, TOPICS);
    int32_t p = (int32_t)next_random(seed, (unsigned)partitions),
            count = 1 + (int32_t)next_random(seed, 4);
    struct partition *partition = fixture_partition(world.log, topic_names[t], p);
    int64_t base = fixture_append(partition, 0, count);
    assert_true(base >= 0 && base + count <= OFFSETS);
    pthread_mutex_lock(&world.mutex);
    world.ends[t][p] = base + count;
    world.appended += count;
    pthread_mutex_unlock(&world.mutex);
}

static void append_all(unsigned seed)
{
    int32_t partitions = PARTITIONS_FIRST;
    struct timespec pause = {.tv_nsec = 500000}; /* spreads the work over many generations */
    for (int i = 0; i < APPENDS; i++) {
        append_some(&seed, partitions);
        if (i % (APPENDS / 4) == APPENDS / 8 && partitions < PARTITIONS_LAST) {
            partitions++;
            for (int t = 0; t < TOPICS; t++)
                assert_int_equal(topic_grow(world.log, topic_names[t], partitions, NULL), 0);
        }
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&world.mutex);
    world.all_appended = true;
    pthread_mutex_unlock(&world.mutex);
}

static void join_all(pthread_t *threads)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_S;
    struct life **kept[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_timedjoin_np(threads[i], (void **)&kept[i], &until) != 0) {
            fprintf(stderr, "%" PRId64 " of %" PRId64 " records read\n", world.read,
                    world.appended);
            abort(); /* a thread that waits for ever cannot be cleaned up after */
        }
    for (int i = 0; i < world.dead_count; i++)
        consumer_close(world.dead[i]);
    for (int i = 0; i < THREADS; i++) {
        for (struct life **life = kept[i]; *life != NULL; life++)
            free(*life);
        free(kept[i]);
    }
}

/* After a clean run everything is committed, before and after the log was opened again. */
static void check_committed(const char *dir)
{
    for (int round = 0; round < 2; round++) {
        struct group_lag *rows;
        size_t count;
        int64_t total, committed = 0;
        assert_int_equal(group_lag(world.log, "g", &rows, &count, &total, NULL), 0);
        assert_int_equal(count, TOPICS * PARTITIONS_LAST);
        for (size_t i = 0; i < count; i++) {
            if (world.ends[topic_of(rows[i].topic)][rows[i].partition] > 0)
                assert_int_equal(rows[i].committed,
                                 world.ends[topic_of(rows[i].topic)][rows[i].partition]);
            committed += rows[i].committed > 0 ? rows[i].committed : 0;
        }
        free(rows);
        assert_int_equal(committed, world.appended);
        log_close(world.log);
        world.log = fixture_open(dir);
    }
}

static void run(enum assignor assignor, bool deaths, unsigned seed)
{
    char *dir = scratch_dir_create();
    struct log_options options = {.durability = DURABILITY_OS, .keeper_interval_ms = -1};
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    world = (struct world){.assignor = assignor, .deaths = deaths};
    pthread_mutex_init(&world.mutex, NULL);
    world.log = fixture_open_options(dir, &options);
    for (int t = 0; t < TOPICS; t++)
        fixture_topic(world.log, topic_names[t], PARTITIONS_FIRST, NULL);
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = seed * 100 + (unsigned)i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, &seeds[i]), 0);
    }
    append_all(seed);
    join_all(threads);
    if (world.failure != NULL)
        fail_msg("%s (seed %u)", world.failure, seed);
    assert_int_equal(world.read, world.appended);
    if (!deaths)
        check_committed(dir);
    log_close(world.log);
    pthread_mutex_destroy(&world.mutex);
    scratch_dir_remove(dir);
}

static void test_members_that_leave_cleanly_read_exactly_once(void **state)
{
    (void)state;
    run(ASSIGN_RANGE, false, 1);
    run(ASSIGN_STICKY, false, 2);
    run(ASSIGN_COOPERATIVE_STICKY, false, 3);
}

static void test_members_that_die_leave_nothing_unread(void **state)
{
    (void)state;
    run(ASSIGN_ROUND_ROBIN, true, 4);
    run(ASSIGN_STICKY, true, 5);
    run(ASSIGN_COOPERATIVE_STICKY, true, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_that_leave_cleanly_read_exactly_once),
        cmocka_unit_test(test_members_that_die_leave_nothing_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
