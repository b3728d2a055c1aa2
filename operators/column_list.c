/* column_list.c: declared columns (see column_list.h).
 *
 * The text is cut at its commas into "name type" pieces; what a name and a type are is left to the
 * expression compiler, which is asked for CAST(NULL AS type) AS name. So quoting, folding to lower
 * case, the spellings of types and their messages are those of expressions. A second question,
 * "name"::type for all of them over columns of the types just found, gives the casts. */
#include "operators/column_list.h"

#include <stdlib.h>
#include <strings.h>

enum { DECLARED_BYTES_MAX = 16 * 1024 };

struct piece {
    struct bytes name, type;
    bool is_json;
};

static struct bytes trimmed(struct bytes text)
{
    while (text.size > 0 && strchr(" \t\r\n", text.data[0]) != NULL) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL)
        text.size--;
    return text;
}

/* The piece up to the next comma outside of quotes and parentheses; false when those do not match. *more: a comma followed. */
static bool take_piece(struct bytes *rest, struct bytes *piece, bool *more)
{
    int depth = 0;
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->size && (quoted || depth > 0 || rest->data[i] != ','); i++) {
        quoted ^= rest->data[i] == '"';
        if (quoted)
            continue;
        depth += (rest->data[i] == '(') - (rest->data[i] == ')');
        if (depth < 0)
            break;
    }
    *piece = trimmed(bytes_of(rest->data, i));
    *more = i < rest->size;
    size_t used = *more ? i + 1 : i;
    *rest = bytes_of(rest->data + used, rest->size - used);
    return !quoted && depth == 0;
}

static bool equals_word(struct bytes text, const char *word)
{
    return text.size == strlen(word) && strncasecmp((const char *)text.data, word, text.size) == 0;
}

/* "name type", with the name perhaps in quotes. */
static bool split_piece(struct bytes text, struct piece *piece)
{
    size_t i = 0;
    bool quoted = false;
    for (; i < text.size && (quoted || strchr(" \t\r\n", text.data[i]) == NULL); i++)
        quoted ^= text.data[i] == '"';
    piece->name = bytes_of(text.data, i);
    piece->type = trimmed(bytes_of(text.data + i, text.size - i));
    piece->is_json = equals_word(piece->type, "jsonb") || equals_word(piece->type, "json");
    return piece->name.size > 0 && piece->type.size > 0;
}

/* Whether the type says more than its column's type does. */
static bool is_narrower(const struct piece *piece, enum col_type type)
{
    return memchr(piece->type.data, '(', piece->type.size) != NULL ||
           (type == COL_BIGINT && !equals_word(piece->type, "bigint") &&
            !equals_word(piece->type, "int8"));
}

