/* user.c: users in meta (see user.h).
 *
 *   users: name (text)
 *     0 1 count of credentials, at least 1; each, in the order of mechanisms:
 *       0 1 mechanism   1 4 iterations   5 1 salt size, salt   … 1 key size (32 or 64), stored key, server key
 *   users: a zero byte, which no name is: the secret, 32 bytes
 *
 * There is no copy in memory: somebody authenticates once for a connection that lasts for hours, and a read of meta is microseconds. */
#include "log/user.h"
#include "log/log_internal.h"
#include "runtime/base/utf8.h"

#include <stdlib.h>
#include <sys/random.h>

enum { CREDENTIAL_FIXED_BYTES = 7, SHA_256_BYTES = 32, SHA_512_BYTES = 64 };
static const uint8_t secret_key[1] = {0};

/* ---- names ---- */

/* U+0080 to U+009F, which terminals may obey. */
static bool has_c1(const char *name)
{
    for (const char *at = name; (at = strchr(at, '\xC2')) != NULL; at++)
        if ((uint8_t)at[1] >= 0x80 && (uint8_t)at[1] <= 0x9F)
            return true;
    return false;
}

int user_name_check(const char *name, struct diag *diag)
{
    size_t size = strlen(name);
    if (size == 0 || size > USER_NAME_BYTES)
        return diag_set(diag, ERR_INVALID, "a user's name has 1 to %d bytes", USER_NAME_BYTES);
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)name[i] < ' ' || name[i] == 0x7f || name[i] == ':')
            return diag_set(diag, ERR_INVALID,
                            "a user's name has no control characters and no ':'");
    if (!utf8_check(bytes_text(name)) || has_c1(name))
        return diag_set(diag, ERR_INVALID, "a user's name is UTF-8, without control characters");
    return 0;
}

/* ---- the record ---- */

const char *scram_name(enum scram_mechanism mechanism)
{
    return mechanism == SCRAM_SHA_256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
}

size_t scram_key_size(enum scram_mechanism mechanism)
{
    return mechanism == SCRAM_SHA_256 ? SHA_256_BYTES : SHA_512_BYTES;
}

static void encode(const struct user *user, struct buf *value)
{
    uint8_t count = 0;
    for (size_t i = 0; i < SCRAM_MECHANISMS; i++)
        count = (uint8_t)(count + (user->credentials[i].iterations > 0));
    buf_u8(value, count);
    for (size_t i = 0; i < SCRAM_MECHANISMS; i++) {
        const struct scram_credential *c = &user->credentials[i];
        if (c->iterations == 0)
            continue;
        must(c->salt_size <= SCRAM_SALT_BYTES &&
             c->key_size == scram_key_size((enum scram_mechanism)(i + 1)));
        buf_u8(value, (uint8_t)(i + 1));
        buf_be32(value, (uint32_t)c->iterations);
        buf_u8(value, (uint8_t)c->salt_size);
        buf_append(value, c->salt, c->salt_size);
        buf_u8(value, (uint8_t)c->key_size);
        buf_append(value, c->stored_key, c->key_size);
        buf_append(value, c->server_key, c->key_size);
    }
}

static int take_credential(struct bytes *rest, struct user *user)
{
    struct bytes salt, stored, server;
    uint32_t iterations = 0;
    uint8_t mechanism = 0, size = 0;
    if (take_u8(rest, &mechanism) < 0 || mechanism < 1 || mechanism > SCRAM_MECHANISMS ||
        take_be32(rest, &iterations) < 0 || iterations < 1 || iterations > INT32_MAX ||
        take_u8(rest, &size) < 0 || size > SCRAM_SALT_BYTES || take_bytes(rest, size, &salt) < 0 ||
        take_u8(rest, &size) < 0 || size != scram_key_size((enum scram_mechanism)mechanism) ||
        take_bytes(rest, size, &stored) < 0 || take_bytes(rest, size, &server) < 0)
        return ERR_CORRUPT;
    struct scram_credential *c = &user->credentials[mechanism - 1];
    if (c->iterations != 0)
        return ERR_CORRUPT;
    c->iterations = (int32_t)iterations;
    c->salt_size = salt.size;
    c->key_size = size;
    memcpy(c->salt, salt.data, salt.size);
    memcpy(c->stored_key, stored.data, size);
    memcpy(c->server_key, server.data, size);
    return 0;
}

static int decode(struct bytes value, struct user *user)
{
    uint8_t count = 0;
    *user = (struct user){0};
    if (take_u8(&value, &count) < 0 || count == 0)
        return ERR_CORRUPT;
    for (uint8_t i = 0; i < count; i++)
        TRY(take_credential(&value, user));
    return value.size == 0 ? 0 : ERR_CORRUPT;
}

/* ---- reading and writing ---- */

int user_get(struct log *log, const char *name, struct user *user, struct diag *diag)
{
    struct buf value = {0};
    TRY(user_name_check(name, diag));
    int rc = meta_get(log->meta, META_USERS, bytes_text(name), &value, diag);
    if (rc == ERR_NOT_FOUND)
        rc = diag_set(diag, ERR_NOT_FOUND, "there is no user %s", name);
    if (rc == 0 && decode(bytes_of(value.data, value.size), user) < 0)
        rc = diag_set(diag, ERR_CORRUPT, "the record of user %s makes no sense", name);
    buf_deinit(&value);
    return rc;
}

