"""From a sweep document to its space, every name and every parameter checked against the systems."""

from __future__ import annotations

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.axes import Axes
from dieshot.simulator.sweep.document import SweepDocument
from dieshot.simulator.sweep.space import Grid, Space, Zipped


def space_of(document: SweepDocument) -> Space:
    """Return the points of a sweep; InputError, naming file, line and key, where there can be none.

    A method that learns from results has no space before them: see `search`.
    """
    axes = Axes(document).read()
    try:
        if document.method == "grid":
            return Grid(axes)
        if document.method == "list":
            return Zipped(axes)
    except InputError as problem:
        document.refuse(problem, "method" if "method" in document.lines else "")
    raise NotImplementedError(document.method)
