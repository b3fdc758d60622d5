-- Nonces of signed requests that were used, each until it is good no more.
CREATE TABLE used_nonce (
    random BLOB NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_nonce_by_time ON used_nonce (expires_at);
