/* metrics_text.c: reads OpenMetrics text, of which it takes what an app writes (runtime/metrics.c):
 *
 *   # anything                         passed over; "# EOF" ends the text
 *   name{label="value",…} number
 *   name number                        a timestamp behind the number is passed over
 *
 * The text comes from a file that anybody may name, so a line that is none of these is an error with
 * its number, not a sample with a value of its own. */
#include "runtime/cli/metrics_text.h"

#include <stdlib.h>

enum { NUMBER_BYTES = 64 };

void metrics_text_start(struct metrics_text *text, struct bytes bytes)
{
    *text = (struct metrics_text){.rest = bytes, .line = 1};
}

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == ':';
}

static struct bytes take_name(struct bytes *in)
{
    struct bytes name = bytes_of(in->data, 0);
    while (name.size < in->size && is_name_byte(in->data[name.size]))
        name.size++;
    *in = bytes_of(in->data + name.size, in->size - name.size);
    return name;
}

static bool take_byte(struct bytes *in, char byte)
{
    if (in->size == 0 || in->data[0] != (uint8_t)byte)
        return false;
    *in = bytes_of(in->data + 1, in->size - 1);
    return true;
}

/* name="value", with \" inside. */
static bool take_label(struct bytes *in, struct metric_label *label)
{
    label->name = take_name(in);
    if (label->name.size == 0 || !take_byte(in, '=') || !take_byte(in, '"'))
        return false;
    size_t size = 0;
    while (size < in->size && in->data[size] != '"')
        size += in->data[size] == '\\' ? 2 : 1;
    if (size >= in->size)
        return false;
    label->value = bytes_of(in->data, size);
    *in = bytes_of(in->data + size + 1, in->size - size - 1);
    return true;
}

static bool take_labels(struct bytes *in, struct metric_sample *sample)
{
    sample->label_count = 0;
    if (!take_byte(in, '{') || take_byte(in, '}'))
        return true;
    do
        if (sample->label_count == METRIC_LABELS_MAX ||
            !take_label(in, &sample->labels[sample->label_count++]))
            return false;
    while (take_byte(in, ','));
    return take_byte(in, '}');
}

static bool take_value(struct bytes *in, double *value)
{
    char text[NUMBER_BYTES], *end;
    size_t size = 0;
    while (size < in->size && in->data[size] != ' ')
        size++;
    if (size == 0 || size >= sizeof text)
        return false;
    memcpy(text, in->data, size);
    text[size] = '\0';
    *value = strtod(text, &end);
    return *end == '\0';
}

static bool read_sample(struct bytes line, struct metric_sample *sample)
{
    sample->name = take_name(&line);
    return sample->name.size > 0 && take_labels(&line, sample) && take_byte(&line, ' ') &&
           take_value(&line, &sample->value);
}

static struct bytes take_line(struct metrics_text *text)
{
    const uint8_t *end = memchr(text->rest.data, '\n', text->rest.size);
    size_t size = end != NULL ? (size_t)(end - text->rest.data) : text->rest.size;
    struct bytes line = bytes_of(text->rest.data, size);
    size_t used = end != NULL ? size + 1 : size;
    text->rest = bytes_of(text->rest.data + used, text->rest.size - used);
    text->line++;
    return line;
}

int metrics_text_next(struct metrics_text *text, struct metric_sample *sample, struct diag *diag)
{
    while (text->rest.size > 0) {
        int number = text->line;
        struct bytes line = take_line(text);
        if (text->is_ended)
            return diag_set(diag, ERR_CORRUPT, "line %d: there is something behind # EOF", number);
        if (line.size > 0 && line.data[0] == '#') {
            text->is_ended = bytes_equal(line, bytes_text("# EOF"));
            continue;
        }
        if (read_sample(line, sample))
            return 1;
        return diag_set(diag, ERR_CORRUPT, "line %d: this is no sample of OpenMetrics text",
                        number);
    }
    return 0;
}

struct bytes metric_label(const struct metric_sample *sample, const char *name)
{
    for (int i = 0; i < sample->label_count; i++)
        if (bytes_equal(sample->labels[i].name, bytes_text(name)))
            return sample->labels[i].value;
    return bytes_of(NULL, 0);
}
