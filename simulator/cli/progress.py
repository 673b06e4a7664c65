"""A progress bar for work that takes longer than a second, on a terminal only."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SILENCE_S = 1.0


class ProgressBar:
    """A callable `(stage, done, total)` that draws a bar on standard error once a second has passed."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._shown_from_s = time.monotonic() + SILENCE_S
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of `stage` are behind us."""
        if not self._enabled or (self._bar is None and time.monotonic() < self._shown_from_s):
            return
        if self._bar is None or self._task is None:
            self._bar, self._task = _open_bar()
        self._bar.update(self._task, description=stage, completed=done, total=total)


def _open_bar() -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
    bar.start()
    return bar, bar.add_task("", total=None)
