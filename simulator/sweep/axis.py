"""Axes of a sweep: a field, a parameter or several of both that go together, over their levels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dieshot.simulator.params.override import FABRIC, Override
from dieshot.simulator.sweep.level import Levels

FACTOR = "x"  # the unit of a parameter that is given as a factor of its own value
Value = str | int | float | bool | None


class Setting(NamedTuple):
    """What one value of an axis asks for: fields of the request, overrides, and the columns of the row."""

    fields: tuple[tuple[str, Any], ...]
    sets: tuple[str, ...]
    row: tuple[tuple[str, Value], ...]


class Axis(ABC):
    """One dimension of a space. units: of its columns, where they have one."""

    columns: tuple[str, ...]
    units: Mapping[str, str]
    levels: Levels

    @property
    def n(self) -> int | None:
        """How many values it has, None where there are too many to number."""
        return self.levels.n

    def at(self, index: int) -> Setting:
        """Return a setting by its number."""
        return self.of(self.levels.at(index))

    def drawn(self, share: float) -> Setting:
        """Return the setting below which lies a share of all."""
        return self.of(self.levels.drawn(share))

    @abstractmethod
    def of(self, value: Any) -> Setting:
        """Return the setting of a value."""


@dataclass(frozen=True)
class FieldAxis(Axis):
    """A field of the request."""

    name: str
    levels: Levels

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name of the field."""
        return (self.name,)

    @property
    def units(self) -> Mapping[str, str]:  # type: ignore[override]
        """None: a field counts, or is a word."""
        return {}

    def of(self, value: Any) -> Setting:
        """Return the setting of a value."""
        pair = ((self.name, value),)
        return Setting(pair, (), pair)


class Written(NamedTuple):
    """A value of a parameter as the row has it, and the right-hand side of its override; None for no change."""

    value: Value
    text: str | None


@dataclass(frozen=True)
class ParameterAxis(Axis):
    """A parameter: levels are numbers in `unit` (factors if that is FACTOR), or `Written`."""

    name: str
    levels: Levels
    unit: str = ""

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """The path of the parameter, with the document that it is of in front."""
        return (self.name,)

    @property
    def units(self) -> Mapping[str, str]:  # type: ignore[override]
        """The unit, if it has one."""
        return {self.name: self.unit} if self.unit else {}

    def of(self, value: Any) -> Setting:
        """Return the setting of a value."""
        name = self.name
        if isinstance(value, Written):
            return Setting((), () if value.text is None else (f"{name}={value.text}",), ((name, value.value),))
        text = f"{name}=*{value!r}" if self.unit == FACTOR else f"{name}={value!r}{self.unit}"
        return Setting((), (text,), ((name, value),))


@dataclass(frozen=True)
class GroupAxis(Axis):
    """Fields and parameters that go together; its levels are whole settings."""

    columns: tuple[str, ...]
    units: Mapping[str, str]
    levels: Levels

    def of(self, value: Any) -> Setting:
        """Return the setting, which the value is."""
        setting: Setting = value
        return setting


def column_of(override: Override) -> str:
    """Return the column of a parameter: its path with the document in front; `fabric` for the choice of links."""
    name = f"{override.target}.{override.path}"
    return FABRIC if name == f"system.{FABRIC}" else name
