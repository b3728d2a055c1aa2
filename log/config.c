/* config.c: the configuration keys of a topic: one table, from which checking, defaults and help
 * come.
 *
 * A topic stores only what its creator set, as text; effective values are computed when a topic is
 * loaded or altered. Adding a key is one line in the table and, when the log itself acts on it, one
 * line in config_effective. Keys that Kafka has keep Kafka's name and meaning; ours begin with
 * "weir.". */
#include "log/log_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum config_kind { KIND_NUMBER, KIND_BOOL, KIND_POLICY, KIND_TEXT };

enum { TEXT_LIMIT_BYTES = 4096, SEGMENT_BYTES_MIN = 256, KEY_COUNT = 7 };

static const struct config_key {
    const char *name;
    enum config_kind kind;
    int64_t min, max;
    const char *fallback; /* NULL: none; "" in numbers: from struct log_options */
} keys[KEY_COUNT] = {
    {"cleanup.policy", KIND_POLICY, 0, 0, "delete"},
    {"max.message.bytes", KIND_NUMBER, 0, 1 << 30, "104857600"},
    {"message.timestamp.after.max.ms", KIND_NUMBER, 0, INT64_MAX, "3600000"},
    /* Positions in .index are 32 bits; a marker may follow the last batch. */
    {"segment.bytes", KIND_NUMBER, SEGMENT_BYTES_MIN, INT32_MAX, ""},
    {"segment.ms", KIND_NUMBER, 1, INT64_MAX, ""},
    {"weir.internal", KIND_BOOL, 0, 0, "false"},
    {"weir.partitioned.by", KIND_TEXT, 0, 0, NULL},
};

const char *config_key(size_t i)
{
    return i < KEY_COUNT ? keys[i].name : NULL;
}

static const struct config_key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* ---- checking ---- */

static int parse_number(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (text[0] == '\0' || *end != '\0' || errno != 0 || text[0] == ' ')
        return ERR_INVALID;
    *value = parsed;
    return 0;
}

static bool is_policy(const char *text)
{
    return strcmp(text, "delete") == 0 || strcmp(text, "compact") == 0 ||
           strcmp(text, "compact,delete") == 0 || strcmp(text, "delete,compact") == 0;
}

static int check_value(const struct config_key *key, const char *value, struct diag *diag)
{
    int64_t number;
    switch (key->kind) {
    case KIND_NUMBER:
        if (parse_number(value, &number) == 0 && number >= key->min && number <= key->max)
            return 0;
        return diag_set(diag, ERR_INVALID, "%s=%s: a whole number from %lld to %lld is needed",
                        key->name, value, (long long)key->min, (long long)key->max);
    case KIND_BOOL:
        if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
            return 0;
        return diag_set(diag, ERR_INVALID, "%s=%s: true or false is needed", key->name, value);
    case KIND_POLICY:
        if (is_policy(value))
            return 0;
        return diag_set(diag, ERR_INVALID, "%s=%s: delete, compact or compact,delete is needed",
                        key->name, value);
    case KIND_TEXT:
        break;
    }
    if (strlen(value) > TEXT_LIMIT_BYTES)
        return diag_set(diag, ERR_INVALID, "%s: at most %d bytes", key->name, TEXT_LIMIT_BYTES);
    return 0;
}

size_t edit_distance(const char *a, const char *b)
{
    size_t row[EDIT_DISTANCE_BYTES + 1], length = strlen(b);
    if (length > EDIT_DISTANCE_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t change = diagonal + (a[i] != b[j]);
            size_t smaller = row[j] < row[j + 1] ? row[j] + 1 : row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < smaller ? change : smaller;
        }
    }
    return row[length];
}

static int unknown_key(const char *name, struct diag *diag)
{
    size_t best = 0, best_distance = SIZE_MAX;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t distance = edit_distance(name, keys[i].name);
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    if (best_distance <= 4)
        return diag_set(diag, ERR_INVALID, "unknown configuration key %s; did you mean %s?", name,
                        keys[best].name);
    return diag_set(diag, ERR_INVALID,
                    "unknown configuration key %s; known are cleanup.policy, max.message.bytes, "
                    "message.timestamp.after.max.ms, segment.bytes, segment.ms, weir.internal, "
                    "weir.partitioned.by",
                    name);
}

/* ---- sets ---- */

void config_set_deinit(struct config_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->pairs[i].key);
        free(set->pairs[i].value);
    }
    free(set->pairs);
    *set = (struct config_set){0};
}

static struct config_pair *find_pair(const struct config_set *set, const char *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->pairs[i].key, key) == 0)
            return &set->pairs[i];
    return NULL;
}

static void remove_pair(struct config_set *set, const char *key)
{
    struct config_pair *pair = find_pair(set, key);
    if (pair == NULL)
        return;
    free(pair->key);
    free(pair->value);
    *pair = set->pairs[set->count - 1];
    set->count--;
}

