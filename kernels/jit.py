"""How the loops here are compiled: cached, and without reference counts, since nothing allocates.

`_nrt=False` spares the counting of array arguments, which costs more than the short loops that it would guard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Rows = NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}


def timing_loop(signature: Any) -> Callable[[F], F]:
    """Compile a public loop for one signature; anything else at the call is a TypeError."""
    compiled: Any = njit(signature, **_OPTIONS)
    return cast(Callable[[F], F], compiled)


def part_of_loop(function: F) -> F:
    """Compile a step of a loop for the types that the loop passes."""
    compiled: Any = njit(**_OPTIONS)
    return cast(F, compiled(function))
