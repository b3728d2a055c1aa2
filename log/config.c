/* config.c: a topic's configuration: values checked, merged, stored as text, and made effective.
 *
 * A topic stores only what its creator set, as text; effective values are computed from the table
 * of keys (config_key.c) when a topic is loaded or altered. So a default that a newer version
 * changes changes for every topic that did not set it, and a key that this version does not know
 * stays stored. */
#include "log/log_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checking ---- */

static int parse_number(const char *text, int64_t *value)
{
    char *end;
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (*digits < '0' || *digits > '9') /* strtoll would take blanks and a plus */
        return ERR_INVALID;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0)
        return ERR_INVALID;
    *value = parsed;
    return 0;
}

/* Digits with at most one point. Not strtod: what it takes for a point depends on the locale of the
 * program that we are part of. */
static int parse_ratio(const char *text, double *value)
{
    enum { DIGITS_MAX = 15 }; /* so many are exact in a double */
    int64_t digits = 0, scale = 1;
    int count = 0;
    bool point = false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9' || ++count > DIGITS_MAX)
            return ERR_INVALID;
        digits = digits * 10 + (*at - '0');
        scale *= point ? 10 : 1;
    }
    if (count == 0)
        return ERR_INVALID;
    *value = (double)digits / (double)scale;
    return 0;
}

/* Whether word, of size bytes, is one of the words in list, which have `between` between them. */
static bool has_word(const char *list, const char *between, const char *word, size_t size)
{
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, between);
        if (length == size && memcmp(at, word, size) == 0)
            return true;
        at += length + strspn(at + length, between);
    }
    return false;
}

static bool policy_has(const char *policy, const char *word)
{
    return has_word(policy, ", ", word, strlen(word));
}

/* One or two words, a comma between them, and blanks as Kafka allows them. */
static bool is_policy(const char *text)
{
    size_t words = 0;
    for (const char *at = text;; at++) {
        at += strspn(at, " ");
        size_t length = strcspn(at, ", ");
        if (!has_word("delete compact", " ", at, length) || ++words > 2)
            return false;
        at += length;
        at += strspn(at, " ");
        if (*at == '\0')
            return words == 1 || (policy_has(text, "delete") && policy_has(text, "compact"));
        if (*at != ',')
            return false;
    }
}

static bool value_fits(const struct config_key *key, const char *value)
{
    int64_t number;
    double ratio;
    switch (key->kind) {
    case KIND_NUMBER:
        return parse_number(value, &number) == 0 && number >= key->min && number <= key->max;
    case KIND_RATIO:
        return parse_ratio(value, &ratio) == 0 && ratio >= (double)key->min &&
               ratio <= (double)key->max;
    case KIND_BOOL:
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    case KIND_CHOICE:
        return has_word(key->choices, " ", value, strlen(value));
    case KIND_POLICY:
        return is_policy(value);
    case KIND_TEXT:
        break;
    }
    return strlen(value) <= CONFIG_TEXT_LIMIT_BYTES;
}

