"""From what a sweep document says of its axes to the axes themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.params.override import FABRIC
from dieshot.simulator.sweep.axis import Axis, FieldAxis, column_of
from dieshot.simulator.sweep.document import GROUPS, SET, SweepDocument
from dieshot.simulator.sweep.field import FIELDS, field_named
from dieshot.simulator.sweep.field_axis import FieldReader
from dieshot.simulator.sweep.group import Group, group_axis, groups_of
from dieshot.simulator.sweep.level import Levels, Listed
from dieshot.simulator.sweep.objective import check_figure
from dieshot.simulator.sweep.option import DRAWING
from dieshot.simulator.sweep.parameter_axis import ParameterReader, asked
from dieshot.simulator.sweep.row import COST, FIGURES
from dieshot.simulator.sweep.systems import Systems


class Axes:
    """A document's axes: `fields` and `groups` by key, `systems` all that are named, `parameters` to make more."""

    def __init__(self, document: SweepDocument) -> None:
        self._document = document
        reader = FieldReader(document)
        self._fields = {key: reader.axis(key, node) for key, node in document.axes.items() if field_named(key)}
        self._groups = {key: list(groups_of(document, key, reader)) for key in GROUPS if key in document.axes}
        self._refuse_repeated()
        self.systems = Systems(self._systems(), self._fabrics(reader))
        self.parameters = ParameterReader(document, reader, self.systems)

    def read(self) -> tuple[Axis, ...]:
        """Return the axes in the order of the document; what runs draw has the seed that points are drawn from."""
        found: list[Axis] = []
        for key, node in self._document.axes.items():
            if key in self._fields:
                found.append(self._fields[key])
            elif key in self._groups:
                found += [group_axis(self._document, group, self.parameters) for group in self._groups[key]]
            else:
                found.append(self.parameters.axis(key, node))
        if self._document.method in DRAWING and "seed" not in self._fields:
            found.append(FieldAxis("seed", Listed((self._document.seed,))))
        self._check_plot([column for axis in found for column in axis.columns])
        return tuple(found)

    def _check_plot(self, columns: Sequence[str]) -> None:
        """Refuse a plot of what no row will have."""
        plot = self._document.plot
        for key, name in (("x", plot.x), ("y", plot.y), ("by", plot.by)) if plot else ():
            if name in columns or name in FIELDS or name is None:
                continue
            try:
                check_figure(name)
            except InputError:
                if self._document.method == "sensitivity" and "." in name:
                    continue  # it may be among the parameters that a first run reads
                known = [*columns, *FIELDS, *FIGURES, COST]
                problem = InputError("no such column", expected="a figure, a field or a parameter of the sweep",
                                     value=name, nearest=nearest_name(name, known))  # fmt: skip
                self._document.refuse(problem, f"plot.{key}")

    def _refuse_repeated(self) -> None:
        seen: set[str] = set()
        for key in self._document.axes:
            for name in self._columns(key):
                if name in seen:
                    self._document.refuse(InputError(f"{name} is given twice", expected="each once"), key)
                seen.add(name)

    def _columns(self, key: str) -> Iterable[str]:
        if key in self._fields:
            return [self._fields[key].name]
        if key not in self._groups:
            return [f"{SET} {self._column(key, key.removeprefix(f'{SET}.'))}"]
        groups = self._groups[key]
        paths = [f"{SET} {self._column(group.place, path)}" for group in groups for path in group.paths]
        return [name for group in groups for name in group.field_names] + paths

    def _column(self, key: str, path: str) -> str:
        return column_of(asked(self._document, key, path))

    def _systems(self) -> list[str]:
        axes = [axis for axis in self._fields.values() if axis.name == "system"]
        names = [name for axis in axes for name in _all(axis.levels)]
        names += [entry["system"] for group in self._all_groups() for entry in group.fields if "system" in entry]
        return list(dict.fromkeys(names))

    def _fabrics(self, reader: FieldReader) -> list[str]:
        """Return the links that stand in for the systems' own."""
        found: list[str] = []
        nodes = {key: node for key, node in self._document.axes.items() if key in _FABRIC_KEYS}
        for group in self._all_groups():
            nodes |= {f"{group.place}[{i}].{SET}": entry.get(FABRIC) for i, entry in enumerate(group.sets)}
        for key, node in nodes.items():
            try:
                names = node if isinstance(node, list) else [node]
                found += [reader.placed("links", name) for name in names if isinstance(name, str)]
            except InputError as problem:
                self._document.refuse(problem, key)
        return list(dict.fromkeys(found))

    def _all_groups(self) -> list[Group]:
        return [group for groups in self._groups.values() for group in groups]


_FABRIC_KEYS = (f"{SET}.{FABRIC}", f"{SET}.system.{FABRIC}")


def _all(levels: Levels) -> list[Any]:
    return [levels.at(index) for index in range(levels.n or 0)]
