"""Steps of a loop that are always compiled into it: their many arrays would cost more to pass than the step itself."""

from __future__ import annotations

from typing import Any, cast

from numba import njit

from dieshot.kernels.jit import F

_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False, "forceinline": True}


def inlined(function: F) -> F:
    """Compile a step of a loop into its caller, for the types that the caller passes."""
    compiled: Any = njit(**_OPTIONS)
    return cast(F, compiled(function))
