/* kafka_scram.c: SCRAM, the server's side (see kafka_scram.h).
 *
 *     SaltedPassword  PBKDF2(password, salt, iterations)        ClientKey   HMAC(SaltedPassword, "Client Key")
 *     StoredKey       H(ClientKey)                              ServerKey   HMAC(SaltedPassword, "Server Key")
 *     AuthMessage     client-first-bare , server-first , client-final-without-proof
 *     proof           ClientKey XOR HMAC(StoredKey, AuthMessage)
 *     signature       HMAC(ServerKey, AuthMessage)
 *
 *     C: n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL
 *     S: r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096
 *     C: c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=
 *     S: v=rmF9pqV8S7suAoZWja4dJRkFsKQ=
 *
 * A password is its bytes: Kafka's tools and clients do not normalise it either (SASLprep), and with ASCII it makes no difference. No channel binding, as
 * in Kafka; a client that supports it and thinks that we do not ("y,,") is welcome. Extensions are passed over, but a mandatory one ("m=") is refused.
 *
 * A user that does not exist takes the same way: a salt that is made of the name, the mechanism and a secret of the log's, so that it is the same each time, the
 * usual number of iterations, keys that nothing hashes to. Secrets are compared in constant time. */
#include "log/kafka/kafka_scram.h"

#define ERR_STATE openssl_err_state /* OpenSSL's type has the name of a code of ours */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#undef ERR_STATE

enum { NEW_SALT_BYTES = 24, PROOF_TEXT_BYTES = 92 };

static const EVP_MD *hash_of(enum scram_mechanism mechanism)
{
    return mechanism == SCRAM_SHA_256 ? EVP_sha256() : EVP_sha512();
}

/* ---- keys ---- */

/* out has SCRAM_KEY_BYTES. */
static void hmac(enum scram_mechanism mechanism, const uint8_t *key, struct bytes text,
                 uint8_t *out)
{
    must(HMAC(hash_of(mechanism), key, (int)scram_key_size(mechanism), text.data, text.size, out,
              NULL) != NULL);
}

static void hash(enum scram_mechanism mechanism, const uint8_t *key, uint8_t *out)
{
    must(EVP_Digest(key, scram_key_size(mechanism), out, NULL, hash_of(mechanism), NULL) == 1);
}

static void set_keys(enum scram_mechanism mechanism, const uint8_t *salted,
                     struct scram_credential *credential)
{
    uint8_t client_key[SCRAM_KEY_BYTES];
    hmac(mechanism, salted, bytes_text("Client Key"), client_key);
    hash(mechanism, client_key, credential->stored_key);
    hmac(mechanism, salted, bytes_text("Server Key"), credential->server_key);
    credential->key_size = scram_key_size(mechanism);
    OPENSSL_cleanse(client_key, sizeof client_key);
}

static void salt_password(enum scram_mechanism mechanism, struct bytes password,
                          const struct scram_credential *credential, uint8_t *salted)
{
    must(password.size <= INT32_MAX &&
         PKCS5_PBKDF2_HMAC((const char *)password.data, (int)password.size, credential->salt,
                           (int)credential->salt_size, credential->iterations, hash_of(mechanism),
                           (int)scram_key_size(mechanism), salted) == 1);
}

int scram_make(enum scram_mechanism mechanism, struct bytes password, int32_t iterations,
               struct scram_credential *credential)
{
    uint8_t salted[SCRAM_KEY_BYTES];
    must(iterations >= 1);
    *credential = (struct scram_credential){.iterations = iterations, .salt_size = NEW_SALT_BYTES};
    if (RAND_bytes(credential->salt, NEW_SALT_BYTES) != 1)
        return ERR_IO;
    salt_password(mechanism, password, credential, salted);
    set_keys(mechanism, salted, credential);
    OPENSSL_cleanse(salted, sizeof salted);
    return 0;
}

int scram_from_salted(enum scram_mechanism mechanism, struct bytes salt, struct bytes salted,
                      int32_t iterations, struct scram_credential *credential)
{
    if (salt.size < 1 || salt.size > SCRAM_SALT_BYTES || salted.size != scram_key_size(mechanism) ||
        iterations < 1)
        return ERR_INVALID;
    *credential = (struct scram_credential){.iterations = iterations, .salt_size = salt.size};
    memcpy(credential->salt, salt.data, salt.size);
    set_keys(mechanism, salted.data, credential);
    return 0;
}

bool scram_is_password(enum scram_mechanism mechanism, const struct scram_credential *credential,
                       struct bytes password)
{
    struct scram_credential said = {.iterations = credential->iterations};
    uint8_t salted[SCRAM_KEY_BYTES];
    salt_password(mechanism, password, credential, salted);
    set_keys(mechanism, salted, &said);
    OPENSSL_cleanse(salted, sizeof salted);
    return CRYPTO_memcmp(said.stored_key, credential->stored_key, said.key_size) == 0;
}

