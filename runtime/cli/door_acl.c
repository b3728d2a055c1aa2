/* door_acl.c: access lists of a directory that the command has opened (see door_acl.h). */
#include "runtime/cli/door_acl.h"

#include <stdlib.h>

static size_t text_size(const struct acl_binding *b)
{
    return strlen(b->name) + strlen(b->principal) + strlen(b->host) + 3;
}

static const char *put_text(char **rest, const char *text)
{
    char *copy = *rest;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *rest += size;
    return copy;
}

struct acl_binding *door_acl_copy(const struct acl_binding *(*at)(const void *context, size_t i),
                                  const void *context, size_t count)
{
    size_t size = (count + 1) * sizeof(struct acl_binding);
    for (size_t i = 0; i < count; i++)
        size += text_size(at(context, i));
    struct acl_binding *list = malloc(size);
    char *rest = (char *)(list + count + 1);
    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = *at(context, i);
        list[i].name = put_text(&rest, list[i].name);
        list[i].principal = put_text(&rest, list[i].principal);
        list[i].host = put_text(&rest, list[i].host);
    }
    return list;
}

struct matching {
    const struct acl_rules *rules;
    size_t *indexes;
};

static const struct acl_binding *match_at(const void *context, size_t i)
{
    const struct matching *matching = context;
    return acl_rules_at(matching->rules, matching->indexes[i]);
}

int log_acl_list(struct door *door, const struct acl_binding *filter, struct acl_binding **list,
                 size_t *count, struct diag *diag)
{
    struct acl_rules *rules = acl_rules_take(door->log);
    size_t total = acl_rules_count(rules);
    struct matching matching = {rules, malloc((total + 1) * sizeof(size_t))};
    *count = 0;
    *list = NULL;
    for (size_t i = 0; matching.indexes != NULL && i < total; i++)
        if (acl_filter_matches(filter, acl_rules_at(rules, i)))
            matching.indexes[(*count)++] = i;
    if (matching.indexes != NULL)
        *list = door_acl_copy(match_at, &matching, *count);
    free(matching.indexes);
    acl_rules_give_back(rules);
    return *list != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for the access lists");
}

int log_acl_add(struct door *door, const struct acl_binding *bindings, size_t count,
                struct diag *diag)
{
    struct acl_change change = {.add = bindings, .add_count = count};
    return acl_change(door->log, &change, NULL, diag);
}

int log_acl_delete(struct door *door, const struct acl_binding *filter, size_t *count,
                   struct diag *diag)
{
    struct acl_change change = {.filters = filter, .filter_count = 1};
    struct acl_rules *before = NULL;
    int code = acl_change(door->log, &change, &before, diag);
    *count = 0;
    for (size_t i = 0; code == 0 && i < acl_rules_count(before); i++)
        *count += acl_filter_matches(filter, acl_rules_at(before, i));
    acl_rules_give_back(before);
    return code;
}
