/* test_assign.c: the assignors give Kafka's results: the examples of its documentation, cases of
 * its published unit tests (RangeAssignorTest, RoundRobinAssignorTest, AbstractStickyAssignorTest),
 * and properties of random groups.
 *
 * A case is text. Topics: "t0:3 t1:2". Members: "C0(t0,t1) C1@i1(t0)[t0-0,t0-1]5": id, instance id,
 * subscription, owned partitions, generation. Results: "C0 t0-0 t0-1 | C1 t1-0". */
#include "log/assign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOPICS = 8, MEMBERS = 12, OWNED = 64 };

struct text_case {
    int32_t partition_counts[TOPICS];
    char topics[TOPICS][16], ids[MEMBERS][32], instances[MEMBERS][32];
    uint32_t subscriptions[MEMBERS][TOPICS];
    struct assign_partition owned[MEMBERS][OWNED];
    struct assign_member members[MEMBERS];
    struct assign_problem problem;
    int32_t owners[256];
};

static uint32_t topic_number(const struct text_case *t, const char *name)
{
    for (uint32_t i = 0; i < t->problem.topic_count; i++)
        if (strcmp(t->topics[i], name) == 0)
            return i;
    return 1000; /* does not exist */
}

static void parse_topics(struct text_case *t, const char *text)
{
    int used;
    size_t n = 0;
    for (; sscanf(text, " %15[^:]:%d%n", t->topics[n], &t->partition_counts[n], &used) == 2; n++)
        text += used;
    t->problem.partition_counts = t->partition_counts;
    t->problem.topic_count = n;
}

static const char *parse_list(struct text_case *t, const char *text, size_t m)
{
    struct assign_member *member = &t->members[m];
    int used;
    char name[32];
    if (*text == '@') {
        assert_int_equal(sscanf(text, "@%31[^(]%n", t->instances[m], &used), 1);
        member->instance_id = t->instances[m];
        text += used;
    }
    assert_int_equal(*text++, '(');
    while (*text != ')') {
        assert_int_equal(sscanf(text, "%31[^,)]%n", name, &used), 1);
        uint32_t number = topic_number(t, name);
        if (number < 1000)
            t->subscriptions[m][member->topic_count++] = number;
        text += used;
        text += *text == ',';
    }
    text++;
    if (*text == '[') {
        text++;
        while (*text != ']') {
            int32_t partition;
            assert_int_equal(sscanf(text, "%31[^-]-%d%n", name, &partition, &used), 2);
            t->owned[m][member->owned_count++] =
                (struct assign_partition){topic_number(t, name), partition};
            text += used;
            text += *text == ',';
        }
        text++;
        if (*text >= '0' && *text <= '9')
            member->generation = (int32_t)strtol(text, (char **)(uintptr_t)&text, 10);
    }
    return text;
}

static void parse_members(struct text_case *t, const char *text)
{
    size_t m = 0;
    for (;; m++) {
        int used;
        if (sscanf(text, " %31[^@( ]%n", t->ids[m], &used) != 1)
            break;
        t->members[m] = (struct assign_member){
            .id = t->ids[m], .topics = t->subscriptions[m], .owned = t->owned[m], .generation = -1};
        text = parse_list(t, text + used, m);
    }
    t->problem.members = t->members;
    t->problem.member_count = m;
}

static void put_result(const struct text_case *t, char *out, size_t size)
{
    size_t used = 0;
    for (size_t m = 0; m < t->problem.member_count; m++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", m > 0 ? " | " : "", t->ids[m]);
        size_t at = 0;
        for (uint32_t topic = 0; topic < t->problem.topic_count; topic++)
            for (int32_t p = 0; p < t->partition_counts[topic]; p++, at++)
                if (t->owners[at] == (int32_t)m)
                    used +=
                        (size_t)snprintf(out + used, size - used, " %s-%d", t->topics[topic], p);
    }
}

