-- Departures of 2013 from New York: per airport, carrier and hour of the scheduled departure. The topic is in the order of the
-- actual departures, so that the delays of the flights are the lateness of the rows: the longest was 21.7 hours.
CREATE TABLE flights (
    carrier   text NOT NULL,
    origin    text NOT NULL,
    dep_delay bigint,
    ts        timestamptz
) WITH (event_time = 'ts', lateness = '22 hours');

CREATE MATERIALIZED VIEW departures WITH (topic = 'departures-per-hour', emit = 'final') AS
SELECT origin, carrier, window_start AS hour, count(*) AS flights, avg(dep_delay) AS delay,
       count(*) FILTER (WHERE dep_delay > 60) AS delayed
FROM tumble(flights, ts, INTERVAL '1 hour')
GROUP BY origin, carrier, window_start;
