CREATE TABLE events ("user" text NOT NULL, n bigint, ts timestamptz) WITH (event_time = 'ts', partitioned_by = 'user');
CREATE TABLE by_kind (kind text OPTIONS (path 'k'), n bigint) WITH (partitioned_by = 'kind', partitions = 2);
CREATE MATERIALIZED VIEW counts WITH (partitions = 5) AS SELECT "user", count(*) AS c FROM events GROUP BY "user";
INSERT INTO by_kind SELECT CASE WHEN n > 2 THEN 'large' ELSE 'small' END, n FROM events;
CREATE MATERIALIZED VIEW kinds AS SELECT kind, sum(n) AS total FROM by_kind GROUP BY kind;