static int check_value(const struct config_key *key, const char *value, struct diag *diag)
{
    char values[256];
    if (key->role == KEY_REFUSED)
        return diag_set(diag, ERR_INVALID, "%s cannot be set: %s", key->name, key->help);
    if (key->role == KEY_FIXED) {
        if (strcmp(value, key->fallback) == 0)
            return 0;
        return diag_set(diag, ERR_INVALID, "%s=%.100s: only %s is possible here. %s", key->name,
                        value, key->fallback[0] != '\0' ? key->fallback : "the empty value",
                        key->help);
    }
    if (value_fits(key, value))
        return 0;
    config_key_values(key, values, sizeof values);
    return diag_set(diag, ERR_INVALID, "%s=%.100s is not possible; possible: %s%s%s", key->name,
                    value, values, key->unit != NULL ? ", in " : "",
                    key->unit != NULL ? key->unit : "");
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

size_t edit_distance_limit(const char *name)
{
    return (strlen(name) + 1) / 3;
}

static int unknown_key(const char *name, struct diag *diag)
{
    const struct config_key *nearest = NULL, *key;
    size_t best = edit_distance_limit(name) + 1;
    for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
        size_t distance = edit_distance(name, key->name);
        if (distance < best && key->role != KEY_REFUSED) {
            best = distance;
            nearest = key;
        }
    }
    if (nearest == NULL)
        return diag_set(diag, ERR_INVALID,
                        "unknown configuration key %.100s. weir topic configs lists all", name);
    return diag_set(diag, ERR_INVALID,
                    "unknown configuration key %.100s; the nearest is %s. weir topic configs lists "
                    "all",
                    name, nearest->name);
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
        const struct config_key *key =
            entries[i].key != NULL ? config_key_find(entries[i].key) : NULL;
        bool goes = entries[i].key != NULL && entries[i].value == NULL &&
                    find_pair(set, entries[i].key) != NULL; /* a newer version's may be unset */
        if (key == NULL && !goes)
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

int topic_config_check(const struct config_entry *config, size_t config_count, struct diag *diag)
{
    struct config_set set = {0};
    int rc = config_set_merge(&set, config, config_count, diag);
    config_set_deinit(&set);
    return rc;
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

/* What was set, NULL: nothing. A value that this version would refuse, because another one set it or
 * because it is damaged, does not count. */
static const char *set_text(const struct config_set *set, const char *key)
{
    const struct config_pair *pair = find_pair(set, key);
    const struct config_key *known = config_key_find(key);
    return pair != NULL && known != NULL && check_value(known, pair->value, NULL) == 0 ? pair->value
                                                                                       : NULL;
}

/* The text in force: what was set, else the default. */
static const char *text_of(const struct config_set *set, const char *key)
{
    const char *text = set_text(set, key);
    return text != NULL ? text : config_key_find(key)->fallback;
}

static int64_t number_of(const struct config_set *set, const char *key)
{
    int64_t value;
    must(parse_number(text_of(set, key), &value) == 0);
    return value;
}

static double ratio_of(const struct config_set *set, const char *key)
{
    double value;
    must(parse_ratio(text_of(set, key), &value) == 0);
    return value;
}

static int compression_of(const char *text)
{
    if (strcmp(text, "producer") == 0)
        return COMPRESSION_PRODUCER;
    return strcmp(text, "uncompressed") == 0 ? CODEC_NONE : codec_from_name(text);
}

void config_effective(const struct config_set *set, const struct log_options *options,
                      struct topic_config *config)
{
    const char *policy = text_of(set, "cleanup.policy");
    *config = (struct topic_config){
        .segment_bytes = set_text(set, "segment.bytes") != NULL ? number_of(set, "segment.bytes")
                                                                : options->segment_bytes,
        .segment_ms = set_text(set, "segment.ms") != NULL ? number_of(set, "segment.ms")
                                                          : options->segment_ms,
        .segment_index_bytes = number_of(set, "segment.index.bytes"),
        .max_message_bytes = number_of(set, "max.message.bytes"),
        .timestamp_before_max_ms = number_of(set, "message.timestamp.before.max.ms"),
        .timestamp_after_max_ms = number_of(set, "message.timestamp.after.max.ms"),
        .retention_ms = number_of(set, "retention.ms"),
        .retention_bytes = number_of(set, "retention.bytes"),
        .min_compaction_lag_ms = number_of(set, "min.compaction.lag.ms"),
        .max_compaction_lag_ms = number_of(set, "max.compaction.lag.ms"),
        .delete_retention_ms = number_of(set, "delete.retention.ms"),
        .min_cleanable_dirty_ratio = ratio_of(set, "min.cleanable.dirty.ratio"),
        .compression = compression_of(text_of(set, "compression.type")),
        .log_append_time = strcmp(text_of(set, "message.timestamp.type"), "LogAppendTime") == 0,
        .deletes = policy_has(policy, "delete"),
        .compacted = policy_has(policy, "compact"),
        .internal = strcmp(text_of(set, "weir.internal"), "true") == 0,
    };
}

int config_text(const struct config_set *set, const struct log_options *options, const char *key,
                char *value, size_t value_size, bool *is_set)
{
    const struct config_key *known = config_key_find(key);
    const char *text = set_text(set, key);
    *is_set = text != NULL;
    if (value_size > 0)
        value[0] = '\0';
    if (known == NULL || (text == NULL && known->fallback == NULL))
        return ERR_NOT_FOUND;
    int length;
    if (text == NULL && strcmp(key, "segment.bytes") == 0)
        length = snprintf(value, value_size, "%lld", (long long)options->segment_bytes);
    else if (text == NULL && strcmp(key, "segment.ms") == 0)
        length = snprintf(value, value_size, "%lld", (long long)options->segment_ms);
    else
        length = snprintf(value, value_size, "%s", text != NULL ? text : known->fallback);
    return length >= 0 && (size_t)length < value_size ? 0 : ERR_TOO_LARGE;
}
