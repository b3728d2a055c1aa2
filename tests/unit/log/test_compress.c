/* test_compress.c: each codec against bytes of the command line tools (gzip, lz4, zstd), against
 * the libraries driven the way foreign writers drive them (streams without sizes, linked blocks,
 * checksums, several frames, raw snappy), and against bytes that lie about their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <lz4frame.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include "log/compress.h"

static uint64_t random_state = 0x853C49E6748FEA9Bu;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Bytes that compress about as well as records do; malloc'ed, exactly sized. */
static uint8_t *sample(size_t size)
{
    uint8_t *bytes = malloc(size + (size == 0));
    size_t at = 0;
    while (at < size) {
        char text[64];
        int length = snprintf(text, sizeof text, "{\"user\":%u,\"amount\":%u.%02u}",
                              (unsigned)(random_u64() % 1000), (unsigned)(random_u64() % 100000),
                              (unsigned)(random_u64() % 100));
        size_t piece = (size_t)length < size - at ? (size_t)length : size - at;
        memcpy(bytes + at, text, piece);
        at += piece;
    }
    return bytes;
}

static struct bytes buf_bytes(const struct buf *buf)
{
    return bytes_of(buf->data, buf->size);
}

static int decompress_exact(int codec, struct bytes in, size_t limit, struct buf *out)
{
    uint8_t *copy = malloc(in.size + (in.size == 0));
    memcpy(copy, in.data, in.size);
    int rc = codec_decompress((enum codec)codec, bytes_of(copy, in.size), limit, out);
    free(copy);
    return rc;
}

static void expect_plain(int codec, struct bytes compressed, struct bytes expected)
{
    struct buf out = {0};
    buf_append(&out, "kept", 4);
    int rc =
        decompress_exact(codec, compressed, expected.size, &out); /* the limit itself is allowed */
    if (rc != 0)
        fail_msg("%s: %d for %zu bytes", codec_name(codec), rc, expected.size);
    assert_int_equal(out.size, 4 + expected.size);
    assert_memory_equal(out.data, "kept", 4);
    assert_true(expected.size == 0 || memcmp(out.data + 4, expected.data, expected.size) == 0);
    if (expected.size > 0) { /* one byte less is too little */
        out.size = 4;
        assert_int_equal(decompress_exact(codec, compressed, expected.size - 1, &out),
                         ERR_TOO_LARGE);
        assert_int_equal(out.size, 4);
    }
    buf_deinit(&out);
}

/* ---- names ---- */

