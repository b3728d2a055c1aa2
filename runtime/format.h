/* format.h: what the values of records are: JSON, CSV, plain text, bytes, a program's own format; how they become columns, and how rows become them.
 *
 * One table: a format is an entry (format.c), and everything else asks the entry. A source has one (weir_source), which fills a batch's columns from its
 * records. JSON is the one that has fields by name, of which only those that something reads are decoded; all others have columns in an order, declared by
 * who names the source or always the same ones. Entries are immutable and shared; what a task keeps to decode with is its own (state). */
#ifndef WEIR_RUNTIME_FORMAT_H
#define WEIR_RUNTIME_FORMAT_H

#include "operators/column_list.h"

struct weir_app;
struct view;

/* One batch of records on its way to columns. */
struct decoding {
    const struct view *view;
    void *state;                  /* what open made */
    const struct source_row *rows;
    uint32_t count;
    struct arena *arena;
    struct column *columns;       /* room for format_room(view); borrow from rows */
    struct reject_list *rejects;
};

/* Rows on their way to records of an output. */
struct encoding {
    const struct view *view;
    const struct column *columns; /* of the view's value, in order */
    uint32_t count;
    struct arena *arena;
    struct buf *out;              /* the value is appended */
    bool is_null;                 /* set: the record has no value */
    const char *problem;          /* why a row was refused: constant or arena text */
    void *state;                  /* the format's, for the batch; NULL at its first row */
};

struct format {
    const char *name;             /* stands in plan hashes and in view.json */
    int number;                   /* weir.h's */
    bool has_fields;              /* named fields and no columns in an order */
    const char *columns;          /* those that every source has; NULL: declared */
    bool is_text;                 /* declared columns are decoded as text, which casts then read */
    int (*open)(const struct view *view, void **state, struct diag *diag);  /* NULL: nothing is kept */
    void (*close)(void *state);
    /* Bad records go to rejects and are NULLs. 0, ERR_NOMEM. */
    int (*decode)(struct decoding *decoding);   /* NULL: nothing is read with it */
    bool is_single;               /* an output writes one column */
    bool is_bytes;                /* and that of text or bytes */
    /* 0; ERR_INVALID: the row cannot be written, and problem says why; ERR_NOMEM. Memory that out lacked is found out by buf_ok. */
    int (*encode)(struct encoding *encoding, uint32_t row);                 /* NULL: nothing is written with it */
};
extern const struct format format_json;

/* By its number; NULL: there is none. */
const struct format *format_find(const struct weir_app *app, int number);
/* By its name. */
const struct format *format_named(const struct weir_app *app, const char *name);

/* format_user.c: of those that the app's program added, by number, or by name when it is not NULL. */
const struct format *format_of_user(const struct weir_app *app, int number, const char *name);
void format_release(struct weir_app *app);

/* What a view's source decodes to: columns, and behind declared ones the event times, once more, in the form that JSON's have. */
uint32_t format_column_count(const struct view *view);
static inline uint32_t format_room(const struct view *view) { return format_column_count(view) + 2; }
int format_open(const struct view *view, void **state, struct diag *diag);
void format_close(const struct view *view, void *state);
int format_decode(struct decoding *decoding);
/* Rows of a table: those without a value are no bad rows, and what their columns hold says nothing. */
int format_decode_table(struct decoding *decoding);


#endif
