"""Which weights are zero: pattern and density, of a whole trace or of one operator.

All counts of an operator (macs, weight bytes) stay those of the dense weights: what a chip without support for the
pattern does. What a chip with support skips, and what an index costs it, is the chip's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dieshot.traces.error import TraceError, show, unknown

# 2:4: two of each four neighbours along K are zero; unstructured: zeros anywhere.
PATTERNS = ("dense", "2:4", "unstructured")
_DENSITY_OF: Mapping[str, float] = {"dense": 1.0, "2:4": 0.5}


@dataclass(frozen=True, slots=True)
class Sparsity:
    """One of PATTERNS, and the share of the weights that are not zero, in (0, 1]."""

    pattern: str
    density: float


DENSE = Sparsity("dense", 1.0)


def sparsity_of(pattern: Any, density: Any, where: str) -> Sparsity:
    """Return the sparsity of a pattern; `density` may be None where the pattern decides it. TraceError otherwise."""
    if not isinstance(pattern, str) or pattern not in PATTERNS:
        raise unknown(where, "sparsity", pattern, PATTERNS)
    if density is None and pattern == "unstructured":
        raise TraceError(where, "density", "missing, expected the share of non-zero weights for unstructured sparsity")
    if density is None:
        return Sparsity(pattern, _DENSITY_OF[pattern])
    if type(density) not in (int, float) or not 0 < density <= 1:
        raise TraceError(where, "density", f"expected a number above 0 and at most 1, got {show(density)}")
    if density != _DENSITY_OF.get(pattern, density):
        problem = f"expected {_DENSITY_OF[pattern]} for {pattern} sparsity, got {show(density)}"
        raise TraceError(where, "density", problem)
    return Sparsity(pattern, float(density))


def stated(sparsity: Sparsity) -> dict[str, Any]:
    """Return the fields of a trace file that state the sparsity: none where there is none."""
    return {} if sparsity == DENSE else {"sparsity": sparsity.pattern, "density": sparsity.density}