static const char *run(enum assignor assignor, const char *topics, const char *members)
{
    static char result[4096];
    struct text_case t = {0};
    parse_topics(&t, topics);
    parse_members(&t, members);
    assert_int_equal(assign_partitions(assignor, &t.problem, t.owners), 0);
    put_result(&t, result, sizeof result);
    return result;
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(assignor_name(ASSIGN_COOPERATIVE_STICKY), "cooperative-sticky");
    assert_int_equal(assignor_named("roundrobin"), ASSIGN_ROUND_ROBIN);
    assert_int_equal(assignor_named("uniform"), ASSIGN_NONE);
    assert_null(assignor_name(ASSIGN_NONE));
    struct assign_problem none = {0};
    int32_t owner;
    assert_int_equal(assign_partitions(ASSIGN_NONE, &none, &owner), ERR_INVALID);
    assert_int_equal(assign_partitions(ASSIGN_RANGE, &none, &owner), 0);
}

static void test_range(void **state)
{
    (void)state;
    /* The class documentation of RangeAssignor. */
    assert_string_equal(run(ASSIGN_RANGE, "t0:3 t1:3", "C0(t0,t1) C1(t0,t1)"),
                        "C0 t0-0 t0-1 t1-0 t1-1 | C1 t0-2 t1-2");
    /* testTwoConsumersOneTopicOnePartition */
    assert_string_equal(run(ASSIGN_RANGE, "t1:1", "consumer1(t1) consumer2(t1)"),
                        "consumer1 t1-0 | consumer2");
    /* testMultipleConsumersMixedTopics */
    assert_string_equal(run(ASSIGN_RANGE, "t1:3 t2:2", "c1(t1) c2(t1,t2) c3(t1)"),
                        "c1 t1-0 | c2 t1-1 t2-0 t2-1 | c3 t1-2");
    /* testTwoStaticConsumersTwoTopicsSixPartitions: by instance id */
    assert_string_equal(run(ASSIGN_RANGE, "t1:3 t2:3", "b@instance-a(t1,t2) a@instance-b(t1,t2)"),
                        "b t1-0 t1-1 t2-0 t2-1 | a t1-2 t2-2");
    /* testOneStaticConsumerAndOneDynamicConsumerTwoTopicsSixPartitions: static ones first */
    assert_string_equal(run(ASSIGN_RANGE, "t1:3 t2:3", "b@instance-a(t1,t2) a(t1,t2)"),
                        "b t1-0 t1-1 t2-0 t2-1 | a t1-2 t2-2");
    /* testOneConsumerNonexistentTopic, testOnlyAssignsPartitionsFromSubscribedTopics */
    assert_string_equal(run(ASSIGN_RANGE, "t1:2 t2:2", "c(none,t1)"), "c t1-0 t1-1");
    /* The order of arrival plays no part. */
    assert_string_equal(run(ASSIGN_RANGE, "t:3", "z(t) a(t)"), "z t-2 | a t-0 t-1");
}

static void test_round_robin(void **state)
{
    (void)state;
    /* The class documentation of RoundRobinAssignor: equal and different subscriptions. */
    assert_string_equal(run(ASSIGN_ROUND_ROBIN, "t0:3 t1:3", "C0(t0,t1) C1(t0,t1)"),
                        "C0 t0-0 t0-2 t1-1 | C1 t0-1 t1-0 t1-2");
    assert_string_equal(run(ASSIGN_ROUND_ROBIN, "t0:1 t1:2 t2:3", "C0(t0) C1(t0,t1) C2(t0,t1,t2)"),
                        "C0 t0-0 | C1 t1-0 | C2 t1-1 t2-0 t2-1 t2-2");
    /* testMultipleConsumersMixedTopics */
    assert_string_equal(run(ASSIGN_ROUND_ROBIN, "t1:3 t2:2", "c1(t1) c2(t1,t2) c3(t1)"),
                        "c1 t1-0 | c2 t1-1 t2-0 t2-1 | c3 t1-2");
    /* testStaticMemberRoundRobinAssignmentPersistent: by instance id */
    assert_string_equal(run(ASSIGN_ROUND_ROBIN, "t1:3", "b@instance1(t1) a@instance2(t1)"),
                        "b t1-0 t1-2 | a t1-1");
    /* A topic that nobody reads. */
    assert_string_equal(run(ASSIGN_ROUND_ROBIN, "t1:2 t2:2", "c(t1)"), "c t1-0 t1-1");
}

