-- Up Migration
-- A replica that starts reads them in this order, page by page; with the whole order in the index each page begins where the
-- last one ended, also where very many expire at once.
CREATE INDEX revocations_in_order_idx ON revocations (expires_at, kind, id);
DROP INDEX revocations_expires_at_idx;

-- Down Migration
CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);
DROP INDEX revocations_in_order_idx;
