/* kafka_member.h: what the group APIs share: names as the log wants them, answers that come later. */
#ifndef WEIR_KAFKA_MEMBER_H
#define WEIR_KAFKA_MEMBER_H

#include "log/coordinator.h"
#include "log/kafka/kafka_request.h"

/* Reads a string that the log wants as text. "" when the reader fails; a zero byte in it, or no memory, fails the reader. */
const char *kafka_read_text(struct kafka_request *request);
const char *kafka_read_nullable_text(struct kafka_request *request); /* NULL: null */
/* Group, generation, member, v has_instance_since and later: instance id, in that order. */
struct kafka_group_member {
    const char *group;
    struct group_member member;
};
struct kafka_group_member kafka_read_member(struct kafka_request *request, int16_t has_instance_since);
/* What group_commit_member and others answer, for APIs that go to a coordinator: failures of ours become one after which clients try again. */
enum kafka_error kafka_group_error_of(int code);
/* Where a coordinator may call back: request->state is a struct kafka_group_call. */
struct kafka_group_call {
    const char *group;
};
/* Makes request->state and request->forget. False: no memory. */
bool kafka_expect_call(struct kafka_request *request, const char *group);

#endif
