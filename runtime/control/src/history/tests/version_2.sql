-- A history as a mirrorc of version 2 wrote it.
PRAGMA journal_mode = WAL;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, class INTEGER, client TEXT, policy TEXT, line TEXT);
CREATE INDEX events_by_share ON events (class, client);
INSERT INTO events VALUES (1, 1, 'raised', 1, NULL, 'main', '{"time":"1970-01-01T00:00:00.000000001Z","event":"raised"}');
INSERT INTO events VALUES (2, 2, 'drops', 0, NULL, NULL, '{"time":"1970-01-01T00:00:00.000000002Z","event":"drops"}');
INSERT INTO events VALUES (3, 3, 'drops_over', 0, NULL, NULL, '{"time":"1970-01-01T00:00:00.000000003Z","event":"drops_over"}');
PRAGMA user_version = 2;
