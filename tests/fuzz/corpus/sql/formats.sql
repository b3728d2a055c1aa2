CREATE TABLE sales (id bigint NOT NULL, "the shop" text, amount numeric(6,2), at timestamptz) WITH (format = 'csv', event_time = 'at');
CREATE TABLE lines (line text OPTIONS (path 'value') NOT NULL, key text) WITH (format = 'text');
CREATE TABLE copies (shop text, at timestamptz) WITH (format = 'csv');
CREATE TABLE words (word text OPTIONS (path 'value')) WITH (format = 'text');
CREATE TABLE times (at timestamptz, t text) WITH (timestamps = 'epoch_ms');
INSERT INTO copies SELECT "the shop", at FROM sales;
CREATE TABLE greetings (who text OPTIONS (path 'key') PRIMARY KEY, value text) WITH (format = 'text', topic = 'lines');
INSERT INTO words SELECT upper(line) || key FROM lines;
INSERT INTO met SELECT l.key, g.value FROM lines l JOIN greetings g ON g.who = l.key;
INSERT INTO times SELECT at, shop FROM copies;
INSERT INTO again SELECT at, t FROM times;
CREATE MATERIALIZED VIEW minutes WITH (format = 'csv', emit = 'final') AS
SELECT window_start AS minute, sum(amount) AS total FROM tumble(sales, at, INTERVAL '1 minute') GROUP BY window_start;
INSERT INTO totals SELECT total + 1 AS total, minute FROM minutes;
