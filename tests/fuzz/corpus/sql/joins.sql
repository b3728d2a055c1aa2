CREATE TABLE orders (id bigint, user_id text, shop text, country text, amount numeric, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE TABLE users (user_id text PRIMARY KEY, country text, friend text, age smallint CHECK (age >= 0)) WITH (topic = 'people');
CREATE TABLE rates (shop text OPTIONS (path 's'), currency text, rate numeric, PRIMARY KEY (shop, currency));
CREATE VIEW europeans AS SELECT upper(country) AS land, user_id AS uid, age FROM users WHERE country <> 'us';
INSERT INTO plain SELECT o.id, u.country, o.country AS "to" FROM orders o JOIN users u ON u.user_id = o.user_id;
INSERT INTO kept SELECT o.id, u.country FROM orders o LEFT JOIN users u ON o.user_id = u.user_id AND u.age > 30 WHERE o.id > 1;
INSERT INTO twice SELECT id, u.age, f.age AS of_friend, f.country AS home
FROM orders AS o JOIN users u ON u.user_id = o.user_id LEFT JOIN users f ON f.user_id = u.friend;
INSERT INTO priced SELECT id, amount * rate AS price, e.*
FROM orders JOIN rates AS r ON r.shop = orders.shop AND 'EUR' = r.currency AND rate * amount > 1 JOIN europeans e ON e.uid = orders.user_id;
INSERT INTO known SELECT o.* FROM orders o JOIN users u ON u.user_id = lower(o.user_id) WHERE o.amount > 2 AND u.age IS NOT NULL;
CREATE MATERIALIZED VIEW totals AS SELECT u.country, window_start, count(*) AS n, sum(amount) AS total
FROM tumble(orders, ts, INTERVAL '1 minute') o LEFT JOIN users u ON u.user_id = o.user_id GROUP BY u.country, window_start;
INSERT INTO mixed SELECT id, age FROM orders JOIN users u ON u.user_id = orders.user_id WHERE amount > 2
UNION ALL SELECT -id, 0 FROM orders WHERE user_id = 'b';
