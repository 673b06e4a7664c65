"""Parquet files of final runs: one for each range of runs, the same bytes for the same rows, named by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.columns import is_plain
from dieshot.simulator.store.error import GoneError, damaged, told
from dieshot.simulator.store.ledger import RESULTS
from dieshot.simulator.store.outcome import OWN
from dieshot.simulator.store.schema import RANGE

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import dataset, parquet

ROWS_AT_ONCE = 8_192
UNFINISHED = ".unfinished.parquet"
_NAME = re.compile(r"(\d{5,})-[0-9a-f]{16}\.parquet")


def write(folder: Path, part: int, table: pyarrow.Table) -> str:
    """Write the rows of a range, sorted by run; return the file's name once it is whole and on the disk.

    A file of the same name has the same content. Until the ledger names it, nobody reads it.
    """
    from pyarrow import parquet

    results = folder / RESULTS
    unfinished = results / UNFINISHED
    with told(unfinished):
        try:
            results.mkdir(exist_ok=True)
            unfinished.unlink(missing_ok=True)
            with open(unfinished, "xb") as file:
                parquet.write_table(
                    table,
                    file,
                    row_group_size=ROWS_AT_ONCE,
                    version="2.6",
                    compression="zstd",
                    compression_level=3,
                    use_dictionary=True,
                    write_statistics=True,
                    store_schema=True,
                )
                file.flush()
                os.fsync(file.fileno())
            with open(unfinished, "rb") as file:
                name = f"{part:05d}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.parquet"
            unfinished.rename(results / name)
            _synchronise(results)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
    return name


def path_of(folder: Path, part: int, name: str) -> Path:
    """Return the file that the ledger names for a range; a name that is not of our making is refused."""
    found = _NAME.fullmatch(name)
    path = folder / RESULTS / name
    if found is None or int(found[1]) != part or path.is_symlink():
        raise damaged(folder / RESULTS, f"a file named {name[:80]!r}")
    return path


def read(folder: Path, part: int, name: str, n: int, columns: list[str] | None = None) -> pyarrow.Table:
    """Return the rows of a range, or some columns of them (those that it has)."""
    with _opened(path_of(folder, part, name), n) as file:
        chosen = None if columns is None else [each for each in file.schema_arrow.names if each in columns]
        return file.read(columns=chosen).replace_schema_metadata(None)


def on_disk(folder: Path, part: int, name: str, n: int) -> dataset.Dataset:
    """Return the rows of a range without reading them yet."""
    from pyarrow import dataset

    path = path_of(folder, part, name)
    with _opened(path, n):
        return dataset.dataset(path, format="parquet")


@contextlib.contextmanager
def _opened(path: Path, n: int) -> Iterator[parquet.ParquetFile]:
    """Hold a file open that has `n` rows as this module writes them; one that has not is refused."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _refuse_foreign(path, file.schema_arrow, file.metadata.num_rows, n)
            yield file
    except FileNotFoundError as error:
        raise GoneError("file of a result store is missing", file=str(path)) from error
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, PermissionError | InputError):
            raise
        raise damaged(path, str(error)) from error


def orphans(folder: Path, current: set[str]) -> list[Path]:
    """Return files of our making that the ledger does not name: their writer was killed, or newer ones stand in."""
    results = folder / RESULTS
    with told(results):
        inside = sorted(results.iterdir()) if results.is_dir() else []
    ours = (path for path in inside if path.name == UNFINISHED or _NAME.fullmatch(path.name))
    return [path for path in ours if path.name not in current and not path.is_dir()]


def _refuse_foreign(path: Path, schema: pyarrow.Schema, n_rows: int, n: int) -> None:
    missing = sorted(set(OWN) - set(schema.names))
    if missing or n_rows != n or n > RANGE or len(set(schema.names)) != len(schema.names):
        raise damaged(path, f"no column {missing[0]}" if missing else f"{n_rows} rows, the ledger says {n}")
    strange = [field for field in schema if not is_plain(field.type)]
    if strange:
        raise damaged(path, f"column {strange[0].name!r} of type {strange[0].type}")


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
