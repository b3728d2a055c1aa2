/* fuzz_query.c: libFuzzer target: any bytes as a question to a view with windows and one without. What is refused has a
 * sentence; what compiles has columns, and its conditions never need a byte that is not there. */
#include "runtime/query.h"

#include <string.h>

#include "runtime/plan.h"

static struct plan *make_plan(weir_app *app)
{
    struct plan *plan;
    weir_stream *rows =
        weir_map(weir_source(app, "rows", WEIR_JSON, "ts"),
                 "i::bigint AS i, t::text AS t, b::boolean AS b, d::double precision AS d, "
                 "m::numeric AS m, at::timestamptz AS at, j");
    weir_stream *hours =
        weir_aggregate(weir_tumbling(weir_group_by(rows, "i, t, at, j, d"), WEIR_HOURS(1)),
                       "count(*) AS rows, sum(m) AS total, max(t) AS most");
    weir_to(weir_map(weir_filter(hours, "rows > 1"), "t, rows, total, window_start, most"),
            "hours");
    weir_to(weir_aggregate(weir_group_by(rows, "t, m, b"), "count(*) AS rows, min(j) AS j"), "all");
    must(plan_compile(app, &plan, NULL) == 0);
    return plan;
}

static void ask(const uint8_t *data, size_t size, const struct view *view)
{
    struct query *query;
    struct diag diag = {0};
    int rc = query_create((const char *)data, size, &query, &diag);
    must(rc == 0 || diag.text[0] != '\0');
    if (rc < 0)
        return;
    diag = (struct diag){0};
    rc = query_compile(query, view, &diag);
    must(rc == 0 || diag.text[0] != '\0');
    for (uint32_t i = 0; rc == 0 && i < query_column_count(query); i++)
        must(query_column_name(query, i)[0] != '\0' &&
             query_column_type(query, i) < COL_TYPE_COUNT);
    query_destroy(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static weir_app *app;
    static struct plan *plan;
    if (plan == NULL) {
        app = weir_app_open("fuzz", NULL);
        plan = make_plan(app);
    }
    ask(data, size, &plan->views[0]);
    ask(data, size, &plan->views[1]);
    return 0;
}