static void names(void **state)
{
    (void)state;
    static const char *const expected[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (int codec = 0; codec < 5; codec++) {
        assert_string_equal(codec_name(codec), expected[codec]);
        assert_int_equal(codec_from_name(expected[codec]), codec);
    }
    assert_string_equal(codec_name(5), "unknown");
    assert_string_equal(codec_name(-1), "unknown");
    assert_int_equal(codec_from_name("LZ4"), ERR_INVALID);
    assert_int_equal(codec_from_name(""), ERR_INVALID);
}

static void unknown_codecs_are_unsupported(void **state)
{
    (void)state;
    struct buf out = {0};
    for (int codec = 5; codec < 8; codec++) {
        assert_int_equal(codec_compress((enum codec)codec, bytes_text("x"), &out), ERR_UNSUPPORTED);
        assert_int_equal(codec_decompress((enum codec)codec, bytes_text("x"), 10, &out),
                         ERR_UNSUPPORTED);
        assert_int_equal(codec_decompress((enum codec)codec, bytes_text(""), 10, &out),
                         ERR_UNSUPPORTED);
    }
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

/* ---- vectors ---- */

static void the_tools_output_is_read(void **state)
{
    (void)state;
    /* "hello, hello, hello, log" through gzip 1.12 -n, lz4 1.9.4, zstd 1.5.4 (file; pipe, without
     * the size), and by hand from the format description of snappy: length 24, literal of 7, copy
     * of 14 at distance 7, literal of 3. */
    static const uint8_t gzip[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb,
                                   0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40, 0xa1, 0x72, 0xf2,
                                   0xd3, 0x01, 0x8f, 0x4d, 0x24, 0xf9, 0x18, 0x00, 0x00, 0x00};
    static const uint8_t lz4[] = {0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7, 0x10, 0x00,
                                  0x00, 0x00, 0x78, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c,
                                  0x20, 0x07, 0x00, 0x50, 0x2c, 0x20, 0x6c, 0x6f, 0x67,
                                  0x00, 0x00, 0x00, 0x00, 0xa9, 0x2c, 0x31, 0xf0};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x18, 0x85, 0x00, 0x00, 0x50,
                                   0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c, 0x20, 0x6c, 0x6f, 0x67,
                                   0x01, 0x00, 0x92, 0x8b, 0x11, 0x6c, 0x13, 0x29, 0xe3};
    static const uint8_t zstd_pipe[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x85, 0x00, 0x00, 0x50,
                                        0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c, 0x20, 0x6c, 0x6f, 0x67,
                                        0x01, 0x00, 0x92, 0x8b, 0x11, 0x6c, 0x13, 0x29, 0xe3};
    static const uint8_t snappy[] = {24,  (7 - 1) << 2,      'h', 'e', 'l',          'l', 'o', ',',
                                     ' ', (14 - 1) << 2 | 2, 7,   0,   (3 - 1) << 2, 'l', 'o', 'g'};
    static const uint8_t xerial[] = {0x82,
                                     'S',
                                     'N',
                                     'A',
                                     'P',
                                     'P',
                                     'Y',
                                     0,
                                     0,
                                     0,
                                     0,
                                     1,
                                     0,
                                     0,
                                     0,
                                     1,
                                     0,
                                     0,
                                     0,
                                     16,
                                     24,
                                     (7 - 1) << 2,
                                     'h',
                                     'e',
                                     'l',
                                     'l',
                                     'o',
                                     ',',
                                     ' ',
                                     (14 - 1) << 2 | 2,
                                     7,
                                     0,
                                     (3 - 1) << 2,
                                     'l',
                                     'o',
                                     'g'};
    struct bytes expected = bytes_text("hello, hello, hello, log");
    expect_plain(CODEC_GZIP, bytes_of(gzip, sizeof gzip), expected);
    expect_plain(CODEC_LZ4, bytes_of(lz4, sizeof lz4), expected);
    expect_plain(CODEC_ZSTD, bytes_of(zstd, sizeof zstd), expected);
    expect_plain(CODEC_ZSTD, bytes_of(zstd_pipe, sizeof zstd_pipe), expected);
    expect_plain(CODEC_SNAPPY, bytes_of(snappy, sizeof snappy), expected);
    expect_plain(CODEC_SNAPPY, bytes_of(xerial, sizeof xerial), expected);
}

/* ---- our output through the libraries ---- */

static void check_gzip_output(struct bytes in, struct bytes plain)
{
    uint8_t *out = malloc(plain.size + 1);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.data,
                  .avail_in = (uInt)in.size,
                  .next_out = out,
                  .avail_out = (uInt)plain.size + 1};
    assert_int_equal(inflateInit2(&z, 16 + 15), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, plain.size);
    assert_true(memcmp(out, plain.data, plain.size) == 0);
    inflateEnd(&z);
    free(out);
}

static void check_snappy_output(struct bytes in, struct bytes plain)
{
    static const uint8_t magic[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                      0,    0,   0,   1,   0,   0,   0,   1};
    assert_true(in.size >= 16);
    assert_memory_equal(in.data, magic, 16);
    char *out = malloc(plain.size + 1);
    size_t done = 0;
    for (size_t at = 16; at < in.size;) {
        size_t length = load_be32(in.data + at), room = plain.size - done;
        assert_true(length <= in.size - at - 4);
        assert_int_equal(
            snappy_uncompress((const char *)in.data + at + 4, length, out + done, &room),
            SNAPPY_OK);
        done += room;
        at += 4 + length;
    }
    assert_int_equal(done, plain.size);
    assert_true(memcmp(out, plain.data, plain.size) == 0);
    free(out);
}

/* What Kafka's own reader demands: version 1, independent blocks, no dictionary; it accepts a
 * content size. */
