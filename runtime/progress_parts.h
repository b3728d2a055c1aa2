/* progress_parts.h: what the records of a progress topic have in common: ids, tables' positions, keys that name a place. Private to progress.c, time_marker.c and join_cut.c. */
#ifndef WEIR_RUNTIME_PROGRESS_PARTS_H
#define WEIR_RUNTIME_PROGRESS_PARTS_H

#include <jansson.h>

#include "runtime/progress.h"

/* ,"name":"00112233…" */
void progress_put_id(struct buf *value, const char *name, const uint8_t id[16]);
/* ERR_CORRUPT: not there, or not 32 hexadecimal digits. */
int progress_get_id(const json_t *object, const char *name, uint8_t id[16]);
/* ,"tables":[…], or nothing when there is none. */
void progress_put_tables(struct buf *value, const struct progress_table *tables, uint32_t count);
/* The member "tables" of an object, malloc'ed. ERR_CORRUPT, ERR_NOMEM. */
int progress_get_tables(const json_t *object, struct progress_table **tables, uint32_t *count);
/* "prefix<stage>/<partition>/<offset>". */
bool progress_place_is(struct bytes key, const char *prefix);
void progress_put_place(struct buf *key, const char *prefix, const char *stage, int32_t partition, int64_t offset);
int progress_get_place(struct bytes key, const char *prefix, char stage[STAGE_NAME_BYTES], int32_t *partition, int64_t *offset);

#endif