static void test_sticky_fresh(void **state)
{
    (void)state;
    /* The class documentation of StickyAssignor, both examples. */
    assert_string_equal(run(ASSIGN_STICKY, "t0:2 t1:2 t2:2 t3:2",
                            "C0(t0,t1,t2,t3) C1(t0,t1,t2,t3) C2(t0,t1,t2,t3)"),
                        "C0 t0-0 t1-1 t3-0 | C1 t0-1 t2-0 t3-1 | C2 t1-0 t2-1");
    assert_string_equal(run(ASSIGN_STICKY, "t0:1 t1:2 t2:3", "C0(t0) C1(t0,t1) C2(t0,t1,t2)"),
                        "C0 t0-0 | C1 t1-0 t1-1 | C2 t2-0 t2-1 t2-2");
    /* testTwoConsumersOneTopicOnePartition, testMultipleConsumersMixedTopicSubscriptions,
     * testTwoConsumersTwoTopicsSixPartitions */
    assert_string_equal(run(ASSIGN_STICKY, "t:1", "consumer1(t) consumer2(t)"),
                        "consumer1 t-0 | consumer2");
    assert_string_equal(run(ASSIGN_STICKY, "t1:3 t2:2", "c1(t1) c2(t1,t2) c3(t1)"),
                        "c1 t1-0 t1-2 | c2 t2-0 t2-1 | c3 t1-1");
    assert_string_equal(run(ASSIGN_STICKY, "t1:3 t2:3", "c1(t1,t2) c2(t1,t2)"),
                        "c1 t1-0 t1-2 t2-1 | c2 t1-1 t2-0 t2-2");
}

static void test_sticky_keeps(void **state)
{
    (void)state;
    /* The second part of both examples: a member is gone, the others keep what they have. */
    assert_string_equal(
        run(ASSIGN_STICKY, "t0:1 t1:2 t2:3", "C1(t0,t1)[t1-0,t1-1]1 C2(t0,t1,t2)[t2-0,t2-1,t2-2]1"),
        "C1 t0-0 t1-0 t1-1 | C2 t2-0 t2-1 t2-2");
    /* testAddRemoveConsumerOneTopic: 3 partitions; consumer2 comes, then consumer1 goes */
    assert_string_equal(run(ASSIGN_STICKY, "t:3", "consumer1(t)"), "consumer1 t-0 t-1 t-2");
    assert_string_equal(run(ASSIGN_STICKY, "t:3", "consumer1(t)[t-0,t-1,t-2]1 consumer2(t)"),
                        "consumer1 t-0 t-1 | consumer2 t-2");
    assert_string_equal(run(ASSIGN_STICKY, "t:3", "consumer2(t)[t-2]2"), "consumer2 t-0 t-1 t-2");
    /* testEnsurePartitionsAssignedToHighestGeneration */
    assert_string_equal(run(ASSIGN_STICKY, "t1:3 t2:3 t3:3",
                            "c1(t1,t2,t3)[t1-0,t2-0,t3-0]10 c2(t1,t2,t3)[t1-1,t2-1,t3-1]10 "
                            "c3(t1,t2,t3)[t1-2,t2-0,t3-2]9"),
                        "c1 t1-0 t2-0 t3-0 | c2 t1-1 t2-1 t3-1 | c3 t1-2 t2-2 t3-2");
    /* testConflictingPreviousAssignments: neither keeps what both say they have */
    assert_string_equal(run(ASSIGN_STICKY, "t:2", "c1(t)[t-0,t-1]1 c2(t)[t-0,t-1]1"),
                        "c1 t-0 | c2 t-1");
    /* What is named twice, or does not exist, does not count. */
    assert_string_equal(run(ASSIGN_STICKY, "t:4", "c1(t)[t-0,t-0,t-9,x-1,t-1]1 c2(t)[t-2]1"),
                        "c1 t-0 t-1 | c2 t-2 t-3");
    /* testReassignmentWhenSubscriptionChanges in small: what is no longer subscribed to goes */
    assert_string_equal(run(ASSIGN_STICKY, "t1:2 t2:2", "c1(t1)[t1-0,t2-0]1 c2(t1,t2)[t1-1,t2-1]1"),
                        "c1 t1-0 t1-1 | c2 t2-0 t2-1");
}

