-- Invoice lines of a shop: raw → validated → without repeats → enriched → results. What is no sale is a dead letter, by its reason.
CREATE TABLE raw_orders (
    invoice     text,
    stock_code  text,
    description text,
    quantity    integer CONSTRAINT quantity_is_positive CHECK (quantity > 0),
    unit_price  numeric(12,3) CONSTRAINT price_is_positive CHECK (unit_price > 0),
    customer_id text NOT NULL,
    country     text,
    ts          timestamptz
) WITH (topic = 'online-retail', event_time = 'ts');

CREATE TABLE validated_orders (
    invoice     text,
    stock_code  text,
    description text,
    customer_id text,
    country     text,
    quantity    integer,
    amount      numeric(18,3),
    ts          timestamptz
) WITH (topic = 'validated-orders', event_time = 'ts');

INSERT INTO validated_orders
SELECT invoice, stock_code, description, customer_id, country, quantity, quantity * unit_price, ts FROM raw_orders;

CREATE MATERIALIZED VIEW revenue WITH (topic = 'revenue-per-day') AS
SELECT country, window_start AS day, sum(amount) AS revenue, count(*) AS lines, count(DISTINCT customer_id) AS customers
FROM tumble(validated_orders, ts, INTERVAL '1 day')
GROUP BY country, window_start;

-- Exact repeats: all columns are the same, the time of the sale among them.
CREATE MATERIALIZED VIEW distinct_orders WITH (topic = 'distinct-orders', within = '1 hour') AS
SELECT DISTINCT ON (invoice, stock_code, description, customer_id, country, quantity, amount, ts) *
FROM validated_orders;

-- One row for each country. The event time says from when on it holds: what is written later than an order can be meant for it all the same.
CREATE TABLE countries (country text PRIMARY KEY, region text, currency text, since timestamptz)
WITH (topic = 'countries', event_time = 'since');
COPY countries FROM '../data/countries.ndjson' WITH (FORMAT json);

CREATE MATERIALIZED VIEW enriched_orders WITH (topic = 'enriched-orders') AS
SELECT o.*, c.region, c.currency
FROM distinct_orders o LEFT JOIN countries c ON c.country = o.country;

CREATE MATERIALIZED VIEW region_revenue WITH (topic = 'revenue-per-region') AS
SELECT region, currency, window_start AS day, sum(amount) AS revenue, count(*) AS lines
FROM tumble(enriched_orders, ts, INTERVAL '1 day')
GROUP BY region, currency, window_start;

-- Orders of a customer in five minutes: an order is an invoice, of many lines.
CREATE MATERIALIZED VIEW customer_orders WITH (topic = 'orders-per-customer') AS
SELECT customer_id, window_start, count(DISTINCT invoice) AS orders, sum(amount) AS amount
FROM tumble(enriched_orders, ts, INTERVAL '5 minutes')
GROUP BY customer_id, window_start;
