CREATE TABLE raw (id text, qty text, price numeric, at timestamptz) WITH (event_time = 'at');
CREATE TABLE validated (
    id text NOT NULL, quantity integer CHECK (quantity > 0), total numeric(12,2), ts timestamptz OPTIONS (path 'time')
) WITH (topic = 'validated-orders', event_time = 'ts');
INSERT INTO validated (ts, id, quantity, total) SELECT at, id, qty::integer, qty::numeric * price FROM raw;
CREATE MATERIALIZED VIEW minutes WITH (emit = 'final') AS
SELECT window_start, sum(total) AS total, count(*) AS n FROM tumble(validated, ts, INTERVAL '1 minute')
GROUP BY window_start;
INSERT INTO busy SELECT window_start AS minute, total FROM minutes WHERE n > 1;