static int find_type(struct column_list *list, const struct piece *piece, struct diag *diag)
{
    const struct named_columns none = {NULL, NULL, 0};
    struct scope scope = named_columns_scope(&none);
    struct expr_list *one = NULL;
    struct buf sql;
    buf_init(&sql, 0);
    buf_printf(&sql, "CAST(NULL AS %.*s) AS %.*s", piece->is_json ? 4 : (int)piece->type.size,
               piece->is_json ? "text" : (const char *)piece->type.data, (int)piece->name.size,
               (const char *)piece->name.data);
    buf_u8(&sql, 0);
    int rc = buf_ok(&sql) ? expr_parse_list((const char *)sql.data, &scope, &one, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory for a list of columns");
    buf_deinit(&sql);
    TRY(rc);
    if (one->count == 1 && (list->names[list->count] = strdup(one->names[0])) != NULL)
        list->types[list->count++] = piece->is_json ? COL_VARIANT : expr_type(one->exprs[0]);
    else
        rc = one->count != 1 ? diag_set(diag, ERR_INVALID, "\"%.*s\" is not a column and its type",
                                        (int)piece->name.size, (const char *)piece->name.data)
                             : diag_set(diag, ERR_NOMEM, "no memory for a list of columns");
    expr_list_destroy(one);
    return rc;
}

static void add_cast(struct buf *sql, const char *name, const struct piece *piece)
{
    for (int part = 0; part < (piece->is_json ? 1 : 2); part++) {
        buf_u8(sql, '"');
        for (const char *c = name; *c != '\0'; c++) {
            if (*c == '"')
                buf_u8(sql, '"');
            buf_u8(sql, (uint8_t)*c);
        }
        buf_u8(sql, '"');
        if (part == 0 && !piece->is_json)
            buf_printf(sql, "::%.*s AS ", (int)piece->type.size, (const char *)piece->type.data);
    }
}

/* The casts also find out names that stand twice. */
static int make_casts(struct column_list *list, const struct piece *pieces, bool from_text,
                      struct diag *diag)
{
    struct buf sql;
    bool is_needed = from_text;
    enum col_type *types = calloc(list->count, sizeof *types);
    struct named_columns columns = {(const char *const *)list->names, types, list->count};
    struct scope scope = named_columns_scope(&columns);
    buf_init(&sql, 0);
    for (uint32_t i = 0; types != NULL && i < list->count; i++) {
        types[i] = from_text ? COL_TEXT : list->types[i];
        is_needed |= is_narrower(&pieces[i], list->types[i]);
        buf_printf(&sql, i > 0 ? ", " : "");
        add_cast(&sql, list->names[i], &pieces[i]);
    }
    buf_u8(&sql, 0);
    int rc = types != NULL && buf_ok(&sql)
                 ? expr_parse_list((const char *)sql.data, &scope, &list->casts, diag)
                 : diag_set(diag, ERR_NOMEM, "no memory for a list of columns");
    if (rc == 0 && !is_needed) {
        expr_list_destroy(list->casts);
        list->casts = NULL;
    }
    buf_deinit(&sql);
    free(types);
    return rc;
}

static int parse(const char *declared, bool from_text, struct column_list *list,
                 struct piece *pieces, struct diag *diag)
{
    struct bytes rest = bytes_text(declared), text = rest;
    bool more;
    do {
        struct piece *piece = &pieces[list->count];
        if (!take_piece(&rest, &text, &more) || !split_piece(text, piece))
            return diag_set(diag, ERR_INVALID,
                            "\"%.*s\" is not a column and its type, as in \"shop text, amount "
                            "numeric(10,2)\"",
                            (int)(text.size < 100 ? text.size : 100), (const char *)text.data);
        if (from_text && piece->is_json)
            return diag_set(diag, ERR_UNSUPPORTED,
                            "column %.*s: a column of jsonb cannot be read from text: declare it "
                            "as text",
                            (int)piece->name.size, (const char *)piece->name.data);
        TRY(find_type(list, piece, diag));
    } while (more);
    return make_casts(list, pieces, from_text, diag);
}

int column_list_parse(const char *declared, bool from_text, struct column_list **result,
                      struct diag *diag)
{
    *result = NULL;
    size_t size = strlen(declared), most = 1;
    if (size > DECLARED_BYTES_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "a list of columns takes more than %d bytes",
                        DECLARED_BYTES_MAX);
    for (const char *c = declared; *c != '\0'; c++)
        most += *c == ',';
    struct column_list *list = calloc(1, sizeof *list);
    struct piece *pieces = calloc(most, sizeof *pieces);
    int rc = ERR_NOMEM;
    if (list != NULL && pieces != NULL) {
        list->names = calloc(most, sizeof *list->names);
        list->types = calloc(most, sizeof *list->types);
        if (list->names != NULL && list->types != NULL)
            rc = parse(declared, from_text, list, pieces, diag);
    }
    free(pieces);
    if (rc == 0)
        *result = list;
    else
        column_list_destroy(list);
    return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory for a list of columns") : rc;
}

void column_list_destroy(struct column_list *list)
{
    if (list == NULL)
        return;
    for (uint32_t i = 0; list->names != NULL && i < list->count; i++)
        free(list->names[i]);
    if (list->casts != NULL)
        expr_list_destroy(list->casts);
    free(list->names);
    free(list->types);
    free(list);
}
