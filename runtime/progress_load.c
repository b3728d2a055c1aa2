/* progress_load.c: reads a progress topic to its end: the latest record of each task, and the time
 * markers. Apart from progress.c, which knows records and no log. */
#include <stdlib.h>

#include "runtime/port.h"
#include "runtime/progress.h"

enum { READ_ROWS = 1024 };

static int read_rows(const struct port_ops *ops, struct progress_set *set,
                     struct port_reader *reader, struct source_row *rows, struct diag *diag)
{
    for (;;) {
        uint32_t count;
        int64_t next;
        TRY(ops->reader_read(reader, rows, READ_ROWS, &count, &next, diag));
        for (uint32_t i = 0; i < count; i++)
            TRY(progress_set_apply(set, rows[i].key, rows[i].value, diag));
        if (next == set->next_offset)
            return 0;
        set->next_offset = next;
    }
}

int progress_load(struct port *port, const char *topic, struct progress_set *set, struct diag *diag)
{
    const struct port_ops *ops = port->ops;
    struct port_reader *reader;
    struct port_range range;
    TRY(ops->range(port, topic, 0, &range, diag));
    set->next_offset = range.start;
    TRY(ops->reader_open(port, topic, 0, range.start, &reader, diag));
    struct source_row *rows = malloc(READ_ROWS * sizeof *rows);
    int rc = rows != NULL ? read_rows(ops, set, reader, rows, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to read progress");
    free(rows);
    ops->reader_close(reader);
    return rc;
}
