/* replay_notes.c: the durable note of what has been written back to its source.
 *
 * A note is about a source record, not about a letter. Two stages may have rejected one record, two
 * apps, two windows; a job that was reset rejects it once more. All of that is one record in its
 * topic, and written back twice it would count twice. A record is known by topic, partition, offset and a
 * fingerprint of what it is; so a topic that was deleted and made again has records of its own.
 *
 * Since any letters may be chosen (by class, by time, so many of them), no offset says what is done;
 * the notes say it record by record, in the compacted topic weir.dlq-replayed of one partition:
 *
 *   key    <target topic>/<source topic>/<source partition>/<source offset / 1024>
 *   value  {"version":1,"target":"<id of the target topic>","records":[[offset,"fingerprint"],…]}
 *
 * Fingerprints are 16 hex digits. A record holds all that was replayed of its block, not what a replay
 * added, so that compaction keeps exactly the state. The records are written in the transaction that
 * writes the replayed ones: both count, or neither. When the target was deleted since, the note means
 * nothing, and is overwritten when the topic that took its name gets records. */
#include "runtime/records/replay_notes.h"

#include "runtime/base/hash.h"
#include "runtime/records/topic_scan.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_OFFSETS = 1024, KEY_BYTES = 600 };

struct note {
    int64_t offset;
    uint64_t fingerprint;
};
struct block {
    char *key;
    char target_id[23];
    struct note *notes;
    size_t count, capacity;
    size_t old_count; /* of those, what the topic had */
    bool is_changed;
};
struct target {
    char name[250];
    char id[23]; /* "": there is none of this name now */
};
struct replay_notes {
    struct log *log;
    struct block *blocks;
    size_t block_count, block_capacity;
    size_t *slots; /* a table of indexes + 1 into blocks; 0: free */
    size_t slot_count;
    struct target *targets; /* each name once */
    size_t target_count;
};

/* ---- blocks ---- */

static bool block_key(char key[KEY_BYTES], const char *target, const struct replayed *record)
{
    int size = snprintf(key, KEY_BYTES, "%s/%.*s/%d/%" PRId64, target, (int)record->topic.size,
                        (const char *)record->topic.data, record->partition,
                        record->offset / BLOCK_OFFSETS);
    return size > 0 && size < KEY_BYTES;
}

/* Where the key's index stands, or would. */
static size_t *find_slot(const struct replay_notes *notes, const char *key)
{
    size_t mask = notes->slot_count - 1;
    for (size_t at = hash64(key, strlen(key)) & mask;; at = (at + 1) & mask) {
        size_t *slot = &notes->slots[at];
        if (*slot == 0 || strcmp(notes->blocks[*slot - 1].key, key) == 0)
            return slot;
    }
}

static struct block *find_block(const struct replay_notes *notes, const char *key)
{
    size_t *slot = notes->slot_count > 0 ? find_slot(notes, key) : NULL;
    return slot != NULL && *slot != 0 ? &notes->blocks[*slot - 1] : NULL;
}

/* At most half of the slots are taken. */
static int grow_slots(struct replay_notes *notes)
{
    if (notes->block_count * 2 < notes->slot_count)
        return 0;
    size_t count = notes->slot_count == 0 ? 64 : notes->slot_count * 2;
    size_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return ERR_NOMEM;
    free(notes->slots);
    notes->slots = slots;
    notes->slot_count = count;
    for (size_t i = 0; i < notes->block_count; i++)
        *find_slot(notes, notes->blocks[i].key) = i + 1;
    return 0;
}

/* The block of the key, made when there is none; NULL: no memory. */
static struct block *take_block(struct replay_notes *notes, const char *key)
{
    struct block *block = find_block(notes, key);
    if (block != NULL)
        return block;
    if (notes->block_count == notes->block_capacity) {
        size_t capacity = notes->block_capacity == 0 ? 32 : notes->block_capacity * 2;
        struct block *blocks = realloc(notes->blocks, capacity * sizeof *blocks);
        if (blocks == NULL)
            return NULL;
        notes->blocks = blocks;
        notes->block_capacity = capacity;
    }
    char *copy = strdup(key);
    if (copy == NULL || grow_slots(notes) < 0) {
        free(copy);
        return NULL;
    }
    block = &notes->blocks[notes->block_count++];
    *block = (struct block){.key = copy};
    *find_slot(notes, copy) = notes->block_count;
    return block;
}

