"""How far a sweep is, in words: on a bar, in a batch log, from another terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dieshot.simulator.cli.sweep_progress import LINE_EVERY_S, SweepProgress, duration, words
from dieshot.simulator.sweep.note import EVERY_S, FILE_NAME, Note, read_note
from dieshot.simulator.sweep.progress import Progress, UnderWay

HALFWAY = Progress(total=2000, done=900, failed=90, set_aside=10, per_s=12.5, n_workers=2)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (HALFWAY, "runs, 12.5/s, 90 failed, 10 set aside, 1 min 20 s left"),
        (Progress(10, 10, 0, 0, 1234.5, 2), "runs, 1,234/s"),
        (Progress(10, 4, 0, 0, 0.0, 2), "runs, 0.0/s"),
        (Progress(10, 4, 0, 0, 0.0, 0), "runs, waiting for workers"),
    ],
)
def test_words_of_a_progress(told: Progress, shown: str) -> None:
    assert words(told) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"),
     (3600, "1 h 00 min"), (172_799, "47 h 59 min"), (172_800, "2 d 0 h")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_batch_log_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    for verbose, lines in ((False, 0), (True, 2)):
        with SweepProgress(enabled=True, verbose=verbose) as progress:
            for _ in range(9):
                progress(HALFWAY)
                now_s[0] += LINE_EVERY_S / 4
        said = capsys.readouterr().err.splitlines()
        assert said == [f"1,000/2,000 {words(HALFWAY)}"] * lines


def test_a_note_is_whole_and_not_written_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    note = Note(tmp_path, 3, "processes", lambda point: f"dieshot run {point}")
    note.write(Progress(10, 1, 0, 0, 2.0, 2, (UnderWay(run=4, point=5, since=6.0),)))
    found = read_note(tmp_path)
    assert found is not None
    assert found["under_way"] == [{"run": 4, "command": "dieshot run 5", "since": 6.0}]
    assert (found["sweep"], found["engine"], found["workers"], found["per_s"]) == (3, "processes", 2, 2.0)
    note.write(Progress(10, 2, 0, 0, 3.0, 2))
    assert read_note(tmp_path) == found
    now_s[0] += EVERY_S
    note.write(Progress(10, 2, 0, 0, 3.0, 2))
    assert (read_note(tmp_path) or {})["per_s"] == 3.0
    note.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "1"}', "[" * 100_000])
def test_a_note_that_is_none_is_no_note(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_note(tmp_path) is None
    assert json.dumps(read_note(tmp_path / "nowhere")) == "null"
