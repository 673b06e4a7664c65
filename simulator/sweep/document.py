"""Sweep documents: what to run, over which axes, and what is looked for; checked as far as no system is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.params.catalog import find_path, shown_path
from dieshot.simulator.params.document import NAME, read_text
from dieshot.simulator.params.yaml_text import parse_yaml, yaml_text
from dieshot.simulator.sweep.field import FIELDS, SHORT_NAMES, field_named
from dieshot.simulator.sweep.objective import Constraint, Objective
from dieshot.simulator.sweep.option import DRAWING, Options, Plot, read_options

GROUPS = ("together", "points")
SET = "set"
REQUIRED = ("system", "model")
FROM_PYTHON = "sweep"  # the file and the name of a document that is a mapping


@dataclass(frozen=True)
class SweepDocument:
    """A sweep as written.

    file: as messages show it. folder: what relative paths in it start from. text: canonical YAML. axes: what varies or
    is fixed, as written and in that order: keys are fields, paths of `set` with `set.` before, `points`, `together`.
    """

    name: str
    file: str
    folder: Path
    text: str
    axes: Mapping[str, Any]
    options: Options
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """How points are chosen."""
        return self.options.method

    @property
    def note(self) -> str | None:
        """What its writer says of it."""
        return self.options.note

    @property
    def seed(self) -> int:
        """The seed of everything that is drawn; of a method that draws."""
        seed = self.axes.get("seed", 0)
        if type(seed) is not int or seed < 0:
            expected = "one whole number of at least 0: points and runs are drawn from it"
            self.refuse(InputError(f"not the seed of {self.method}", expected=expected, value=seed), "seed")
        return seed

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is to be small or large."""
        return tuple(each.objective for each in self.options.objectives)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Bounds that a run has to keep."""
        return tuple(each.constraint for each in self.options.constraints)

    @property
    def plot(self) -> Plot | None:
        """What to draw of it."""
        return self.options.plot

    def refuse(self, problem: InputError, key: str) -> NoReturn:
        """Raise a problem with its place in the document."""
        raise self.error(problem, key) from None

    def error(self, problem: InputError, key: str) -> InputError:
        """Return a problem with its place in the document."""
        place: dict[str, Any] = {"file": self.file, "key": key, "line": self._line(key)}
        value: dict[str, Any] = {"value": problem.value} if problem.has_value else {}
        return InputError(problem.problem, expected=problem.expected, nearest=problem.nearest, **place, **value)

    def _line(self, key: str) -> int | None:
        """Return the line of a key, or of the nearest above it."""
        while key and key not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key) if key else None


def read_sweep(source: Path | str | Mapping[str, Any]) -> SweepDocument:
    """Return the sweep document of a catalog name or a file, or of a mapping as the file would hold it.

    InputError names file, line and key of what is wrong. Systems and their parameters are checked by `space_of`.
    """
    if isinstance(source, Mapping):
        return _document(_plain(source, ""), {}, FROM_PYTHON, Path.cwd(), FROM_PYTHON)
    path = find_path("sweeps", str(source)) if isinstance(source, str) else source
    file = shown_path(path)
    data, lines = parse_yaml(read_text(path, file), file, path_keys=True)
    return _document(data, lines, file, path.resolve().parent, path.stem)


def sweep_from_text(text: str, folder: Path, name: str = FROM_PYTHON) -> SweepDocument:
    """Return the sweep document of a text such as `SweepDocument.text`, its paths relative to `folder`."""
    data, lines = parse_yaml(text, name, path_keys=True)
    return _document(data, lines, name, folder, name)


def _plain(node: Any, key: str) -> Any:
    """Return what a file could hold, from Python's containers and numbers; InputError where it could not."""
    if isinstance(node, Mapping):
        for name in node:
            if not isinstance(name, str):
                raise InputError("not a key", file=FROM_PYTHON, key=key, expected="text", value=name)
        return {name: _plain(item, f"{key}.{name}" if key else name) for name, item in node.items()}
    if isinstance(node, list | tuple | range):
        return [_plain(item, f"{key}[{index}]") for index, item in enumerate(node)]
    if node is None or isinstance(node, str | bool | int | float):
        return node
    if hasattr(node, "item"):  # a number of numpy
        return node.item()
    raise InputError("not plain data", file=FROM_PYTHON, key=key, expected="text, numbers, lists and mappings",
                     value=type(node).__name__)  # fmt: skip


def _document(data: dict[str, Any], lines: Mapping[str, int], file: str, folder: Path, name: str) -> SweepDocument:
    axes = {key: node for key, node in data.items() if key in (*GROUPS, SET) or field_named(key)}
    options = {key: node for key, node in data.items() if key not in axes}
    unknown = next((key for key in options if key not in Options.model_fields), None)
    empty = SweepDocument(name, file, folder, "", {}, Options(), lines)
    if unknown is not None:
        known = [*FIELDS, *SHORT_NAMES, SET, *GROUPS, *Options.model_fields]
        expected = "a field of a run, set, points, together, or how to go about it"
        empty.refuse(InputError("unknown key", expected=expected, nearest=nearest_name(unknown, known)), unknown)
    try:
        checked = read_options(options)
    except InputError as problem:
        empty.refuse(problem, problem.key or "")
    named = checked.name or name
    if not NAME.fullmatch(named):
        empty.refuse(InputError("not a name", expected="letters, digits, '-', '_', '.' or '+'", value=named), "name")
    document = SweepDocument(named, file, folder, yaml_text(data), _flat(axes, empty), checked, lines)
    _check_required(document)
    if checked.method in DRAWING:
        _ = document.seed
    return document


def _flat(axes: Mapping[str, Any], document: SweepDocument) -> dict[str, Any]:
    """Return the axes with the parameters of `set` in its place."""
    flat: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for key, node in axes.items():
        if key == SET:
            if not isinstance(node, Mapping):
                document.refuse(InputError("not a mapping", expected="PATH: VALUES", value=node), SET)
            flat |= {f"{SET}.{path}": values for path, values in node.items()}
        else:
            found = field_named(key)
            name = found.name if found else key
            if name in seen:
                document.refuse(InputError(f"given twice, also as '{seen[name]}'", expected="each key once"), key)
            seen[name] = key
            flat[name if name == "seed" else key] = node
    return flat


def _check_required(document: SweepDocument) -> None:
    entries = [entry for group in GROUPS for entry in _entries(document.axes.get(group))]
    for name in REQUIRED:
        if name not in document.axes and not (entries and all(name in entry for entry in entries)):
            problem = InputError("missing key", expected=f"{name}: a name, or a list of names")
            document.refuse(problem, name)


def _entries(group: Any) -> list[Mapping[str, Any]]:
    if not isinstance(group, list):
        return []
    return [
        entry for each in group for entry in (each if isinstance(each, list) else [each]) if isinstance(entry, dict)
    ]
