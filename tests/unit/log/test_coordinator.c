/* test_coordinator.c: the classic group protocol, rule by rule, under a clock that the test moves.
 * The expectations are Kafka's (GroupCoordinator and its published tests): codes, who leads, which
 * state follows which. */
#include "log/coordinator.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SESSION_MS = 10000, REBALANCE_MS = 60000 };

static int64_t now;
static int64_t now_ms(void)
{
    return now;
}

/* A client: what it sends, and the last answers that it got. */
struct peer {
    const char *instance, *client;
    char id[300];
    int32_t generation;
    int joins, syncs, wakes; /* answers; rebalancing calls */
    enum group_error join_error, sync_error;
    char leader[300], protocol[64], assignment[64], metadata[8][32], members[8][300];
    size_t member_count;
    bool skip;
};

static struct coordinator *c;

static int setup(void **state)
{
    (void)state;
    now = 1000000;
    struct coordinator_options options = {.now_ms = now_ms};
    c = coordinator_create(&options);
    return c == NULL;
}

static int teardown(void **state)
{
    (void)state;
    coordinator_destroy(c);
    return 0;
}

static void on_join(void *context, const struct join_response *r)
{
    struct peer *peer = context;
    peer->joins++;
    peer->join_error = r->error;
    peer->skip = r->skip_assignment;
    peer->member_count = r->member_count;
    if (r->member_id != peer->id) /* a refusal gives back what was asked with */
        snprintf(peer->id, sizeof peer->id, "%s", r->member_id);
    if (r->error != GROUP_OK)
        return;
    peer->generation = r->generation;
    snprintf(peer->leader, sizeof peer->leader, "%s", r->leader);
    snprintf(peer->protocol, sizeof peer->protocol, "%s", r->protocol);
    for (size_t i = 0; i < r->member_count && i < 8; i++) {
        snprintf(peer->members[i], sizeof peer->members[i], "%s", r->members[i].member_id);
        snprintf(peer->metadata[i], sizeof peer->metadata[i], "%.*s",
                 (int)r->members[i].metadata.size, (const char *)r->members[i].metadata.data);
    }
}

static void on_sync(void *context, const struct sync_response *r)
{
    struct peer *peer = context;
    peer->syncs++;
    peer->sync_error = r->error;
    assert_non_null(r->assignment.data);
    snprintf(peer->assignment, sizeof peer->assignment, "%.*s", (int)r->assignment.size,
             (const char *)r->assignment.data);
}

static void on_rebalancing(void *context)
{
    ((struct peer *)context)->wakes++;
}

static struct join_request request_of(const struct peer *peer,
                                      const struct join_protocol *protocols, size_t count)
{
    return (struct join_request){.group = "g",
                                 .member_id = peer->id,
                                 .instance_id = peer->instance,
                                 .client_id = peer->client != NULL ? peer->client : "client",
                                 .host = "/127.0.0.1",
                                 .protocol_type = "consumer",
                                 .session_timeout_ms = SESSION_MS,
                                 .rebalance_timeout_ms = REBALANCE_MS,
                                 .protocols = protocols,
                                 .protocol_count = count,
                                 .rebalancing = on_rebalancing};
}

/* Joins with one protocol. Returns how many answers the peer has. */
static int join_with(struct peer *peer, const char *metadata)
{
    struct join_protocol protocol = {"range", bytes_text(metadata)};
    struct join_request request = request_of(peer, &protocol, 1);
    coordinator_join(c, &request, on_join, peer);
    return peer->joins;
}

static int join(struct peer *peer)
{
    return join_with(peer, "m");
}

static struct group_member who(const struct peer *peer)
{
    return (struct group_member){peer->id, peer->instance, peer->generation};
}

static int sync_follower(struct peer *peer)
{
    struct sync_request request = {.group = "g", .member = who(peer)};
    coordinator_sync(c, &request, on_sync, peer);
    return peer->syncs;
}

/* The leader gives each of its members its number as text. */
static int sync_leader(struct peer *peer)
{
    struct sync_assignment assignments[8];
    static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    for (size_t i = 0; i < peer->member_count; i++)
        assignments[i] = (struct sync_assignment){peer->members[i], bytes_text(numbers[i])};
    struct sync_request request = {.group = "g",
                                   .member = who(peer),
                                   .protocol_type = "consumer",
                                   .protocol = "range",
                                   .assignments = assignments,
                                   .assignment_count = peer->member_count};
    coordinator_sync(c, &request, on_sync, peer);
    return peer->syncs;
}

static enum group_error heartbeat(struct peer *peer)
{
    struct group_member member = who(peer);
    return coordinator_heartbeat(c, "g", &member);
}

static enum group_error leave(struct peer *peer)
{
    struct group_member member = who(peer);
    return coordinator_leave(c, "g", &member);
}