void scram_pretend(enum scram_mechanism mechanism, const uint8_t secret[USER_SECRET_BYTES],
                   const char *name, struct scram_credential *credential)
{
    uint8_t made[SCRAM_KEY_BYTES], key[USER_SECRET_BYTES + 1];
    memcpy(key, secret, USER_SECRET_BYTES);
    key[USER_SECRET_BYTES] = (uint8_t)mechanism; /* a user's two salts are two */
    must(HMAC(EVP_sha512(), key, sizeof key, (const uint8_t *)name, strlen(name), made, NULL) !=
         NULL);
    *credential = (struct scram_credential){.iterations = SCRAM_ITERATIONS,
                                            .salt_size = NEW_SALT_BYTES,
                                            .key_size = scram_key_size(mechanism)};
    memcpy(credential->salt, made, NEW_SALT_BYTES);
    memcpy(credential->stored_key, made + NEW_SALT_BYTES, 32);
    memcpy(credential->server_key, made + NEW_SALT_BYTES, 32);
}

/* ---- base64 ---- */

static bool append_base64(struct buf *out, const uint8_t *data, size_t size)
{
    uint8_t *at = buf_reserve(out, (size + 2) / 3 * 4 + 1);
    if (at == NULL)
        return false;
    out->size += (size_t)EVP_EncodeBlock(at, data, (int)size);
    return true;
}

/* Exactly size bytes, spelt in the one way there is. */
static bool read_base64(struct bytes text, uint8_t *out, size_t size)
{
    uint8_t decoded[PROOF_TEXT_BYTES / 4 * 3 + 3], again[PROOF_TEXT_BYTES + 1];
    size_t text_size = (size + 2) / 3 * 4;
    if (text.size != text_size || text_size > PROOF_TEXT_BYTES ||
        EVP_DecodeBlock(decoded, text.data, (int)text_size) < (int)size)
        return false;
    EVP_EncodeBlock(again, decoded, (int)size);
    memcpy(out, decoded, size);
    return memcmp(again, text.data, text_size) == 0;
}

/* ---- messages ---- */

/* The next attribute "x=value", of which value is given out; what is behind its comma stays. */
static bool take_attribute(struct bytes *rest, char name, struct bytes *value)
{
    if (rest->size < 2 || rest->data[0] != (uint8_t)name || rest->data[1] != '=')
        return false;
    const uint8_t *comma = memchr(rest->data, ',', rest->size);
    size_t size = comma != NULL ? (size_t)(comma - rest->data) : rest->size;
    *value = bytes_of(rest->data + 2, size - 2);
    size += comma != NULL;
    *rest = bytes_of(rest->data + size, rest->size - size);
    return true;
}

/* A saslname, in which '=2C' is a comma and '=3D' an equals sign. */
static bool read_name(struct bytes text, char name[USER_NAME_BYTES + 1])
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '=') {
            if (text.size - i < 3)
                return false;
            if (memcmp(text.data + i, "=2C", 3) == 0)
                byte = ',';
            else if (memcmp(text.data + i, "=3D", 3) != 0)
                return false;
            i += 2;
        }
        if (byte == 0 || size == USER_NAME_BYTES)
            return false;
        name[size++] = (char)byte;
    }
    name[size] = '\0';
    return size > 0;
}

void scram_exchange_init(struct scram_exchange *exchange, enum scram_mechanism mechanism)
{
    *exchange = (struct scram_exchange){.mechanism = mechanism};
}

void scram_exchange_deinit(struct scram_exchange *exchange)
{
    buf_deinit(&exchange->auth_message);
    OPENSSL_cleanse(exchange, sizeof *exchange);
}

static int refuse(const char **reason, const char *text)
{
    *reason = text;
    return ERR_INVALID;
}

/* "n,," or "y,,"; between the commas another identity could stand, which Kafka has no use for. */
static int take_header(struct scram_exchange *exchange, struct bytes *rest, const char **reason)
{
    if (rest->size >= 1 && rest->data[0] == 'p')
        return refuse(reason, "channel binding is not supported");
    if (rest->size < 3 || (rest->data[0] != 'n' && rest->data[0] != 'y') || rest->data[1] != ',')
        return refuse(reason, "the first message does not begin with n,,");
    snprintf(exchange->binding, sizeof exchange->binding, "%s",
             rest->data[0] == 'n' ? "biws" : "eSws");
    if (rest->data[2] != ',')
        return refuse(reason, "an authorization identity is not supported");
    *rest = bytes_of(rest->data + 3, rest->size - 3);
    return 0;
}

static bool is_printable(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x21 || text.data[i] > 0x7e)
            return false;
    return true;
}