/* The index of the record's note; block->count: it has none. */
static size_t block_find(const struct block *block, const struct replayed *record)
{
    size_t i = 0;
    while (i < block->count && (block->notes[i].offset != record->offset ||
                                block->notes[i].fingerprint != record->fingerprint))
        i++;
    return i;
}

static int block_add(struct block *block, int64_t offset, uint64_t fingerprint)
{
    if (block->count == block->capacity) {
        size_t capacity = block->capacity == 0 ? 8 : block->capacity * 2;
        struct note *grown = realloc(block->notes, capacity * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        block->notes = grown;
        block->capacity = capacity;
    }
    block->notes[block->count++] = (struct note){offset, fingerprint};
    return 0;
}

/* ---- targets ---- */

static const struct target *find_target(const struct replay_notes *notes, const char *name)
{
    for (size_t i = 0; i < notes->target_count; i++)
        if (strcmp(notes->targets[i].name, name) == 0)
            return &notes->targets[i];
    return NULL;
}

static int learn_target(struct replay_notes *notes, const char *key)
{
    struct target target = {.id = ""};
    snprintf(target.name, sizeof target.name, "%.*s", (int)strcspn(key, "/"), key);
    if (find_target(notes, target.name) != NULL)
        return 0;
    struct topic_info info;
    struct diag unused = {0};
    if (topic_describe(notes->log, target.name, &info, &unused) == 0)
        uuid_text(info.id, target.id);
    struct target *grown = realloc(notes->targets, (notes->target_count + 1) * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    notes->targets = grown;
    grown[notes->target_count++] = target;
    return 0;
}

/* ---- reading ---- */

static int read_entries(struct block *block, const json_t *records)
{
    size_t i;
    json_t *entry;
    block->count = 0;
    if (!json_is_array(records))
        return ERR_CORRUPT;
    json_array_foreach(records, i, entry)
    {
        const json_t *offset = json_array_get(entry, 0);
        const char *text = json_string_value(json_array_get(entry, 1));
        char *end = NULL;
        uint64_t fingerprint = text != NULL ? strtoull(text, &end, 16) : 0;
        if (!json_is_integer(offset) || text == NULL || strlen(text) != 16 || *end != '\0')
            return ERR_CORRUPT;
        TRY(block_add(block, json_integer_value(offset), fingerprint));
    }
    block->old_count = block->count;
    return 0;
}

static int read_value(struct replay_notes *notes, const char *key, const json_t *object)
{
    const json_t *version = json_object_get(object, "version");
    const char *id = json_string_value(json_object_get(object, "target"));
    if (!json_is_integer(version) || id == NULL || strlen(id) != 22)
        return ERR_CORRUPT;
    if (json_integer_value(version) != 1)
        return ERR_UNSUPPORTED;
    TRY(learn_target(notes, key));
    struct block *block = take_block(notes, key);
    if (block == NULL)
        return ERR_NOMEM;
    memcpy(block->target_id, id, sizeof block->target_id);
    return read_entries(block, json_object_get(object, "records"));
}

static int read_note(void *context, const struct scan_place *place, const struct record *record,
                     struct diag *diag)
{
    struct replay_notes *notes = context;
    (void)place;
    char key[KEY_BYTES];
    if (record->value.data == NULL)
        return 0; /* nobody writes tombstones; one means that there is nothing */
    int code = ERR_CORRUPT;
    if (record->key.data != NULL && record->key.size < sizeof key) {
        memcpy(key, record->key.data, record->key.size);
        key[record->key.size] = '\0';
        json_t *object = json_loadb((const char *)record->value.data, record->value.size, 0, NULL);
        code = object != NULL ? read_value(notes, key, object) : ERR_CORRUPT;
        json_decref(object);
    }
    if (code == ERR_UNSUPPORTED)
        return diag_set(diag, code,
                        "%s at offset %" PRId64 ": the note is of a newer version of weir",
                        REPLAY_NOTES_TOPIC, record->offset);
    return code < 0
               ? diag_set(diag, code, "%s at offset %" PRId64 ": %s", REPLAY_NOTES_TOPIC,
                          record->offset,
                          code == ERR_CORRUPT ? "this is no note of a replay" : error_text(code))
               : 0;
}

int replay_notes_open(struct log *log, const struct scan_stop *stop, struct replay_notes **notes,
                      struct diag *diag)
{
    struct topic_info info;
    struct diag unused = {0};
    struct replay_notes *made = calloc(1, sizeof *made);
    *notes = NULL;
    if (made == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the notes of replays");
    made->log = log;
    int code = topic_describe(log, REPLAY_NOTES_TOPIC, &info, &unused) == 0
                   ? topic_scan(log, &info, NULL, stop, read_note, made, diag)
                   : 0;
    if (code < 0)
        replay_notes_close(made);
    else
        *notes = made;
    return code;
}

void replay_notes_close(struct replay_notes *notes)
{
    if (notes == NULL)
        return;
    for (size_t i = 0; i < notes->block_count; i++) {
        free(notes->blocks[i].key);
        free(notes->blocks[i].notes);
    }
    free(notes->blocks);
    free(notes->slots);
    free(notes->targets);
    free(notes);
}

/* ---- asking and adding ---- */

bool replay_notes_have(const struct replay_notes *notes, const char *target,
                       const struct replayed *record)
{
    char key[KEY_BYTES];
    const struct target *known = find_target(notes, target);
    if (known == NULL || !block_key(key, target, record))
        return false;
    const struct block *block = find_block(notes, key);
    return block != NULL && strcmp(block->target_id, known->id) == 0 &&
           block_find(block, record) < block->count;
}

const char *replay_notes_target(const struct replay_notes *notes, const struct replayed *record)
{
    for (size_t i = 0; i < notes->target_count; i++)
        if (replay_notes_have(notes, notes->targets[i].name, record))
            return notes->targets[i].name;
    return NULL;
}

int replay_notes_add(struct replay_notes *notes, const struct topic_info *target,
                     const struct replayed *record)
{
    char key[KEY_BYTES], id[23];
    must(block_key(key, target->name, record)); /* two names of topics and two numbers */
    uuid_text(target->id, id);
    TRY(learn_target(notes, key));
    struct block *block = take_block(notes, key);
    if (block == NULL)
        return ERR_NOMEM;
    if (strcmp(block->target_id, id) != 0)
        block->count = block->old_count = 0; /* of a topic that had the name before */
    memcpy(block->target_id, id, sizeof id);
    size_t found = block_find(block, record);
    if (found < block->count)
        return found < block->old_count ? REPLAY_NOTED_BEFORE : REPLAY_NOTED_NOW;
    TRY(block_add(block, record->offset, record->fingerprint));
    block->is_changed = true;
    return REPLAY_NOTED;
}

/* ---- writing ---- */

int replay_notes_create(struct log *log, struct diag *diag)
{
    static const struct config_entry config[] = {{"cleanup.policy", "compact"},
                                                 {"max.message.bytes", "1073741824"},
                                                 {"weir.internal", "true"}};
    struct topic_info info;
    struct diag unused = {0};
    if (topic_describe(log, REPLAY_NOTES_TOPIC, &info, &unused) == 0)
        return 0;
    return topic_create(log, REPLAY_NOTES_TOPIC, 1, config, sizeof config / sizeof config[0], diag);
}

static void put_block(struct buf *value, const struct block *block)
{
    buf_clear(value);
    buf_printf(value, "{\"version\":1,\"target\":\"%s\",\"records\":[", block->target_id);
    for (size_t i = 0; i < block->count; i++)
        buf_printf(value, "%s[%" PRId64 ",\"%016" PRIx64 "\"]", i > 0 ? "," : "",
                   block->notes[i].offset, block->notes[i].fingerprint);
    buf_printf(value, "]}");
}

int replay_notes_send(struct replay_notes *notes, struct sender *sender, struct diag *diag)
{
    struct buf value = {0};
    int code = 0;
    for (size_t i = 0; i < notes->block_count && code == 0; i++) {
        struct block *block = &notes->blocks[i];
        if (!block->is_changed)
            continue;
        put_block(&value, block);
        code = buf_ok(&value)
                   ? sender_send(sender, 0, INT64_MIN, bytes_text(block->key),
                                 bytes_of(value.data, value.size), bytes_of(NULL, 0), 0, diag)
                   : diag_set(diag, ERR_NOMEM, "no memory for the notes of a replay");
        block->is_changed = false;
    }
    buf_deinit(&value);
    return code;
}