static void advance(int64_t ms)
{
    now += ms;
    coordinator_tick(c);
}

struct seen {
    enum group_state state;
    int32_t generation;
    size_t member_count;
    int64_t empty_since_ms;
};
static int see(void *context, const struct group_view *view)
{
    struct seen *seen = context;
    *seen = (struct seen){view->state, view->generation, view->member_count, view->empty_since_ms};
    return 0;
}
static struct seen look(void)
{
    struct seen seen = {.state = GROUP_DEAD};
    coordinator_view(c, "g", see, &seen);
    return seen;
}

/* a leads, all are Stable. */
static void make_stable(struct peer *a, struct peer *b)
{
    assert_int_equal(join(a), 1);
    assert_int_equal(a->join_error, GROUP_OK);
    if (b != NULL) {
        assert_int_equal(join(b), 0);
        assert_int_equal(a->wakes, 1);
        join(a);
        assert_int_equal(b->join_error, GROUP_OK);
        sync_follower(b);
    }
    sync_leader(a);
    assert_int_equal(a->sync_error, GROUP_OK);
    assert_int_equal(look().state, GROUP_STABLE);
}

/* ---- joins ---- */

static void test_join_without_member_id_gets_one_and_joins_with_it(void **state)
{
    (void)state;
    struct peer a = {0};
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&a, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_MEMBER_ID_REQUIRED);
    assert_memory_equal(a.id, "client-", 7);
    assert_int_equal(strlen(a.id), 7 + 36);
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_OK);
    assert_int_equal(a.generation, 1);
    /* an id that is not used within the session timeout is forgotten */
    struct peer b = {0};
    request = request_of(&b, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &b);
    advance(SESSION_MS + 1);
    coordinator_join(c, &request, on_join, &b);
    assert_int_equal(b.join_error, GROUP_UNKNOWN_MEMBER_ID);
}

static void test_pending_member_holds_the_join_phase_up(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, NULL);
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&b, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &b);
    assert_int_equal(join_with(&a, "other"), 1); /* parked: b is expected */
    coordinator_join(c, &request, on_join, &b);
    assert_int_equal(a.joins, 2);
    assert_int_equal(a.member_count, 2);
    /* and one that leaves instead lets the others go on */
    struct peer d = {0};
    request = request_of(&d, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &d);
    join(&a);
    join(&b);
    assert_int_equal(a.joins, 2);
    assert_int_equal(leave(&d), GROUP_OK);
    assert_int_equal(a.joins, 3);
    assert_int_equal(a.member_count, 2);
}

static void test_v0_to_v3_join_directly(void **state)
{
    (void)state;
    struct peer a = {0};
    assert_int_equal(join(&a), 1);
    assert_int_equal(a.join_error, GROUP_OK);
    assert_string_equal(a.leader, a.id);
    assert_int_equal(a.member_count, 1);
    assert_string_equal(a.metadata[0], "m");
}

static int join_delayed(struct peer *peer, int32_t delay_ms)
{
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(peer, &protocol, 1);
    request.initial_rebalance_delay_ms = delay_ms;
    coordinator_join(c, &request, on_join, peer);
    return peer->joins;
}

static void test_first_members_wait_for_more(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    assert_int_equal(join_delayed(&a, 3000), 0);
    advance(2000);
    assert_int_equal(join_delayed(&b, 3000), 0); /* extends by another delay */
    advance(1000);
    assert_int_equal(a.joins, 0);
    advance(2999);
    assert_int_equal(a.joins, 0);
    advance(1);
    assert_int_equal(a.joins + b.joins, 2);
    assert_int_equal(a.generation, 1);
    assert_int_equal(a.member_count + b.member_count, 2); /* the leader's list */
}

static void test_first_members_wait_no_longer_than_the_rebalance_timeout(void **state)
{
    (void)state;
    struct peer peers[8] = {0};
    struct join_protocol protocol = {"range", bytes_text("m")};
    for (int i = 0; i < 4; i++) { /* one each 2 s: the delay of 3 s is extended up to 7 s in all */
        struct join_request request = request_of(&peers[i], &protocol, 1);
        request.initial_rebalance_delay_ms = 3000;
        request.rebalance_timeout_ms = 7000;
        coordinator_join(c, &request, on_join, &peers[i]);
        for (int ms = 0; i < 3 && ms < 2000; ms += 500)
            advance(500);
    }
    advance(999);
    assert_int_equal(peers[0].joins, 0);
    advance(1);
    assert_int_equal(peers[0].joins, 1);
    assert_int_equal(peers[0].member_count, 4);
}

