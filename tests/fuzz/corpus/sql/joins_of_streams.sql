-- Streams that meet streams, in each spelling; groups, windows, tables and unions behind them.
CREATE TABLE orders (id bigint NOT NULL, who text, shop bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE TABLE paid (id bigint, who text OPTIONS (path 'p.who'), shop numeric, amount numeric(10,2), at timestamptz) WITH (event_time = 'at', lateness = '1 hour');
CREATE TABLE refunds (id bigint, who text, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE TABLE people (who text PRIMARY KEY, land text);
INSERT INTO around SELECT o.id, p.id AS payment FROM orders o JOIN paid p ON p.who = o.who AND p.at BETWEEN o.ts - INTERVAL '2 seconds' AND o.ts + INTERVAL '10 seconds';
INSERT INTO strict SELECT o.id, p.id AS payment FROM orders o JOIN paid AS p ON o.ts < p.at AND p.at - o.ts < INTERVAL '10 seconds' AND o.who = p.who;
INSERT INTO later SELECT o.id, p.id AS payment, o.ts, at FROM orders o JOIN paid p ON o.ts <= p.at - INTERVAL '5 seconds' AND p.at <= o.ts + INTERVAL '10 seconds' AND o.who = p.who;
INSERT INTO sooner SELECT o.id, p.id AS payment FROM orders o JOIN paid p ON o.ts BETWEEN p.at + INTERVAL '1 second' AND p.at + INTERVAL '2 seconds' AND o.who = p.who;
INSERT INTO same SELECT paid.id AS payment, orders.id FROM paid JOIN orders ON at = ts AND paid.who = orders.who;
INSERT INTO alone SELECT o.id, p.id AS payment, coalesce(amount, 0) AS amount FROM orders o LEFT JOIN paid p ON o.who = p.who AND p.shop = o.shop
  AND p.at BETWEEN o.ts - INTERVAL '2 seconds' AND o.ts + INTERVAL '10 seconds' AND p.amount > 5 AND o.id <> 3;
INSERT INTO larger SELECT o.id, p.id AS payment, o.shop + p.id AS n FROM orders o JOIN paid p ON upper(p.who) = upper(o.who) AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'
  AND p.id > o.id + 10 AND o.shop < 9 WHERE p.amount < 7 OR o.id = 1;
CREATE VIEW events AS SELECT id, who, at AS ts FROM paid UNION ALL SELECT -id, who, ts FROM refunds;
CREATE VIEW followed AS SELECT o.id, e.id AS event, o.who, e.ts AS then, o.ts FROM orders o JOIN events e ON e.who = o.who AND e.ts BETWEEN o.ts AND o.ts + INTERVAL '10 seconds';
INSERT INTO all_events SELECT event, id FROM followed WHERE event < 0;
CREATE MATERIALIZED VIEW per_window WITH (emit = 'final') AS SELECT who, window_start, count(*) AS n, min(event) AS first
FROM tumble(followed, ts, INTERVAL '100 seconds') GROUP BY who, window_start;
CREATE MATERIALIZED VIEW lands AS SELECT q.land, count(*) AS n FROM orders o JOIN refunds r ON r.who = o.who AND r.ts BETWEEN o.ts - INTERVAL '2 seconds' AND o.ts + INTERVAL '10 seconds'
LEFT JOIN people q ON q.who = o.who GROUP BY q.land;
INSERT INTO three SELECT o.id, p.id AS payment, r.id AS refund, q.land FROM orders o JOIN paid p ON p.who = o.who AND p.at = o.ts
  LEFT JOIN refunds r ON r.who = p.who AND r.ts BETWEEN o.ts AND o.ts + INTERVAL '1 hour' JOIN people q ON q.who = r.who WHERE r.id > 1;
INSERT INTO both SELECT id FROM followed UNION ALL SELECT id FROM orders;
CREATE MATERIALIZED VIEW once WITH (within = '1 hour') AS SELECT DISTINCT ON (id) * FROM followed;
