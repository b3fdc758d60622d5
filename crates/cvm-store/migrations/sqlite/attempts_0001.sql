-- What became of requests. Lossy by design: this file may be deleted at any time.

-- A device's attempts count up; what is 32 turns old goes.
CREATE TABLE attempt (
    serial_number TEXT NOT NULL,
    turn INTEGER NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL,
    address TEXT NOT NULL,
    act TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    steps TEXT NOT NULL,
    PRIMARY KEY (serial_number, turn)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempt_by_code ON attempt (code);
CREATE INDEX attempt_by_time ON attempt (at);

CREATE TABLE unknown (
    minute INTEGER NOT NULL,
    address TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, address)
) STRICT, WITHOUT ROWID;