static void test_members_that_do_not_rejoin_are_removed(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0}, d = {0};
    make_stable(&a, &b);
    assert_int_equal(join(&d), 0);
    join(&b);
    for (int i = 0; i < 12; i++) { /* a lives, but does not join */
        assert_int_equal(d.joins, 0);
        assert_int_equal(heartbeat(&a), GROUP_REBALANCE_IN_PROGRESS);
        advance(5000);
    }
    assert_int_equal(d.joins, 1);
    assert_int_equal(look().member_count, 2);
    assert_int_equal(heartbeat(&a), GROUP_UNKNOWN_MEMBER_ID);
    assert_string_equal(b.leader, b.id); /* the oldest that is left leads */
    assert_int_equal(b.generation, 3);
}

static void test_protocol_choice(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0}, d = {0}, e = {0};
    struct join_protocol first[] = {{"range", bytes_text("r")}, {"sticky", bytes_text("s")}};
    struct join_protocol second[] = {{"sticky", bytes_text("s")}, {"range", bytes_text("r")}};
    struct join_protocol other = {"roundrobin", bytes_text("o")};
    struct join_request request = request_of(&a, first, 2);
    coordinator_join(c, &request, on_join, &a);
    struct join_request request_b = request_of(&b, second, 2);
    coordinator_join(c, &request_b, on_join, &b);
    struct join_request request_d = request_of(&d, second, 2);
    coordinator_join(c, &request_d, on_join, &d);
    coordinator_join(c, &request, on_join, &a);
    assert_string_equal(a.protocol, "sticky"); /* two of three votes */
    assert_string_equal(a.metadata[0], "s");
    struct join_request request_e = request_of(&e, &other, 1);
    coordinator_join(c, &request_e, on_join, &e);
    assert_int_equal(e.join_error, GROUP_INCONSISTENT_PROTOCOL);
    request_e = request_of(&e, first, 2);
    request_e.protocol_type = "connect";
    coordinator_join(c, &request_e, on_join, &e);
    assert_int_equal(e.join_error, GROUP_INCONSISTENT_PROTOCOL);
    struct peer f = {0};
    struct join_request request_f = request_of(&f, NULL, 0);
    request_f.group = "empty";
    coordinator_join(c, &request_f, on_join, &f);
    assert_int_equal(f.join_error, GROUP_INCONSISTENT_PROTOCOL);
}

static void test_stable_follower_rejoins_without_a_rebalance(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    int before = b.joins;
    assert_int_equal(join(&b), before + 1);
    assert_int_equal(b.generation, 2);
    assert_int_equal(b.member_count, 0);
    assert_string_equal(b.leader, a.id);
    assert_int_equal(look().state, GROUP_STABLE);
    join_with(&b, "changed");
    assert_int_equal(look().state, GROUP_PREPARING_REBALANCE);
}

static void test_stable_leader_rejoins_with_a_rebalance(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    int before = a.joins;
    assert_int_equal(join(&a), before);
    assert_int_equal(look().state, GROUP_PREPARING_REBALANCE);
    assert_int_equal(b.wakes, 1);
    join(&b);
    assert_int_equal(a.joins, before + 1);
    assert_int_equal(a.generation, 3);
}

static void test_join_refused(void **state)
{
    (void)state;
    struct peer a = {0};
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&a, &protocol, 1);
    request.group = "";
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_INVALID_GROUP_ID);
    request.group = "g";
    request.session_timeout_ms = 5999;
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_INVALID_SESSION_TIMEOUT);
    request.session_timeout_ms = 30 * 60 * 1000 + 1;
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_INVALID_SESSION_TIMEOUT);
    request.session_timeout_ms = 50;
    request.embedded = true;
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_OK);
    struct peer b = {.id = "nobody"};
    join(&b);
    assert_int_equal(b.join_error, GROUP_UNKNOWN_MEMBER_ID);
}

static void test_group_max_size(void **state)
{
    (void)state;
    struct coordinator_options options = {.now_ms = now_ms, .group_max_size = 2};
    coordinator_destroy(c);
    c = coordinator_create(&options);
    struct peer a = {0}, b = {0}, d = {0};
    make_stable(&a, &b);
    join(&d);
    assert_int_equal(d.join_error, GROUP_MAX_SIZE_REACHED);
    assert_int_equal(look().state, GROUP_STABLE);
    join(&a); /* who is in may join again */
    join(&b);
    assert_int_equal(a.join_error, GROUP_OK);
}

/* ---- syncs ---- */

static void test_sync_is_held_until_the_leaders(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    join(&a);
    join(&b);
    join(&a);
    assert_int_equal(look().state, GROUP_COMPLETING_REBALANCE);
    assert_int_equal(sync_follower(&b), 0);
    assert_int_equal(sync_leader(&a), 1);
    assert_int_equal(b.syncs, 1);
    assert_string_equal(a.assignment, "0");
    assert_string_equal(b.assignment, "1");
    assert_int_equal(sync_follower(&b), 2); /* Stable: at once, the same */
    assert_string_equal(b.assignment, "1");
}

