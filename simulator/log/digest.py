"""One number for all that a run computed: equal for equal inputs, whatever the clock on the wall said."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dieshot.simulator.log.stored import StoredRun
from dieshot.simulator.log.strict import members, open_strict, plain_dataset, reading

BLOCK_BYTES = 2**24
WALL_CLOCK = "wall_clock"


def digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (hex) over all groups, datasets and attributes of a result file but `wall_clock`.

    Independent of compression, chunks and block sizes. InputError unless the file is a sound result file.
    """
    source = Path(path)
    with open_strict(source) as file, reading(source):
        StoredRun(file, source)
        state = hashlib.sha256()
        _add_group(state, file)
        return state.hexdigest()


def _add_group(state: Any, group: h5py.Group) -> None:
    _add(state, "group", group.name)
    _add_attributes(state, group)
    for name, member in members(group):
        if group.name == "/" and name == WALL_CLOCK:
            continue
        if isinstance(member, h5py.Group):
            _add_group(state, member)
        else:
            _add_dataset(state, plain_dataset(group, name))


def _add_dataset(state: Any, dataset: h5py.Dataset) -> None:
    if dataset.dtype.kind not in "Siuf" or dataset.shape is None:
        raise ValueError(f"{dataset.name}: neither numbers nor texts")
    _add(state, "dataset", dataset.name, str(dataset.dtype), str(dataset.shape))
    _add_attributes(state, dataset)
    if dataset.shape == ():
        state.update(np.asarray(dataset[()]).tobytes())
        return
    row_bytes = max(dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64)), 1)
    step = max(BLOCK_BYTES // row_bytes, 1)
    for first in range(0, len(dataset), step):
        state.update(np.ascontiguousarray(dataset[first : first + step]).tobytes())


def _add_attributes(state: Any, node: h5py.Group | h5py.Dataset) -> None:
    for name in sorted(node.attrs):
        value = np.asarray(node.attrs[name])
        if value.dtype.kind not in "SUbiuf":
            raise ValueError(f"{node.name}: attribute {name!r} is neither numbers nor text")
        _add(state, "attribute", name, str(value.dtype), str(value.shape))
        state.update(value.tobytes())


def _add(state: Any, *texts: str) -> None:
    for text in texts:
        state.update(f"{len(text)}:{text}".encode())
