"""What a wrong command looks like: one line on standard error, exit status 2; a failed run 1; an interrupt 130."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.traces.error import TraceError


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """Run a command that must fail; return its only line."""
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dieshot: ")
    assert captured.err.count("\n") == 1
    return captured.err.strip()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rnu", ["'rnu'", "Did you mean 'run'?"]),
        ("--verson", ["--verson", "--version"]),
        ("run", ["Missing argument 'SYSTEM'", "dieshot run --help"]),
        ("run a b c", ["unexpected extra argument", "(c)"]),
        ("run a b --bacth 3", ["--bacth", "--batch"]),
        ("run a b --batch", ["'--batch' requires an argument"]),
        ("run a b --batch x", ["'--batch'", "'x'", "a whole number of at least 1"]),
        ("run a b --batch 0", ["'--batch'", "'0'", "at least 1"]),
        ("run a b --generate -1", ["'--generate'", "'-1'", "at least 0"]),
        ("run a b --batch 1.5", ["'1.5'", "a whole number"]),
        ("run a b --compression zst", ["'zst'", "gzip, zstd", "did you mean 'zstd'?"]),
        ("run a b --no-log -o x.h5", ["--no-log and --output exclude each other"]),
        ("run a b -o no/such/folder/x.h5", ["--output", "folder no/such/folder does not exist"]),
        ("run a b -o .", ["--output", "is a folder"]),
        ("list sistems", ["'sistems'", "systems, chips, models, links", "did you mean 'systems'?"]),
        ("show absent.h5", ["'absent.h5' does not exist"]),
        ("replay absent.trace", ["'absent.trace' does not exist"]),
        ("cycles absent.h5 chip0 0:1", ["'absent.h5' does not exist"]),
    ],
)
def test_a_wrong_word_is_named(
    arguments: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(arguments.split(), capsys)
    for word in words:
        assert word in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("span", ["5:5", "7:3", "-1:4", "4", "a:b", ":", "0:1:2", "1.5:2", "0:"])
def test_a_wrong_span_of_cycles_is_named(span: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "x.h5"
    file.touch()
    line = refusal(["cycles", str(file), "chip0", "--", span], capsys)
    assert f"'{span}': expected two cycles such as 0:1000" in line


def test_json_and_csv_exclude_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "x.h5"
    file.touch()
    assert "--json and --csv" in refusal(["cycles", str(file), "chip0", "0:1", "--json", "--csv"], capsys)


def test_a_run_is_never_written_over_its_own_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.h5").write_text("kept")
    assert "is the file being replayed" in refusal(["replay", "x.h5", "-o", "./x.h5"], capsys)
    assert Path("x.h5").read_text() == "kept"


def failing_run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def simulate(*_: Any, **__: Any) -> NoReturn:
        raise error

    study = ModuleType("run")
    study.run = simulate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dieshot.simulator.studies.run", study)


RUN = ["run", "dgx-h100", "llama-3-70b", "--no-log"]


@pytest.mark.parametrize(
    "error",
    [
        InputError("unknown key", file="h100.yaml", key="hbm.pin_rat", nearest="pin_rate"),
        TraceError("config.json", "hidden_size", "-1, expected a positive integer"),
    ],
)
def test_wrong_input_found_by_a_study_is_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_run(monkeypatch, error)
    assert refusal(RUN, capsys) == f"dieshot: {error}"


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), OSError(28, "No space left"), MemoryError()])
def test_a_failed_run_is_status_1(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_run(monkeypatch, error)
    line = refusal([*RUN, "--json"], capsys, status=1)
    assert type(error).__name__ in line
    assert str(error) in line
    assert line.endswith("(add --debug for the traceback)")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing_run(monkeypatch, ZeroDivisionError("division by zero"))
    assert main([*RUN, "--debug"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Traceback (most recent call last)")
    assert "in simulate" in captured.err


def test_an_interrupt_is_status_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing_run(monkeypatch, KeyboardInterrupt())
    assert refusal(RUN, capsys, status=130) == "dieshot: interrupted"


def test_a_message_of_many_lines_and_control_characters_is_one_plain_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_run(monkeypatch, RuntimeError("first\nsecond \x1b[31m" + "x" * 5000))
    line = refusal(RUN, capsys, status=1)
    assert "first second \\x1b[31m" in line
    assert len(line) < 1100


def test_a_process_exits_with_the_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dieshot", "run", "a", "b", "--batch", "x"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dieshot: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    program = (
        "import sys; from dieshot.simulator.cli import main as door, list as listing;"
        "import types; study = types.ModuleType('describe');"
        "study.list_names = lambda kind: [kind * 100] * 10_000;"
        "sys.modules['dieshot.simulator.studies.describe'] = study;"
        "sys.exit(door.main(['list', 'chips']))"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert command.stdout is not None
    assert command.stderr is not None
    assert command.stdout.readline().startswith("chips")
    command.stdout.close()
    assert command.stderr.read() == ""
    assert command.wait(timeout=30) == 141
    command.stderr.close()