static int apply(struct log *log, struct meta_batch *batch, struct diag *diag)
{
    int rc = log_status(log, diag);
    if (rc == 0)
        rc = log_meta_apply(log, batch, diag);
    meta_batch_deinit(batch);
    return rc;
}

int user_put(struct log *log, const char *name, const struct user *user, struct diag *diag)
{
    struct meta_batch batch;
    struct buf value = {0};
    TRY(user_name_check(name, diag));
    encode(user, &value);
    if (!buf_ok(&value) || value.data[0] == 0) {
        bool failed = !buf_ok(&value);
        buf_deinit(&value);
        return failed ? diag_set(diag, ERR_NOMEM, "no memory")
                      : diag_set(diag, ERR_INVALID, "a user has a credential");
    }
    meta_batch_init(&batch);
    meta_put(&batch, META_USERS, bytes_text(name), bytes_of(value.data, value.size));
    buf_deinit(&value);
    return apply(log, &batch, diag);
}

int user_delete(struct log *log, const char *name, struct diag *diag)
{
    struct meta_batch batch;
    struct user user;
    TRY(user_get(log, name, &user, diag));
    meta_batch_init(&batch);
    meta_delete(&batch, META_USERS, bytes_text(name));
    return apply(log, &batch, diag);
}

static int list_name(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct buf *texts = context;
    (void)value, (void)diag;
    if (bytes_equal(key, bytes_of(secret_key, sizeof secret_key)))
        return 0;
    buf_append_bytes(texts, key);
    buf_u8(texts, 0);
    return 0;
}

static bool has_credential(const struct user *user)
{
    bool has = false;
    for (int i = 0; i < SCRAM_MECHANISMS; i++)
        has |= user->credentials[i].iterations > 0;
    return has;
}

static int change_user(struct log *log, const char *name,
                       int (*change)(void *context, struct user *user), void *context,
                       struct diag *diag)
{
    struct user user = {0};
    int rc = user_get(log, name, &user, diag);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    TRY(change(context, &user));
    return has_credential(&user) ? user_put(log, name, &user, diag) : user_delete(log, name, diag);
}

int user_change(struct log *log, const char *name, int (*change)(void *context, struct user *user),
                void *context, struct diag *diag)
{
    pthread_mutex_lock(&log->groups_mutex);
    int rc = change_user(log, name, change, context, diag);
    pthread_mutex_unlock(&log->groups_mutex);
    return rc;
}

int user_list(struct log *log, char ***names, size_t *count, struct diag *diag)
{
    struct buf texts = {0};
    size_t found = 0;
    *names = NULL;
    *count = 0;
    int rc = meta_scan(log->meta, META_USERS, bytes_of(NULL, 0), list_name, &texts, diag);
    for (size_t i = 0; i < texts.size; i++)
        found += texts.data[i] == 0;
    char **pointers = malloc((found + 1) * sizeof *pointers + texts.size);
    if (rc == 0 && (pointers == NULL || !buf_ok(&texts)))
        rc = diag_set(diag, ERR_NOMEM, "no memory for the users");
    if (rc < 0) {
        free(pointers);
        buf_deinit(&texts);
        return rc;
    }
    char *text = (char *)(pointers + found + 1);
    if (texts.size > 0)
        memcpy(text, texts.data, texts.size);
    for (size_t i = 0; i < found; i++, text += strlen(text) + 1)
        pointers[i] = text;
    buf_deinit(&texts);
    *names = pointers;
    *count = found;
    return 0;
}

/* ---- the secret ---- */

static int make_secret(struct log *log, uint8_t secret[USER_SECRET_BYTES], struct diag *diag)
{
    struct meta_batch batch;
    if (getrandom(secret, USER_SECRET_BYTES, 0) != USER_SECRET_BYTES)
        return diag_errno(diag, "cannot make a secret for %s", log->dir);
    if (log->read_only)
        return 0;
    meta_batch_init(&batch);
    meta_put(&batch, META_USERS, bytes_of(secret_key, sizeof secret_key),
             bytes_of(secret, USER_SECRET_BYTES));
    return apply(log, &batch, diag);
}

int user_secret(struct log *log, uint8_t secret[USER_SECRET_BYTES], struct diag *diag)
{
    struct buf value = {0};
    struct bytes key = bytes_of(secret_key, sizeof secret_key);
    pthread_mutex_lock(&log->producers_mutex); /* as for the cluster's id: two must not make two */
    int rc = meta_get(log->meta, META_USERS, key, &value, diag);
    if (rc == ERR_NOT_FOUND)
        rc = make_secret(log, secret, diag);
    else if (rc == 0 && value.size != USER_SECRET_BYTES)
        rc = diag_set(diag, ERR_CORRUPT, "the secret of %s makes no sense", log->dir);
    else if (rc == 0)
        memcpy(secret, value.data, USER_SECRET_BYTES);
    pthread_mutex_unlock(&log->producers_mutex);
    buf_deinit(&value);
    return rc;
}