static void test_sync_refused(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    struct peer old = b;
    old.generation--;
    sync_follower(&old);
    assert_int_equal(old.sync_error, GROUP_ILLEGAL_GENERATION);
    struct peer nobody = {.id = "nobody", .generation = 2};
    sync_follower(&nobody);
    assert_int_equal(nobody.sync_error, GROUP_UNKNOWN_MEMBER_ID);
    struct sync_request request = {.group = "g", .member = who(&b), .protocol = "other"};
    coordinator_sync(c, &request, on_sync, &b);
    assert_int_equal(b.sync_error, GROUP_INCONSISTENT_PROTOCOL);
    join(&a);
    sync_follower(&b);
    assert_int_equal(b.sync_error, GROUP_REBALANCE_IN_PROGRESS);
}

static void test_rebalance_answers_held_syncs(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0}, d = {0};
    join(&a);
    join(&b);
    join(&a);
    assert_int_equal(sync_follower(&b), 0);
    join(&d);
    assert_int_equal(b.syncs, 1);
    assert_int_equal(b.sync_error, GROUP_REBALANCE_IN_PROGRESS);
}

static void test_members_that_do_not_sync_are_removed(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    join(&a);
    join(&b);
    join(&a);
    assert_int_equal(sync_follower(&b), 0);
    for (int i = 0; i < 12; i++) { /* the leader lives and does not sync */
        assert_int_equal(b.syncs, 0);
        assert_int_equal(heartbeat(&a), GROUP_OK);
        advance(5000);
    }
    assert_int_equal(b.sync_error, GROUP_REBALANCE_IN_PROGRESS);
    assert_int_equal(heartbeat(&a), GROUP_UNKNOWN_MEMBER_ID);
    int before = b.joins;
    join(&b);
    assert_int_equal(b.joins, before + 1);
    assert_string_equal(b.leader, b.id);
}

/* ---- heartbeats, sessions, leaves ---- */

static void test_heartbeat_by_state(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    assert_int_equal(heartbeat(&a), GROUP_UNKNOWN_MEMBER_ID);
    join(&a);
    assert_int_equal(heartbeat(&a), GROUP_OK); /* Completing */
    sync_leader(&a);
    assert_int_equal(heartbeat(&a), GROUP_OK); /* Stable */
    a.generation++;
    assert_int_equal(heartbeat(&a), GROUP_ILLEGAL_GENERATION);
    a.generation--;
    join(&b);
    assert_int_equal(heartbeat(&a), GROUP_REBALANCE_IN_PROGRESS);
    assert_int_equal(leave(&a), GROUP_OK);
    assert_int_equal(leave(&b), GROUP_OK);
    assert_int_equal(look().state, GROUP_EMPTY);
    assert_int_equal(heartbeat(&a), GROUP_UNKNOWN_MEMBER_ID);
}

static void test_session_expiry_removes_and_rebalances(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    advance(SESSION_MS - 1);
    assert_int_equal(heartbeat(&b), GROUP_OK);
    advance(1);
    assert_int_equal(look().member_count, 1);
    assert_int_equal(heartbeat(&b), GROUP_REBALANCE_IN_PROGRESS);
    assert_int_equal(heartbeat(&a), GROUP_UNKNOWN_MEMBER_ID);
    join(&b);
    assert_int_equal(b.generation, 3);
    assert_string_equal(b.leader, b.id);
}

static void test_expiry_is_suspended_while_joining(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    int before = b.joins;
    assert_int_equal(join_with(&b, "changed"), before);
    for (int i = 0; i < 4; i++) {
        advance(9000);
        assert_int_equal(heartbeat(&a), GROUP_REBALANCE_IN_PROGRESS);
    }
    assert_int_equal(look().member_count, 2);
    join(&a);
    assert_int_equal(b.joins, before + 1);
    assert_int_equal(b.join_error, GROUP_OK);
    advance(SESSION_MS - 1); /* the session begins anew with the answer */
    assert_int_equal(heartbeat(&b), GROUP_OK);
}

static void test_leave(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, &b);
    assert_int_equal(leave(&b), GROUP_OK);
    assert_int_equal(look().state, GROUP_PREPARING_REBALANCE);
    assert_int_equal(leave(&b), GROUP_UNKNOWN_MEMBER_ID);
    join(&a);
    assert_int_equal(a.generation, 3);
    assert_int_equal(a.member_count, 1);
    assert_int_equal(leave(&a), GROUP_OK);
    struct seen seen = look();
    assert_int_equal(seen.state, GROUP_EMPTY);
    assert_int_equal(seen.generation, 4);
    assert_true(seen.empty_since_ms > 1600000000000);
}

static void test_leave_answers_a_parked_join(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, NULL);
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&b, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &b);
    coordinator_join(c, &request, on_join, &b);
    assert_int_equal(b.joins, 1);
    assert_int_equal(leave(&b), GROUP_OK);
    assert_int_equal(b.joins, 2);
    assert_int_equal(b.join_error, GROUP_UNKNOWN_MEMBER_ID);
}

