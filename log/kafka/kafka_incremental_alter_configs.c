/* kafka_incremental_alter_configs.c: IncrementalAlterConfigs (key 44, versions 0 and 1).
 *
 *   request   resources {type i8, name, configs {key, operation i8, value (nullable), tags}, tags}, validate only bool, tags
 *   response  throttle time i32, responses {error i16, error message (nullable), type i8, name, tags}, tags
 *
 *   operation 0 sets; 1 resets to the default; 2 and 3 add the value's words to, and take them out of, a key that holds a list
 *
 * Words are added to, and taken from, what is in force. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_resource.h"

enum { SET = 0, DELETE = 1, APPEND = 2, SUBTRACT = 3, LIST_BYTES = 8192 };

static void read_config(struct kafka_request *request, struct kafka_alteration *alteration)
{
    struct wire_reader *in = &request->in;
    struct bytes key = wire_read_string(in);
    int8_t operation = wire_read_i8(in);
    struct bytes value = wire_read_nullable_string(in);
    kafka_alteration_add(request, alteration, key, value, operation);
    if (alteration->trouble != NULL)
        return;
    if (operation < SET || operation > SUBTRACT)
        alteration->trouble = "an operation that there is not";
    else if (operation != DELETE && value.data == NULL)
        alteration->trouble = "a config without a value";
}

/* ---- lists ---- */

/* The next word of a list, NULL at its end; blanks around words are no part of them. */
static struct bytes next_word(const char **at)
{
    *at += strspn(*at, ", ");
    size_t size = strcspn(*at, ",");
    const char *word = *at;
    *at += size;
    while (size > 0 && word[size - 1] == ' ')
        size--;
    return size > 0 ? bytes_of(word, size) : (struct bytes){NULL, 0};
}

static bool has_word(const char *list, struct bytes word)
{
    for (struct bytes next = next_word(&list); next.data != NULL; next = next_word(&list))
        if (bytes_equal(next, word))
            return true;
    return false;
}

/* Adds the words of from that are not among those of unless. list has room for all of them. */
static void add_words(char *list, const char *from, const char *unless)
{
    size_t length = strlen(list);
    for (struct bytes word = next_word(&from); word.data != NULL; word = next_word(&from)) {
        if (has_word(unless, word))
            continue;
        if (length > 0)
            list[length++] = ',';
        memcpy(list + length, word.data, word.size);
        length += word.size;
        list[length] = '\0';
    }
}

/* Replaces an entry that adds or takes words by one that sets what comes of it. */
static enum kafka_error settle_list(struct kafka_request *request,
                                    const struct kafka_alteration *alteration,
                                    struct config_entry *entry, int8_t operation, struct diag *diag)
{
    const struct config_key *key = config_key_find(entry->key);
    char now[LIST_BYTES] = "";
    if (key == NULL)
        return KAFKA_NONE; /* topic_alter says what is wrong with it */
    if (key->role == KEY_REFUSED || kafka_config_type(key) != KAFKA_CONFIG_LIST) {
        diag_set(diag, ERR_INVALID, "%s holds no list: it can be set, not added to", key->name);
        return KAFKA_INVALID_CONFIG;
    }
    int code = topic_config_get(request->log, alteration->topic, key->name, now, sizeof now);
    char *list = arena_zalloc(&request->arena, strlen(now) + strlen(entry->value) + 2);
    if (code < 0 || list == NULL) {
        diag_set(diag, code, "what %s is now cannot be read", key->name);
        return kafka_error_of(code < 0 ? code : ERR_NOMEM);
    }
    add_words(list, now, operation == APPEND ? "" : entry->value);
    if (operation == APPEND)
        add_words(list, entry->value, now);
    entry->value = list;
    return KAFKA_NONE;
}

static enum kafka_error settle(struct kafka_request *request, struct kafka_alteration *alteration,
                               struct diag *diag)
{
    for (size_t i = 0; i < alteration->count; i++) {
        struct config_entry *entry = &alteration->entries[i];
        int8_t operation = alteration->operations[i];
        enum kafka_error error = KAFKA_NONE;
        if (operation == DELETE)
            entry->value = NULL;
        if (operation == APPEND || operation == SUBTRACT)
            error = settle_list(request, alteration, entry, operation, diag);
        if (error != KAFKA_NONE)
            return error;
    }
    return KAFKA_NONE;
}

enum kafka_result kafka_handle_incremental_alter_configs(struct kafka_request *request)
{
    static const struct kafka_alter_api api = {5, read_config, settle};
    return kafka_alter_resources(request, &api);
}
