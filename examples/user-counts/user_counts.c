/* user_counts.c: how many events each user causes in every five minutes.
 *
 *     incident-events → group by user → 5-minute windows by ts → user-counts
 *
 * The source is an audit log that is sorted by incident, not by time, so that nearly every row lies
 * behind the newest time seen before it, some of them by 341 days. A row counts as long as its
 * window has not closed, and a window closes when the event time of its partition has run past the
 * window's end by more than the lateness. 400 days of it therefore keep every row.
 *
 * "user" stands in quotes because it is a reserved word in SQL: unquoted it would mean the current
 * user.
 *
 * Result rows are upserts: each commit emits the changed (user, window) pairs with their new
 * counts, and the last row of a key is the one that holds.
 * {"user":"908","window_start":"…","window_end":"…","events":7} */
#include "common/example_job.h"

int main(int argc, char **argv)
{
    static const struct job_about about = {
        .name = "user-counts",
        .summary = "events per user in 5-minute windows, from incident-events into user-counts",
    };
    struct job job = job_begin(argc, argv, &about);

    weir_app *app = weir_app_open("user-counts", &job.options);
    weir_stream *events = weir_source(app, "incident-events", WEIR_JSON, "ts");
    weir_lateness(events, WEIR_DAYS(400));

    weir_stream *by_user = weir_group_by(events, "\"user\"");
    weir_stream *counts =
        weir_aggregate(weir_tumbling(by_user, WEIR_MINUTES(5)), "count(*) AS events");
    weir_to(weir_emit(counts, WEIR_EMIT_CHANGES), "user-counts");

    return job_run(&job, app);
}