/* ---- static members ---- */

static void test_static_member_takes_over_without_a_rebalance(void **state)
{
    (void)state;
    struct peer a = {0}, b = {.instance = "i1"};
    make_stable(&a, &b);
    assert_memory_equal(b.id, "i1-", 3);
    struct peer b2 = {.instance = "i1"};
    assert_int_equal(join(&b2), 1);
    assert_int_equal(b2.join_error, GROUP_OK);
    assert_int_equal(b2.generation, b.generation);
    assert_string_not_equal(b2.id, b.id);
    assert_int_equal(look().state, GROUP_STABLE);
    sync_follower(&b2);
    assert_string_equal(b2.assignment, "1");
    /* the old one is fenced everywhere */
    assert_int_equal(heartbeat(&b), GROUP_FENCED_INSTANCE_ID);
    sync_follower(&b);
    assert_int_equal(b.sync_error, GROUP_FENCED_INSTANCE_ID);
    struct group_member old = who(&b);
    assert_int_equal(coordinator_commit_begin(c, "g", &old), GROUP_FENCED_INSTANCE_ID);
    join(&b);
    assert_int_equal(b.join_error, GROUP_FENCED_INSTANCE_ID);
    assert_int_equal(leave(&b), GROUP_FENCED_INSTANCE_ID);
    assert_int_equal(heartbeat(&b2), GROUP_OK);
}

static void test_static_leader_takes_over(void **state)
{
    (void)state;
    struct peer a = {.instance = "i0"}, b = {0};
    make_stable(&a, &b);
    struct peer old_client = {.instance = "i0"}, new_client = {.instance = "i0"};
    join(&old_client); /* before v9: it must not assign, so it is told that another leads */
    assert_string_equal(old_client.leader, a.id);
    assert_string_not_equal(old_client.leader, old_client.id);
    assert_int_equal(old_client.member_count, 0);
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&new_client, &protocol, 1);
    request.can_skip_assignment = true;
    coordinator_join(c, &request, on_join, &new_client);
    assert_true(new_client.skip);
    assert_string_equal(new_client.leader, new_client.id);
    assert_int_equal(new_client.member_count, 2);
    assert_int_equal(look().state, GROUP_STABLE);
    sync_follower(&new_client);
    assert_string_equal(new_client.assignment, "0");
}

static void test_static_member_with_another_selection_rebalances(void **state)
{
    (void)state;
    struct peer a = {.instance = "i0"};
    struct join_protocol both[] = {{"range", bytes_text("r")}, {"sticky", bytes_text("s")}};
    struct join_request request = request_of(&a, both, 2);
    coordinator_join(c, &request, on_join, &a);
    sync_leader(&a);
    struct peer a2 = {.instance = "i0"};
    struct join_protocol other[] = {{"sticky", bytes_text("s")}, {"range", bytes_text("r")}};
    request = request_of(&a2, other, 2);
    coordinator_join(c, &request, on_join, &a2);
    assert_int_equal(a2.generation, 2);
    assert_string_equal(a2.protocol, "sticky");
    assert_int_equal(look().state, GROUP_COMPLETING_REBALANCE);
}

static void test_static_member_stays_through_a_rebalance(void **state)
{
    (void)state;
    struct peer a = {0}, b = {.instance = "i1"}, d = {0};
    make_stable(&a, &b);
    join(&d);
    join(&a);
    for (int i = 0; i < 12; i++) {
        heartbeat(&b);
        advance(5000);
    }
    assert_int_equal(a.joins, 3);
    assert_int_equal(a.member_count, 3); /* b has not joined again, and counts */
    /* its session ends it */
    heartbeat(&a);
    heartbeat(&d);
    sync_follower(&d);
    sync_leader(&a);
    advance(SESSION_MS - 1);
    heartbeat(&a);
    heartbeat(&d);
    advance(1);
    assert_int_equal(look().member_count, 2);
}

static void test_static_member_leaves_by_instance_id(void **state)
{
    (void)state;
    struct peer a = {.instance = "i0"};
    make_stable(&a, NULL);
    struct group_member member = {"", "none", -1};
    assert_int_equal(coordinator_leave(c, "g", &member), GROUP_UNKNOWN_MEMBER_ID);
    member.instance_id = "i0";
    assert_int_equal(coordinator_leave(c, "g", &member), GROUP_OK);
    assert_int_equal(look().state, GROUP_EMPTY);
}

/* ---- commits ---- */

static enum group_error commit(const struct peer *peer)
{
    struct group_member member = who(peer);
    enum group_error error = coordinator_commit_begin(c, "g", &member);
    if (error == GROUP_OK)
        coordinator_commit_end(c, "g");
    return error;
}