static void check_lz4_output(struct bytes in, struct bytes plain)
{
    assert_true(in.size >= 7);
    assert_int_equal(load_be32(in.data), 0x04224D18);
    uint8_t flags = in.data[4];
    assert_int_equal(flags >> 6, 1);
    assert_int_equal(flags >> 5 & 1, 1);
    assert_int_equal(flags & 1, 0);
    assert_true(plain.size == 0 || (flags >> 3 & 1) == 1);
    assert_true((in.data[5] >> 4 & 7) <= LZ4F_max256KB);
    uint8_t *out = malloc(plain.size + 1);
    LZ4F_dctx *decoder;
    assert_false(LZ4F_isError(LZ4F_createDecompressionContext(&decoder, LZ4F_VERSION)));
    size_t room = plain.size + 1, used = in.size;
    assert_int_equal(LZ4F_decompress(decoder, out, &room, in.data, &used, NULL), 0);
    assert_true(room == plain.size && used == in.size);
    assert_true(memcmp(out, plain.data, plain.size) == 0);
    LZ4F_freeDecompressionContext(decoder);
    free(out);
}

static void check_zstd_output(struct bytes in, struct bytes plain)
{
    uint8_t *out = malloc(plain.size + 1);
    assert_int_equal(ZSTD_getFrameContentSize(in.data, in.size), plain.size);
    assert_int_equal(ZSTD_decompress(out, plain.size + 1, in.data, in.size), plain.size);
    assert_true(memcmp(out, plain.data, plain.size) == 0);
    free(out);
}

static void round_trips_at_many_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,      1,      2,      13,      100,     1000,   32767,
                                   32768,  32769,  65536,  65537,   262143,  262144, 262145,
                                   524288, 524289, 700000, 1048576, 3000000, 5000001};
    static void (*const checks[])(struct bytes, struct bytes) = {
        NULL, check_gzip_output, check_snappy_output, check_lz4_output, check_zstd_output};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *plain = sample(sizes[i]);
        for (int way = 0; way < 2 * (CODEC_ZSTD + 1); way++) {
            int codec = way / 2;
            struct buf out = {0};
            buf_append(&out, "before", 6);
            assert_int_equal((way % 2 == 0 ? codec_compress : codec_compress_fast)(
                                 (enum codec)codec, bytes_of(plain, sizes[i]), &out),
                             0);
            assert_memory_equal(out.data, "before", 6);
            struct bytes compressed = bytes_of(out.data + 6, out.size - 6);
            if (checks[codec] != NULL)
                checks[codec](compressed, bytes_of(plain, sizes[i]));
            expect_plain(codec, compressed, bytes_of(plain, sizes[i]));
            assert_true(codec == CODEC_NONE || sizes[i] < 1000 || compressed.size < sizes[i]);
            buf_deinit(&out);
        }
        free(plain);
    }
    struct buf out = {0};
    assert_int_equal(codec_compress(CODEC_LZ4, bytes_of(NULL, 0), &out), 0);
    expect_plain(CODEC_LZ4, buf_bytes(&out), bytes_text(""));
    buf_deinit(&out);
}

static void what_does_not_compress_round_trips(void **state)
{
    (void)state;
    enum { SIZE = 600000 };
    uint8_t *noise = malloc(SIZE), *zeros = calloc(1, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        noise[i] = (uint8_t)random_u64();
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct buf out = {0};
        assert_int_equal(codec_compress((enum codec)codec, bytes_of(noise, SIZE), &out), 0);
        expect_plain(codec, buf_bytes(&out), bytes_of(noise, SIZE));
        buf_clear(&out);
        assert_int_equal(codec_compress((enum codec)codec, bytes_of(zeros, SIZE), &out), 0);
        expect_plain(codec, buf_bytes(&out), bytes_of(zeros, SIZE));
        buf_deinit(&out);
    }
    free(noise);
    free(zeros);
}

/* ---- other writers ---- */

static void every_lz4_frame_layout_is_read(void **state)
{
    (void)state;
    enum { SIZE = 5000000 };
    uint8_t *plain = sample(SIZE);
    for (int id = LZ4F_max64KB; id <= LZ4F_max4MB; id++) {
        for (int bits = 0; bits < 16; bits++) {
            size_t size = (bits & 1) != 0 ? SIZE : 90000;
            LZ4F_preferences_t preferences = {
                .frameInfo = {.blockSizeID = (LZ4F_blockSizeID_t)id,
                              .blockMode =
                                  (bits & 2) != 0 ? LZ4F_blockIndependent : LZ4F_blockLinked,
                              .contentChecksumFlag = (bits & 4) != 0 ? LZ4F_contentChecksumEnabled
                                                                     : LZ4F_noContentChecksum,
                              .blockChecksumFlag = (bits & 4) != 0 ? LZ4F_blockChecksumEnabled
                                                                   : LZ4F_noBlockChecksum,
                              .contentSize = (bits & 8) != 0 ? size : 0}};
            size_t bound = LZ4F_compressFrameBound(size, &preferences);
            uint8_t *out = malloc(bound);
            size_t length = LZ4F_compressFrame(out, bound, plain, size, &preferences);
            assert_false(LZ4F_isError(length));
            expect_plain(CODEC_LZ4, bytes_of(out, length), bytes_of(plain, size));
            if ((bits & 4) != 0) { /* a wrong content checksum is seen */
                struct buf decoded = {0};
                out[length - 1] ^= 1;
                assert_int_equal(decompress_exact(CODEC_LZ4, bytes_of(out, length), size, &decoded),
                                 ERR_CORRUPT);
                buf_deinit(&decoded);
            }
            free(out);
        }
    }
    free(plain);
}

