/* cli_acl.c: weir acl add, list, delete: who may do what, where users connect to a directory that is served.
 *
 * A command names a user, operations and one resource: that is a binding for each operation, or a filter. The lists are log/acl.h's, in a directory or behind a
 * server (door_acl.h); this file reads words and prints them. */
#include "runtime/cli/door_acl.h"
#include "runtime/cli/nouns.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPERATIONS_MAX = 16 };

struct asked {
    char principal[ACL_PRINCIPAL_BYTES + 16];
    struct acl_binding binding; /* of the first operation, or ANY */
    uint8_t operations[OPERATIONS_MAX];
    size_t operation_count;
};

/* ---- words ---- */

/* Kafka's spelling as it is typed here: "IdempotentWrite" is "idempotent-write". */
static void word_of(const char *text, char word[32])
{
    size_t size = 0;
    for (const char *at = text != NULL ? text : "unknown"; *at != '\0' && size < 30; at++) {
        if (isupper((unsigned char)*at) && at != text)
            word[size++] = '-';
        word[size++] = (char)tolower((unsigned char)*at);
    }
    word[size] = '\0';
}

/* Letters may be small or large, and dashes are left out or not: Kafka's own spelling is understood. */
static bool same_word(const char *kafka, const char *typed, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (typed[i] == '-' || typed[i] == '_')
            continue;
        if (tolower((unsigned char)typed[i]) != tolower((unsigned char)*kafka) || *kafka == '\0')
            return false;
        kafka++;
    }
    return *kafka == '\0';
}

/* 0: there is none. */
static uint8_t operation_of(const char *typed, size_t size)
{
    for (unsigned number = ACL_ALL; number <= ACL_IDEMPOTENT_WRITE; number++)
        if (same_word(acl_operation_text(number), typed, size))
            return (uint8_t)number;
    return 0;
}

static int read_operations(const struct cli *cli, const char *flag, const char *list,
                           struct asked *asked)
{
    for (const char *at = list; *at != '\0';) {
        size_t size = strcspn(at, ",");
        uint8_t operation = operation_of(at, size);
        if (operation == 0 || asked->operation_count == OPERATIONS_MAX)
            return usage_error(cli,
                               "--%s takes operations (all, read, write, create, delete, alter, "
                               "describe, cluster-action, describe-configs,\n"
                               "alter-configs, idempotent-write), not '%.*s'",
                               flag, (int)size, at);
        asked->operations[asked->operation_count++] = operation;
        at += size;
        at += *at == ',';
    }
    return 0;
}

/* ---- what was asked ---- */

static int read_permission(const struct cli *cli, struct asked *asked)
{
    const char *allow = flag_text(cli, "allow"), *deny = flag_text(cli, "deny");
    if (allow != NULL && deny != NULL)
        return usage_error(cli, "--allow and --deny do not go together");
    if (allow == NULL && deny == NULL)
        return 0;
    asked->binding.permission = allow != NULL ? ACL_ALLOW : ACL_DENY;
    return read_operations(cli, allow != NULL ? "allow" : "deny", allow != NULL ? allow : deny,
                           asked);
}

static int read_resource(const struct cli *cli, struct asked *asked)
{
    static const struct {
        const char *flag;
        enum acl_resource resource;
    } kinds[] = {
        {"topic", ACL_TOPIC}, {"group", ACL_GROUP}, {"transactional-id", ACL_TRANSACTIONAL_ID}};
    struct acl_binding *b = &asked->binding;
    int named = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *name = flag_text(cli, kinds[i].flag);
        if (name == NULL)
            continue;
        b->resource = (uint8_t)kinds[i].resource;
        b->name = name;
        named++;
    }
    if (flag_is_on(cli, "cluster")) {
        b->resource = ACL_CLUSTER;
        b->name = ACL_CLUSTER_NAME;
        named++;
    }
    if (named > 1)
        return usage_error(cli, "one of --topic, --group, --transactional-id and --cluster");
    if (flag_is_on(cli, "prefixed") && (named == 0 || b->resource == ACL_CLUSTER))
        return usage_error(cli, "--prefixed goes with --topic, --group or --transactional-id");
    if (named > 0)
        b->pattern = flag_is_on(cli, "prefixed") ? ACL_PREFIXED : ACL_LITERAL;
    return 0;
}

/* The user, the operations, the resource and the host; what is not said is ANY, or NULL. */
static int read_asked(const struct cli *cli, struct asked *asked)
{
    const char *user = cli->argument_count > 0 ? cli->arguments[0] : NULL;
    *asked = (struct asked){.binding = {.resource = ACL_RESOURCE_ANY,
                                        .pattern = ACL_PATTERN_ANY,
                                        .operation = ACL_OPERATION_ANY,
                                        .permission = ACL_PERMISSION_ANY,
                                        .host = flag_text(cli, "host")}};
    if (user != NULL && strlen(user) > ACL_PRINCIPAL_BYTES)
        return usage_error(cli, "a user's name has at most %d bytes", ACL_PRINCIPAL_BYTES);
    if (user != NULL) {
        snprintf(asked->principal, sizeof asked->principal, "%s%s",
                 strncmp(user, "User:", 5) == 0 ? "" : "User:", user);
        asked->binding.principal = asked->principal;
    }
    int exit_code = read_permission(cli, asked);
    if (exit_code == 0)
        exit_code = read_resource(cli, asked);
    if (asked->operation_count == 1)
        asked->binding.operation = asked->operations[0];
    return exit_code;
}

