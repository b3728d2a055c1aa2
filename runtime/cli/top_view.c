/* top_view.c: what 'weir top' puts on a screen, and into a pipe.
 *
 * Columns come from one table. Where the screen is too narrow for all of them the least telling go
 * first, then the names of stages are cut; where it is too low, the last rows give way to a line that
 * says how many they are. The totals always stay. In NDJSON nothing is left out and no number is
 * rounded for reading. */
#include "runtime/cli/top_view.h"

#include "operators/json_encode.h"
#include "runtime/base/clock.h"
#include "runtime/cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *const top_sort_names[TOP_SORTS] = {"name", "rate", "lag", "busy", "state"};

enum { CELL_BYTES = 64, STAGE_WIDTH_MIN = 12 };
#define YEAR_10000_S 253402300800.0

/* ---- numbers as people read them ---- */

/* Three digits and a letter: 999, 1.23k, 45.6M. */
static void shorten(char text[CELL_BYTES], double number, double step, const char *const *units)
{
    int unit = 0;
    while (fabs(number) >= (unit == 0 ? 1000 : 999.5) && units[unit + 1] != NULL) {
        number /= step;
        unit++;
    }
    int digits = unit == 0 || fabs(number) >= 99.95 ? 0 : fabs(number) >= 9.995 ? 1 : 2;
    snprintf(text, CELL_BYTES, "%.*f%s", digits, number, units[unit]);
}

static void put_count(char text[CELL_BYTES], double number)
{
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    shorten(text, number, 1000, units);
}

static void put_rate(char text[CELL_BYTES], double number)
{
    if (number > 0 && number < 10)
        snprintf(text, CELL_BYTES, "%.1f", number);
    else
        put_count(text, number);
}

static void put_size(char text[CELL_BYTES], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    shorten(text, bytes, 1024, units);
}

static void put_span(char text[CELL_BYTES], double seconds)
{
    const char *sign = seconds < 0 ? "-" : "";
    double s = fabs(seconds);
    if (s < 0.0995)
        snprintf(text, CELL_BYTES, "%s%.0fms", sign, s * 1000);
    else if (s < 120)
        snprintf(text, CELL_BYTES, "%s%.*fs", sign, s < 9.95 ? 1 : 0, s);
    else if (s < 7200)
        snprintf(text, CELL_BYTES, "%s%.0fm", sign, s / 60);
    else if (s < 172800)
        snprintf(text, CELL_BYTES, "%s%.0fh", sign, s / 3600);
    else
        snprintf(text, CELL_BYTES, "%s%.0fd", sign, s / 86400);
}

/* ---- columns ---- */

typedef void cell_fn(char text[CELL_BYTES], const struct top_view *view, const struct top_row *row);

static void cell_partitions(char text[CELL_BYTES], const struct top_view *view,
                            const struct top_row *row)
{
    bool is_one = view->by_partition && row->partition >= 0;
    snprintf(text, CELL_BYTES, "%d", is_one ? row->partition : row->partitions);
}
static void cell_in(char text[CELL_BYTES], const struct top_view *view, const struct top_row *row)
{
    (void)view;
    put_rate(text, row->rates[TOP_IN_RATE]);
}
static void cell_out(char text[CELL_BYTES], const struct top_view *view, const struct top_row *row)
{
    (void)view;
    put_rate(text, row->rates[TOP_OUT_RATE]);
}
static void cell_busy(char text[CELL_BYTES], const struct top_view *view, const struct top_row *row)
{
    (void)view;
    snprintf(text, CELL_BYTES, "%.0f%%", 100 * row->rates[TOP_BUSY_RATE]);
}
static void cell_delay(char text[CELL_BYTES], const struct top_view *view,
                       const struct top_row *row)
{
    if (row->has[TOP_WATERMARK])
        put_span(text, (double)view->now_ns / 1e9 - row->numbers[TOP_WATERMARK]);
    else
        snprintf(text, CELL_BYTES, "-");
}
static void put_time(char text[CELL_BYTES], double seconds)
{
    char iso[40];
    if (!(fabs(seconds) < YEAR_10000_S)) {
        snprintf(text, CELL_BYTES, "%.3g", seconds); /* no app has such a time */
        return;
    }
    size_t size = time_format_iso((int64_t)floor(seconds) * 1000, iso);
    snprintf(text, CELL_BYTES, "%.*s", (int)(size - strlen(".000Z")), iso);
}

