-- The registry. Times are whole seconds since 1970, digests are blobs, names are text.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The record is the truth; the columns beside it are for lists and conditions. It has a rowid,
-- because records are longer than what fits well into an index page.
CREATE TABLE device (
    serial_number TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    -- Null where it is the serial number.
    thing_name TEXT,
    state TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Until when it is issued or active by its certificate, or when it was deleted. Null where it is
    -- registered and no more: of these there is the table "registered".
    listed_at INTEGER,
    due_at INTEGER,
    review TEXT,
    open_review TEXT,
    -- When the thing of that name was made, where there is one.
    thing_at INTEGER,
    -- The row of its newest certificate; the others follow by "before".
    newest_certificate INTEGER,
    format INTEGER NOT NULL,
    record TEXT NOT NULL,
    -- Zeros: a record that grows shall stay where it is, and then no page is split for it.
    room BLOB NOT NULL
) STRICT;

-- Sparse: most things are called as their devices are, and a second index of them all would cost
-- as much as the record.
CREATE UNIQUE INDEX device_thing_name ON device (thing_name) WHERE thing_name IS NOT NULL;

-- Sparse: where a device stands among those of its state. What is issued or confirmed together stands
-- together, mostly at the end of its state's, where a leaf is changed by many.
CREATE INDEX device_listed ON device (state, listed_at, serial_number)
    WHERE listed_at IS NOT NULL;

-- Sparse: only what an operator disabled.
CREATE INDEX device_disabled ON device (serial_number) WHERE disabled = 1;

-- Sparse: only devices that a timer has to look at.
CREATE INDEX device_due ON device (due_at, serial_number) WHERE due_at IS NOT NULL;

-- Sparse: only devices about which a human was asked, and those where one has still to say.
CREATE INDEX device_review ON device (review) WHERE review IS NOT NULL;
CREATE INDEX device_open_review ON device (open_review) WHERE open_review IS NOT NULL;

-- How many of 256 devices, as they follow each other in the table, are registered and no more. A list
-- of these reads the parts that have some; an index of them would cost a vend a leaf anywhere.
CREATE TABLE registered (
    part INTEGER PRIMARY KEY,
    devices INTEGER NOT NULL
) STRICT;

CREATE TABLE certificate (
    id BLOB NOT NULL PRIMARY KEY,
    certificate_serial BLOB NOT NULL,
    -- Its first octet: which CRL would list it.
    shard INTEGER NOT NULL,
    serial_number TEXT NOT NULL,
    thing_name TEXT NOT NULL,
    policy TEXT NOT NULL,
    key BLOB NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    token INTEGER NOT NULL,
    issuer BLOB NOT NULL,
    issued_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    confirmed_at INTEGER,
    ended_at INTEGER,
    reason TEXT,
    attempt TEXT NOT NULL,
    der BLOB NOT NULL,
    -- The row of the device's certificate before it. A list that begins at the device is read as
    -- quickly as an index by device, whose leaf each vend would have to change.
    before INTEGER
) STRICT;

-- Sparse: only what is live.
CREATE INDEX certificate_claim ON certificate (key)
    WHERE state IN ('candidate', 'current', 'retiring', 'unconfirmed');

-- Sparse and covering: what CRLs list, and nothing else of a row is read for them.
CREATE INDEX certificate_revoked
    ON certificate (issuer, shard, not_after, certificate_serial, ended_at, state, reason)
    WHERE state IN ('dropped', 'revoked', 'superseded');

-- How often something came into a shard, and when a CRL was signed that says all of it; the least
-- number there is where none does. Apart from the lists, which are long.
CREATE TABLE crl_shard (
    issuer BLOB NOT NULL,
    shard INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, shard)
) STRICT, WITHOUT ROWID;

CREATE INDEX crl_due ON crl_shard (signed_at);

CREATE TABLE crl (
    issuer BLOB NOT NULL,
    shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    url TEXT NOT NULL,
    changes INTEGER NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (issuer, shard)
) STRICT;

CREATE TABLE key_owner (
    key BLOB NOT NULL PRIMARY KEY,
    serial_number TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX key_owner_of_device ON key_owner (serial_number);

-- Tokens that have no slot in their device's record any more: burnt for ever.
CREATE TABLE spent_token (
    serial_number TEXT NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (serial_number, mac)
) STRICT, WITHOUT ROWID;

-- Things under a name that their device has no more.
CREATE TABLE left_thing (
    name TEXT NOT NULL PRIMARY KEY,
    serial_number TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
    name TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE admin_token (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    mac BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Sparse: credentials that nobody revoked, for the conditions on names and on the last owner.
CREATE INDEX admin_token_live ON admin_token (name) WHERE revoked_at IS NULL;

-- The last three columns are the sealer's: null until a row is chained into a checkpoint.
CREATE TABLE journal (
    writer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    class TEXT NOT NULL,
    kind TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    certificate BLOB,
    attempt TEXT,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    checkpoint INTEGER,
    chain_position INTEGER,
    chain_hash BLOB,
    PRIMARY KEY (writer, number)
) STRICT, WITHOUT ROWID;
