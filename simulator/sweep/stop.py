"""How a sweep is stopped: a first signal lets workers come to the end of their runs, a second one does not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE_S = 25.0  # batch systems kill 30 s after they have told
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(RuntimeError):
    """A sweep has come to no good end; the message says how it goes on, `exit_status` what a shell expects."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StopNowError(BaseException):
    """What a run in this process is left with; no Exception, so that it is not taken for a failure of the run."""


class Stop:
    """Hears SIGTERM and SIGINT while it is entered, which only a main thread may do.

    number: the signal that came, None until then. is_over: the second has come, or GRACE_S have passed since the first.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.number: int | None = None
        self.is_over = False
        self._grace_s = grace_s
        self._is_interruptible = False
        self._others: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._others[number] = signal.signal(number, self._hear)
        self._others[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._others.items():
            signal.signal(number, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the end of all patience break off what is done inside, and nothing else: it ends the block early."""
        self._is_interruptible = not self.is_over
        try:
            yield
        except StopNowError:
            pass
        finally:
            self._is_interruptible = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            signal.setitimer(signal.ITIMER_REAL, self._grace_s)
            return
        self.is_over = True
        if self._is_interruptible:
            self._is_interruptible = False
            raise StopNowError
