-- Up Migration
-- Those that have expired are purged, the oldest first.
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- Down Migration
DROP INDEX sessions_expires_at_idx;
