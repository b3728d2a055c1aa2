CREATE TABLE events (n bigint, ts timestamptz) WITH (event_time = 'ts', topic = 'the-events');
CREATE TABLE lines (value text) WITH (format = 'text');
CREATE VIEW late AS SELECT n, e._timestamp AS came, ts FROM events e WHERE e._timestamp > ts;
INSERT INTO stars SELECT * FROM events WHERE _offset > 0;
INSERT INTO all_of SELECT _key, _topic, _partition, _offset, _timestamp, _headers FROM events;
INSERT INTO lates SELECT n, extract(epoch FROM came - ts) AS s FROM late;
INSERT INTO keyed SELECT value || ' of ' || _key AS text FROM lines;
INSERT INTO further SELECT _offset + 1 AS next, _topic FROM all_of WHERE _key = 'b';
CREATE MATERIALIZED VIEW counts AS SELECT _key, count(*) AS n, max(_offset) AS last FROM events GROUP BY _key;
