"""What a chip refuses, as an error of the input that names the system or the document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dieshot.simulator.engine.chip import InfeasibleError, UnsupportedError
from dieshot.simulator.errors import InputError


@contextmanager
def refusing(file: str, problem: str = "cannot be with the other parameters") -> Iterator[None]:
    """Turn UnsupportedError and InfeasibleError into an InputError of `file`; problem: what an infeasible one is."""
    try:
        yield
    except UnsupportedError as error:
        raise InputError(str(error), file=file) from None
    except InfeasibleError as error:
        raise InputError(problem, file=file, key=error.key, value=error.value, expected=error.expected) from None