/* One word too many for a filter. */
static int check_filter(const struct cli *cli, const struct asked *asked)
{
    return asked->operation_count > 1 ? usage_error(cli, "one operation at a time") : 0;
}

/* ---- add ---- */

static int make_bindings(const struct cli *cli, const struct asked *asked,
                         struct acl_binding bindings[OPERATIONS_MAX])
{
    struct diag diag = {0};
    if (asked->operation_count == 0 || asked->binding.resource == ACL_RESOURCE_ANY)
        return usage_error(cli, "a binding says --allow or --deny, and --topic, --group, "
                                "--transactional-id or --cluster");
    for (size_t i = 0; i < asked->operation_count; i++) {
        bindings[i] = asked->binding;
        bindings[i].operation = asked->operations[i];
        if (bindings[i].host == NULL)
            bindings[i].host = "*";
        if (acl_binding_check(&bindings[i], &diag) < 0)
            return usage_error(cli, "%s", diag.text);
    }
    return 0;
}

static int count_all(struct door *door, size_t *count, struct diag *diag)
{
    struct acl_binding *list, all = {.resource = ACL_RESOURCE_ANY,
                                     .pattern = ACL_PATTERN_ANY,
                                     .operation = ACL_OPERATION_ANY,
                                     .permission = ACL_PERMISSION_ANY};
    int code = door->ops->acl_list(door, &all, &list, count, diag);
    free(list);
    return code;
}

static int run_add(struct cli *cli)
{
    struct asked asked;
    struct acl_binding bindings[OPERATIONS_MAX];
    struct door door;
    struct diag diag = {0};
    size_t before = 0;
    int exit_code = read_asked(cli, &asked);
    if (exit_code == 0)
        exit_code = make_bindings(cli, &asked, bindings);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MAY_CREATE, &door);
    if (exit_code != 0)
        return exit_code;
    int code = count_all(&door, &before, &diag);
    if (code == 0)
        code = door.ops->acl_add(&door, bindings, asked.operation_count, &diag);
    door_close(&door);
    if (code < 0)
        return failed(code, &diag);
    if (before == 0)
        hint("this is the first: from now on nobody may do what no binding allows him, but who "
             "'weir serve --super-user NAME' names");
    return EXIT_OK;
}

/* ---- list ---- */

static void put_json(const struct acl_binding *b)
{
    char resource[32], operation[32];
    word_of(acl_resource_text(b->resource), resource);
    word_of(acl_operation_text(b->operation), operation);
    out_text("{\"principal\":");
    out_json_text(b->principal);
    buf_printf(&out, ",\"permission\":\"%s\",\"operation\":\"%s\",\"resource\":\"%s\"",
               b->permission == ACL_ALLOW ? "allow" : "deny", operation, resource);
    out_text(",\"name\":");
    out_json_text(b->name);
    buf_printf(
        &out, ",\"pattern\":\"%s\",\"host\":", b->pattern == ACL_PREFIXED ? "prefixed" : "literal");
    out_json_text(b->host);
    out_text("}\n");
}

static void put_row(struct table *table, const struct acl_binding *b)
{
    char resource[32], operation[32];
    word_of(acl_resource_text(b->resource), resource);
    word_of(acl_operation_text(b->operation), operation);
    bool is_user = strncmp(b->principal, "User:", 5) == 0;
    table_cell(table, "%s", is_user ? b->principal + 5 : b->principal);
    table_cell(table, "%s", b->permission == ACL_ALLOW ? "allow" : "deny");
    table_cell(table, "%s", operation);
    table_cell(table, "%s", resource);
    table_cell(table, "%s%s", b->name, b->pattern == ACL_PREFIXED ? "…" : "");
    table_cell(table, "%s", b->host);
}

static void put_list(const struct acl_binding *list, size_t count, bool json)
{
    static const char *const headers[] = {"USER",     "PERMISSION", "OPERATION",
                                          "RESOURCE", "NAME",       "HOST"};
    struct table table;
    table_init(&table, headers, 6);
    for (size_t i = 0; i < count; i++) {
        if (json)
            put_json(&list[i]);
        else
            put_row(&table, &list[i]);
    }
    table_print(&table, !json && count > 0);
}

/* The answer of a server that does not show them is the same as of one that has none. */
static void hint_hidden(void)
{
    hint("there is none, or none for you to see: a server shows them to who may describe the "
         "cluster, if it asks who that is at all");
}

