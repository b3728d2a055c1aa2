/* kafka_scram_users.c: DescribeUserScramCredentials (key 50, version 0) and AlterUserScramCredentials (key 51, version 0): users, for Kafka's own tools
 * (kafka-configs --entity-type users). Both are flexible.
 *
 *   Describe  request   users (nullable) [{name, tags}], tags. Null, or none, asks for all
 *             response  throttle time i32, error i16, error message (nullable), results [{user, error i16, error message (nullable),
 *                       credentials [{mechanism i8, iterations i32, tags}], tags}], tags
 *   Alter     request   deletions [{name, mechanism i8, tags}], upsertions [{name, mechanism i8, iterations i32, salt bytes, salted password bytes, tags}], tags
 *             response  throttle time i32, results [{user, error i16, error message (nullable), tags}], tags
 *
 * A password that comes here has been salted and hashed by the client. Each user is answered once: what asks twice for the same is an error for that user, as with Kafka,
 * and nothing of it is done. A user whose last credential is deleted is gone. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_scram.h"

#include <stdlib.h>

struct answer {
    enum kafka_error error;
    const char *message; /* NULL: none */
};
static const struct answer fine = {KAFKA_NONE, NULL};

static struct answer error_of(int code)
{
    return code == 0 ? fine
           : code == ERR_NOT_FOUND
               ? (struct answer){KAFKA_RESOURCE_NOT_FOUND, "there is no such user"}
           : code == ERR_INVALID
               ? (struct answer){KAFKA_UNACCEPTABLE_CREDENTIAL, "no user can have this name"}
               : (struct answer){kafka_error_of(code), "the users cannot be read or written"};
}

/* ---- Describe ---- */

static void write_user(struct kafka_request *request, const char *name, struct answer answer)
{
    struct wire_writer *w = &request->writer;
    struct user user = {0};
    int32_t count = 0;
    if (answer.error == KAFKA_NONE)
        answer = error_of(user_get(request->log, name, &user, NULL));
    for (int i = 0; i < SCRAM_MECHANISMS; i++)
        count += user.credentials[i].iterations > 0;
    wire_write_text(w, name);
    wire_write_i16(w, (int16_t)answer.error);
    wire_write_text(w, answer.message);
    wire_write_array(w, count);
    for (int i = 0; i < SCRAM_MECHANISMS; i++) {
        if (user.credentials[i].iterations == 0)
            continue;
        wire_write_i8(w, (int8_t)(i + 1));
        wire_write_i32(w, user.credentials[i].iterations);
        wire_write_tags(w);
    }
    wire_write_tags(w);
}

static void write_head(struct kafka_request *request, enum kafka_error error)
{
    wire_write_i32(&request->writer, 0);
    wire_write_i16(&request->writer, (int16_t)error);
    wire_write_text(&request->writer, error == KAFKA_CLUSTER_AUTHORIZATION_FAILED
                                          ? "the client may not describe the cluster"
                                          : NULL);
}

static enum kafka_result refuse_to_describe(struct kafka_request *request, enum kafka_error error)
{
    write_head(request, error);
    wire_write_array(&request->writer, 0);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}

static enum kafka_result describe_all(struct kafka_request *request)
{
    char **names;
    size_t count;
    int code = user_list(request->log, &names, &count, NULL);
    write_head(request, kafka_error_of(code));
    wire_write_array(&request->writer, (int32_t)count);
    for (size_t i = 0; i < count; i++)
        write_user(request, names[i], fine);
    wire_write_tags(&request->writer);
    free(names);
    return KAFKA_ANSWER;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* A name with a zero byte inside is nobody's: such a request makes no sense. */
static char *read_name(struct kafka_request *request)
{
    struct bytes text = wire_read_string(&request->in);
    char *name = wire_read_ok(&request->in) ? kafka_request_text(request, text) : NULL;
    if (name == NULL)
        wire_read_fail(&request->in, "a user's name makes no sense");
    return name;
}

enum kafka_result kafka_handle_describe_scram(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_nullable_array(in, 2), kept = 0;
    char **names =
        arena_alloc(&request->arena, ((size_t)(count > 0 ? count : 0) + 1) * sizeof *names);
    for (int32_t i = 0; names != NULL && i < count && wire_read_ok(in); i++) {
        names[i] = read_name(request);
        wire_read_tags(in);
    }
    wire_read_tags(in);
    if (names == NULL || !wire_read_ok(in))
        return KAFKA_CLOSE;
    enum kafka_error error = kafka_check_cluster(request);
    if (error != KAFKA_NONE)
        return refuse_to_describe(request, error);
    if (count <= 0)
        return describe_all(request);
    qsort(names, (size_t)count, sizeof *names, compare_names);
    for (int32_t i = 0; i < count; i++)
        kept += i == 0 || strcmp(names[i], names[i - 1]) != 0;
    write_head(request, KAFKA_NONE);
    wire_write_array(&request->writer, kept);
    for (int32_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && strcmp(names[next], names[i]) == 0;)
            next++;
        write_user(request, names[i],
                   next == i + 1 ? fine
                                 : (struct answer){KAFKA_DUPLICATE_RESOURCE,
                                                   "the user is asked for more than once"});
    }
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}

/* ---- Alter ---- */

