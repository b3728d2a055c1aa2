-- The audit log of a help desk: events of a user that are at most 30 minutes apart are one session. The log is grouped by
-- incident, so that time goes back and forth by most of a year.
CREATE TABLE events (
    "user" text NOT NULL,
    ts     timestamptz
) WITH (topic = 'incident-events', event_time = 'ts', lateness = '400 days');

CREATE MATERIALIZED VIEW sessions AS
SELECT "user", window_start, window_end, count(*) AS events
FROM session(events, ts, INTERVAL '30 minutes')
GROUP BY "user", window_start, window_end;