static int run_list(struct cli *cli)
{
    struct asked asked;
    struct acl_binding *list = NULL;
    struct door door;
    struct diag diag = {0};
    size_t count = 0;
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    int exit_code = read_asked(cli, &asked);
    if (exit_code == 0)
        exit_code = check_filter(cli, &asked);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    int code = door.ops->acl_list(&door, &asked.binding, &list, &count, &diag);
    bool may_be_hidden = door.remote != NULL && count == 0;
    door_close(&door);
    if (code == 0)
        put_list(list, count, format == FORMAT_JSON);
    if (code == 0 && may_be_hidden)
        hint_hidden();
    free(list);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

/* ---- delete ---- */

/* What would go, and whether that is meant. 0, or an ERR_ code after diag; *goes_on false: it was said what to do. */
static int look_first(const struct cli *cli, struct door *door, const struct asked *asked,
                      bool *goes_on, struct diag *diag)
{
    struct acl_binding *list;
    size_t count;
    *goes_on = false;
    TRY(door->ops->acl_list(door, &asked->binding, &list, &count, diag));
    if (count == 0) {
        message("there is no such binding");
        if (door->remote != NULL)
            hint_hidden();
        else
            hint("'weir acl list' shows them");
    } else if (count > 1 && !flag_is_on(cli, "yes")) {
        put_list(list, count, false);
        out_flush();
        message("these are %zu bindings", count);
        hint("--yes deletes them all");
    } else {
        *goes_on = true;
    }
    free(list);
    return 0;
}

static int run_delete(struct cli *cli)
{
    struct asked asked;
    struct door door;
    struct diag diag = {0};
    size_t count = 0;
    bool goes_on = false;
    int exit_code = read_asked(cli, &asked);
    if (exit_code == 0)
        exit_code = check_filter(cli, &asked);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    int code = look_first(cli, &door, &asked, &goes_on, &diag);
    if (code == 0 && goes_on)
        code = door.ops->acl_delete(&door, &asked.binding, &count, &diag);
    if (code == 0 && goes_on)
        code = count_all(&door, &count, &diag);
    door_close(&door);
    if (code < 0)
        return failed(code, &diag);
    if (goes_on && count == 0)
        hint("there is none left: everybody who connects may do everything, but where 'weir serve "
             "--super-user' says who may");
    return goes_on ? EXIT_OK : EXIT_FAILED;
}

/* ---- the table ---- */
#define RESOURCE_FLAGS                                                                             \
    {"allow", "OPERATIONS", "what the user may do: read, write, … apart by commas; all", false,    \
     0},                                                                                           \
        {"deny", "OPERATIONS", "what he may not, whatever else allows it", false, 0},              \
        {"topic", "NAME", "of this topic; '*': of all", false, 0},                                 \
        {"group", "NAME", "of this consumer group", false, 0},                                     \
        {"transactional-id", "NAME", "of this transactional id", false, 0},                        \
        {"cluster", NULL, "of all there is: creating topics, users, access lists", false, 0},      \
        {"prefixed", NULL, "of every name that begins with NAME", false, 0},                       \
    {                                                                                              \
        "host", "ADDRESS", "when he connects from there [everywhere]", false, 0                    \
    }

static const struct flag add_flags[] = {
    RESOURCE_FLAGS,
    {NULL, NULL, NULL, false, 0},
};
static const struct flag list_flags[] = {
    RESOURCE_FLAGS,
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag delete_flags[] = {
    RESOURCE_FLAGS,
    {"yes", NULL, "all of them, when there are several", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_acl_add = {
    .noun = "acl",
    .verb = "add",
    .arguments = "USER",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "allow or deny a user something",
    .examples = "  weir acl add alice --allow read,write --topic orders\n"
                "  weir acl add billing --allow read --group billing --prefixed\n"
                "  weir acl add '*' --deny all --topic secret\n"
                "  weir acl add boss --allow all --cluster\n",
    .details = "USER is one of 'weir user list', the name on a client's certificate "
               "(CN=alice,O=shop), or '*' "
               "for everybody. What one binding denies no other\n"
               "allows; read, write, delete and alter allow describe, too. The first binding "
               "forbids whatever none allows, but to super users\n"
               "('weir serve --super-user'): docs/security.md.\n",
    .flags = add_flags,
    .reach = REACHES_KAFKA,
    .run = run_add,
};
const struct command command_acl_list = {
    .noun = "acl",
    .verb = "list",
    .arguments = "[USER]",
    .max_arguments = 1,
    .summary = "who may do what",
    .examples = "  weir acl list\n"
                "  weir acl list alice\n"
                "  weir acl list --topic orders --format json\n",
    .details = "With a user, an operation or a resource: those that are bound to it.\n",
    .flags = list_flags,
    .reach = REACHES_KAFKA,
    .run = run_list,
};
const struct command command_acl_delete = {
    .noun = "acl",
    .verb = "delete",
    .arguments = "[USER]",
    .max_arguments = 1,
    .summary = "take bindings back",
    .examples = "  weir acl delete alice --allow write --topic orders\n"
                "  weir acl delete alice --yes\n",
    .details = "All that are bound to what is named: one by itself, several with --yes.\n",
    .flags = delete_flags,
    .reach = REACHES_KAFKA,
    .run = run_delete,
};
