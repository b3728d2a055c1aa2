/* verify_same.c: whether two values say the same (see verify_parts.h).
 *
 * They do when they are the same bytes. Sums of double precision depend on the order of the rows in
 * their last bits, so that a column of that type is compared as a number: of JSON by its name, which
 * leaves exact columns beside it exact; of other formats any number of the record with a point in it,
 * since their columns have no names. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "operators/json_value.h"
#include "runtime/verify/verify_parts.h"

/* Of what two orders of a million additions may differ by. */
#define CLOSE_BY 1e-9
enum { NUMBER_BYTES = 64 };

static bool has_doubles(const struct view *view)
{
    for (uint32_t i = 0; i < view->column_count; i++)
        if (view->column_types[i] == COL_DOUBLE)
            return true;
    return false;
}

static bool number_of(struct bytes token, double *number)
{
    char text[NUMBER_BYTES], *end;
    if (token.size == 0 || token.size >= sizeof text)
        return false;
    memcpy(text, token.data, token.size);
    text[token.size] = '\0';
    *number = strtod(text, &end);
    return *end == '\0';
}

static bool is_close(struct bytes a, struct bytes b)
{
    double x, y;
    if (bytes_equal(a, b))
        return true;
    if (!number_of(a, &x) || !number_of(b, &y))
        return false;
    double larger = fabs(x) > fabs(y) ? fabs(x) : fabs(y);
    return fabs(x - y) <= CLOSE_BY * (larger > 1 ? larger : 1);
}

static struct bytes trimmed(struct bytes text)
{
    while (text.size > 0 && isspace(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Objects with the view's columns in order: each has the same value. */
static bool same_members(const struct verify *v, uint32_t first, uint32_t count,
                         struct bytes expected, struct bytes found)
{
    struct arena arena;
    bool is_same = true;
    arena_init(&arena, 0);
    for (uint32_t i = first; is_same && i < count; i++) {
        struct bytes name = bytes_text(v->view->column_names[i]), a, b;
        is_same = json_value_member(expected, name, &arena, &a) == 1 &&
                  json_value_member(found, name, &arena, &b) == 1 &&
                  (v->view->column_types[i] == COL_DOUBLE ? is_close(trimmed(a), trimmed(b))
                                                          : bytes_equal(trimmed(a), trimmed(b)));
    }
    arena_deinit(&arena);
    return is_same;
}

static bool is_of_number(uint8_t c)
{
    return isdigit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static struct bytes take_number(struct bytes *text)
{
    size_t size = 0;
    while (size < text->size && is_of_number(text->data[size]))
        size++;
    struct bytes token = bytes_of(text->data, size);
    text->data += size;
    text->size -= size;
    return token;
}

static bool same_tokens(struct bytes expected, struct bytes found)
{
    while (expected.size > 0 && found.size > 0) {
        if (is_of_number(expected.data[0]) && is_of_number(found.data[0])) {
            if (!is_close(take_number(&expected), take_number(&found)))
                return false;
            continue;
        }
        if (expected.data[0] != found.data[0])
            return false;
        expected = bytes_of(expected.data + 1, expected.size - 1);
        found = bytes_of(found.data + 1, found.size - 1);
    }
    return expected.size == found.size;
}

bool verify_same(const struct verify *v, bool is_output, struct bytes expected, struct bytes found)
{
    const struct view *view = v->view;
    if (bytes_equal(expected, found))
        return true;
    if (expected.data == NULL || found.data == NULL || !has_doubles(view))
        return false;
    if (!is_output)
        return same_members(v, 0, view->first_value > 0 ? view->first_value : view->column_count,
                            expected, found);
    return view->format == &format_json
               ? same_members(v, view->first_value, view->column_count, expected, found)
               : same_tokens(expected, found);
}
