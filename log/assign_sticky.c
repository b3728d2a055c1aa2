/* assign_sticky.c: the sticky assignment of Kafka (AbstractStickyAssignor): even, and as little as
 * possible moves.
 *
 * Who has what: a partition counts as owned by the member that names it with the highest
 * generation; two of the same generation cannot both be right, and neither keeps it. When all
 * members subscribe to the same topics (deal_evenly), each keeps up to its share of what it owns,
 * and the rest is dealt to the members that have less, one by one in the order of their ids.
 * Otherwise (struct balance) each unowned partition goes to the member with the fewest that may
 * have it, those that only few may have first; then partitions move from members with more to
 * members with less until no move makes it more even, and the whole is taken back when it did not.
 *
 * Two moves of a topic's partitions in opposite directions between two members cancel out: the
 * partition that came is the one that goes back (partner_of). So a partition does not travel for
 * nothing.
 *
 * Kafka walks hash maps at a few places where the order decides between equals; here members are
 * walked in the order of their ids. */
#include "log/assign.h"

#include <stdlib.h>
#include <string.h>

struct sticky {
    const struct assign_problem *problem;
    size_t *starts; /* of topics in the row */
    size_t size;    /* of the row */
    size_t members;
    uint32_t *by_id;    /* members in the order of their ids */
    uint32_t *topic_of; /* row place → topic */
    int32_t *owners;    /* row place → member, -1 */
    int32_t *previous;  /* row place → its owner of an older generation, -1 */
    bool *disputed;     /* two of one generation own it */
    bool *seen;         /* its owner has named it: nothing counts twice */
    size_t *counts;     /* partitions of each member */
};

static void sticky_deinit(struct sticky *s)
{
    free(s->starts);
    free(s->by_id);
    free(s->topic_of);
    free(s->previous);
    free(s->disputed);
    free(s->seen);
    free(s->counts);
}

static int sticky_init(struct sticky *s, const struct assign_problem *problem, int32_t *owners)
{
    *s = (struct sticky){.problem = problem, .members = problem->member_count, .owners = owners};
    s->size = assign_row_size(problem);
    s->starts = assign_row_starts(problem);
    s->by_id = malloc((s->members + 1) * sizeof *s->by_id);
    s->topic_of = malloc((s->size + 1) * sizeof *s->topic_of);
    s->previous = malloc((s->size + 1) * sizeof *s->previous);
    s->disputed = calloc(s->size + 1, sizeof *s->disputed);
    s->seen = calloc(s->size + 1, sizeof *s->seen);
    s->counts = calloc(s->members + 1, sizeof *s->counts);
    if (s->starts == NULL || s->by_id == NULL || s->topic_of == NULL || s->previous == NULL ||
        s->disputed == NULL || s->seen == NULL || s->counts == NULL)
        return ERR_NOMEM;
    for (uint32_t topic = 0; topic < problem->topic_count; topic++)
        for (size_t i = s->starts[topic]; i < s->starts[topic + 1]; i++)
            s->topic_of[i] = topic;
    for (size_t i = 0; i < s->size; i++)
        s->previous[i] = -1;
    for (uint32_t m = 0; m < s->members; m++) { /* insertion: members are few */
        uint32_t at = m;
        for (; at > 0; at--) {
            if (strcmp(problem->members[s->by_id[at - 1]].id, problem->members[m].id) <= 0)
                break;
            s->by_id[at] = s->by_id[at - 1];
        }
        s->by_id[at] = m;
    }
    return 0;
}

/* ---- who has what ---- */

/* One claim. The newest generation wins; an older one is remembered as the previous owner. */
static void claim(struct sticky *s, size_t at, uint32_t member)
{
    const struct assign_member *members = s->problem->members;
    int32_t other = s->owners[at];
    if (other < 0) {
        s->owners[at] = (int32_t)member;
    } else if (other == (int32_t)member) {
        return;
    } else if (members[member].generation == members[other].generation) {
        s->disputed[at] = true;
    } else if (members[member].generation > members[other].generation) {
        s->previous[at] = other;
        s->owners[at] = (int32_t)member;
        s->disputed[at] = false;
    } else if (s->previous[at] < 0 ||
               members[member].generation > members[s->previous[at]].generation) {
        s->previous[at] = (int32_t)member;
    }
}

