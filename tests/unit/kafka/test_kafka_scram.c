/* test_kafka_scram.c: the exchange of RFC 7677, section 3, word for word; the same with SHA-512, computed with Python's hashlib; what a client must not get away with;
 * messages that make no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/kafka/kafka_scram.h"

#include <stdio.h>
#include <string.h>

#define CLIENT_FIRST   "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE   "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define NONCE          "rOprNGfwEbeRWgbNEkqO" SERVER_NONCE
#define SERVER_FIRST   "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define REPEATED_PROOF "1Y75+q7XaCGJj/r6vyQWwoNxSzV5ksS8xhp5Lqyriec="
#define SALT           "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"

static const struct vector {
    enum scram_mechanism mechanism;
    const char *stored_key, *salted, *proof, *signature;
} vectors[] = {
    {SCRAM_SHA_256, "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6",
     "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d",
     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
    {SCRAM_SHA_512,
     "e8002e6f7d3ae446119b216933644dc2a2be7869eb918b8459b5e7d7d2ec1260"
     "6aceef106825cd735170a675fd3611f684affad1dce3f43a0ee43bd590e1dbbe",
     "f16efe1be67f1d09502ebd5ed9262fddffba5a377ab4f0b687e5ed5ba0f50686"
     "b8a4ae166476da8ab3b951d2fa9238b63998f45461bc33a464814949cec9631d",
     "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
     "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static struct bytes hex(const char *text, uint8_t out[SCRAM_KEY_BYTES])
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return bytes_of(out, size);
}

/* The user's credential, as Kafka's tools would have sent it. */
static struct scram_credential credential_of(const struct vector *v)
{
    struct scram_credential credential;
    uint8_t salted[SCRAM_KEY_BYTES];
    assert_int_equal(scram_from_salted(v->mechanism, bytes_of(SALT, sizeof SALT - 1),
                                       hex(v->salted, salted), 4096, &credential),
                     0);
    return credential;
}

/* Up to the server's first message. */
static void begin(struct scram_exchange *exchange, const struct vector *v, const char *first)
{
    const char *reason = NULL;
    struct buf out = {0};
    scram_exchange_init(exchange, v->mechanism);
    assert_int_equal(scram_read_first(exchange, bytes_text(first), SERVER_NONCE, &reason), 0);
    assert_string_equal(exchange->name, "user");
    exchange->credential = credential_of(v);
    exchange->is_known = true;
    assert_int_equal(scram_write_first(exchange, &out), 0);
    assert_true(bytes_equal(bytes_of(out.data, out.size), bytes_text(SERVER_FIRST)));
    buf_deinit(&out);
}

static int finish(const struct vector *v, bool is_known, const char *last, struct buf *out)
{
    struct scram_exchange exchange;
    const char *reason = NULL;
    begin(&exchange, v, CLIENT_FIRST);
    exchange.is_known = is_known;
    int code = scram_finish(&exchange, bytes_text(last), out, &reason);
    assert_true((code == ERR_INVALID) == (reason != NULL));
    scram_exchange_deinit(&exchange);
    return code;
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        uint8_t stored[SCRAM_KEY_BYTES];
        char last[300], expected[120];
        struct buf out = {0};
        struct scram_credential credential = credential_of(v);
        assert_memory_equal(credential.stored_key, hex(v->stored_key, stored).data,
                            scram_key_size(v->mechanism));
        snprintf(last, sizeof last, "c=biws,r=%s,p=%s", NONCE, v->proof);
        assert_int_equal(finish(v, true, last, &out), 0);
        snprintf(expected, sizeof expected, "v=%s", v->signature);
        assert_true(bytes_equal(bytes_of(out.data, out.size), bytes_text(expected)));
        buf_clear(&out);
        /* The right proof of a user that there is not, and another's proof: no word of the server's. */
        assert_int_equal(finish(v, false, last, &out), ERR_FENCED);
        last[strlen(last) - 10] ^= 1;
        assert_int_equal(finish(v, true, last, &out), ERR_FENCED);
        assert_int_equal(out.size, 0);
        buf_deinit(&out);
    }
}

/* librdkafka's last message, before 2.6.1; the proof computed with Python's hashlib. */
static void test_repeated_nonce(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(
        finish(&vectors[0], true, "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=" REPEATED_PROOF, &out),
        0);
    buf_deinit(&out);
}

static void test_passwords(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        enum scram_mechanism mechanism = vectors[i].mechanism;
        struct scram_credential credential = credential_of(&vectors[i]), other;
        assert_true(scram_is_password(mechanism, &credential, bytes_text("pencil")));
        assert_false(scram_is_password(mechanism, &credential, bytes_text("Pencil")));
        assert_false(scram_is_password(mechanism, &credential, bytes_text("")));
        assert_int_equal(scram_make(mechanism, bytes_text("pencil"), 5000, &other), 0);
        assert_int_equal(other.iterations, 5000);
        assert_true(scram_is_password(mechanism, &other, bytes_text("pencil")));
        assert_memory_not_equal(other.salt, credential.salt, 16);
    }
}

