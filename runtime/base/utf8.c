/* utf8.c: UTF-8 as RFC 3629 has it (see utf8.h).
 *
 * Neither overlong forms nor surrogates nor anything above U+10FFFF: what passes here, every parser takes. A sequence is judged by its
 * first two bytes and by how many follow, which is all that the standard's table of ranges says. */
#include "runtime/base/utf8.h"

size_t utf8_sequence(const uint8_t *text, size_t size)
{
    uint8_t first = text[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (length > size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
    bool outside = (first == 0xed && text[1] > 0x9f) || (first == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

bool utf8_check(struct bytes text)
{
    for (size_t i = 0; i < text.size;) {
        size_t length = utf8_sequence(text.data + i, text.size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

void utf8_repair(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_sequence(text.data + i, text.size - i);
        buf_append(out, size > 0 ? (const char *)text.data + i : "\xef\xbf\xbd",
                   size > 0 ? size : 3);
        i += size > 0 ? size : 1;
    }
}