static void test_cooperative_moves_in_two_generations(void **state)
{
    (void)state;
    assert_string_equal(run(ASSIGN_COOPERATIVE_STICKY, "t:4", "a(t)[t-0,t-1,t-2,t-3]1 b(t)"),
                        "a t-0 t-1 | b");
    assert_string_equal(run(ASSIGN_COOPERATIVE_STICKY, "t:4", "a(t)[t-0,t-1]2 b(t)[]2"),
                        "a t-0 t-1 | b t-2 t-3");
    /* Nothing has to move when a member is gone: one generation is enough. */
    assert_string_equal(run(ASSIGN_COOPERATIVE_STICKY, "t:4", "b(t)[t-2,t-3]3"),
                        "b t-0 t-1 t-2 t-3");
    /* A stale claim does not take a partition from its owner, */
    assert_string_equal(run(ASSIGN_COOPERATIVE_STICKY, "t:2", "a(t)[t-0,t-1]4 b(t)[t-1]5"),
                        "a t-0 | b t-1");
    /* but two of the same generation hold it up. */
    assert_string_equal(run(ASSIGN_COOPERATIVE_STICKY, "t:2", "a(t)[t-0,t-1]5 b(t)[t-1]5"),
                        "a t-0 | b");
}

/* ---- random groups ---- */

static uint32_t seed;
static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % limit;
}

struct random_group {
    struct text_case t;
    int32_t before[256];
    size_t counts[MEMBERS];
};

static void random_group(struct random_group *g, bool alike)
{
    memset(g, 0, sizeof *g);
    struct text_case *t = &g->t;
    t->problem = (struct assign_problem){.partition_counts = t->partition_counts,
                                         .topic_count = 1 + random_below(5),
                                         .members = t->members,
                                         .member_count = 1 + random_below(MEMBERS)};
    for (size_t i = 0; i < t->problem.topic_count; i++)
        t->partition_counts[i] = (int32_t)random_below(8);
    for (size_t m = 0; m < t->problem.member_count; m++) {
        struct assign_member *member = &t->members[m];
        snprintf(t->ids[m], sizeof t->ids[m], "m%u", random_below(1000) * 16 + (uint32_t)m);
        *member = (struct assign_member){
            .id = t->ids[m], .topics = t->subscriptions[m], .owned = t->owned[m], .generation = 1};
        for (uint32_t topic = 0; topic < t->problem.topic_count; topic++)
            if (alike || random_below(3) > 0)
                t->subscriptions[m][member->topic_count++] = topic;
    }
}

/* Says that the members own what owners says; leaves some out as members that are new. */
static void own(struct random_group *g, uint32_t new_of_eight)
{
    struct text_case *t = &g->t;
    size_t at = 0;
    bool is_new[MEMBERS];
    for (size_t m = 0; m < t->problem.member_count; m++) {
        is_new[m] = random_below(8) < new_of_eight;
        t->members[m].owned_count = 0;
    }
    for (uint32_t topic = 0; topic < t->problem.topic_count; topic++) {
        for (int32_t p = 0; p < t->partition_counts[topic]; p++, at++) {
            int32_t m = t->owners[at];
            g->before[at] = m >= 0 && !is_new[m] ? m : -1;
            if (g->before[at] >= 0)
                t->owned[m][t->members[m].owned_count++] = (struct assign_partition){topic, p};
        }
    }
}