static enum group_error commit_in_transaction(const struct peer *peer)
{
    struct group_member member = who(peer);
    enum group_error error = coordinator_txn_commit_begin(c, "g", &member);
    if (error == GROUP_OK)
        coordinator_commit_end(c, "g");
    return error;
}

static void test_commit_checks(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0}, nobody = {.generation = -1};
    assert_int_equal(commit(&nobody), GROUP_OK); /* no such group: standalone */
    assert_int_equal(look().state, GROUP_DEAD);
    join(&a);
    assert_int_equal(commit(&a), GROUP_REBALANCE_IN_PROGRESS); /* Completing */
    assert_int_equal(commit_in_transaction(&a), GROUP_OK);
    a.generation++;
    assert_int_equal(commit_in_transaction(&a), GROUP_ILLEGAL_GENERATION);
    a.generation--;
    sync_leader(&a);
    assert_int_equal(commit(&a), GROUP_OK);
    assert_int_equal(commit(&nobody), GROUP_UNKNOWN_MEMBER_ID);
    a.generation++;
    assert_int_equal(commit(&a), GROUP_ILLEGAL_GENERATION);
    a.generation--;
    join(&b);
    assert_int_equal(commit(&a), GROUP_OK); /* Preparing: the last chance */
    leave(&a);
    leave(&b);
    assert_int_equal(commit(&a), GROUP_UNKNOWN_MEMBER_ID);
    assert_int_equal(commit(&nobody), GROUP_OK);
    struct peer d = {0}, named = {.instance = "one", .generation = -1};
    assert_int_equal(commit(&named), GROUP_OK); /* librdkafka with group.instance.id and assign() */
    join(&d);
    assert_int_equal(commit(&named), GROUP_UNKNOWN_MEMBER_ID);
}

static void test_no_generation_begins_during_a_commit(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, NULL);
    struct group_member member = who(&a);
    assert_int_equal(coordinator_commit_begin(c, "g", &member), GROUP_OK);
    join(&b);
    join(&a);
    assert_int_equal(b.joins, 0);
    advance(REBALANCE_MS + 1);
    assert_int_equal(b.joins, 0);
    coordinator_commit_end(c, "g");
    assert_int_equal(b.joins, 1);
    assert_int_equal(b.generation, 2);
    /* also not the first one, during a standalone commit */
    struct peer nobody = {.generation = -1}, d = {0};
    member = who(&nobody);
    assert_int_equal(coordinator_commit_begin(c, "h", &member), GROUP_OK);
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&d, &protocol, 1);
    request.group = "h";
    coordinator_join(c, &request, on_join, &d);
    assert_int_equal(d.joins, 0);
    coordinator_commit_end(c, "h");
    assert_int_equal(d.joins, 1);
}

static void test_the_join_phase_ends_in_time_after_a_commit(void **state)
{
    (void)state;
    struct peer nobody = {.generation = -1}, other = {0}, a = {0};
    struct group_member member = who(&nobody);
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&a, &protocol, 1);
    request.group = "h";
    request.initial_rebalance_delay_ms = 3000;
    make_stable(&other,
                NULL); /* of another group, whose session ends while the commit is written */
    now += SESSION_MS - 1000;
    assert_int_equal(coordinator_commit_begin(c, "h", &member), GROUP_OK);
    coordinator_join(c, &request, on_join, &a);
    int64_t joined = now, next = coordinator_tick(c);
    while (a.joins == 0) { /* following it alone */
        assert_true(next > now && next <= joined + 3000 + 20);
        if (now < joined + 1000 && next >= joined + 1000) {
            now = joined + 1000;
            next = coordinator_tick(c);
            coordinator_commit_end(c, "h"); /* not over yet: it waits on */
            continue;
        }
        now = next;
        next = coordinator_tick(c);
    }
    assert_int_equal(look().member_count, 0);
    assert_int_equal(now, joined + 3000);
    assert_int_equal(a.generation, 1);
}

/* ---- the rest ---- */

static void test_forget_drops_answers(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, NULL);
    assert_int_equal(join(&b), 0);
    coordinator_forget(c, "g", &b);
    join(&a);
    assert_int_equal(b.joins, 0);
}

/* Who has lost its connection while it waited counts as joined: the others wait for nobody, and it goes when its session is over. */
static void test_an_orphan_keeps_nobody_waiting(void **state)
{
    (void)state;
    struct peer a = {0}, b = {0};
    make_stable(&a, NULL);
    assert_int_equal(join(&b), 0);
    coordinator_orphan(c, "g", &b);
    join(&a);
    assert_int_equal(b.joins, 0);
    assert_int_equal(a.joins, 2);
    assert_int_equal(a.generation, 2);
    assert_int_equal(look().member_count, 2);
    sync_leader(&a);
    assert_int_equal(a.syncs, 2);
    for (int i = 0; i < 4 && look().member_count == 2; i++) {
        advance(SESSION_MS / 3);
        heartbeat(&a);
    }
    assert_int_equal(look().member_count, 1);
}