/* true: some member owned what it does not subscribe to any more. */
static bool take_claims(struct sticky *s)
{
    bool unsubscribed = false;
    for (size_t i = 0; i < s->members; i++) {
        const struct assign_member *member = &s->problem->members[s->by_id[i]];
        for (size_t o = 0; o < member->owned_count; o++) {
            size_t at = assign_row_place(s->problem, s->starts, &member->owned[o]);
            if (at != SIZE_MAX)
                claim(s, at, s->by_id[i]);
        }
    }
    for (size_t at = 0; at < s->size; at++) {
        int32_t owner = s->owners[at];
        if (owner < 0)
            continue;
        bool wants = assign_subscribes(&s->problem->members[owner], s->topic_of[at]);
        unsubscribed |= !wants;
        if (s->disputed[at] || !wants)
            s->owners[at] = -1;
    }
    return unsubscribed;
}

static bool all_subscribe_alike(const struct assign_problem *problem)
{
    const struct assign_member *first = &problem->members[0];
    for (size_t m = 1; m < problem->member_count; m++) {
        const struct assign_member *member = &problem->members[m];
        if (member->topic_count != first->topic_count ||
            (member->topic_count > 0 && memcmp(member->topics, first->topics,
                                               member->topic_count * sizeof *member->topics) != 0))
            return false;
    }
    return true;
}

/* ---- all subscribe to the same topics ---- */

struct quota {
    size_t least, most; /* a member gets so many */
    size_t over;        /* members that get more than least */
    size_t over_now;
};

/* Lets a member keep the first ones of what it owns, in the order in which it names them. */
static void keep_first(struct sticky *s, uint32_t m, size_t keep)
{
    const struct assign_member *member = &s->problem->members[m];
    for (size_t o = 0; o < member->owned_count; o++) {
        size_t at = assign_row_place(s->problem, s->starts, &member->owned[o]);
        if (at == SIZE_MAX || s->owners[at] != (int32_t)m || s->seen[at])
            continue;
        s->seen[at] = true;
        if (s->counts[m] < keep)
            s->counts[m]++;
        else
            s->owners[at] = -1;
    }
}

static void keep_owned(struct sticky *s, struct quota *quota)
{
    size_t *owned = s->counts; /* first what they own, then what they keep */
    for (size_t at = 0; at < s->size; at++)
        if (s->owners[at] >= 0)
            owned[s->owners[at]]++;
    for (size_t i = 0; i < s->members; i++) {
        uint32_t m = s->by_id[i];
        size_t has = owned[m], keep = has < quota->least ? has : quota->least;
        if (has >= quota->most && quota->over_now < quota->over) {
            quota->over_now++;
            keep = quota->most;
        }
        owned[m] = 0;
        keep_first(s, m, keep);
    }
}

/* The member that gets the next partition: round after round those below the least share, then
 * those that may have one more. */
static uint32_t next_below(const struct sticky *s, const struct quota *quota, size_t *turn)
{
    for (int round = 0; round < 2; round++) {
        for (; *turn < s->members; ++*turn)
            if (s->counts[s->by_id[*turn]] < quota->least)
                return s->by_id[(*turn)++];
        *turn = 0;
    }
    return UINT32_MAX;
}

/* Members at exactly the least share wait for one more in this order: those that were there from
 * the start by id, then the others as they got there. */
struct waiting {
    uint32_t *members;
    size_t first, count;
};

static void deal_rest(struct sticky *s, const struct quota *quota, struct waiting *waiting)
{
    size_t turn = 0;
    for (size_t at = 0; at < s->size; at++) {
        if (s->owners[at] >= 0)
            continue;
        uint32_t m = next_below(s, quota, &turn);
        if (m == UINT32_MAX) {
            must(waiting->first < waiting->count);
            m = waiting->members[waiting->first++];
        }
        s->owners[at] = (int32_t)m;
        if (++s->counts[m] == quota->least)
            waiting->members[waiting->count++] = m;
    }
}

