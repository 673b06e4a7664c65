"""Tables that grow: rows gathered in memory, appended to one HDF5 dataset per column in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import STATES
from dieshot.simulator.log.schema import LONGEST_TEXT_BYTES, STATE_AXIS, TEXT, Column, named_column

Array = NDArray[Any]
Filters = Mapping[str, object]
# An array, or a sequence of numbers or texts.
ColumnData = Any

BLOCK_CHUNKS = 4
CHUNK_BYTES = 2**17
LONGEST_CHUNK_ROWS = 2**14
SHORTEST_TEXT_BYTES = 8


class Table:
    """One table of the file: `append` keeps rows, `write` moves them into the datasets of `group`.

    `lengths` gives the length of each further axis of a column. An open table takes its columns from its first rows.
    """

    def __init__(
        self,
        group: h5py.Group,
        columns: Mapping[str, Column],
        filters: Filters,
        lengths: Mapping[str, int] | None = None,
        open_table: bool = False,
    ) -> None:
        self.group = group
        self.n_rows = 0
        self._columns = dict(columns)
        self._filters = filters
        self._lengths = lengths or {}
        self._open = open_table
        self._waiting: dict[str, list[Array]] = {name: [] for name in columns}
        self._n_waiting = 0
        self._chunk_rows = 1
        if not open_table:
            for name, column in self._columns.items():
                self._create(name, column, SHORTEST_TEXT_BYTES)

    def append(self, rows: Mapping[str, ColumnData]) -> None:
        """Append rows, one array per column, first axis the row; ValueError where columns or lengths do not fit."""
        if self._open and self.n_rows == 0:
            self._settle(rows)
        if set(rows) != set(self._columns):
            raise ValueError(f"{self.group.name}: columns {sorted(rows)}, expected {sorted(self._columns)}")
        arrays = {name: _as_column(name, rows[name], column) for name, column in self._columns.items()}
        n_rows = {len(array) for array in arrays.values()}
        if len(n_rows) != 1:
            raise ValueError(f"{self.group.name}: columns of different lengths {sorted(n_rows)}")
        for name, array in arrays.items():
            self._waiting[name].append(array)
        self.n_rows += min(n_rows)
        self._n_waiting += min(n_rows)
        if self._n_waiting >= BLOCK_CHUNKS * self._chunk_rows:
            # Whole chunks only: a chunk written in parts would be packed anew each time.
            self._write_rows(self._n_waiting - self.n_rows % self._chunk_rows)

    def write(self) -> None:
        """Write all rows kept so far into the datasets."""
        if self._n_waiting:
            self._write_rows(self._n_waiting)

    def _write_rows(self, n_rows: int) -> None:
        for name, arrays in self._waiting.items():
            waiting = np.concatenate(arrays)
            block, self._waiting[name] = waiting[:n_rows], [waiting[n_rows:]]
            dataset = self._wide_enough(name, block)
            first = dataset.shape[0]
            dataset.resize(first + n_rows, axis=0)
            # The cast attaches the character set, without which HDF5 does not take text.
            dataset[first:] = block.astype(dataset.dtype) if block.dtype.kind == "S" else block
        self._n_waiting -= n_rows

    def _settle(self, rows: Mapping[str, ColumnData]) -> None:
        """Take the columns of an open table from its first rows."""
        known = self._columns
        self._columns = {}
        for name in sorted(rows):
            self._columns[name] = known.get(name) or named_column(name, _dtype_of(rows[name]))
            self._create(name, self._columns[name], SHORTEST_TEXT_BYTES)
        self._waiting = {name: [] for name in self._columns}

    def _wide_enough(self, name: str, block: Array) -> h5py.Dataset:
        """Return the dataset of a column, made anew where a text is longer than all before it."""
        dataset = self.group[name]
        if self._columns[name].dtype != TEXT or block.dtype.itemsize <= dataset.dtype.itemsize:
            return dataset
        kept = dataset[:]
        del self.group[name]
        # Doubling keeps rewrites rare, and the width independent of the order of the rows.
        wide = self._create(name, self._columns[name], 1 << (block.dtype.itemsize - 1).bit_length())
        wide.resize(len(kept), axis=0)
        wide[:] = kept.astype(wide.dtype)
        return wide

    def _create(self, name: str, column: Column, text_bytes: int) -> h5py.Dataset:
        lengths = tuple(self._lengths[axis] for axis in column.axes)
        dtype = h5py.string_dtype("utf-8", text_bytes) if column.dtype == TEXT else np.dtype(column.dtype)
        row_bytes = max(int(np.prod(lengths, dtype=np.int64)) * np.dtype(dtype).itemsize, 1)
        rows = min(1 << (max(CHUNK_BYTES // row_bytes, 1).bit_length() - 1), LONGEST_CHUNK_ROWS)
        self._chunk_rows = max(self._chunk_rows, rows)
        chunks = (rows, *(max(length, 1) for length in lengths))
        dataset = self.group.create_dataset(
            name,
            shape=(0, *lengths),
            maxshape=(None, *lengths),
            chunks=chunks,
            dtype=dtype,
            track_times=False,
            **self._filters,
        )
        describe(dataset, column.units, column.long_name)
        if name == "state" or STATE_AXIS in column.axes:
            dataset.attrs.create("states", np.array([state.encode() for state in STATES]))
        return dataset


def describe(dataset: h5py.Dataset, units: str, long_name: str) -> None:
    """Attach the unit and the meaning that every dataset carries."""
    for name, text in (("units", units), ("long_name", long_name)):
        dataset.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text.encode())))


def _dtype_of(values: ColumnData) -> str:
    kind = np.asarray(values).dtype.kind
    if kind not in "biufUSO":
        raise ValueError(f"a column of numpy kind {kind!r} cannot be logged")
    return {"f": "float64", "b": "int8", "i": "int64", "u": "int64"}.get(kind, TEXT)


def _as_column(name: str, values: ColumnData, column: Column) -> Array:
    if column.dtype == TEXT:
        return _as_text(name, values)
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "biuf":
        raise ValueError(f"column {name!r} takes numbers, not numpy kind {array.dtype.kind!r}")
    narrow = array.astype(column.dtype, copy=False)
    if narrow is array:
        return array
    if array.size and not np.array_equal(narrow, array, equal_nan=column.dtype == "float64"):
        raise ValueError(f"column {name!r} cannot hold its values as {column.dtype}")
    return narrow


def _as_text(name: str, values: ColumnData) -> Array:
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":  # encoded already, and without zero bytes
        if values.dtype.itemsize > LONGEST_TEXT_BYTES:
            raise ValueError(f"column {name!r} holds a text of {values.dtype.itemsize} bytes")
        return values
    texts: Sequence[object] = values if isinstance(values, list | tuple) else np.asarray(values).tolist()
    encoded = [str(text).encode() for text in texts]
    longest = max(map(len, encoded), default=1)
    if longest > LONGEST_TEXT_BYTES:
        raise ValueError(f"column {name!r} holds a text of {longest} bytes; at most {LONGEST_TEXT_BYTES}")
    if any(b"\0" in text for text in encoded):
        raise ValueError(f"column {name!r} holds a text with a zero byte")
    return np.array(encoded, dtype=f"S{max(longest, 1)}")
