-- A history as a mirrorc of version 1 wrote it.
PRAGMA journal_mode = WAL;
CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, of_packets INTEGER, line TEXT);
CREATE INDEX events_of ON events (of_packets);
INSERT INTO events VALUES (1, 1, 'raised', 1, '{"time":"1970-01-01T00:00:00.000000001Z","event":"raised"}');
INSERT INTO events VALUES (2, 2, 'drops', 0, '{"time":"1970-01-01T00:00:00.000000002Z","event":"drops"}');
INSERT INTO events VALUES (3, 3, 'drops over', 0, '{"time":"1970-01-01T00:00:00.000000003Z","event":"drops over"}');
PRAGMA user_version = 1;
