"""A progress bar on a terminal, after a second; nothing anywhere else."""

import io
import sys
import time
from collections.abc import Iterator

import pytest

from dieshot.simulator.cli.progress import ProgressBar


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    yield now_s


def drawn(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], stream: io.StringIO, after_s: float, enabled: bool
) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar(enabled) as bar:
        clock[0] += after_s
        bar("simulating cells", 3, 12)
    return stream.getvalue()


def test_drawn_on_a_terminal_after_a_second(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    text = drawn(monkeypatch, clock, Terminal(), after_s=1.0, enabled=True)
    assert "simulating cells" in text
    assert "3/12" in text


@pytest.mark.parametrize(
    ("stream", "after_s", "enabled"), [(Terminal(), 0.99, True), (Terminal(), 5.0, False), (io.StringIO(), 5.0, True)]
)
def test_silent_elsewhere(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], stream: io.StringIO, after_s: float, enabled: bool
) -> None:
    assert drawn(monkeypatch, clock, stream, after_s, enabled) == ""
