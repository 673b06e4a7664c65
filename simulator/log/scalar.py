"""Single numbers and texts in a result file, and their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from dieshot.simulator.log.schema import named_column
from dieshot.simulator.log.table import describe

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_json(value: object) -> str:
    """Return JSON text; numpy scalars and arrays become numbers and lists, a number that is not finite is refused."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain)


def put_scalar(group: h5py.Group, name: str, value: object, long_name: str | None = None) -> None:
    """Store a number, or a text of any length, as a scalar dataset in place of the one before."""
    _clear(group, name)
    if isinstance(value, str):
        encoded = value.encode()
        dtype = h5py.string_dtype("utf-8", max(len(encoded), 1))
        dataset = group.create_dataset(name, shape=(), dtype=dtype, data=encoded, track_times=False)
    else:
        dataset = group.create_dataset(name, shape=(), data=value, track_times=False)
    column = named_column(name, "")
    describe(dataset, column.units, long_name or column.long_name)


def put_bytes(group: h5py.Group, name: str, text: str, long_name: str, filters: Mapping[str, object]) -> None:
    """Store a long text as a compressed dataset of its UTF-8 bytes."""
    _clear(group, name)
    data = np.frombuffer(text.encode(), np.uint8)
    packed = {"chunks": (min(len(data), 2**20),), **filters} if len(data) else {}
    describe(group.create_dataset(name, data=data, track_times=False, **packed), "byte", long_name)


def refuse_bad_name(name: str) -> None:
    """Raise ValueError unless `name` can name a column or text."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a column or text: letters, digits and underscores only")


def _clear(group: h5py.Group, name: str) -> None:
    refuse_bad_name(name)
    if name in group:
        del group[name]


def _plain(value: Any) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be logged")
