"""Recording views: schema instances that remember which parameters a model read.

A view is an instance of a subclass of its schema, so `isinstance` and type checkers see the schema. Reading costs a
Python call: components read their parameters once, when they are built.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from dieshot.simulator.params.schema import LeafSpec, Schema, Spec, schema_fields

S = TypeVar("S", bound=Schema)


def recording(schema: type[S], values: dict[str, Any], path: str, read: set[str]) -> S:
    """Return values (nested views and plain numbers) as a schema's instance that adds the leaves read to `read`."""
    key: Any = schema
    view: S = object.__new__(_recording_class(key))
    view.__dict__.update(values, _path=path, _read=read)
    return view


@functools.cache
def _recording_class(schema: Any) -> Any:
    leaves = [name for name, field in schema_fields(schema).items() if isinstance(field.spec, LeafSpec)]
    body: dict[str, Any] = {name: _recorded(name) for name in leaves}
    # a changed copy (dataclasses.replace) is a plain instance: it is no longer the document's
    body["__new__"] = lambda _, **values: schema(**values)
    body |= {"__reduce__": _reduce, "__repr__": _show, "__eq__": _equal, "__hash__": None}
    body["__module__"] = schema.__module__
    return types.new_class(schema.__name__, (schema,), {"recording": True}, lambda namespace: namespace.update(body))


def _recorded(name: str) -> property:
    def read_value(view: Any) -> Any:
        state = view.__dict__
        state["_read"].add(f"{state['_path']}{name}")
        return state[name]

    return property(read_value)


def plain(value: Any) -> Any:
    """Return a view as an ordinary instance of its schema, and a recorded mapping as a dict, reading nothing."""
    if isinstance(value, RecordedMapping):
        return {key: plain(item) for key, item in dict.items(value)}
    if isinstance(value, Schema) and "_read" in value.__dict__:
        schema: Any = type(value).__mro__[1]
        return schema(**{name: plain(value.__dict__[name]) for name in schema_fields(schema)})
    return value


def _reduce(view: Schema) -> tuple[Any, ...]:
    # what crosses to a worker process is the plain instance; reads there are not this process's to know
    schema = type(view).__mro__[1]
    return _build, (schema, {name: plain(view.__dict__[name]) for name in schema_fields(schema)})


def _build(schema: type[S], values: dict[str, Any]) -> S:
    return schema(**values)


def _show(view: Schema) -> str:
    return repr(plain(view))


def _equal(view: Schema, other: object) -> bool:
    return bool(plain(view) == plain(other))


def recorded_mapping(items: dict[str, Any], item: Spec, path: str, read: set[str]) -> RecordedMapping:
    """Return items as a read-only dict; where they are leaves, those read are added to `read`."""
    mapping = RecordedMapping(items)
    if isinstance(item, LeafSpec):
        mapping._path, mapping._read = path, read
    return mapping


class RecordedMapping(dict[str, Any]):
    """A read-only dict whose leaves are noted when read, one by one or all by iteration over values."""

    _path = ""
    _read: set[str] | None = None

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        self._note(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        if key not in self:
            return default
        return self[key]

    def values(self) -> Any:
        """Return all values; all count as read."""
        return [self[key] for key in self]

    def items(self) -> Any:
        """Return all pairs; all count as read."""
        return [(key, self[key]) for key in self]

    def _note(self, key: str) -> None:
        if self._read is not None:
            self._read.add(f"{self._path}{key}")

    def __iter__(self) -> Iterator[str]:  # overridden so that dict(mapping) reads through __getitem__
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        return bool(plain(self) == plain(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (plain(self),)

    def _frozen(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("parameters are read-only")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = _frozen
    __ior__ = _frozen
