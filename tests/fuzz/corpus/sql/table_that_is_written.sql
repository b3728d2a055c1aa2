CREATE TABLE signups (name text, plan text, at timestamptz) WITH (event_time = 'at');
CREATE TABLE users (id text PRIMARY KEY, plan text NOT NULL) WITH (topic = 'people');
CREATE TABLE seats (hall text, number integer OPTIONS (path 'no'), guest text, PRIMARY KEY (hall, number));
CREATE TABLE asks (name text, no integer);
INSERT INTO users (plan, id) SELECT plan, lower(name) FROM signups;
INSERT INTO seats SELECT plan, length(name), name FROM signups WHERE plan IS NOT NULL;
INSERT INTO answers SELECT a.name, u.plan, s.guest
FROM asks a JOIN users u ON u.id = a.name LEFT JOIN seats AS s ON s.hall = u.plan AND s.number = a.no;
