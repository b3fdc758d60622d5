-- What became of requests. Lossy by design: this file may be deleted at any time.

-- A device's attempts count up; what is 32 turns old goes. Rows are long and stand as they came;
-- what is found by device or by code is short.
CREATE TABLE attempt (
    serial_number TEXT NOT NULL,
    turn INTEGER NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL,
    address TEXT NOT NULL,
    act TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    steps TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX attempt_of_device ON attempt (serial_number, turn);
CREATE INDEX attempt_by_code ON attempt (code);
CREATE INDEX attempt_by_time ON attempt (at);

CREATE TABLE unknown (
    minute INTEGER NOT NULL,
    address TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, address)
) STRICT, WITHOUT ROWID;
