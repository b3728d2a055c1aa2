/* pipeline.c: two stages, three topics, one process.
 *
 *     raw-orders ──validate──▶ validated-orders ──aggregate──▶ orders-by-country
 *                    │
 *                    └──▶ pipeline.dlq      rows that broke a rule
 *
 * The first stage checks each line and passes good ones on untouched: key, bytes and timestamp. A
 * bad line is not dropped but goes to the dead-letter topic as it was, with headers that say which
 * rule it broke first (weir.error.class) and where it came from. The second stage reads what the
 * first one writes and sums up days. Both commit together: a line is in validated-orders, in the
 * day's sum and in the committed input position, or in none of them.
 *
 * --stage runs one stage alone. The stage's topic is its boundary, so the other one may run later
 * or in another program, and
 * "--stage aggregate --from-beginning" recomputes the days from validated-orders after, say, a
 * change of the sum.
 *
 * {"country":"Norway","window_start":"…","window_end":"…","orders":73,"revenue":1919.14} */
#include "common/example_job.h"

static void validate(weir_app *app)
{
    weir_stream *orders = weir_source(app, "raw-orders", WEIR_JSON, "ts");
    orders = weir_check(orders, "customer_id IS NOT NULL", "customer_missing");
    orders = weir_check(orders, "quantity > 0", "quantity_not_positive");
    orders = weir_check(orders, "unit_price > 0", "price_not_positive");
    weir_to(orders, "validated-orders");
}

static void aggregate(weir_app *app)
{
    weir_stream *orders = weir_source(app, "validated-orders", WEIR_JSON, "ts");
    weir_stream *by_country = weir_group_by(orders, "country");
    weir_stream *days = weir_aggregate(weir_tumbling(by_country, WEIR_DAYS(1)),
                                       "count(*) AS orders, sum(quantity * unit_price) AS revenue");
    weir_to(weir_emit(days, WEIR_EMIT_CHANGES), "orders-by-country");
}

int main(int argc, char **argv)
{
    static const char *const stages[] = {"validate", "aggregate", NULL};
    static const struct job_about about = {
        .name = "pipeline",
        .summary = "raw-orders -> validated-orders -> orders-by-country, bad rows to pipeline.dlq",
        .stages = stages,
    };
    struct job job = job_begin(argc, argv, &about);

    weir_app *app = weir_app_open("pipeline", &job.options);
    if (job_has_stage(&job, "validate"))
        validate(app);
    if (job_has_stage(&job, "aggregate"))
        aggregate(app);

    return job_run(&job, app);
}
