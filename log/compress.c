/* compress.c: the codecs of record batches, each both ways.
 *
 *   gzip    zlib; several members in a row are one stream, as Java reads them
 *   snappy  xerial framing (what Java, kafka-python and aiokafka write) or one raw block
 *           (librdkafka, franz-go, sarama):
 *             0  8  magic 82 53 4E 41 50 50 59 00     8  4  version     12  4  oldest compatible version
 *             16 …  blocks: i32 big-endian length, raw snappy block
 *           No raw block begins with the magic: it would open with a copy from before its first byte.
 *   lz4     the frame format; written with independent blocks of 256 KiB (Kafka's reader refuses
 *           linked ones) and the content size in the header
 *   zstd    frames with or without a content size (streaming writers leave it out)
 *
 * A declared size is a hint from whoever sent the bytes. Memory is taken in steps that the input's
 * own size justifies (a multiple of it, then doubling), never past limit_bytes plus one lz4 block
 * of slack; a size that the format cannot reach from so few bytes is refused at once.
 *
 * lz4 is the codec of our own batches and the hot one. LZ4F decodes a block straight into the
 * output when a whole maximal block fits there; the slack keeps that true for the last block too,
 * so that nothing is copied twice. zstd decodes in one call into the output as well; when the
 * output was too small it grows fourfold and the call is repeated, which costs at most a third more
 * in all and needs no window buffer, whose size the sender would choose.
 *
 * Contexts are made once per thread, on first use, and freed when the thread ends. Relies on
 * liblz4, zlib, libsnappy, libzstd. */
#include "log/compress.h"

#include <lz4frame.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    GZIP_WINDOW_BITS = 15 + 16, /* 16: gzip header and trailer */
    GZIP_MEMORY_LEVEL = 8,
    XERIAL_HEADER_BYTES = 16,
    XERIAL_MAGIC_BYTES = 8,
    XERIAL_BLOCK_BYTES = 32 << 10,
    SNAPPY_MAX_RATIO = 22, /* the densest element, 3 bytes, copies 64 */
    LZ4_MAX_RATIO = 255,
    LZ4_FAST_ACCELERATION =
        5, /* changelogs: 50 → 23 ns a record, 1.72 → 1.52 as small; results: 23 → 25 bytes a row */
    FIRST_BYTES = 64 << 10,
    FIRST_RATIO = 8,
};

static const uint8_t xerial_header[XERIAL_HEADER_BYTES] = {
    0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
};

static const char *const codec_names[] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *codec_name(int codec)
{
    return codec >= CODEC_NONE && codec <= CODEC_ZSTD ? codec_names[codec] : "unknown";
}

int codec_from_name(const char *name)
{
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
        if (strcmp(name, codec_names[codec]) == 0)
            return codec;
    return ERR_INVALID;
}

/* ---- contexts of a thread ---- */

struct contexts {
    LZ4F_dctx *lz4_decoder;
    ZSTD_CCtx *zstd_encoder;
    ZSTD_DCtx *zstd_decoder;
    z_stream deflater, inflater;
    bool has_deflater, has_inflater;
};

static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static pthread_key_t contexts_key;
static _Thread_local struct contexts *thread_contexts;

static void contexts_destroy(void *memory)
{
    struct contexts *contexts = memory;
    LZ4F_freeDecompressionContext(contexts->lz4_decoder);
    ZSTD_freeCCtx(contexts->zstd_encoder);
    ZSTD_freeDCtx(contexts->zstd_decoder);
    if (contexts->has_deflater)
        deflateEnd(&contexts->deflater);
    if (contexts->has_inflater)
        inflateEnd(&contexts->inflater);
    free(contexts);
    thread_contexts = NULL;
}

static void contexts_make_key(void)
{
    must(pthread_key_create(&contexts_key, contexts_destroy) == 0);
}

static struct contexts *contexts_get(void)
{
    if (__builtin_expect(thread_contexts != NULL, 1))
        return thread_contexts;
    pthread_once(&contexts_once, contexts_make_key);
    struct contexts *contexts = calloc(1, sizeof *contexts);
    if (contexts == NULL)
        return NULL;
    if (pthread_setspecific(contexts_key, contexts) != 0) {
        free(contexts);
        return NULL;
    }
    thread_contexts = contexts;
    return contexts;
}

/* ---- output with a cap ---- */

/* What a decoder writes to: out from start on, limit bytes of it at most. */
struct sink {
    struct buf *out;
    size_t start, limit;
};

static size_t sink_used(const struct sink *sink)
{
    return sink->out->size - sink->start;
}

/* Room for the next piece: wanted bytes, but never more than slack past the limit. Sets *room to
 * all that may be written there. */
