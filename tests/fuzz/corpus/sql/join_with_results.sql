CREATE TABLE clicks (who text, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour', topic = 'clicks');
CREATE TABLE asks (who text, minute timestamptz);
CREATE MATERIALIZED VIEW counts AS SELECT who AS person, count(*) AS c FROM clicks GROUP BY who HAVING sum(n) >= 0;
CREATE MATERIALIZED VIEW minutes AS SELECT count(*) AS c, window_start AS since, who FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY who, window_start;
INSERT INTO answers SELECT a.who, c FROM asks a LEFT JOIN counts ON person = a.who;
INSERT INTO more SELECT a.who, since, c FROM asks a JOIN minutes AS m ON m.who = a.who AND since = minute;
