"""Records: what is known about one parameter of a resolved document."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.simulator.params.leaf import Kind


@dataclass(frozen=True, slots=True)
class ParameterRecord:
    """One leaf with its history. `value` and `range` are in `unit` (base), `written` is as the document has it.

    source: ids joined by ', '. inputs: dotted paths that a formula reads. range: low and high of an assumption.
    overridden: changed from outside the document.
    """

    path: str
    value: int | float | str
    unit: str
    written: str
    kind: Kind
    source: str | None = None
    source_title: str | None = None
    at: str | None = None
    why: str | None = None
    range: tuple[float, float] | None = None
    formula: str | None = None
    inputs: tuple[str, ...] = ()
    data: str | None = None
    residual: str | None = None
    note: str | None = None
    overridden: bool = False