struct alteration {
    char *name;
    int8_t mechanism;
    bool deletes;
    int32_t iterations;
    struct bytes salt, salted;
};

static void read_alterations(struct kafka_request *request, struct alteration *list, bool deletes,
                             int32_t count)
{
    struct wire_reader *in = &request->in;
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        list[i] = (struct alteration){.deletes = deletes, .name = read_name(request)};
        list[i].mechanism = wire_read_i8(in);
        if (!deletes) {
            list[i].iterations = wire_read_i32(in);
            list[i].salt = wire_read_bytes(in);
            list[i].salted = wire_read_bytes(in);
        }
        wire_read_tags(in);
    }
}

static int compare_alterations(const void *left, const void *right)
{
    const struct alteration *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (int)a->mechanism - (int)b->mechanism;
}

/* What can be said without the user. */
static struct answer check(const struct alteration *a)
{
    if (a->mechanism < 1 || a->mechanism > SCRAM_MECHANISMS)
        return (struct answer){KAFKA_UNSUPPORTED_SASL_MECHANISM, "there is no such mechanism"};
    if (a->deletes)
        return fine;
    if (a->iterations < SCRAM_ITERATIONS || a->iterations > SCRAM_ITERATIONS_MAX)
        return (struct answer){KAFKA_UNACCEPTABLE_CREDENTIAL, "iterations are 4096 to 16384"};
    return fine;
}

static struct answer change(struct user *user, const struct alteration *a)
{
    struct scram_credential *credential = &user->credentials[a->mechanism - 1];
    if (!a->deletes)
        return scram_from_salted((enum scram_mechanism)a->mechanism, a->salt, a->salted,
                                 a->iterations, credential) == 0
                   ? fine
                   : (struct answer){KAFKA_UNACCEPTABLE_CREDENTIAL,
                                     "the salt or the salted password has no such size"};
    if (credential->iterations == 0)
        return (struct answer){KAFKA_RESOURCE_NOT_FOUND, "there is no such credential"};
    *credential = (struct scram_credential){0};
    return fine;
}

/* What a request wants of one user. */
struct wish {
    const struct alteration *list;
    int32_t count;
    struct answer answer;
};

/* All of it, or nothing. */
static int grant(void *context, struct user *user)
{
    struct wish *wish = context;
    const struct alteration *list = wish->list;
    wish->answer = fine;
    for (int32_t i = 0; i < wish->count && wish->answer.error == KAFKA_NONE; i++) {
        if (i > 0 && list[i].mechanism == list[i - 1].mechanism)
            wish->answer =
                (struct answer){KAFKA_DUPLICATE_RESOURCE, "a credential is changed more than once"};
        else
            wish->answer = check(&list[i]);
        if (wish->answer.error == KAFKA_NONE)
            wish->answer = change(user, &list[i]);
    }
    return wish->answer.error == KAFKA_NONE ? 0 : ERR_INVALID;
}

static struct answer alter_user(struct log *log, const struct alteration *list, int32_t count)
{
    struct wish wish = {list, count, fine};
    int code = user_change(log, list[0].name, grant, &wish, NULL);
    return wish.answer.error != KAFKA_NONE ? wish.answer : error_of(code);
}

static int32_t same_name(const struct alteration *list, int32_t count, int32_t from)
{
    int32_t next = from + 1;
    while (next < count && strcmp(list[next].name, list[from].name) == 0)
        next++;
    return next;
}

/* The salted passwords, in the request's frame: with one of them anybody can log in. */
static void wipe(struct kafka_request *request, const struct alteration *list, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (list[i].salted.size > 0)
            explicit_bzero(request->frame_memory.data + (list[i].salted.data - request->frame.data),
                           list[i].salted.size);
}

enum kafka_result kafka_handle_alter_scram(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    struct wire_reader start = *in;
    /* Both counts before memory is taken: the first list is passed over once. */
    struct alteration one;
    int32_t deletions = wire_read_array(in, 3);
    for (int32_t i = 0; i < deletions && wire_read_ok(in); i++)
        read_alterations(request, &one, true, 1);
    int32_t upsertions = wire_read_array(in, 9);
    int32_t count = deletions + upsertions, users = 0;
    struct alteration *list =
        wire_read_ok(in) ? arena_alloc(&request->arena, ((size_t)count + 1) * sizeof *list) : NULL;
    if (list == NULL)
        return KAFKA_CLOSE;
    *in = start;
    wire_read_array(in, 3);
    read_alterations(request, list, true, deletions);
    wire_read_array(in, 9);
    read_alterations(request, list + deletions, false, upsertions);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    qsort(list, (size_t)count, sizeof *list, compare_alterations);
    for (int32_t i = 0; i < count; i = same_name(list, count, i))
        users++;
    wire_write_i32(w, 0);
    wire_write_array(w, users);
    for (int32_t i = 0, next; i < count; i = next) {
        next = same_name(list, count, i);
        struct answer answer =
            kafka_check_cluster(request) == KAFKA_NONE
                ? alter_user(request->log, list + i, next - i)
                : (struct answer){KAFKA_CLUSTER_AUTHORIZATION_FAILED,
                                  "the client may not alter the cluster"};
        wire_write_text(w, list[i].name);
        wire_write_i16(w, (int16_t)answer.error);
        wire_write_text(w, answer.message);
        wire_write_tags(w);
    }
    wipe(request, list, count);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