static uint8_t *sink_room(struct sink *sink, size_t wanted, size_t slack, size_t *room)
{
    size_t allowed = sink->limit - sink_used(sink) + slack;
    if (wanted > allowed)
        wanted = allowed;
    uint8_t *at = buf_reserve(sink->out, wanted);
    if (at != NULL) {
        size_t there = sink->out->capacity - sink->out->size;
        *room = there < allowed ? there : allowed;
    }
    return at;
}

/* The first guess at an output's size when nothing trustworthy is known. */
static size_t first_guess(size_t input_bytes)
{
    size_t guess = input_bytes > SIZE_MAX / FIRST_RATIO ? SIZE_MAX : input_bytes * FIRST_RATIO;
    return guess < FIRST_BYTES ? FIRST_BYTES : guess;
}

/* ---- gzip ---- */

static int gzip_compress(struct bytes in, struct buf *out)
{
    struct contexts *contexts = contexts_get();
    if (contexts == NULL)
        return ERR_NOMEM;
    z_stream *z = &contexts->deflater;
    if (!contexts->has_deflater) {
        if (deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            return ERR_NOMEM;
        contexts->has_deflater = true;
    }
    if (in.size > UINT32_MAX / 2)
        return ERR_TOO_LARGE; /* zlib counts in unsigned int */
    must(deflateReset(z) == Z_OK);
    size_t bound = deflateBound(z, in.size);
    uint8_t *at = buf_reserve(out, bound);
    if (at == NULL)
        return ERR_NOMEM;
    z->next_in = (Bytef *)(uintptr_t)in.data;
    z->avail_in = (uInt)in.size;
    z->next_out = at;
    z->avail_out = (uInt)bound;
    must(deflate(z, Z_FINISH) == Z_STREAM_END);
    out->size += bound - z->avail_out;
    return 0;
}

/* Inflates one member off the front of in. */
static int gzip_member(z_stream *z, struct bytes *in, struct sink *sink)
{
    size_t wanted = first_guess(in->size);
    for (;;) {
        size_t room;
        uint8_t *at = sink_room(sink, wanted, 1, &room);
        if (at == NULL)
            return ERR_NOMEM;
        uInt piece = room < UINT32_MAX / 2 ? (uInt)room : UINT32_MAX / 2;
        z->next_in = (Bytef *)(uintptr_t)in->data;
        z->avail_in = in->size < UINT32_MAX / 2 ? (uInt)in->size : UINT32_MAX / 2;
        uInt offered = z->avail_in;
        z->next_out = at;
        z->avail_out = piece;
        int rc = inflate(z, Z_NO_FLUSH);
        in->data += offered - z->avail_in;
        in->size -= offered - z->avail_in;
        sink->out->size += piece - z->avail_out;
        if (sink_used(sink) > sink->limit)
            return ERR_TOO_LARGE;
        if (rc == Z_STREAM_END)
            return 0;
        if (rc == Z_MEM_ERROR)
            return ERR_NOMEM;
        if (rc != Z_OK || (z->avail_out != 0 && in->size == 0))
            return ERR_CORRUPT; /* broken, or it ends in the middle */
        wanted = sink_used(sink) + FIRST_BYTES;
    }
}

static int gzip_decompress(struct bytes in, struct sink *sink)
{
    struct contexts *contexts = contexts_get();
    if (contexts == NULL)
        return ERR_NOMEM;
    z_stream *z = &contexts->inflater;
    if (!contexts->has_inflater) {
        if (inflateInit2(z, GZIP_WINDOW_BITS) != Z_OK)
            return ERR_NOMEM;
        contexts->has_inflater = true;
    }
    do {
        must(inflateReset(z) == Z_OK);
        TRY(gzip_member(z, &in, sink));
    } while (in.size > 0);
    return 0;
}

/* ---- snappy ---- */

static int snappy_compress_xerial(struct bytes in, struct buf *out)
{
    buf_append(out, xerial_header, sizeof xerial_header);
    while (in.size > 0) {
        size_t piece = in.size < XERIAL_BLOCK_BYTES ? in.size : XERIAL_BLOCK_BYTES;
        size_t length = snappy_max_compressed_length(piece);
        uint8_t *at = buf_reserve(out, 4 + length);
        if (at == NULL)
            return ERR_NOMEM;
        must(snappy_compress((const char *)in.data, piece, (char *)at + 4, &length) == SNAPPY_OK);
        store_be32(at, (uint32_t)length);
        out->size += 4 + length;
        in.data += piece;
        in.size -= piece;
    }
    return buf_ok(out) ? 0 : ERR_NOMEM;
}

static int snappy_block(struct bytes in, struct sink *sink)
{
    size_t declared;
    if (snappy_uncompressed_length((const char *)in.data, in.size, &declared) != SNAPPY_OK ||
        declared / SNAPPY_MAX_RATIO > in.size)
        return ERR_CORRUPT;
    if (declared > sink->limit - sink_used(sink))
        return ERR_TOO_LARGE;
    uint8_t *at = buf_reserve(sink->out, declared);
    if (at == NULL)
        return ERR_NOMEM;
    if (snappy_uncompress((const char *)in.data, in.size, (char *)at, &declared) != SNAPPY_OK)
        return ERR_CORRUPT;
    sink->out->size += declared;
    return 0;
}

static bool is_xerial(struct bytes in)
{
    return in.size >= XERIAL_HEADER_BYTES &&
           memcmp(in.data, xerial_header, XERIAL_MAGIC_BYTES) == 0;
}

static int snappy_decompress(struct bytes in, struct sink *sink)
{
    if (!is_xerial(in))
        return snappy_block(in, sink);
    while (in.size > 0) {
        struct bytes block;
        uint32_t length;
        if (is_xerial(in)) { /* also in the middle, where two streams were joined */
            TRY(take_bytes(&in, XERIAL_HEADER_BYTES, &block));
            continue;
        }
        TRY(take_be32(&in, &length));
        TRY(take_bytes(&in, length, &block));
        TRY(snappy_block(block, sink));
    }
    return 0;
}

/* ---- lz4 ---- */

/* acceleration: 1 is lz4's own measure, more skips more of what does not repeat. */
static int lz4_compress(struct bytes in, int acceleration, struct buf *out)
{
    const LZ4F_preferences_t preferences = {
        .frameInfo =
            {
                .blockSizeID = LZ4F_max256KB,
                .blockMode = LZ4F_blockIndependent,
                .contentSize = in.size,
            },
        .compressionLevel = 1 - acceleration,
        .autoFlush = 1, /* the whole input is here: no buffering inside */
    };
    size_t bound = LZ4F_compressFrameBound(in.size, &preferences);
    uint8_t *at = buf_reserve(out, bound);
    if (at == NULL)
        return ERR_NOMEM;
    size_t size = LZ4F_compressFrame(at, bound, in.data, in.size, &preferences);
    if (LZ4F_isError(size))
        return ERR_NOMEM; /* the output fits by its bound, so only memory can be missing */
    out->size += size;
    return 0;
}

static size_t lz4_block_bytes(LZ4F_blockSizeID_t id)
{
    switch (id) {
    case LZ4F_max256KB:
        return 256 << 10;
    case LZ4F_max1MB:
        return 1 << 20;
    case LZ4F_max4MB:
        return 4 << 20;
    default:
        return 64 << 10;
    }
}

static int lz4_error(size_t code)
{
    bool memory = strcmp(LZ4F_getErrorName(code), "ERROR_allocation_failed") == 0;
    return memory ? ERR_NOMEM : ERR_CORRUPT;
}

/* Decodes one frame off the front of in. */
static int lz4_frame(LZ4F_dctx *decoder, struct bytes *in, struct sink *sink)
{
    LZ4F_frameInfo_t info;
    size_t used = in->size;
    size_t hint = LZ4F_getFrameInfo(decoder, &info, in->data, &used);
    if (LZ4F_isError(hint))
        return lz4_error(hint);
    in->data += used;
    in->size -= used;
    if (info.contentSize / LZ4_MAX_RATIO > in->size)
        return ERR_CORRUPT;
    size_t slack = lz4_block_bytes(info.blockSizeID);
    size_t wanted = first_guess(in->size);
    if (info.contentSize != 0 && info.contentSize < wanted)
        wanted = info.contentSize;
    while (hint != 0) {
        size_t room;
        uint8_t *at = sink_room(sink, wanted + slack, slack, &room);
        if (at == NULL)
            return ERR_NOMEM;
        size_t eaten = in->size;
        hint = LZ4F_decompress(decoder, at, &room, in->data, &eaten, NULL);
        if (LZ4F_isError(hint))
            return lz4_error(hint);
        in->data += eaten;
        in->size -= eaten;
        sink->out->size += room;
        if (sink_used(sink) > sink->limit)
            return ERR_TOO_LARGE;
        if (hint != 0 && in->size == 0 && room == 0)
            return ERR_CORRUPT; /* it ends in the middle */
        wanted = sink_used(sink);
    }
    return 0;
}

static int lz4_decompress(struct bytes in, struct sink *sink)
{
    struct contexts *contexts = contexts_get();
    if (contexts == NULL)
        return ERR_NOMEM;
    if (contexts->lz4_decoder == NULL &&
        LZ4F_isError(LZ4F_createDecompressionContext(&contexts->lz4_decoder, LZ4F_VERSION)))
        return ERR_NOMEM;
    do {
        int rc = lz4_frame(contexts->lz4_decoder, &in, sink);
        if (rc < 0) {
            LZ4F_resetDecompressionContext(contexts->lz4_decoder);
            return rc;
        }
    } while (in.size > 0);
    return 0;
}

/* ---- zstd ---- */

static int zstd_compress(struct bytes in, struct buf *out)
{
    struct contexts *contexts = contexts_get();
    if (contexts == NULL)
        return ERR_NOMEM;
    if (contexts->zstd_encoder == NULL && (contexts->zstd_encoder = ZSTD_createCCtx()) == NULL)
        return ERR_NOMEM;
    size_t bound = ZSTD_compressBound(in.size);
    uint8_t *at = buf_reserve(out, bound);
    if (at == NULL)
        return ERR_NOMEM;
    size_t size =
        ZSTD_compressCCtx(contexts->zstd_encoder, at, bound, in.data, in.size, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(size))
        return ERR_NOMEM;
    out->size += size;
    return 0;
}

static int zstd_decompress(struct bytes in, struct sink *sink)
{
    struct contexts *contexts = contexts_get();
    if (contexts == NULL)
        return ERR_NOMEM;
    if (contexts->zstd_decoder == NULL && (contexts->zstd_decoder = ZSTD_createDCtx()) == NULL)
        return ERR_NOMEM;
    unsigned long long declared = ZSTD_getFrameContentSize(in.data, in.size);
    if (declared == ZSTD_CONTENTSIZE_ERROR)
        return ERR_CORRUPT;
    size_t wanted = first_guess(in.size);
    if (declared != ZSTD_CONTENTSIZE_UNKNOWN && declared < wanted)
        wanted = declared;
    for (;;) {
        size_t room;
        uint8_t *at = sink_room(sink, wanted, 0, &room);
        if (at == NULL)
            return ERR_NOMEM;
        size_t size = ZSTD_decompressDCtx(contexts->zstd_decoder, at, room, in.data, in.size);
        if (!ZSTD_isError(size)) {
            sink->out->size += size;
            return 0;
        }
        if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
            return ERR_NOMEM;
        if (ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall)
            return ERR_CORRUPT;
        if (room >= sink->limit)
            return ERR_TOO_LARGE;
        wanted = room > SIZE_MAX / 4 ? SIZE_MAX : room * 4;
        if (wanted < FIRST_BYTES)
            wanted = FIRST_BYTES; /* a frame whose declared size was 0 and is not alone */
    }
}

/* ---- all of them ---- */

static int compress_with(enum codec codec, struct bytes in, int lz4_acceleration, struct buf *out)
{
    /* Some codecs do not take a null pointer even for nothing. */
    if (in.data == NULL)
        in = bytes_text("");
    switch (codec) {
    case CODEC_NONE:
        buf_append_bytes(out, in);
        return buf_ok(out) ? 0 : ERR_NOMEM;
    case CODEC_GZIP:
        return gzip_compress(in, out);
    case CODEC_SNAPPY:
        return snappy_compress_xerial(in, out);
    case CODEC_LZ4:
        return lz4_compress(in, lz4_acceleration, out);
    case CODEC_ZSTD:
        return zstd_compress(in, out);
    default:
        return ERR_UNSUPPORTED;
    }
}

int codec_compress(enum codec codec, struct bytes in, struct buf *out)
{
    return compress_with(codec, in, 1, out);
}

int codec_compress_fast(enum codec codec, struct bytes in, struct buf *out)
{
    return compress_with(codec, in, LZ4_FAST_ACCELERATION, out);
}

static int decompress_into(enum codec codec, struct bytes in, struct sink *sink)
{
    switch (codec) {
    case CODEC_NONE:
        if (in.size > sink->limit)
            return ERR_TOO_LARGE;
        buf_append_bytes(sink->out, in);
        return buf_ok(sink->out) ? 0 : ERR_NOMEM;
    case CODEC_GZIP:
        return gzip_decompress(in, sink);
    case CODEC_SNAPPY:
        return snappy_decompress(in, sink);
    case CODEC_LZ4:
        return lz4_decompress(in, sink);
    case CODEC_ZSTD:
        return zstd_decompress(in, sink);
    default:
        return ERR_UNSUPPORTED;
    }
}

int codec_decompress(enum codec codec, struct bytes in, size_t limit_bytes, struct buf *out)
{
    if (in.size == 0 && codec != CODEC_NONE)
        return codec > CODEC_ZSTD ? ERR_UNSUPPORTED : ERR_CORRUPT;
    /* Kept far from the end of the number range, so that limit plus slack never wraps. */
    if (limit_bytes > SIZE_MAX / 4)
        limit_bytes = SIZE_MAX / 4;
    struct sink sink = {.out = out, .start = out->size, .limit = limit_bytes};
    int rc = decompress_into(codec, in, &sink);
    if (rc < 0)
        out->size = sink.start;
    return rc;
}
