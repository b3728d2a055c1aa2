CREATE TABLE events (k text, n bigint, t timestamptz, tags jsonb);
CREATE MATERIALIZED VIEW stats AS
WITH tagged AS (SELECT k, n, tags ->> 'colour' AS colour FROM events WHERE n IS NOT NULL)
SELECT sum(x.n) / count(*) AS mean, upper(colour) AS colour, x.k || '!' AS name, count(*) FILTER (WHERE n > 1) AS big
FROM (SELECT * FROM tagged WHERE n < 100) x
GROUP BY k, 2
HAVING count(*) > 1 AND max(n) < 50;
CREATE MATERIALIZED VIEW everything AS SELECT count(*) AS n, min(n) AS least FROM events;
CREATE MATERIALIZED VIEW kinds AS SELECT k FROM events GROUP BY k;
