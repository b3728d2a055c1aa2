/* store_view.h: a store as rows: what `weir state` prints.
 *
 * Beside the LMDB files of each store lies view.json: the texts of the view that the store belongs to (source, steps, group, window,
 * aggregates). store_view_open compiles them again, so a pair prints exactly as the engine would give it. One thread uses a view. */
#ifndef WEIR_RUNTIME_STORE_VIEW_H
#define WEIR_RUNTIME_STORE_VIEW_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct weir_app;
struct view;
struct stage;
struct arena;
struct store_view;

/* Writes DIR/view.json (atomically; skipped when it is there and the same). */
int store_view_write(const char *state_dir, const struct weir_app *app, const struct view *view, struct diag *diag);
/* The same of a store in which operators on the stage's rows keep some (row_table.h). */
int store_view_write_rows(const char *state_dir, const struct weir_app *app, const struct stage *stage, struct diag *diag);

/* Removes DIR/view.json, without which the directory is the store's alone; none is fine. */
int store_view_remove(const char *state_dir, struct diag *diag);

/* What a view is called, without compiling it. Errors as below. */
struct store_view_names {
    char app[250], topic[250];
    char name[250];              /* that its SQL statement gave it; "": none */
    char format[64];             /* of its records */
};
int store_view_names(const char *state_dir, struct store_view_names *names, struct diag *diag);

/* ERR_NOT_FOUND without a view.json, ERR_CORRUPT when it cannot be read. */
int store_view_open(const char *state_dir, struct store_view **view, struct diag *diag);
/* The same, and of a store of rows too (ERR_UNSUPPORTED by the one above): of those store_view_json prints what each operator keeps. */
int store_view_open_any(const char *state_dir, struct store_view **view, struct diag *diag);
/* The compiled view: immutable, valid until the close, and any thread's. */
const struct view *store_view_plan(const struct store_view *view);
uint64_t store_view_state_hash(const struct store_view *view);  /* what state_open asks for … */
uint64_t store_view_plan_hash(const struct store_view *view);   /* … of older stores */
/* False for what is no row of the view but stands behind one: the values that count(DISTINCT) has seen. */
bool store_view_is_row(struct bytes value);
bool store_view_has_rows(const struct store_view *view);         /* it is a store of rows, of which each pair is one */
/* store_rows.c: of the stage whose chain begins with operator `first` of the view, of `count`. */
int store_rows_json(const struct view *view, uint32_t first, uint32_t count, struct bytes key, struct bytes value, struct arena *arena, struct buf *out, struct diag *diag);
/* Appends the pair as one JSON object: group columns, window bounds, results. */
int store_view_json(struct store_view *view, struct bytes key, struct bytes value, struct buf *out, struct diag *diag);
/* The store key of a group given as text: the raw text of a single text column, or a JSON object of the key columns,
 * {"user":"u1","window_start":"2026-01-01T00:00:00.000Z"} (as record keys print; ISO or epoch ms). */
int store_view_key(struct store_view *view, const char *text, struct buf *key, struct diag *diag);
void store_view_close(struct store_view *view);

#endif