static void test_delete(void **state)
{
    (void)state;
    struct peer a = {0};
    assert_int_equal(coordinator_delete(c, "g"), GROUP_ID_NOT_FOUND);
    make_stable(&a, NULL);
    assert_int_equal(coordinator_delete(c, "g"), GROUP_NON_EMPTY_GROUP);
    leave(&a);
    assert_int_equal(coordinator_delete(c, "g"), GROUP_OK);
    assert_int_equal(look().state, GROUP_DEAD);
}

static int load_generation(void *context, const char *group, struct group_stored *stored)
{
    *stored = *(struct group_stored *)context;
    return strcmp(group, "g") == 0 ? 0 : ERR_NOT_FOUND;
}

static int store_generation(void *context, const struct group_view *view)
{
    struct group_stored *stored = context;
    stored->generation = view->generation;
    stored->empty_since_ms = view->empty_since_ms;
    snprintf(stored->protocol_type, sizeof stored->protocol_type, "%s", view->protocol_type);
    return 0;
}

static void test_generation_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct group_stored stored = {.empty_since_ms = -1};
    struct coordinator_options options = {
        .now_ms = now_ms, .load = load_generation, .context = &stored};
    for (int life = 1; life <= 3; life++) {
        coordinator_destroy(c);
        c = coordinator_create(&options);
        struct peer a = {0};
        join(&a);
        assert_int_equal(a.generation, life);
        assert_true(coordinator_has_changes(c));
        assert_int_equal(coordinator_take_changes(c, store_generation, &stored), 0);
        assert_false(coordinator_has_changes(c));
        assert_int_equal(stored.generation, life);
        assert_int_equal(stored.empty_since_ms, -1);
        assert_string_equal(stored.protocol_type, "consumer");
        coordinator_settle(c, "g", true);
        assert_int_equal(look().state, GROUP_COMPLETING_REBALANCE);
        coordinator_settle(c, "g", false); /* not stored after all: taken again */
        assert_true(coordinator_has_changes(c));
    }
}

static void test_tick_says_when(void **state)
{
    (void)state;
    struct peer a = {0};
    assert_true(coordinator_tick(c) == INT64_MAX);
    make_stable(&a, NULL);
    int64_t next = coordinator_tick(c);
    assert_true(next <= now + SESSION_MS);
    while (look().member_count > 0) { /* following it alone ends the session in time */
        assert_true(next > now && next <= 1000000 + SESSION_MS);
        now = next;
        next = coordinator_tick(c);
    }
    assert_int_equal(now, 1000000 + SESSION_MS);
}

static int count_one(void *context, const struct group_view *view)
{
    (void)view;
    ++*(int *)context;
    return 0;
}

static void test_a_group_that_nobody_came_to_is_let_go(void **state)
{
    (void)state;
    struct peer a = {0};
    int groups = 0;
    struct join_protocol protocol = {"range", bytes_text("m")};
    struct join_request request = request_of(&a, &protocol, 1);
    request.member_id_required = true;
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_MEMBER_ID_REQUIRED);
    assert_int_equal(coordinator_view_all(c, count_one, &groups), 0);
    assert_int_equal(groups, 1);
    advance(SESSION_MS + 1); /* it does not come back with its id */
    groups = 0;
    assert_int_equal(coordinator_view_all(c, count_one, &groups), 0);
    assert_int_equal(groups, 0);
    assert_true(coordinator_tick(c) == INT64_MAX);
}

static void test_protocols_have_a_limit(void **state)
{
    (void)state;
    enum { MOST = 32 };
    struct peer a = {0}, b = {0};
    struct join_protocol protocols[MOST + 1];
    char names[MOST + 1][8];
    for (int i = 0; i <= MOST; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        protocols[i] = (struct join_protocol){names[i], bytes_text("m")};
    }
    struct join_request request = request_of(&a, protocols, MOST + 1);
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_INCONSISTENT_PROTOCOL);
    request = request_of(&a, protocols, MOST);
    coordinator_join(c, &request, on_join, &a);
    assert_int_equal(a.join_error, GROUP_OK);
    assert_string_equal(a.protocol, "p0");
    request = request_of(&b, protocols, MOST + 1);
    coordinator_join(c, &request, on_join, &b);
    assert_int_equal(b.join_error, GROUP_INCONSISTENT_PROTOCOL);
}

/* A group of its own for each. */
static enum group_error join_alone(struct peer *peer, const char *group, size_t metadata_bytes)
{
    static uint8_t bytes[20000];
    struct join_protocol protocol = {"range", bytes_of(bytes, metadata_bytes)};
    struct join_request request = request_of(peer, &protocol, 1);
    request.group = group;
    request.rebalancing = NULL;
    coordinator_join(c, &request, on_join, peer);
    return peer->join_error;
}