int scram_make_nonce(char nonce[SCRAM_NONCE_BYTES])
{
    uint8_t random[(SCRAM_NONCE_BYTES - 1) / 4 * 3];
    if (RAND_bytes(random, sizeof random) != 1)
        return ERR_IO;
    EVP_EncodeBlock((uint8_t *)nonce, random, sizeof random);
    return 0;
}

int scram_read_first(struct scram_exchange *exchange, struct bytes message,
                     const char *server_nonce, const char **reason)
{
    struct bytes bare, name, nonce;
    TRY(take_header(exchange, &message, reason));
    bare = message;
    if (message.size >= 1 && message.data[0] == 'm')
        return refuse(reason, "a mandatory extension is not supported");
    if (!take_attribute(&message, 'n', &name) || !read_name(name, exchange->name))
        return refuse(reason, "the first message names no user");
    if (!take_attribute(&message, 'r', &nonce) || nonce.size == 0 ||
        nonce.size > SCRAM_CLIENT_NONCE_BYTES || !is_printable(nonce))
        return refuse(reason, "the first message has no nonce");
    memcpy(exchange->nonce, nonce.data, nonce.size);
    must(strlen(server_nonce) < SCRAM_NONCE_BYTES);
    snprintf(exchange->nonce + nonce.size, SCRAM_NONCE_BYTES, "%s", server_nonce);
    buf_append_bytes(&exchange->auth_message, bare);
    buf_u8(&exchange->auth_message, ',');
    exchange->first_bare_size = exchange->auth_message.size;
    return 0;
}

int scram_write_first(struct scram_exchange *exchange, struct buf *out)
{
    struct buf *message = &exchange->auth_message;
    const struct scram_credential *credential = &exchange->credential;
    buf_printf(message, "r=%s,s=", exchange->nonce);
    append_base64(message, credential->salt, credential->salt_size);
    buf_printf(message, ",i=%d", credential->iterations);
    if (!buf_ok(message))
        return ERR_NOMEM;
    buf_append(out, message->data + exchange->first_bare_size,
               message->size - exchange->first_bare_size);
    return 0;
}

/* Whether the proof is one that only who knows the password can make. */
static bool is_proven(const struct scram_exchange *exchange, const uint8_t *proof)
{
    enum scram_mechanism mechanism = exchange->mechanism;
    const struct scram_credential *credential = &exchange->credential;
    uint8_t signature[SCRAM_KEY_BYTES], key[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES];
    hmac(mechanism, credential->stored_key,
         bytes_of(exchange->auth_message.data, exchange->auth_message.size), signature);
    for (size_t i = 0; i < credential->key_size; i++)
        key[i] = proof[i] ^ signature[i];
    hash(mechanism, key, stored);
    OPENSSL_cleanse(key, sizeof key);
    return CRYPTO_memcmp(stored, credential->stored_key, credential->key_size) == 0;
}

/* librdkafka before 2.6.1 puts its own part in front once more; Kafka takes that, too. The proof covers whatever was sent. */
static bool ends_with(struct bytes text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

int scram_finish(struct scram_exchange *exchange, struct bytes message, struct buf *out,
                 const char **reason)
{
    struct bytes rest = message, binding, nonce, value, proof_text = {NULL, 0};
    uint8_t proof[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES];
    size_t size = scram_key_size(exchange->mechanism);
    if (!take_attribute(&rest, 'c', &binding) ||
        !bytes_equal(binding, bytes_text(exchange->binding)))
        return refuse(reason, "the last message does not repeat how the first began");
    if (!take_attribute(&rest, 'r', &nonce) || !ends_with(nonce, exchange->nonce))
        return refuse(reason, "the last message has another nonce");
    while (rest.size >= 2 && rest.data[1] == '=' && proof_text.data == NULL) { /* extensions */
        const uint8_t *at = rest.data;
        char name = (char)at[0];
        if (!take_attribute(&rest, name, &value) || name != 'p')
            continue;
        proof_text = value;
        message.size = (size_t)(at - message.data) - 1; /* without ",p=…" */
    }
    if (proof_text.data == NULL || rest.size > 0 || !read_base64(proof_text, proof, size))
        return refuse(reason, "the last message has no proof");
    buf_u8(&exchange->auth_message, ',');
    buf_append_bytes(&exchange->auth_message, message);
    if (!buf_ok(&exchange->auth_message))
        return ERR_NOMEM;
    bool proven = is_proven(exchange, proof);
    hmac(exchange->mechanism, exchange->credential.server_key,
         bytes_of(exchange->auth_message.data, exchange->auth_message.size), signature);
    if (!proven || !exchange->is_known)
        return ERR_FENCED;
    buf_append(out, "v=", 2);
    append_base64(out, signature, size);
    return buf_ok(out) ? 0 : ERR_NOMEM;
}