static int deal_evenly(struct sticky *s)
{
    const struct assign_member *first = &s->problem->members[0];
    size_t total = 0;
    for (size_t t = 0; t < first->topic_count; t++)
        if (first->topics[t] < s->problem->topic_count)
            total += (size_t)s->problem->partition_counts[first->topics[t]];
    /* Nobody subscribes to the other topics: they count as owned while the rest is dealt. */
    struct quota quota = {.least = total / s->members,
                          .most = (total + s->members - 1) / s->members,
                          .over = total % s->members};
    struct waiting waiting = {.members = malloc((2 * s->members + 1) * sizeof(uint32_t))};
    if (waiting.members == NULL)
        return ERR_NOMEM;
    keep_owned(s, &quota);
    for (size_t i = 0; i < s->members && quota.over_now < quota.over; i++)
        if (s->counts[s->by_id[i]] == quota.least)
            waiting.members[waiting.count++] = s->by_id[i];
    for (size_t at = 0; at < s->size; at++)
        if (!assign_subscribes(first, s->topic_of[at]))
            s->owners[at] = INT32_MAX;
    deal_rest(s, &quota, &waiting);
    for (size_t at = 0; at < s->size; at++)
        if (s->owners[at] == INT32_MAX)
            s->owners[at] = -1;
    free(waiting.members);
    return 0;
}

/* ---- subscriptions differ ---- */

struct move { /* a partition's way since the balancing began; from -1: it has not moved */
    int32_t from, to;
};
struct balance {
    struct sticky *s;
    size_t *order;           /* row places: those that fewest members may have first */
    uint32_t *reader_counts; /* topic → members that subscribe to it */
    bool *fixed_topic, *fixed_member;
    size_t *room; /* member → partitions that it could have at most */
    struct move *moves;
};

static bool wants(const struct balance *b, uint32_t m, size_t at)
{
    return assign_subscribes(&b->s->problem->members[m], b->s->topic_of[at]);
}

/* The member with the fewest partitions (ties: by id) that may have this one; -1: none. */
static int32_t poorest(const struct balance *b, size_t at)
{
    const struct sticky *s = b->s;
    int32_t best = -1;
    for (size_t i = 0; i < s->members; i++) {
        uint32_t m = s->by_id[i];
        if (b->fixed_member[m] || !wants(b, m, at))
            continue;
        if (best < 0 || s->counts[m] < s->counts[best])
            best = (int32_t)m;
    }
    return best;
}

/* Kafka's order: topics by how many may read them, then by name; partitions by number. */
static void order_partitions(struct balance *b)
{
    const struct sticky *s = b->s;
    size_t filled = 0;
    for (uint32_t readers = 0; readers <= s->members; readers++)
        for (uint32_t topic = 0; topic < s->problem->topic_count; topic++)
            for (size_t at = s->starts[topic];
                 b->reader_counts[topic] == readers && at < s->starts[topic + 1]; at++)
                b->order[filled++] = at;
    must(filled == s->size);
}

static void give(struct balance *b, size_t at, int32_t to)
{
    struct sticky *s = b->s;
    if (s->owners[at] >= 0)
        s->counts[s->owners[at]]--;
    s->owners[at] = to;
    s->counts[to]++;
}

static void deal_unowned(struct balance *b)
{
    for (size_t i = 0; i < b->s->size; i++) {
        size_t at = b->order[i];
        if (b->s->owners[at] >= 0)
            continue;
        int32_t to = poorest(b, at);
        if (to >= 0)
            give(b, at, to);
    }
}

/* A topic that one member alone may read stays; so does a member that has all that it may have and
 * nothing that another one may have. */