/* The same for the same name, another for another, and of the shape of a real one. */
static void test_pretended(void **state)
{
    (void)state;
    uint8_t secret[USER_SECRET_BYTES] = "a secret";
    struct scram_credential made, a, again, b;
    scram_make(SCRAM_SHA_512, bytes_text("x"), SCRAM_ITERATIONS, &made);
    scram_pretend(SCRAM_SHA_512, secret, "a", &a);
    scram_pretend(SCRAM_SHA_512, secret, "a", &again);
    scram_pretend(SCRAM_SHA_512, secret, "b", &b);
    assert_memory_equal(&a, &again, sizeof a);
    assert_memory_not_equal(a.salt, b.salt, a.salt_size);
    scram_pretend(SCRAM_SHA_256, secret, "a", &b); /* as those of a real user are */
    assert_memory_not_equal(a.salt, b.salt, a.salt_size);
    assert_int_equal(a.salt_size, made.salt_size);
    assert_int_equal(a.iterations, made.iterations);
    assert_int_equal(a.key_size, made.key_size);
    secret[0]++;
    scram_pretend(SCRAM_SHA_512, secret, "a", &b);
    assert_memory_not_equal(a.salt, b.salt, a.salt_size);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"n,,n=a=2Cb=3Dc,r=x", "a,b=c"}, {"y,,n=ü,r=x,ext=1", "ü"}, {"n,,n= ,r=~!", " "}};
    for (size_t i = 0; i < 3; i++) {
        struct scram_exchange exchange;
        const char *reason = NULL;
        scram_exchange_init(&exchange, SCRAM_SHA_256);
        assert_int_equal(scram_read_first(&exchange, bytes_text(good[i][0]), "s", &reason), 0);
        assert_string_equal(exchange.name, good[i][1]);
        scram_exchange_deinit(&exchange);
    }
}

static void test_bad_first(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n=a,r=x",
        "p=tls-unique,,n=a,r=x",
        "n,a=b,n=a,r=x",
        "n,,m=x,n=a,r=x",
        "n,,n=,r=x",
        "n,,n=a",
        "n,,n=a,r=",
        "n,,n=a=2,r=x",
        "n,,n=a=2X,r=x",
        "n,,r=x,n=a",
        "n,,n=a,r=x y",
        "n,,n=a,r=\x7f",
        "n,,n=a,s=x",
        "x,,n=a,r=x",
    };
    char large[400];
    struct scram_exchange exchange;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *reason = NULL;
        scram_exchange_init(&exchange, SCRAM_SHA_256);
        assert_int_equal(scram_read_first(&exchange, bytes_text(bad[i]), "s", &reason),
                         ERR_INVALID);
        assert_non_null(reason);
        scram_exchange_deinit(&exchange);
    }
    for (int what = 0; what < 2; what++) {
        const char *reason = NULL;
        int size = snprintf(large, sizeof large, what == 0 ? "n,,r=x,n=" : "n,,n=a,r=");
        memset(large + size, 'x', sizeof large - (size_t)size);
        scram_exchange_init(&exchange, SCRAM_SHA_256);
        assert_int_equal(scram_read_first(&exchange, bytes_of(large, sizeof large), "s", &reason),
                         ERR_INVALID);
        scram_exchange_deinit(&exchange);
    }
}

static void test_bad_last(void **state)
{
    (void)state;
    static const char proof[] = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    static const char *const bad[] = {
        "",
        "c=biws",
        "c=eSws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=" SERVER_NONCE "x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=" NONCE,
        "c=biws,r=" NONCE ",p=",
        "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
        "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=",
        "c=biws,r=" NONCE ",p= HzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=1",
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(finish(&vectors[0], true, bad[i], &out), ERR_INVALID);
    /* Cut anywhere, it is not taken. */
    char whole[200];
    int size = snprintf(whole, sizeof whole, "c=biws,r=%s,p=%s", NONCE, proof);
    while (size-- > 0) {
        whole[size] = '\0';
        assert_true(finish(&vectors[0], true, whole, &out) < 0);
    }
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

static void test_bad_salted(void **state)
{
    (void)state;
    struct scram_credential credential;
    uint8_t bytes[80] = {0};
    assert_int_equal(scram_from_salted(SCRAM_SHA_256, bytes_of(bytes, 8), bytes_of(bytes, 31), 4096,
                                       &credential),
                     ERR_INVALID);
    assert_int_equal(scram_from_salted(SCRAM_SHA_256, bytes_of(bytes, 8), bytes_of(bytes, 64), 4096,
                                       &credential),
                     ERR_INVALID);
    assert_int_equal(scram_from_salted(SCRAM_SHA_256, bytes_of(bytes, 0), bytes_of(bytes, 32), 4096,
                                       &credential),
                     ERR_INVALID);
    assert_int_equal(scram_from_salted(SCRAM_SHA_256, bytes_of(bytes, 65), bytes_of(bytes, 32),
                                       4096, &credential),
                     ERR_INVALID);
    assert_int_equal(
        scram_from_salted(SCRAM_SHA_256, bytes_of(bytes, 8), bytes_of(bytes, 32), 0, &credential),
        ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),   cmocka_unit_test(test_repeated_nonce),
        cmocka_unit_test(test_passwords), cmocka_unit_test(test_pretended),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_bad_first),
        cmocka_unit_test(test_bad_last),  cmocka_unit_test(test_bad_salted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