static void zstd_streams_without_a_size_are_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 65536, 500000, 9000000};
    for (size_t i = 0; i < 5; i++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            uint8_t *plain = zeros != 0 ? calloc(1, sizes[i]) : sample(sizes[i]);
            size_t bound = ZSTD_compressBound(sizes[i]);
            uint8_t *out = malloc(bound);
            ZSTD_CCtx *encoder = ZSTD_createCCtx();
            ZSTD_inBuffer in = {plain, sizes[i] / 2, 0};
            ZSTD_outBuffer to = {out, bound, 0};
            while (in.pos < in.size)
                assert_false(
                    ZSTD_isError(ZSTD_compressStream2(encoder, &to, &in, ZSTD_e_continue)));
            in.size = sizes[i];
            assert_int_equal(ZSTD_compressStream2(encoder, &to, &in, ZSTD_e_end), 0);
            if (sizes[i] > 1)
                assert_true(ZSTD_getFrameContentSize(out, to.pos) == ZSTD_CONTENTSIZE_UNKNOWN);
            expect_plain(CODEC_ZSTD, bytes_of(out, to.pos), bytes_of(plain, sizes[i]));
            ZSTD_freeCCtx(encoder);
            free(out);
            free(plain);
        }
    }
}

static void raw_snappy_is_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65536, 65537, 2000000};
    for (size_t i = 0; i < 6; i++) {
        uint8_t *plain = sample(sizes[i]);
        size_t length = snappy_max_compressed_length(sizes[i]);
        char *out = malloc(length);
        assert_int_equal(snappy_compress((const char *)plain, sizes[i], out, &length), SNAPPY_OK);
        expect_plain(CODEC_SNAPPY, bytes_of(out, length), bytes_of(plain, sizes[i]));
        free(out);
        free(plain);
    }
}

static void joined_frames_are_one_stream(void **state)
{
    (void)state;
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        uint8_t *plain = sample(300000);
        struct buf out = {0};
        codec_compress((enum codec)codec, bytes_of(plain, 100), &out);
        codec_compress((enum codec)codec, bytes_of(plain, 0), &out);
        codec_compress((enum codec)codec, bytes_of(plain + 100, 299900), &out);
        expect_plain(codec, buf_bytes(&out), bytes_of(plain, 300000));
        buf_u8(&out, 0x55); /* and what is none is refused */
        struct buf decoded = {0};
        assert_int_equal(decompress_exact(codec, buf_bytes(&out), 1 << 20, &decoded), ERR_CORRUPT);
        assert_int_equal(decoded.size, 0);
        buf_deinit(&decoded);
        buf_deinit(&out);
        free(plain);
    }
}

/* ---- damage ---- */

static void every_truncation_is_corrupt(void **state)
{
    (void)state;
    uint8_t *plain = sample(3000);
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct buf out = {0}, decoded = {0};
        codec_compress((enum codec)codec, bytes_of(plain, 3000), &out);
        for (size_t size = 0; size < out.size; size++) {
            int rc = decompress_exact(codec, bytes_of(out.data, size), 1 << 20, &decoded);
            /* Xerial framing has no end: cut after its header it is an empty stream. */
            bool whole = codec == CODEC_SNAPPY && size == 16;
            assert_int_equal(rc, whole ? 0 : ERR_CORRUPT);
            assert_int_equal(decoded.size, 0);
        }
        buf_deinit(&out);
        buf_deinit(&decoded);
    }
    free(plain);
}

