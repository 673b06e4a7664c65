"""From a sweep document to its space, every name and every parameter checked against the systems."""

from __future__ import annotations

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.axes import Axes
from dieshot.simulator.sweep.document import SweepDocument
from dieshot.simulator.sweep.indices import sensitivity_space
from dieshot.simulator.sweep.sample import LatinHypercube, Random
from dieshot.simulator.sweep.space import Grid, Space, Zipped

_KEYS = {"grid": "", "list": "method"}  # where to look for what is wrong with all axes together


def space_of(document: SweepDocument) -> Space:
    """Return the points of a sweep; InputError, naming file, line and key, where there can be none.

    A search has no points before it has results, see `search.Search`.
    """
    axes = Axes(document)
    try:
        return _space(document, axes)
    except InputError as problem:
        if problem.file is not None:
            raise
        document.refuse(problem, _KEYS.get(document.method, "samples"))


def _space(document: SweepDocument, axes: Axes) -> Space:
    samples = document.options.samples or 0
    match document.method:
        case "grid":
            return Grid(axes.read())
        case "list":
            return Zipped(axes.read())
        case "random":
            return Random(axes.read(), samples, document.seed)
        case "latin_hypercube":
            return LatinHypercube(axes.read(), samples, document.seed)
        case "sensitivity":
            return sensitivity_space(document, axes)
        case _:
            raise ValueError(f"a {document.method} has no points before it has results")
