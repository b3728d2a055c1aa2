/* revenue_job.h: the topology of the revenue job, apart from how it is run: the program
 * (revenue.c) and its test (test_revenue.c) build the same one.
 *
 *     online-retail → valid rows → group by country → 1-hour windows by ts → hourly-revenue
 *
 * A line of the shop's books counts when it names a customer and has a positive quantity and price:
 * the rest are returns, write-offs and adjustments. */
#ifndef EXAMPLES_REVENUE_JOB_H
#define EXAMPLES_REVENUE_JOB_H

#include <weir.h>

static inline weir_app *revenue_build(weir_app *app)
{
    weir_stream *lines = weir_source(app, "online-retail", WEIR_JSON, "ts");
    weir_stream *valid =
        weir_filter(lines, "customer_id IS NOT NULL AND quantity > 0 AND unit_price > 0");

    weir_stream *by_country = weir_group_by(valid, "country");
    weir_stream *revenue =
        weir_aggregate(weir_tumbling(by_country, WEIR_HOURS(1)),
                       "sum(quantity * unit_price) AS revenue, count(*) AS orders");
    weir_to(weir_emit(revenue, WEIR_EMIT_CHANGES), "hourly-revenue");
    return app;
}

#endif
