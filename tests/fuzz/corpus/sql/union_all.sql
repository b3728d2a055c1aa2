CREATE TABLE web (who text, bytes bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '0 seconds');
CREATE TABLE app ("user" text, size bigint, at timestamptz) WITH (event_time = 'at', lateness = '0 seconds');
CREATE VIEW traffic AS
WITH large AS (SELECT * FROM app WHERE size > 1)
SELECT who, bytes, ts FROM web UNION ALL SELECT "user", size, at FROM large;
CREATE MATERIALIZED VIEW minutes WITH (emit = 'final') AS
SELECT window_start, who, sum(bytes) AS bytes FROM tumble(traffic, ts, INTERVAL '1 minute') GROUP BY who, window_start;
INSERT INTO everybody SELECT who FROM web UNION ALL SELECT "user" FROM app UNION ALL SELECT upper(who) FROM web;
