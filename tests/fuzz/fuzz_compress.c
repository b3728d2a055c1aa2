/* fuzz_compress.c: any bytes through each codec, both ways. The first byte chooses the codec and a
 * limit, the rest is the input. Checked beside memory safety: the limit holds, memory stays in
 * proportion, an error leaves the output as it was, and what was compressed comes back. */
#include "log/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_decompress(enum codec codec, struct bytes in, size_t limit)
{
    struct buf out = {0};
    buf_append(&out, "kept", 4);
    int rc = codec_decompress(codec, in, limit, &out);
    must(rc == 0 || rc == ERR_CORRUPT || rc == ERR_TOO_LARGE);
    must(rc == 0 ? out.size <= 4 + limit : out.size == 4);
    must(memcmp(out.data, "kept", 4) == 0);
    must(out.capacity <= 2 * limit + (32u << 20)); /* the largest lz4 block is 4 MiB */
    buf_deinit(&out);
}

static void try_round_trip(enum codec codec, struct bytes in)
{
    struct buf packed = {0}, plain = {0};
    must(codec_compress(codec, in, &packed) == 0);
    must(codec_decompress(codec, bytes_of(packed.data, packed.size), in.size, &plain) == 0);
    must(plain.size == in.size && (in.size == 0 || memcmp(plain.data, in.data, in.size) == 0));
    buf_deinit(&packed);
    buf_deinit(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {0, 1, 100, 65536, 1 << 20};
    if (size < 1)
        return 0;
    enum codec codec = (enum codec)(data[0] % 5);
    struct bytes in = bytes_of(data + 1, size - 1);
    try_decompress(codec, in, limits[data[0] / 5 % 5]);
    try_round_trip(codec, in);
    return 0;
}
