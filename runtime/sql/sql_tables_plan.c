/* sql_tables_plan.c: what a SELECT over a table of the latest rows can be, and FROM table [LEFT | FULL] JOIN table ON …
 *
 * Two tables are joined by their keys: ON says for each column of the right one's key that it equals the left one's, in their order, and so the result is a table under
 * the left one's key. In a FULL JOIN either may be missing, so that its key is coalesce(left's, right's), and a condition cannot be moved before the join. Groups over a
 * view of the result, and further joins with it, read it from a topic of its own (sql_own_topic.c): what leaves the place where rows of two tables meet is written. */
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <string.h>

/* What a table of the latest rows can be the source of: its rows, groups of them, and a join with another table. */
int check_table(struct compile_file *file, const struct select *select, const struct relation *base,
                bool is_grouped)
{
    const struct from_item *from = &select->from;
    if (base->key_count == 0)
        return 0;
    if (from->window != CALL_NONE)
        return source_error(&file->source, ERR_UNSUPPORTED, from->at,
                            "group by the time itself: date_trunc('hour', created_at) AS hour",
                            "windows over a table: rows of %s may change at any time, so that no "
                            "window would ever close",
                            base->name);
    if (select->distinct_count > 0)
        return source_error(
            &file->source, ERR_UNSUPPORTED, from->at,
            "declare the topic once more, without PRIMARY KEY, to read its rows as events",
            "DISTINCT ON over a table: %s has the latest row per key and no rows that come; it is "
            "not supported",
            base->name);
    if (is_grouped && from->join_count > 0)
        return source_error(&file->source, ERR_UNSUPPORTED, from->at,
                            "CREATE VIEW the joined rows, and group those of the view",
                            "groups over two tables that are joined in the same SELECT are not "
                            "supported");
    return 0;
}

int check_tables_of(struct compile_file *file, const struct select *select,
                    const struct relation *base)
{
    const struct from_item *from = &select->from;
    if (base->key_count > 0 && from->join_count > 1)
        return source_error(&file->source, ERR_UNSUPPORTED, from->joins[1].relation.at,
                            "CREATE VIEW the first two, and join that view",
                            "a SELECT joins two tables, and no third one");
    for (uint32_t i = 0; base->key_count == 0 && i < from->join_count; i++)
        if (from->joins[i].is_full)
            return source_error(
                &file->source, ERR_UNSUPPORTED, from->joins[i].relation.at,
                "a row of a table alone is no event; LEFT JOIN keeps those of the stream. Of two "
                "streams, UNION ALL of two LEFT JOINs says which rows had no match",
                "FULL JOIN of a stream is not supported");
    return 0;
}

/* ---- the keys ---- */

static bool is_column(const struct syntax *syntax, const char *name)
{
    return syntax->kind == SYNTAX_COLUMN && strcmp(syntax->path.parts[0], name) == 0;
}

static int other_key(struct compile_file *file, const struct relation *left,
                     const struct relation *right, uint32_t k, const struct syntax *equal)
{
    char hint[300];
    snprintf(hint, sizeof hint, "ON …%.60s = …%.60s%s", left->columns[left->keys[k]].name,
             right->columns[right->keys[k]].name,
             left->key_count > 1 ? " AND …, in the order of both keys" : "");
    return source_error(&file->source, ERR_UNSUPPORTED, equal->at, hint,
                        "two tables are joined by their keys: \"%s\" of %s must equal \"%s\" of %s",
                        right->columns[right->keys[k]].name, right->name,
                        left->columns[left->keys[k]].name, left->name);
}

static int check_keys(struct compile_file *file, const struct select_scope *scope,
                      const struct join_item *item, const struct relation *right,
                      struct syntax *const *equals)
{
    const struct relation *left = scope->relation;
    if (left->key_count != right->key_count)
        return source_error(&file->source, ERR_UNSUPPORTED, item->on->at,
                            "tables of one key are joined",
                            "two tables are joined by their keys, and that of %s has %u columns, "
                            "that of %s %u",
                            left->name, left->key_count, right->name, right->key_count);
    for (uint32_t k = 0; k < left->key_count; k++) {
        if (left->keys[k] == UINT32_MAX)
            return source_error(
                &file->source, ERR_UNSUPPORTED, item->relation.at, "keep it in the view's columns",
                "view %s does not have the key of its table, which a join goes by", left->name);
        const char *name = left->columns[left->keys[k]].name;
        if (!is_column(equals[k], name))
            return other_key(file, left, right, k, equals[k]);
        enum col_type a = left->columns[left->keys[k]].type,
                      b = right->columns[right->keys[k]].type;
        if (a != b && item->is_full)
            return source_error(&file->source, ERR_UNSUPPORTED, equals[k]->at,
                                "give both columns one type",
                                "in a FULL JOIN \"%s\" of %s is %s, and \"%s\" of %s %s", name,
                                left->name, col_type_name(a), right->columns[right->keys[k]].name,
                                right->name, col_type_name(b));
    }
    return 0;
}

int check_joined_tables(struct select_scope *scope, const struct join_item *item, uint32_t first,
                        struct syntax *const *equals)
{
    const struct relation *right = scope->owners[scope->owner_count - 1].relation;
    TRY(check_keys(scope->file, scope, item, right, equals));
    if (!item->is_full)
        return 0;
    scope->full_keys = arena_zalloc(&scope->file->program->arena,
                                    (right->key_count + 1) * sizeof *scope->full_keys);
    if (scope->full_keys == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < right->key_count; k++)
        scope->full_keys[k] = scope->names[first + right->keys[k]];
    return 0;
}
