/* compress.h: the five codecs of Kafka batches: none, gzip, snappy (raw block and xerial framing read, xerial written),
 * lz4 (frame format), zstd. Output is always capped: a declared size is never trusted. Thread-safe (per-thread contexts). */
#ifndef WEIR_LOG_COMPRESS_H
#define WEIR_LOG_COMPRESS_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum codec { CODEC_NONE = 0, CODEC_GZIP = 1, CODEC_SNAPPY = 2, CODEC_LZ4 = 3, CODEC_ZSTD = 4 };

const char *codec_name(int codec);           /* "none" …; "unknown" */
int codec_from_name(const char *name);       /* ERR_INVALID when unknown */

/* Appends the compressed form of in to out. 0, ERR_NOMEM, ERR_UNSUPPORTED. */
int codec_compress(enum codec codec, struct bytes in, struct buf *out);
/* The same in less time and into more bytes, where the codec can (lz4: half the time for some 10 % more). For topics that only we read. */
int codec_compress_fast(enum codec codec, struct bytes in, struct buf *out);
/* Appends the plain form of in to out, at most limit_bytes of it. out should have no limit of its own: up to one lz4 block of
 * room past limit_bytes is taken. ERR_CORRUPT (bytes are not of the codec),
 * ERR_TOO_LARGE (would pass limit_bytes), ERR_NOMEM, ERR_UNSUPPORTED. On error out->size is as before. */
int codec_decompress(enum codec codec, struct bytes in, size_t limit_bytes, struct buf *out);

#endif
