CREATE TABLE clicks (who text, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE MATERIALIZED VIEW hops AS
SELECT who, window_start, window_end, count(*) AS n
FROM hop(clicks, ts, INTERVAL '5 minutes', INTERVAL '10 minutes') GROUP BY who, window_start, window_end;
CREATE MATERIALIZED VIEW visits AS
SELECT c.who, count(*) AS n, window_end AS until FROM session(clicks, ts, INTERVAL '30 minutes') AS c
GROUP BY c.who, window_start, window_end;