/* AbstractStickyAssignorTest.verifyValidityAndBalance: everything that somebody reads has an owner
 * that reads it, and nobody has two more than a member that could take one of them. */
static void verify(struct random_group *g)
{
    struct text_case *t = &g->t;
    size_t at = 0;
    memset(g->counts, 0, sizeof g->counts);
    for (size_t i = 0; i < assign_row_size(&t->problem); i++)
        if (t->owners[i] >= 0)
            g->counts[t->owners[i]]++;
    for (uint32_t topic = 0; topic < t->problem.topic_count; topic++) {
        for (int32_t p = 0; p < t->partition_counts[topic]; p++, at++) {
            bool read = false;
            for (size_t m = 0; m < t->problem.member_count; m++) {
                if (!assign_subscribes(&t->members[m], topic))
                    continue;
                read = true;
                assert_true(t->owners[at] >= 0);
                assert_true(g->counts[t->owners[at]] <= g->counts[m] + 1);
            }
            assert_true(read ? assign_subscribes(&t->members[t->owners[at]], topic)
                             : t->owners[at] == -1);
        }
    }
}

static void test_sticky_is_even_and_keeps_what_it_can(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 4000; n++) {
        struct random_group g;
        seed = n;
        bool alike = n % 2 == 0;
        random_group(&g, alike);
        size_t size = assign_row_size(&g.t.problem);
        assert_int_equal(assign_partitions(ASSIGN_STICKY, &g.t.problem, g.t.owners), 0);
        verify(&g);
        own(&g, 0); /* nothing changed: nothing moves */
        assert_int_equal(assign_partitions(ASSIGN_STICKY, &g.t.problem, g.t.owners), 0);
        assert_memory_equal(g.t.owners, g.before, size * sizeof *g.before);
        own(&g, 2);
        size_t had[MEMBERS] = {0}, kept[MEMBERS] = {0};
        assert_int_equal(assign_partitions(ASSIGN_STICKY, &g.t.problem, g.t.owners), 0);
        verify(&g);
        for (size_t i = 0; i < size; i++) {
            if (g.before[i] < 0)
                continue;
            had[g.before[i]]++;
            kept[g.before[i]] += g.t.owners[i] == g.before[i];
        }
        /* Who has no more than before has lost nothing but what is above its share. */
        for (size_t m = 0; alike && m < g.t.problem.member_count; m++)
            assert_true(kept[m] == (had[m] < g.counts[m] ? had[m] : g.counts[m]));
    }
}

static void test_cooperative_settles_in_two_generations(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 4000; n++) {
        struct random_group g;
        seed = n + 100000;
        random_group(&g, n % 2 == 0);
        size_t size = assign_row_size(&g.t.problem);
        assert_int_equal(assign_partitions(ASSIGN_COOPERATIVE_STICKY, &g.t.problem, g.t.owners), 0);
        own(&g, 3);
        int32_t first[256];
        assert_int_equal(assign_partitions(ASSIGN_COOPERATIVE_STICKY, &g.t.problem, g.t.owners), 0);
        for (size_t i = 0; i < size; i++) { /* nothing goes from hand to hand */
            assert_true(g.before[i] < 0 || g.t.owners[i] < 0 || g.t.owners[i] == g.before[i]);
            first[i] = g.t.owners[i];
        }
        own(&g, 0);
        assert_int_equal(assign_partitions(ASSIGN_COOPERATIVE_STICKY, &g.t.problem, g.t.owners), 0);
        verify(&g);
        for (size_t i = 0; i < size; i++) /* and nothing moves in the second */
            assert_true(first[i] < 0 || g.t.owners[i] == first[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_sticky_fresh),
        cmocka_unit_test(test_sticky_keeps),
        cmocka_unit_test(test_cooperative_moves_in_two_generations),
        cmocka_unit_test(test_sticky_is_even_and_keeps_what_it_can),
        cmocka_unit_test(test_cooperative_settles_in_two_generations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
