/* revenue.c: what each country spends per hour. The topology is revenue_job.h's, so that
 * test_revenue.c tests what runs here.
 *
 * Prices are decimals such as 2.55, and weir
 * reads them as exact numerics, not as binary floats; so the sum over a year is right to the last
 * digit, however the lines were spread over partitions, threads and commits.
 *
 * Countries are spread over the partitions of the source in any way: before grouping, weir sends
 * one partial sum per country, hour and commit through a repartition topic, and whoever owns the
 * country adds them up.
 *
 * {"country":"Norway","window_start":"…","window_end":"…","revenue":1919.14,"orders":73} */
#include "common/example_job.h"
#include "revenue/revenue_job.h"

int main(int argc, char **argv)
{
    static const struct job_about about = {
        .name = "revenue",
        .summary = "revenue per country and hour, from online-retail into hourly-revenue",
    };
    struct job job = job_begin(argc, argv, &about);

    return job_run(&job, revenue_build(weir_app_open("revenue", &job.options)));
}
