/* bench_text.c: how generators write and how checks read; see bench_text.h. */
#include "tests/support/bench_text.h"

#include <string.h>

#include "runtime/base/clock.h"

uint64_t bench_mix(uint64_t n)
{
    n += 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

bool bench_take_text(struct bytes *in, const char *text)
{
    size_t size = strlen(text);
    if (in->size < size || memcmp(in->data, text, size) != 0)
        return false;
    *in = bytes_of(in->data + size, in->size - size);
    return true;
}

bool bench_take_number(struct bytes *in, int64_t *number)
{
    size_t used = 0;
    *number = 0;
    for (; used < in->size && used < 18 && in->data[used] >= '0' && in->data[used] <= '9'; used++)
        *number = *number * 10 + (in->data[used] - '0');
    *in = bytes_of(in->data + used, in->size - used);
    return used > 0;
}

bool bench_take_quoted(struct bytes *in, struct bytes *text)
{
    if (!bench_take_text(in, "\""))
        return false;
    const uint8_t *end = memchr(in->data, '"', in->size);
    if (end == NULL)
        return false;
    *text = bytes_of(in->data, (size_t)(end - in->data));
    *in = bytes_of(end + 1, in->size - text->size - 1);
    return true;
}

bool bench_take_time(struct bytes *in, int64_t *epoch_ms)
{
    struct bytes text;
    return bench_take_quoted(in, &text) && time_parse_iso(text, epoch_ms) == 0;
}

char *bench_put_text(char *out, const char *text)
{
    size_t size = strlen(text);
    memcpy(out, text, size);
    return out + size;
}

char *bench_put_digits(char *out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + count;
}
