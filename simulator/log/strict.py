"""Reading HDF5 files that nobody vouches for: hard links, plain types, known filters and bounded sizes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError
from dieshot.simulator.log.schema import LONGEST_TEXT_BYTES, TEXT, Column

MOST_BYTES = 2**30
MOST_CHUNK_BYTES = 2**26
_ZSTD = 32015
_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, _ZSTD})
_OPEN_DTYPES = ("int8", "int32", "int64", "float64")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes the library raise into one InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        AttributeError,
        MemoryError,
    ) as error:
        problem = f"damaged result file ({error})"
        raise InputError(problem, file=str(path), expected="an HDF5 file that a run wrote") from error


def open_strict(path: Path) -> h5py.File:
    """Open a file for reading; InputError where it is missing or no HDF5 file."""
    if not path.is_file():
        raise InputError("is a folder" if path.is_dir() else "no such file", file=str(path), expected="a result file")
    try:
        return h5py.File(path, "r", locking=False)
    except PermissionError:
        raise InputError("cannot be read", file=str(path), expected="a file that can be read") from None
    except (OSError, RuntimeError, ValueError) as error:
        problem = "not a result file, or cut short"
        raise InputError(problem, file=str(path), expected="an HDF5 file that a run wrote") from error


def child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Return a member by its hard link; KeyError where there is none, ValueError for links that lead elsewhere."""
    node = group
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            raise KeyError(f"{part!r} below a dataset")
        link = node.get(part, getlink=True)
        if link is None:
            raise KeyError(f"no {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name!r} is a link to elsewhere")
        node = node[part]
    return node


def members(group: h5py.Group) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield the members of a group in the order of their names."""
    for name in sorted(group):
        yield name, child(group, name)


def column_of(group: h5py.Group, name: str, column: Column, lengths: Mapping[str, int]) -> h5py.Dataset:
    """Return the dataset of a column after checking type, axes, filters and size; ValueError otherwise."""
    dataset = plain_dataset(group, name)
    axes = tuple(lengths[axis] for axis in column.axes)
    if dataset.shape is None or dataset.shape[1:] != axes or dataset.ndim != 1 + len(axes):
        raise ValueError(f"{dataset.name}: shape {dataset.shape}, expected (rows, {', '.join(map(str, axes))})")
    fits = _is_text(dataset.dtype) if column.dtype == TEXT else dataset.dtype == np.dtype(column.dtype)
    if not fits:
        raise ValueError(f"{dataset.name}: type {dataset.dtype}, expected {column.dtype}")
    return dataset


def open_dtype(dataset: h5py.Dataset) -> str:
    """Return the type of a column that the schema does not list; ValueError for a type that cannot be one."""
    if _is_text(dataset.dtype):
        return TEXT
    if str(dataset.dtype) not in _OPEN_DTYPES:
        raise ValueError(f"{dataset.name}: type {dataset.dtype}, expected text or one of {', '.join(_OPEN_DTYPES)}")
    return str(dataset.dtype)


def plain_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset whose bytes are in this file, packed by known filters, in chunks of bounded size."""
    dataset = child(group, name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name!r} is no dataset")
    layout = dataset.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise ValueError(f"{dataset.name}: its data is in another file")
    filters = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if not filters <= _FILTERS:
        raise ValueError(f"{dataset.name}: unknown filter {min(filters - _FILTERS)}")
    if dataset.chunks and int(np.prod(dataset.chunks, dtype=np.float64)) * dataset.dtype.itemsize > MOST_CHUNK_BYTES:
        raise ValueError(f"{dataset.name}: chunks of more than {MOST_CHUNK_BYTES} bytes")
    if _ZSTD in filters:
        import hdf5plugin  # noqa: F401  registers the filter
    return dataset


def rows_of(dataset: h5py.Dataset, rows: slice | int = slice(None)) -> NDArray[Any]:
    """Return some rows of a column; ValueError where they would not fit into `MOST_BYTES`."""
    n_rows = len(range(*rows.indices(len(dataset)))) if isinstance(rows, slice) else 1
    if n_rows * int(np.prod(dataset.shape[1:], dtype=np.float64)) * dataset.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"{dataset.name}: more than {MOST_BYTES} bytes")
    values: NDArray[Any] = dataset[rows]
    return texts_of(values) if values.dtype.kind == "S" else values


def texts_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return UTF-8 texts as an array of str objects; equal texts share one."""
    known: dict[bytes, str] = {}
    texts = np.empty(len(values), object)
    texts[:] = [known.get(value) or known.setdefault(value, value.decode()) for value in values.tolist()]
    return texts


def scalar_of(group: h5py.Group, name: str) -> str | int | float:
    """Return a single number or text."""
    dataset = plain_dataset(group, name)
    if dataset.dtype == np.uint8 and dataset.ndim == 1 and dataset.size <= MOST_BYTES:
        return bytes(dataset[:]).decode()
    if dataset.shape != () or dataset.dtype.kind not in "Sif" or dataset.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"{dataset.name}: neither a number nor a text")
    value = dataset[()]
    return value.decode() if isinstance(value, bytes) else value.item()


def _is_text(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "S" and dtype.itemsize <= LONGEST_TEXT_BYTES