static void fix_the_unmovable(struct balance *b)
{
    const struct sticky *s = b->s;
    for (uint32_t topic = 0; topic < s->problem->topic_count; topic++)
        b->fixed_topic[topic] = b->reader_counts[topic] < 2;
    bool *movable = calloc(s->members + 1, sizeof *movable);
    for (size_t at = 0; at < s->size && movable != NULL; at++)
        if (s->owners[at] >= 0 && !b->fixed_topic[s->topic_of[at]])
            movable[s->owners[at]] = true;
    for (size_t m = 0; m < s->members && movable != NULL; m++)
        b->fixed_member[m] = s->counts[m] >= b->room[m] && !movable[m];
    free(movable);
}

/* Whether no member could take a partition from one that has more than it. */
static bool is_balanced(const struct balance *b)
{
    const struct sticky *s = b->s;
    size_t least = SIZE_MAX, most = 0;
    for (size_t m = 0; m < s->members; m++) {
        if (b->fixed_member[m])
            continue;
        least = s->counts[m] < least ? s->counts[m] : least;
        most = s->counts[m] > most ? s->counts[m] : most;
    }
    if (least >= most || least + 1 >= most)
        return true;
    for (uint32_t m = 0; m < s->members; m++) {
        if (b->fixed_member[m] || s->counts[m] >= b->room[m])
            continue;
        for (size_t at = 0; at < s->size; at++)
            if (s->owners[at] >= 0 && s->owners[at] != (int32_t)m && wants(b, m, at) &&
                s->counts[m] < s->counts[s->owners[at]])
                return false;
    }
    return true;
}

/* The partition to move instead: one of the topic that has come the other way, if its owner can
 * spare it (then every move makes the counts more even, and the moves end). */
static size_t partner_of(const struct balance *b, size_t at, int32_t from, int32_t to)
{
    const struct sticky *s = b->s;
    uint32_t topic = s->topic_of[at];
    if (b->moves[at].from >= 0)
        from = b->moves[at].from;
    for (size_t i = s->starts[topic]; i < s->starts[topic + 1]; i++)
        if (b->moves[i].from == to && b->moves[i].to == from && s->owners[i] == from &&
            s->counts[from] > s->counts[to] + 1)
            return i;
    return at;
}

static void move_partition(struct balance *b, size_t at, int32_t to)
{
    at = partner_of(b, at, b->s->owners[at], to);
    struct move *move = &b->moves[at];
    int32_t from = move->from >= 0 ? move->from : b->s->owners[at];
    *move = from == to ? (struct move){-1, -1} : (struct move){from, to};
    give(b, at, to);
}

/* Moves a partition if somebody else should rather have it. */
static bool improve(struct balance *b, size_t at)
{
    const struct sticky *s = b->s;
    int32_t owner = s->owners[at], before = s->previous[at];
    if (before >= 0 && before != owner && !b->fixed_member[before] &&
        wants(b, (uint32_t)before, at) && s->counts[owner] > s->counts[before] + 1) {
        move_partition(b, at, before);
        return true;
    }
    int32_t other = poorest(b, at);
    if (other < 0 || s->counts[owner] <= s->counts[other] + 1)
        return false;
    move_partition(b, at, other);
    return true;
}

/* eligible NULL: all partitions. */
static bool improve_all(struct balance *b, const bool *eligible)
{
    bool any = false, modified = true;
    while (modified) {
        modified = false;
        for (size_t i = 0; i < b->s->size && !is_balanced(b); i++) {
            size_t at = b->order[i];
            if (b->s->owners[at] < 0 || b->fixed_topic[b->s->topic_of[at]] ||
                b->fixed_member[b->s->owners[at]] || (eligible != NULL && !eligible[at]))
                continue;
            modified |= improve(b, at);
        }
        any |= modified;
    }
    return any;
}

/* The sum of the differences between all pairs of members: 0 is even. */
static uint64_t score(const struct balance *b, const size_t *counts)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->s->members; i++)
        for (size_t j = i + 1; j < b->s->members; j++)
            if (!b->fixed_member[i] && !b->fixed_member[j])
                sum += counts[i] > counts[j] ? counts[i] - counts[j] : counts[j] - counts[i];
    return sum;
}