static enum group_error sync_alone(struct peer *peer, const char *group, size_t assignment_bytes)
{
    static uint8_t bytes[20000];
    struct sync_assignment given = {peer->id, bytes_of(bytes, assignment_bytes)};
    struct sync_request request = {.group = group,
                                   .member = {peer->id, NULL, peer->generation},
                                   .assignments = &given,
                                   .assignment_count = 1};
    peer->assignment[0] = '\0';
    coordinator_sync(c, &request, on_sync, peer);
    return peer->sync_error;
}

static void leave_alone(struct peer *peer, const char *group)
{
    struct group_member member = {peer->id, NULL, -1};
    assert_int_equal(coordinator_leave(c, group, &member), GROUP_OK);
}

static void test_what_members_hold_has_a_limit(void **state)
{
    (void)state;
    struct coordinator_options options = {.now_ms = now_ms, .memory_bytes = 20000};
    struct peer a = {0}, b = {0}, d = {0}, e = {0}, pending[20] = {{0}};
    coordinator_destroy(c);
    c = coordinator_create(&options);
    assert_int_equal(join_alone(&a, "a", 7000), GROUP_OK);
    assert_int_equal(join_alone(&b, "b", 7000), GROUP_OK);
    assert_int_equal(join_alone(&d, "d", 7000), GROUP_NOT_AVAILABLE);
    assert_string_equal(d.id, "");
    assert_int_equal(join_alone(&a, "a", 7000), GROUP_OK); /* as much as it has said before */
    assert_int_equal(join_alone(&a, "a", 15000), GROUP_NOT_AVAILABLE);
    assert_int_equal(sync_alone(&a, "a", 9000), GROUP_NOT_AVAILABLE);
    assert_int_equal(sync_alone(&a, "a", 100), GROUP_OK);
    leave_alone(&b, "b");
    assert_int_equal(join_alone(&d, "d", 7000), GROUP_OK);
    leave_alone(&a, "a");
    advance(SESSION_MS + 1); /* d goes */
    int given = 0;
    for (int i = 0; i < 20;
         i++) { /* an id that is given out takes room, too, as long as it is waited for */
        struct join_protocol protocol = {"range", bytes_text("m")};
        struct join_request request = request_of(&pending[i], &protocol, 1);
        request.member_id_required = true;
        coordinator_join(c, &request, on_join, &pending[i]);
        given += pending[i].join_error == GROUP_MEMBER_ID_REQUIRED;
        assert_true(pending[i].join_error == GROUP_MEMBER_ID_REQUIRED ||
                    pending[i].join_error == GROUP_NOT_AVAILABLE);
    }
    assert_true(given > 10 && given < 20);
    advance(SESSION_MS + 1);
    assert_int_equal(join_alone(&e, "e", 18000), GROUP_OK); /* all of it was given back */
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(test_join_without_member_id_gets_one_and_joins_with_it),
        RULE(test_pending_member_holds_the_join_phase_up),
        RULE(test_v0_to_v3_join_directly),
        RULE(test_first_members_wait_for_more),
        RULE(test_first_members_wait_no_longer_than_the_rebalance_timeout),
        RULE(test_members_that_do_not_rejoin_are_removed),
        RULE(test_protocol_choice),
        RULE(test_stable_follower_rejoins_without_a_rebalance),
        RULE(test_stable_leader_rejoins_with_a_rebalance),
        RULE(test_join_refused),
        RULE(test_group_max_size),
        RULE(test_sync_is_held_until_the_leaders),
        RULE(test_sync_refused),
        RULE(test_rebalance_answers_held_syncs),
        RULE(test_members_that_do_not_sync_are_removed),
        RULE(test_heartbeat_by_state),
        RULE(test_session_expiry_removes_and_rebalances),
        RULE(test_expiry_is_suspended_while_joining),
        RULE(test_leave),
        RULE(test_leave_answers_a_parked_join),
        RULE(test_static_member_takes_over_without_a_rebalance),
        RULE(test_static_leader_takes_over),
        RULE(test_static_member_with_another_selection_rebalances),
        RULE(test_static_member_stays_through_a_rebalance),
        RULE(test_static_member_leaves_by_instance_id),
        RULE(test_commit_checks),
        RULE(test_no_generation_begins_during_a_commit),
        RULE(test_the_join_phase_ends_in_time_after_a_commit),
        RULE(test_forget_drops_answers),
        RULE(test_an_orphan_keeps_nobody_waiting),
        RULE(test_delete),
        RULE(test_generation_goes_on_after_a_restart),
        RULE(test_tick_says_when),
        RULE(test_a_group_that_nobody_came_to_is_let_go),
        RULE(test_protocols_have_a_limit),
        RULE(test_what_members_hold_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