static void damage_never_leaves_the_bounds(void **state)
{
    (void)state;
    enum { PLAIN = 2000, LIMIT = 100000 };
    uint8_t *plain = sample(PLAIN);
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct buf out = {0}, decoded = {0};
        codec_compress((enum codec)codec, bytes_of(plain, PLAIN), &out);
        for (size_t bit = 0; bit < out.size * 8; bit++) {
            out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int rc = decompress_exact(codec, buf_bytes(&out), LIMIT, &decoded);
            assert_true(rc == 0 || rc == ERR_CORRUPT || rc == ERR_TOO_LARGE);
            assert_true(rc == 0 ? decoded.size <= LIMIT : decoded.size == 0);
            buf_clear(&decoded);
            out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        expect_plain(codec, buf_bytes(&out), bytes_of(plain, PLAIN)); /* contexts recovered */
        buf_deinit(&out);
        buf_deinit(&decoded);
    }
    free(plain);
}

static void noise_is_corrupt(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint8_t noise[64];
        size_t size = 1 + random_u64() % sizeof noise;
        for (size_t i = 0; i < size; i++)
            noise[i] = (uint8_t)random_u64();
        for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
            struct buf decoded = {0};
            int rc = decompress_exact(codec, bytes_of(noise, size), 10000, &decoded);
            /* A few random bytes may be a valid raw snappy block. */
            assert_true(rc < 0 || codec == CODEC_SNAPPY);
            buf_deinit(&decoded);
        }
    }
}

/* ---- lies about size ---- */

static void expect_refused_cheaply(int codec, struct bytes in, size_t limit, int expected)
{
    struct buf out = {0};
    int rc = decompress_exact(codec, in, limit, &out);
    if (expected != 0)
        assert_int_equal(rc, expected);
    else
        assert_true(rc < 0);
    assert_int_equal(out.size, 0);
    assert_true(out.capacity <= 16u << 20);
    buf_deinit(&out);
}

static void bombs_stop_at_the_limit(void **state)
{
    (void)state;
    enum { PLAIN = 64 << 20 };
    uint8_t *zeros = calloc(1, PLAIN);
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct buf out = {0};
        assert_int_equal(codec_compress((enum codec)codec, bytes_of(zeros, PLAIN), &out), 0);
        expect_refused_cheaply(codec, buf_bytes(&out), 1 << 20, ERR_TOO_LARGE);
        expect_refused_cheaply(codec, buf_bytes(&out), 1000, ERR_TOO_LARGE);
        expect_refused_cheaply(codec, buf_bytes(&out), 0, ERR_TOO_LARGE);
        buf_deinit(&out);
    }
    free(zeros);
}

static void a_declared_size_is_not_allocated(void **state)
{
    (void)state;
    size_t limit = (size_t)1 << 40; /* nothing but the input's own size holds memory down here */
    /* zstd: a single segment of 2^50 bytes, one RLE block of 100. */
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0,  0,
                                   0,    0,    4,    0,    0x23, 3, 0, 'x'};
    expect_refused_cheaply(CODEC_ZSTD, bytes_of(zstd, sizeof zstd), limit, ERR_CORRUPT);
    /* snappy: a length of 2^32 - 1 and one literal; the same inside xerial framing. */
    static const uint8_t snappy[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'x'};
    expect_refused_cheaply(CODEC_SNAPPY, bytes_of(snappy, sizeof snappy), limit, ERR_CORRUPT);
    static const uint8_t xerial[] = {0x82, 'S', 'N',  'A',  'P',  'P',  'Y',  0, 0,
                                     0,    0,   1,    0,    0,    0,    1,    0, 0,
                                     0,    7,   0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'x'};
    expect_refused_cheaply(CODEC_SNAPPY, bytes_of(xerial, sizeof xerial), limit, ERR_CORRUPT);
    static const uint8_t xerial_length[] = {0x82, 'S',  'N',  'A',  'P', 'P', 'Y', 0,
                                            0,    0,    0,    1,    0,   0,   0,   1,
                                            0x7f, 0xff, 0xff, 0xff, 1,   0,   'x'};
    expect_refused_cheaply(CODEC_SNAPPY, bytes_of(xerial_length, sizeof xerial_length), limit,
                           ERR_CORRUPT);
    /* lz4: a header that promises 2^40 bytes over a few that are there. */
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max4MB, .contentSize = (unsigned long long)1 << 40}};
    uint8_t lz4[512];
    LZ4F_cctx *encoder;
    assert_false(LZ4F_isError(LZ4F_createCompressionContext(&encoder, LZ4F_VERSION)));
    size_t size = LZ4F_compressBegin(encoder, lz4, sizeof lz4, &preferences);
    assert_false(LZ4F_isError(size));
    static const uint8_t stored_block[] = {1, 0, 0, 0x80, 'x', 0, 0, 0, 0};
    memcpy(lz4 + size, stored_block, sizeof stored_block);
    expect_refused_cheaply(CODEC_LZ4, bytes_of(lz4, size + sizeof stored_block), limit,
                           ERR_CORRUPT);
    LZ4F_freeCompressionContext(encoder);
}

