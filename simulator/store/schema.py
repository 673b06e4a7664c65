"""The ledger's tables, and the numbers that name states and ranges in them."""

from __future__ import annotations

from enum import IntEnum

VERSION = 1  # user_version of the ledger: any change of a table is a new one
APPLICATION_ID = 0x64736C67
RANGE = 65_536  # runs whose numbers differ in the last 16 bits only share a Parquet file
RANGE_BITS = 16
KEY_BYTES = 16
DEATHS_MOST = 3


class State(IntEnum):
    """What has become of a run. Numbers of one byte each (SQLite keeps 0 and 1 in none), so that no row ever grows."""

    WAITING = 2
    LEASED = 3
    DONE = 4
    FAILED = 5
    SET_ASIDE = 6

    @property
    def word(self) -> str:
        """The name that people read."""
        return self.name.lower()


FINAL = (State.DONE, State.FAILED, State.SET_ASIDE)

# span: points that follow each other and whose runs do; within one range of runs. fresh: the sweep's first of them.
# outcome: rows that no Parquet file has yet. tally: runs by range and state, kept by the trigger.
KEY_INDEX = "CREATE UNIQUE INDEX run_of_key ON run (key)"
TABLES = (
    """CREATE TABLE sweep (
        sweep INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
        points INTEGER NOT NULL, added_s REAL NOT NULL, seconds REAL NOT NULL, first_finish_s REAL, last_finish_s REAL
    ) STRICT""",
    """CREATE TABLE span (
        sweep INTEGER NOT NULL, first_point INTEGER NOT NULL, first_run INTEGER NOT NULL, points INTEGER NOT NULL,
        fresh INTEGER NOT NULL, PRIMARY KEY (sweep, first_point)
    ) STRICT, WITHOUT ROWID""",
    "CREATE UNIQUE INDEX fresh_span ON span (sweep, first_run) WHERE fresh = 1",
    """CREATE TABLE run (
        run INTEGER PRIMARY KEY, key BLOB NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL
    ) STRICT""",
    KEY_INDEX,
    """CREATE TABLE lease (
        run INTEGER PRIMARY KEY, chunk INTEGER NOT NULL, worker TEXT NOT NULL, until_s REAL NOT NULL
    ) STRICT""",
    "CREATE TABLE death (run INTEGER PRIMARY KEY, deaths INTEGER NOT NULL, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE shape (shape INTEGER PRIMARY KEY, columns TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE outcome (run INTEGER PRIMARY KEY, shape INTEGER NOT NULL, cells TEXT NOT NULL, error TEXT) STRICT",
    "CREATE TABLE shard (part INTEGER PRIMARY KEY, file TEXT NOT NULL, runs INTEGER NOT NULL) STRICT",
    """CREATE TABLE tally (
        part INTEGER NOT NULL, state INTEGER NOT NULL, runs INTEGER NOT NULL, PRIMARY KEY (part, state)
    ) STRICT, WITHOUT ROWID""",
    f"""CREATE TRIGGER moved AFTER UPDATE OF state ON run WHEN old.state <> new.state BEGIN
        UPDATE tally SET runs = runs - 1 WHERE part = old.run >> {RANGE_BITS} AND state = old.state;
        INSERT INTO tally VALUES (new.run >> {RANGE_BITS}, new.state, 1)
            ON CONFLICT (part, state) DO UPDATE SET runs = runs + 1;
    END""",
)