struct before { /* what to go back to */
    int32_t *owners;
    size_t *counts;
    bool *was_unowned;
};

static void balance_out(struct balance *b, const struct before *before, bool initializing,
                        bool unsubscribed)
{
    struct sticky *s = b->s;
    deal_unowned(b);
    fix_the_unmovable(b);
    memcpy(before->owners, s->owners, s->size * sizeof *s->owners);
    memcpy(before->counts, s->counts, s->members * sizeof *s->counts);
    if (!unsubscribed)
        improve_all(b, before->was_unowned); /* what is new moves rather than what somebody has */
    bool moved = improve_all(b, NULL);
    if (!initializing && moved && score(b, s->counts) >= score(b, before->counts)) {
        memcpy(s->owners, before->owners, s->size * sizeof *s->owners);
        memcpy(s->counts, before->counts, s->members * sizeof *s->counts);
    }
}

static bool balance_init(struct balance *b, struct before *before, struct sticky *s)
{
    size_t topics = s->problem->topic_count;
    *b = (struct balance){.s = s,
                          .order = malloc((s->size + 1) * sizeof *b->order),
                          .reader_counts = calloc(topics + 1, sizeof *b->reader_counts),
                          .fixed_topic = calloc(topics + 1, sizeof *b->fixed_topic),
                          .fixed_member = calloc(s->members + 1, sizeof *b->fixed_member),
                          .room = calloc(s->members + 1, sizeof *b->room),
                          .moves = malloc((s->size + 1) * sizeof *b->moves)};
    *before = (struct before){.owners = malloc((s->size + 1) * sizeof *before->owners),
                              .counts = malloc((s->members + 1) * sizeof *before->counts),
                              .was_unowned = calloc(s->size + 1, sizeof *before->was_unowned)};
    return b->order != NULL && b->reader_counts != NULL && b->fixed_topic != NULL &&
           b->fixed_member != NULL && b->room != NULL && b->moves != NULL &&
           before->owners != NULL && before->counts != NULL && before->was_unowned != NULL;
}

static void balance_deinit(struct balance *b, struct before *before)
{
    free(b->order);
    free(b->reader_counts);
    free(b->fixed_topic);
    free(b->fixed_member);
    free(b->room);
    free(b->moves);
    free(before->owners);
    free(before->counts);
    free(before->was_unowned);
}

static int deal_by_subscription(struct sticky *s, bool unsubscribed)
{
    struct balance b;
    struct before before;
    bool initializing = true;
    int rc = balance_init(&b, &before, s) ? 0 : ERR_NOMEM;
    for (uint32_t m = 0; rc == 0 && m < s->members; m++) {
        const struct assign_member *member = &s->problem->members[m];
        for (size_t t = 0; t < member->topic_count; t++) {
            if (member->topics[t] >= s->problem->topic_count)
                continue;
            b.reader_counts[member->topics[t]]++;
            b.room[m] += (size_t)s->problem->partition_counts[member->topics[t]];
        }
    }
    for (size_t at = 0; rc == 0 && at < s->size; at++) {
        b.moves[at] = (struct move){-1, -1};
        before.was_unowned[at] = s->owners[at] < 0;
        if (s->owners[at] >= 0) {
            s->counts[s->owners[at]]++;
            initializing = false;
        }
    }
    if (rc == 0) {
        order_partitions(&b);
        balance_out(&b, &before, initializing, unsubscribed);
    }
    balance_deinit(&b, &before);
    return rc;
}

int assign_sticky(const struct assign_problem *problem, int32_t *owners)
{
    struct sticky s;
    int rc = sticky_init(&s, problem, owners);
    if (rc == 0) {
        bool unsubscribed = take_claims(&s);
        rc =
            all_subscribe_alike(problem) ? deal_evenly(&s) : deal_by_subscription(&s, unsubscribed);
    }
    sticky_deinit(&s);
    return rc;
}