static int put_pair(struct config_set *set, const char *key, const char *value)
{
    char *text = strdup(value);
    struct config_pair *pair = find_pair(set, key);
    if (text != NULL && pair != NULL) {
        free(pair->value);
        pair->value = text;
        return 0;
    }
    struct config_pair *pairs = realloc(set->pairs, (set->count + 1) * sizeof *pairs);
    char *name = strdup(key);
    if (pairs != NULL)
        set->pairs = pairs;
    if (text == NULL || name == NULL || pairs == NULL) {
        free(text);
        free(name);
        return ERR_NOMEM;
    }
    pairs[set->count++] = (struct config_pair){name, text};
    return 0;
}

int config_set_copy(const struct config_set *from, struct config_set *to)
{
    *to = (struct config_set){0};
    for (size_t i = 0; i < from->count; i++)
        if (put_pair(to, from->pairs[i].key, from->pairs[i].value) < 0) {
            config_set_deinit(to);
            return ERR_NOMEM;
        }
    return 0;
}

int config_set_merge(struct config_set *set, const struct config_entry *entries, size_t count,
                     struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_key *key = entries[i].key != NULL ? find_key(entries[i].key) : NULL;
        if (key == NULL)
            return unknown_key(entries[i].key != NULL ? entries[i].key : "(null)", diag);
        if (entries[i].value != NULL)
            TRY(check_value(key, entries[i].value, diag));
    }
    struct config_set merged;
    int rc = config_set_copy(set, &merged);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (entries[i].value == NULL)
            remove_pair(&merged, entries[i].key);
        else
            rc = put_pair(&merged, entries[i].key, entries[i].value);
    }
    if (rc < 0) {
        config_set_deinit(&merged);
        return diag_set(diag, rc, "no memory for a topic's configuration");
    }
    config_set_deinit(set);
    *set = merged;
    return 0;
}

int config_set_encode(const struct config_set *set, struct buf *out)
{
    for (size_t i = 0; i < set->count; i++) {
        buf_be16(out, (uint16_t)strlen(set->pairs[i].key));
        buf_append(out, set->pairs[i].key, strlen(set->pairs[i].key));
        buf_be16(out, (uint16_t)strlen(set->pairs[i].value));
        buf_append(out, set->pairs[i].value, strlen(set->pairs[i].value));
    }
    return buf_ok(out) ? 0 : ERR_NOMEM;
}

static int take_text(struct bytes *in, char **text)
{
    uint16_t size;
    struct bytes data;
    TRY(take_be16(in, &size));
    TRY(take_bytes(in, size, &data));
    *text = strndup((const char *)data.data, data.size);
    return *text != NULL ? 0 : ERR_NOMEM;
}

int config_set_decode(struct bytes in, uint16_t count, struct config_set *set)
{
    *set = (struct config_set){0};
    int rc = 0;
    for (uint16_t i = 0; rc == 0 && i < count; i++) {
        char *key = NULL, *value = NULL;
        rc = take_text(&in, &key);
        if (rc == 0)
            rc = take_text(&in, &value);
        /* A key that this version does not know was written by a newer one; it stays stored. */
        if (rc == 0)
            rc = put_pair(set, key, value);
        free(key);
        free(value);
    }
    if (rc == 0 && in.size != 0)
        rc = ERR_CORRUPT;
    if (rc < 0)
        config_set_deinit(set);
    return rc;
}

/* ---- effective values ---- */

static int64_t number_of(const struct config_set *set, const char *key, int64_t fallback)
{
    const struct config_pair *pair = find_pair(set, key);
    int64_t value;
    return pair != NULL && parse_number(pair->value, &value) == 0 ? value : fallback;
}

void config_effective(const struct config_set *set, const struct log_options *options,
                      struct topic_config *config)
{
    const struct config_pair *internal = find_pair(set, "weir.internal");
    const struct config_pair *policy = find_pair(set, "cleanup.policy");
    config->segment_bytes = number_of(set, "segment.bytes", options->segment_bytes);
    config->segment_ms = number_of(set, "segment.ms", options->segment_ms);
    config->max_message_bytes = number_of(set, "max.message.bytes", 100 << 20);
    config->timestamp_after_max_ms = number_of(set, "message.timestamp.after.max.ms", 3600000);
    config->internal = internal != NULL && strcmp(internal->value, "true") == 0;
    config->compacted = policy != NULL && strstr(policy->value, "compact") != NULL;
}

int config_text(const struct config_set *set, const struct log_options *options, const char *key,
                char *value, size_t value_size, bool *is_set)
{
    const struct config_key *known = find_key(key);
    const struct config_pair *pair = find_pair(set, key);
    *is_set = pair != NULL;
    if (value_size > 0)
        value[0] = '\0';
    if (known == NULL)
        return ERR_NOT_FOUND;
    int length;
    if (pair != NULL)
        length = snprintf(value, value_size, "%s", pair->value);
    else if (known->fallback == NULL)
        return ERR_NOT_FOUND;
    else if (known->fallback[0] != '\0')
        length = snprintf(value, value_size, "%s", known->fallback);
    else
        length = snprintf(value, value_size, "%lld",
                          (long long)(strcmp(key, "segment.bytes") == 0 ? options->segment_bytes
                                                                        : options->segment_ms));
    return length >= 0 && (size_t)length < value_size ? 0 : ERR_TOO_LARGE;
}
