"""The progress of a sweep: a bar on a terminal, a line now and then in a batch log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dieshot.simulator.cli.progress import ProgressBar

if TYPE_CHECKING:
    from dieshot.simulator.sweep.progress import Progress

LINE_EVERY_S = 30.0


class SweepProgress:
    """A callable that shows how far a sweep is. verbose: where there is no terminal, a line every LINE_EVERY_S."""

    def __init__(self, enabled: bool, verbose: bool) -> None:
        self._bar = ProgressBar(enabled)
        self._is_logging = verbose and not sys.stderr.isatty()
        self._line_s = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, told: Progress) -> None:
        """Show it."""
        self._bar(words(told), told.ended, told.total)
        if self._is_logging and time.monotonic() >= self._line_s + LINE_EVERY_S:
            self._line_s = time.monotonic()
            print(f"{told.ended:,}/{told.total:,} {words(told)}", file=sys.stderr, flush=True)


def words(told: Progress) -> str:
    """Return rate, failures and time left."""
    if not told.n_workers and told.ended < told.total:
        return "runs, waiting for workers"
    parts = ["runs", f"{told.per_s:.1f}/s" if told.per_s < 100 else f"{told.per_s:,.0f}/s"]
    parts += [f"{n:,} {what}" for n, what in ((told.failed, "failed"), (told.set_aside, "set aside")) if n]
    if told.left_s is not None and told.ended < told.total:
        parts.append(f"{duration(told.left_s)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as a person reads it: 0.4 s, 12 s, 3 min 20 s, 5 h 02 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    hours = whole // 3600
    return f"{hours} h {whole % 3600 // 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
