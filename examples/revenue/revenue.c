/* revenue.c: what each country spends per hour.
 *
 *     online-retail → valid rows → group by country → 1-hour windows by ts → hourly-revenue
 *
 * A line of the shop's books counts when it names a customer and has a positive quantity and price:
 * the rest are returns, write-offs and adjustments. Prices are decimals such as 2.55, and weir
 * reads them as exact numerics, not as binary floats; so the sum over a year is right to the last
 * digit, however the lines were spread over partitions, threads and commits.
 *
 * Countries are spread over the partitions of the source in any way: before grouping, weir sends
 * one partial sum per country, hour and commit through a repartition topic, and whoever owns the
 * country adds them up.
 *
 * {"country":"Norway","window_start":"…","window_end":"…","revenue":1919.14,"orders":73} */
#include "common/example_job.h"

int main(int argc, char **argv)
{
    static const struct job_about about = {
        .name = "revenue",
        .summary = "revenue per country and hour, from online-retail into hourly-revenue",
    };
    struct job job = job_begin(argc, argv, &about);

    weir_app *app = weir_app_open("revenue", &job.options);
    weir_stream *lines = weir_source(app, "online-retail", WEIR_JSON, "ts");
    weir_stream *valid =
        weir_filter(lines, "customer_id IS NOT NULL AND quantity > 0 AND unit_price > 0");

    weir_stream *by_country = weir_group_by(valid, "country");
    weir_stream *revenue =
        weir_aggregate(weir_tumbling(by_country, WEIR_HOURS(1)),
                       "sum(quantity * unit_price) AS revenue, count(*) AS orders");
    weir_to(weir_emit(revenue, WEIR_EMIT_CHANGES), "hourly-revenue");

    return job_run(&job, app);
}
