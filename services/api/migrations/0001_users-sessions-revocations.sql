-- Up Migration
CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  username text NOT NULL,
  password_hash text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_username_key ON users (lower(username));

-- One login on one device. A refresh token names its session and a generation and is signed with the key ring, so
-- nothing that could be replayed is kept here: only which generation is the live one.
CREATE TABLE sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  generation integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  rotated_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  -- Ended because an old refresh token came back, not by its user.
  reused boolean NOT NULL DEFAULT false
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE ended_at IS NULL;

-- The durable record of the denylist; Redis is filled from it. Nothing in it matters after expires_at.
CREATE TABLE revocations (
  kind text NOT NULL CHECK (kind IN ('jti', 'sid')),
  id uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, id)
);
CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

-- Down Migration
DROP TABLE revocations;
DROP TABLE sessions;
DROP TABLE users;
