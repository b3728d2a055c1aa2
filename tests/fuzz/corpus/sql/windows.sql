CREATE TABLE orders (
    id     text NOT NULL,
    shop   text OPTIONS (path 'place.shop') NOT NULL,
    status text,
    amount numeric(10,2) CONSTRAINT amount_is_positive CHECK (amount > 0),
    ts     timestamptz OPTIONS (path 'at')
) WITH (event_time = 'ts', lateness = '30 seconds');
-- a name, no state
CREATE VIEW paid AS SELECT * FROM orders o WHERE o.status = 'paid';
CREATE MATERIALIZED VIEW hourly WITH (topic = 'hourly-revenue') AS
SELECT shop, window_start, window_end, sum(amount) AS revenue, count(*) AS orders
FROM tumble(paid, ts, INTERVAL '1 hour')
GROUP BY shop, window_start, window_end;
