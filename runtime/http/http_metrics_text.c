/* http_metrics_text.c: OpenMetrics text as the text format that Prometheus had before (0.0.4), for who asks for that one.
 *
 * The samples are the same. What is said about them differs: there a family has the name of its samples, so that a counter's ends with _total; info is a gauge; there are no
 * units and no last line. Samples are copied as they are, since ours have neither times nor exemplars, which the two write differently. */
#include "runtime/http/http_internal.h"

static const struct kind {
    const char *name, *suffix, *text_name;
} kinds[] = {
    {"counter", "_total", "counter"}, {"info", "_info", "gauge"}, {"gauge", "", "gauge"},
    {"histogram", "", "histogram"},   {"summary", "", "summary"}, {"stateset", "", "gauge"},
    {"unknown", "", "untyped"},
};

static const struct kind *find_kind(const char *text, size_t size)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, text, size) == 0)
            return &kinds[i];
    return NULL;
}

/* "# TYPE name kind"; the kind is for the "# HELP name …" that follows. */
static void put_comment(struct buf *out, const char *line, size_t size, const struct kind **kind)
{
    static const char type[] = "# TYPE ", help[] = "# HELP ";
    size_t head = sizeof type - 1;
    if (size < head || (memcmp(line, type, head) != 0 && memcmp(line, help, head) != 0))
        return; /* a unit, the end */
    const char *name = line + head, *end = line + size;
    const char *space = memchr(name, ' ', (size_t)(end - name));
    const char *rest = space != NULL ? space + 1 : end;
    bool is_type = memcmp(line, type, head) == 0;
    if (is_type)
        *kind = find_kind(rest, (size_t)(end - rest));
    buf_append(out, line, (size_t)((space != NULL ? space : end) - line));
    buf_printf(out, "%s ", *kind != NULL ? (*kind)->suffix : "");
    if (is_type)
        buf_printf(out, "%s", *kind != NULL ? (*kind)->text_name : "untyped");
    else
        buf_append(out, rest, (size_t)(end - rest));
    buf_u8(out, '\n');
}

void http_metrics_as_text(struct bytes openmetrics, struct buf *out)
{
    const char *at = (const char *)openmetrics.data, *end = at + openmetrics.size;
    const struct kind *kind = NULL;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((line_end != NULL ? line_end : end) - at);
        if (*at == '#')
            put_comment(out, at, size, &kind);
        else {
            buf_append(out, at, size);
            buf_u8(out, '\n');
        }
        at += size + (line_end != NULL);
    }
}
