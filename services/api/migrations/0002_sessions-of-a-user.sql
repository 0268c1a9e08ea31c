-- Up Migration
-- What the device said of itself at the login, for its user to recognise it by.
ALTER TABLE sessions ADD COLUMN user_agent text;

-- Also those that have ended: their access tokens may still be alive.
DROP INDEX sessions_user_id_idx;
CREATE INDEX sessions_user_id_idx ON sessions (user_id);

-- Down Migration
DROP INDEX sessions_user_id_idx;
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE ended_at IS NULL;
ALTER TABLE sessions DROP COLUMN user_agent;
