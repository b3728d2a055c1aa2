/* weir_group.c: groups and their offsets through weir.h. */
#include "runtime/weir_handle.h"

#include <stdlib.h>
#include <string.h>

int offsets_translate(const weir_offset *offsets, size_t count, struct group_offset **translated,
                      struct diag *diag)
{
    *translated = NULL;
    if (count > 0 && offsets == NULL)
        return diag_set(diag, ERR_INVALID, "offsets is NULL, count is %zu", count);
    struct group_offset *list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu offsets", count);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (offsets[i].topic == NULL || strlen(offsets[i].topic) >= sizeof list[i].topic)
            rc = diag_set(diag, ERR_INVALID, "offset %zu of %zu names no topic", i, count);
        else
            memcpy(list[i].topic, offsets[i].topic, strlen(offsets[i].topic) + 1);
        list[i].partition = offsets[i].partition;
        list[i].offset = offsets[i].offset;
        list[i].metadata = bytes_text(offsets[i].metadata);
    }
    if (rc < 0) {
        free(list);
        return rc;
    }
    *translated = list;
    return 0;
}
