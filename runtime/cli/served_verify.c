/* served_verify.c: see served_verify.h. What the server answers becomes the structures that a verification of a directory fills, so
 * that the same code prints both. */
#include "runtime/cli/served_verify.h"

#include "runtime/http/http.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_MOST = 1000 };

static void give_difference(const struct served_verify *verify, struct bytes object)
{
    enum { KIND, WHERE, TOPIC, KEY, EXPECTED, FOUND, TEXT, TEXTS };
    static const char *const names[TEXTS] = {"difference", "where", "topic", "key",
                                             "expected",   "found", "text"};
    char *texts[TEXTS];
    struct bytes bytes[TEXTS];
    for (int i = 0; i < TEXTS; i++) {
        texts[i] = http_answer_text(object, names[i]);
        bytes[i] = texts[i] != NULL ? bytes_text(texts[i]) : bytes_of(NULL, 0);
    }
    const struct verify_difference difference = {
        .kind = texts[KIND] != NULL ? texts[KIND] : "",
        .where = texts[WHERE] != NULL ? texts[WHERE] : "",
        .topic = texts[TOPIC] != NULL ? texts[TOPIC] : "",
        .partition = (int32_t)http_answer_number(object, "partition", -1),
        .offset = http_answer_number(object, "offset", -1),
        .key = bytes[KEY],
        .expected = bytes[EXPECTED],
        .found = bytes[FOUND],
        .text = texts[TEXT] != NULL ? texts[TEXT] : "",
    };
    verify->each(verify->context, &difference);
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
}

static void take_totals(struct verify_outcome *r, struct bytes answer)
{
    struct bytes totals = bytes_of("", 0);
    struct {
        const char *name;
        int64_t *number;
    } all[] = {
        {"rows_read", &r->rows_read}, {"rows_made", &r->made},
        {"applied", &r->applied},     {"filtered", &r->filtered},
        {"late", &r->late},           {"duplicate", &r->duplicate},
        {"unmatched", &r->unmatched}, {"dead", &r->dead},
        {"undecided", &r->undecided}, {"results", &r->groups},
        {"closed", &r->closed},       {"open", &r->open},
        {"waiting", &r->waiting},     {"inexpressible", &r->inexpressible},
        {"states", &r->states},       {"records", &r->records},
        {"compared", &r->compared},   {"differences", &r->differences},
    };
    (void)json_find_member(answer, "totals", &totals);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i].number = http_answer_number(totals, all[i].name, 0);
    r->is_rows = http_answer_truth(answer, "is_rows");
    r->is_of_tables = http_answer_truth(answer, "is_of_tables");
    r->is_windowed = http_answer_truth(answer, "is_windowed");
}

static void take_name(struct bytes answer, const char *name, char text[250])
{
    char *found = http_answer_text(answer, name);
    snprintf(text, 250, "%s", found != NULL ? found : "");
    free(found);
}

static void take_answer(struct served_verify *verify, struct bytes answer)
{
    struct json_list differences = http_answer_list(answer, "differences");
    struct bytes object, seconds;
    while (json_list_next(&differences, &object))
        give_difference(verify, object);
    take_totals(&verify->outcome, answer);
    take_name(answer, "app", verify->found_app);
    take_name(answer, "view", verify->topic);
    if (json_find_member(answer, "seconds", &seconds))
        verify->seconds = strtod((const char *)seconds.data, NULL); /* a comma or a brace follows */
}

int served_verify(struct http_client *client, struct served_verify *verify)
{
    struct buf target = {0};
    struct bytes answer;
    http_path(&target, "/api/v1/pipelines");
    http_path_part(&target, verify->view);
    http_path(&target, "/verify");
    http_path_argument(&target, "app", verify->app);
    http_path_number(&target, "max", verify->max < MAX_MOST ? verify->max : MAX_MOST);
    http_path_number(&target, "memory",
                     verify->memory_mib < HTTP_VERIFY_MIB ? verify->memory_mib : HTTP_VERIFY_MIB);
    int exit_code = http_client_ask(client, &target, bytes_of("", 0), HTTP_LATER, &answer);
    buf_deinit(&target);
    if (exit_code == 0)
        take_answer(verify, answer);
    return exit_code;
}