/* In the order of the screen. rank: the highest go first when it is narrow; 0 stays. */
static const struct top_column {
    const char *header;
    int rank;
    cell_fn *cell; /* NULL: put of number, "-" where there is none */
    enum top_number number;
    void (*put)(char text[CELL_BYTES], double number);
} columns[] = {
    {"PART", 7, cell_partitions, 0, NULL},
    {"IN/S", 0, cell_in, 0, NULL},
    {"OUT/S", 2, cell_out, 0, NULL},
    {"ROWS-IN", 6, NULL, TOP_ROWS_IN, put_count},
    {"LATE", 4, NULL, TOP_LATE, put_count},
    {"DEAD", 3, NULL, TOP_DEAD, put_count},
    {"LAG", 0, NULL, TOP_LAG, put_count},
    {"WATERMARK", 8, NULL, TOP_WATERMARK, put_time},
    {"DELAY", 1, cell_delay, 0, NULL},
    {"GROUPS", 9, NULL, TOP_TABLE_ENTRIES, put_count},
    {"STORED", 10, NULL, TOP_STORE_ENTRIES, put_count},
    {"STATE", 5, NULL, TOP_STORE_BYTES, put_size},
    {"BEHIND", 11, NULL, TOP_STORE_LAG, put_count},
    {"BUSY", 4, cell_busy, 0, NULL},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void put_cell(char text[CELL_BYTES], const struct top_column *column,
                     const struct top_view *view, const struct top_row *row)
{
    if (column->cell != NULL)
        column->cell(text, view, row);
    else if (row->has[column->number])
        column->put(text, row->numbers[column->number]);
    else
        snprintf(text, CELL_BYTES, "-");
}

/* ---- the table ---- */

struct grid {
    char (*cells)[COLUMNS][CELL_BYTES]; /* of rows, the last of totals */
    size_t row_count;                   /* with the totals */
    int widths[COLUMNS];                /* 0: the column is left out */
    int stage_width, screen_width;
};

static int sum_of_widths(const struct grid *grid)
{
    int sum = grid->stage_width;
    for (int c = 0; c < COLUMNS; c++)
        sum += grid->widths[c] > 0 ? grid->widths[c] + 2 : 0;
    return sum;
}

/* Leaves out the highest rank until the rest fits, then cuts names. */
static void grid_fit(struct grid *grid, int width)
{
    while (width > 0 && sum_of_widths(grid) > width) {
        int least = -1;
        for (int c = 0; c < COLUMNS; c++)
            if (grid->widths[c] > 0 && columns[c].rank > 0 &&
                (least < 0 || columns[c].rank > columns[least].rank))
                least = c;
        int names = grid->stage_width - (sum_of_widths(grid) - width);
        if (names >= STAGE_WIDTH_MIN && names >= grid->stage_width / 2) {
            grid->stage_width = names;
            return;
        }
        if (least < 0) {
            grid->stage_width = names > 1 ? names : 1;
            return;
        }
        grid->widths[least] = 0;
    }
}

static int grid_fill(struct grid *grid, const struct top_view *view, const struct top_row *rows,
                     size_t count)
{
    const struct top_row total = top_rows_total(rows, count);
    grid->row_count = count + 1;
    grid->screen_width = view->width;
    grid->stage_width = (int)strlen("STAGE");
    grid->cells = calloc(grid->row_count, sizeof *grid->cells);
    if (grid->cells == NULL)
        return ERR_NOMEM;
    for (int c = 0; c < COLUMNS; c++)
        grid->widths[c] = (int)strlen(columns[c].header);
    for (size_t i = 0; i < grid->row_count; i++) {
        const struct top_row *row = i < count ? &rows[i] : &total;
        int name = i < count ? text_width(row->stage) : (int)strlen("total");
        grid->stage_width = name > grid->stage_width ? name : grid->stage_width;
        for (int c = 0; c < COLUMNS; c++) {
            put_cell(grid->cells[i][c], &columns[c], view, row);
            int width = (int)strlen(grid->cells[i][c]);
            grid->widths[c] = width > grid->widths[c] ? width : grid->widths[c];
        }
    }
    return 0;
}

/* Names are of [A-Za-z0-9._:-]: a byte is a column. A cut one keeps its end, which tells stages apart. */
static void put_name(struct buf *text, const char *name, int width)
{
    int size = (int)strlen(name);
    if (size > width && width > 1)
        buf_printf(text, "…%s", name + size - width + 1);
    else
        buf_printf(text, "%-*.*s", width, width, name);
}

/* Ends the line that begins at this byte, which keeps as many whole characters as the screen is wide. */
static void end_line(struct buf *text, size_t begin, int width)
{
    int used = 0;
    for (size_t at = begin; buf_ok(text) && width > 0 && at < text->size; at++) {
        used += (text->data[at] & 0xc0) != 0x80;
        if (used > width)
            text->size = at;
    }
    buf_u8(text, '\n');
}

static void put_line(struct buf *text, const struct grid *grid, const char *name,
                     char (*cells)[CELL_BYTES])
{
    size_t begin = text->size;
    put_name(text, name, grid->stage_width);
    for (int c = 0; c < COLUMNS; c++)
        if (grid->widths[c] > 0)
            buf_printf(text, "  %*s", grid->widths[c],
                       cells != NULL ? cells[c] : columns[c].header);
    end_line(text, begin, grid->screen_width);
}

/* ---- sorting ---- */

static double sort_value(const struct top_row *row, enum top_sort sort)
{
    switch (sort) {
    case TOP_SORT_RATE:
        return row->rates[TOP_IN_RATE];
    case TOP_SORT_LAG:
        return row->numbers[TOP_LAG];
    case TOP_SORT_BUSY:
        return row->rates[TOP_BUSY_RATE];
    case TOP_SORT_STATE:
        return row->numbers[TOP_STORE_BYTES];
    default:
        return 0;
    }
}

static int compare_values(const void *a, const void *b, void *context)
{
    const struct top_row *left = a, *right = b;
    enum top_sort sort = *(const enum top_sort *)context;
    double x = sort_value(left, sort), y = sort_value(right, sort);
    if (x != y)
        return x < y ? 1 : -1;
    int order = strcmp(left->app, right->app);
    if (order == 0)
        order = strcmp(left->stage, right->stage);
    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

/* ---- text ---- */

static void put_bounded(struct buf *text, const struct top_view *view, const char *line)
{
    size_t begin = text->size;
    buf_visible(text, line, "");
    end_line(text, begin, view->width);
}

static void put_title(struct buf *text, const struct top_view *view,
                      const struct top_reading *reading)
{
    char line[512], now[40], age[CELL_BYTES];
    time_format_iso(view->now_ns / 1000000, now);
    put_span(age, (double)(view->now_ns - reading->time_ns) / 1e9);
    if (reading->time_ns > 0)
        snprintf(line, sizeof line, "weir top  %.19sZ  %s, written %s ago%s", now, view->source,
                 age, view->is_live ? "" : " (no rates: nothing newer to compare with)");
    else
        snprintf(line, sizeof line, "weir top  %.19sZ  %s", now, view->source);
    put_bounded(text, view, line);
}

static void put_app(struct buf *text, const struct top_view *view, const struct top_app *app)
{
    char line[512], rate[CELL_BYTES], p50[CELL_BYTES] = "-", p99[CELL_BYTES] = "-";
    char memory[CELL_BYTES], budget[CELL_BYTES];
    put_rate(rate, app->commit_rate);
    if (app->commit_p50_s >= 0)
        put_span(p50, app->commit_p50_s);
    if (app->commit_p99_s >= 0)
        put_span(p99, app->commit_p99_s);
    put_size(memory, app->memory_bytes);
    put_size(budget, app->memory_budget_bytes);
    if (app->memory_budget_bytes > 0)
        snprintf(line, sizeof line, "app %s  commits %s/s, p50 %s, p99 %s  memory %s of %s",
                 app->name, rate, p50, p99, memory, budget);
    else
        snprintf(line, sizeof line, "app %s  does not run", app->name);
    put_bounded(text, view, line);
}

static bool is_asked_for(const struct top_view *view, const struct top_app *app)
{
    return view->app == NULL || strcmp(view->app, app->name) == 0;
}

static void put_rows(struct buf *text, const struct top_view *view, const struct grid *grid,
                     const struct top_row *rows, size_t count, int lines_left)
{
    const char *bold = view->color ? "\033[1m" : "", *plain = view->color ? "\033[0m" : "";
    size_t shown = count;
    /* The header, the totals, and the line that says what is not shown. */
    if (view->height > 0 && (int)count + 2 > lines_left)
        shown = lines_left > 3 ? (size_t)lines_left - 3 : 0;
    buf_printf(text, "%s", bold);
    put_line(text, grid, "STAGE", NULL);
    buf_printf(text, "%s", plain);
    for (size_t i = 0; i < shown; i++)
        put_line(text, grid, rows[i].stage, grid->cells[i]);
    if (shown < count) {
        char line[64];
        snprintf(line, sizeof line, "… %zu more", count - shown);
        put_bounded(text, view, line);
    }
    put_line(text, grid, "total", grid->cells[count]);
}

int top_view_text(const struct top_view *view, const struct top_reading *reading, struct buf *text)
{
    struct top_row *rows;
    struct grid grid = {0};
    size_t count;
    int lines = 1;
    enum top_sort sort = view->sort;
    int code = top_reading_collapse(reading, view->app, view->by_partition, &rows, &count);
    if (code == 0)
        qsort_r(rows, count, sizeof *rows, compare_values, &sort);
    if (code == 0)
        code = grid_fill(&grid, view, rows, count);
    if (code == 0) {
        put_title(text, view, reading);
        for (size_t i = 0; i < reading->app_count; i++)
            if (is_asked_for(view, &reading->apps[i])) {
                put_app(text, view, &reading->apps[i]);
                lines++;
            }
        grid_fit(&grid, view->width);
        put_rows(text, view, &grid, rows, count, view->height - lines);
    }
    free(grid.cells);
    free(rows);
    return code < 0 || !buf_ok(text) ? ERR_NOMEM : 0;
}

/* ---- NDJSON ---- */

static void put_json_number(struct buf *text, const char *name, double number, bool has)
{
    if (has && isfinite(number))
        buf_printf(text, ",\"%s\":%.15g", name, number);
    else
        buf_printf(text, ",\"%s\":null", name);
}

static const struct {
    const char *name;
    enum top_number number;
} json_numbers[] = {
    {"rows_in", TOP_ROWS_IN},
    {"applied", TOP_APPLIED},
    {"filtered", TOP_FILTERED},
    {"late", TOP_LATE},
    {"duplicate", TOP_DUPLICATE},
    {"dead", TOP_DEAD},
    {"unmatched", TOP_UNMATCHED},
    {"records_out", TOP_OUT},
    {"lag", TOP_LAG},
    {"table_entries", TOP_TABLE_ENTRIES},
    {"table_bytes", TOP_TABLE_BYTES},
    {"store_entries", TOP_STORE_ENTRIES},
    {"store_bytes", TOP_STORE_BYTES},
    {"store_lag", TOP_STORE_LAG},
    {"restored", TOP_RESTORED},
};

static void put_row_members(struct buf *text, const struct top_view *view,
                            const struct top_row *row)
{
    bool has_watermark = row->has[TOP_WATERMARK];
    double watermark_s = row->numbers[TOP_WATERMARK];
    for (size_t i = 0; i < sizeof json_numbers / sizeof json_numbers[0]; i++)
        put_json_number(text, json_numbers[i].name, row->numbers[json_numbers[i].number],
                        row->has[json_numbers[i].number]);
    put_json_number(text, "watermark", round(watermark_s * 1000), has_watermark);
    put_json_number(text, "watermark_delay_s", (double)view->now_ns / 1e9 - watermark_s,
                    has_watermark);
    buf_printf(text, ",\"without_watermark\":%d", row->without_watermark);
    put_json_number(text, "rows_in_per_s", row->rates[TOP_IN_RATE], true);
    put_json_number(text, "records_out_per_s", row->rates[TOP_OUT_RATE], true);
    put_json_number(text, "busy", row->rates[TOP_BUSY_RATE], true);
    buf_printf(text, "}\n");
}

static void put_json_text(struct buf *text, const char *name, const char *value)
{
    buf_printf(text, ",\"%s\":", name);
    json_escape(text, bytes_text(value));
}

static void put_json_app(struct buf *text, const struct top_app *app)
{
    bool runs = app->memory_budget_bytes > 0;
    buf_printf(text, "{\"kind\":\"app\"");
    put_json_text(text, "app", app->name);
    put_json_number(text, "commits", app->commits, runs);
    put_json_number(text, "commits_per_s", app->commit_rate, true);
    put_json_number(text, "commit_p50_s", app->commit_p50_s, app->commit_p50_s >= 0);
    put_json_number(text, "commit_p99_s", app->commit_p99_s, app->commit_p99_s >= 0);
    put_json_number(text, "memory_bytes", app->memory_bytes, runs);
    put_json_number(text, "memory_budget_bytes", app->memory_budget_bytes, runs);
    buf_printf(text, "}\n");
}

int top_view_json(const struct top_view *view, const struct top_reading *reading, struct buf *text)
{
    struct top_row *rows;
    size_t count;
    enum top_sort sort = view->sort;
    TRY(top_reading_collapse(reading, view->app, view->by_partition, &rows, &count));
    qsort_r(rows, count, sizeof *rows, compare_values, &sort);
    for (size_t i = 0; i < count; i++) {
        buf_printf(text, "{\"kind\":\"%s\"", view->by_partition ? "partition" : "stage");
        put_json_text(text, "app", rows[i].app);
        put_json_text(text, "stage", rows[i].stage);
        put_json_text(text, "topic", rows[i].topic);
        if (view->by_partition)
            buf_printf(text, ",\"partition\":%d", rows[i].partition);
        else
            buf_printf(text, ",\"partitions\":%d", rows[i].partitions);
        put_row_members(text, view, &rows[i]);
    }
    for (size_t i = 0; i < reading->app_count; i++)
        if (is_asked_for(view, &reading->apps[i]))
            put_json_app(text, &reading->apps[i]);
    const struct top_row total = top_rows_total(rows, count);
    char now[40];
    time_format_iso(view->now_ns / 1000000, now);
    buf_printf(text, "{\"kind\":\"total\",\"time\":\"%s\",\"live\":%s,\"partitions\":%d", now,
               view->is_live ? "true" : "false", total.partitions);
    put_row_members(text, view, &total);
    free(rows);
    return buf_ok(text) ? 0 : ERR_NOMEM;
}