static void many_zstd_rle_blocks_are_capped(void **state)
{
    (void)state;
    /* 20000 blocks of 128 KiB in 4 bytes each: 2.6 GB from 80 KB. */
    struct buf in = {0};
    static const uint8_t header[] = {0x28, 0xb5, 0x2f,
                                     0xfd, 0x00, 0x58}; /* window 2 MiB, no size */
    buf_append(&in, header, sizeof header);
    for (int i = 0; i < 20000; i++) {
        uint32_t block = (i == 19999 ? 1u : 0u) | 1u << 1 | (128u << 10) << 3;
        buf_u8(&in, (uint8_t)block);
        buf_u8(&in, (uint8_t)(block >> 8));
        buf_u8(&in, (uint8_t)(block >> 16));
        buf_u8(&in, 'x');
    }
    expect_refused_cheaply(CODEC_ZSTD, buf_bytes(&in), 10 << 20, ERR_TOO_LARGE);
    buf_deinit(&in);
}

/* ---- memory ---- */

static void an_output_that_cannot_grow_is_nomem(void **state)
{
    (void)state;
    uint8_t *plain = sample(100000);
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct buf packed = {0}, small;
        assert_int_equal(codec_compress((enum codec)codec, bytes_of(plain, 100000), &packed), 0);
        buf_init(&small, 100);
        buf_append(&small, "kept", 4);
        assert_int_equal(codec_decompress((enum codec)codec, buf_bytes(&packed), 100000, &small),
                         ERR_NOMEM);
        assert_int_equal(small.size, 4);
        buf_clear(&small);
        assert_int_equal(codec_compress((enum codec)codec, bytes_of(plain, 100000), &small),
                         ERR_NOMEM);
        buf_deinit(&small);
        expect_plain(codec, buf_bytes(&packed), bytes_of(plain, 100000)); /* contexts recovered */
        buf_deinit(&packed);
    }
    free(plain);
}

/* ---- threads ---- */

static void *round_trip_in_thread(void *seed)
{
    uint8_t plain[20000];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * i / 100 + (uintptr_t)seed);
    for (int round = 0; round < 30; round++) {
        for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
            struct buf out = {0}, decoded = {0};
            if (codec_compress((enum codec)codec, bytes_of(plain, sizeof plain), &out) != 0 ||
                codec_decompress((enum codec)codec, buf_bytes(&out), sizeof plain, &decoded) != 0 ||
                decoded.size != sizeof plain || memcmp(decoded.data, plain, sizeof plain) != 0)
                return seed;
            buf_deinit(&out);
            buf_deinit(&decoded);
        }
    }
    return NULL;
}

static void threads_have_contexts_of_their_own(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, round_trip_in_thread, (void *)(i + 1)),
                         0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed); /* LeakSanitizer sees contexts that outlive their thread */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(unknown_codecs_are_unsupported),
        cmocka_unit_test(the_tools_output_is_read),
        cmocka_unit_test(round_trips_at_many_sizes),
        cmocka_unit_test(what_does_not_compress_round_trips),
        cmocka_unit_test(every_lz4_frame_layout_is_read),
        cmocka_unit_test(zstd_streams_without_a_size_are_read),
        cmocka_unit_test(raw_snappy_is_read),
        cmocka_unit_test(joined_frames_are_one_stream),
        cmocka_unit_test(every_truncation_is_corrupt),
        cmocka_unit_test(damage_never_leaves_the_bounds),
        cmocka_unit_test(noise_is_corrupt),
        cmocka_unit_test(bombs_stop_at_the_limit),
        cmocka_unit_test(a_declared_size_is_not_allocated),
        cmocka_unit_test(many_zstd_rle_blocks_are_capped),
        cmocka_unit_test(an_output_that_cannot_grow_is_nomem),
        cmocka_unit_test(threads_have_contexts_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
