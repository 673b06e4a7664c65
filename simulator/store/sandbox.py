"""Where a stranger's SQL may run: it sees the tables that it is given, no file, no network, no variable of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dieshot.simulator.errors import InputError, nearest_name

if TYPE_CHECKING:
    import duckdb

OPENING = (
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET temp_directory = ''",
    "SET preserve_insertion_order = true",
    "SET threads = 1",  # sums in one order
)
CLOSING = ("SET enable_external_access = false", "SET lock_configuration = true")
LONGEST = 200
_COLUMN = re.compile(r'column (?:named )?"([^"]+)"')
_TABLE = re.compile(r'Referenced table "([^"]+)" not found')
_HINT = re.compile(r"\s*(LINE \d+:|Candidate|Did you mean).*", re.DOTALL)


@contextmanager
def sandbox() -> Iterator[duckdb.DuckDBPyConnection]:
    """Hold a database in memory open, to be given its tables and then closed in."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        for setting in OPENING:
            connection.execute(setting)
        yield connection
    finally:
        connection.close()


def closed_in(connection: duckdb.DuckDBPyConnection) -> None:
    """Shut a database off from files and network, for good."""
    for setting in CLOSING:
        connection.execute(setting)


def quoted(name: str) -> str:
    """Return a column's name as SQL takes any."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def asked_well(key: str, names: Sequence[str]) -> Iterator[None]:
    """Turn what duckdb says into an InputError of one line, with the column that may be meant."""
    import duckdb
    import pyarrow

    try:
        yield
    except (duckdb.Error, pyarrow.ArrowException) as error:
        text = str(error)
        problem = " ".join(_HINT.sub("", text).split()).rstrip("!;. ")
        raise InputError(problem[:LONGEST], key=key, nearest=_meant(text, names)) from error


def _meant(text: str, names: Sequence[str]) -> str | None:
    column, table = _COLUMN.search(text), _TABLE.search(text)
    if table is not None:  # chip.hbm.pin_rate without quotes reads as a column of a table
        dotted = next((name for name in names if name.startswith(f"{table[1]}.")), None)
        return None if dotted is None else quoted(dotted)
    return nearest_name(column[1], names) if column else None
