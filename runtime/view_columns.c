/* view_columns.c: what a question may name (see view_columns.h).
 *
 * The columns of * are those of the topic's records, in their order, and window_open behind them where there are windows.
 * A view's select list may leave out what its results are grouped by, or show it under another name; those columns are known
 * all the same, by the names that the record's key has, so that every row can be asked for by its key. A name that both have
 * is the record's. */
#include "runtime/view_columns.h"

#include <string.h>

/* The key's column that an expression over results is, which is the case when it is a name alone. */
static int key_of_result(const struct view *view, uint32_t result)
{
    uint32_t groups = view->group->groups->count;
    if (result < groups)
        return (int)result;
    if (view->is_windowed && result == groups)
        return KEY_WINDOW_START;
    if (view->is_windowed && result == groups + 1)
        return KEY_WINDOW_END;
    return KEY_NONE;
}

static int key_of_value(const struct view *view, uint32_t value)
{
    const struct group_params *group = view->group;
    uint32_t fixed = group->groups->count + (view->is_windowed ? 2 : 0), index;
    if (group->select != NULL) {
        if (!expr_is_column(group->select->exprs[value], &index))
            return KEY_NONE;
        value = index;
    }
    if (value < fixed || group->function != NULL)
        return key_of_result(view, value);
    return expr_is_column(group->aggregates->outputs[value - fixed], &index)
               ? key_of_result(view, index)
               : KEY_NONE;
}

static bool is_known(const struct view_columns *columns, const char *name)
{
    for (uint32_t i = 0; i < columns->count; i++)
        if (strcmp(columns->items[i].name, name) == 0)
            return true;
    return false;
}

static void add_hidden(const struct view *view, uint32_t result, struct view_columns *columns)
{
    if (is_known(columns, view->column_names[result]))
        return;
    columns->items[columns->count++] = (struct view_column){.name = view->column_names[result],
                                                            .type = view->column_types[result],
                                                            .result = result,
                                                            .key = key_of_result(view, result)};
    columns->hidden++;
}

int view_columns_make(const struct view *view, struct arena *arena, struct view_columns *columns)
{
    uint32_t values = view->column_count - view->first_value;
    uint32_t keys = view->group->groups->count + (view->is_windowed ? 2 : 0);
    *columns = (struct view_columns){
        .items = arena_zalloc(arena, (values + 1 + keys) * sizeof *columns->items)};
    if (columns->items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < values; i++)
        columns->items[columns->count++] =
            (struct view_column){.name = view->column_names[view->first_value + i],
                                 .type = view->column_types[view->first_value + i],
                                 .result = view->first_value + i,
                                 .key = key_of_value(view, i)};
    columns->value_count = values;
    if (view->is_windowed && !is_known(columns, "window_open"))
        columns->items[columns->count++] = (struct view_column){
            .name = "window_open", .type = COL_BOOLEAN, .key = KEY_NONE, .is_open_mark = true};
    for (uint32_t i = 0; i < keys; i++)
        add_hidden(view, i, columns);
    return 0;
}
