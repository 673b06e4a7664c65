"""What each verb hands to its study and what it prints of the answer."""

import csv
import io
import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dieshot.simulator.cli.main import main

SUMMARY = {
    "system": "dgx-h100",
    "model": "llama-3-70b",
    "batch": 1,
    "prompt": 1024,
    "generate": 128,
    "precision": "fp8",
    "time_to_first_token_s": 0.0523,
    "time_per_output_token_s": np.float64(0.00841),
    "tokens_per_s_user": 118.9,
    "tokens_per_s_system": 118.9,
    "energy_per_token_j": 31.5,
    "average_power_w": 3746.0,
    "cycles": 1_987_654_321,
    "wall_s": 12.5,
    "peak_rss_bytes": 512_000_000,
    "log_bytes": 42_000_000,
    "utilization": {"tensor_core": 0.061, "hbm_channel": 0.72},
    "stall_fractions": {"sm": {"waiting_for_memory": 0.51}, "barrier": math.nan},
    "bounds": {"decode": {"hbm_bytes_per_s": 3.35e12, "step_s": 0.0027}},
    "assumed_parameters_read": ["chip.hbm.latency"],
    "operators": [
        {
            "name": "qkv_proj",
            "kind": "gemm",
            "phase": "prefill",
            "count": 80,
            "time_s": 1e-3,
            "share": 0.2,
            "bound": "mac",
        },
        {"name": "attention", "kind": "attention", "phase": "decode", "count": 10_160, "time_s": 0.1, "share": 0.1},
    ],
}


@dataclass
class Study:
    """A study that remembers what it was asked and answers with `answer`."""

    answer: Any
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        print("chatter of a library")
        self.asked.append((args, kwargs))
        return self.answer


class ResultFile(SimpleNamespace):
    """A result file that must be opened as a context manager, and is closed after it."""

    def __enter__(self) -> "ResultFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.__dict__.clear()


@pytest.fixture(autouse=True)
def in_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def install(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    fake = ModuleType(module)
    for name, function in functions.items():
        setattr(fake, name, function)
    monkeypatch.setitem(sys.modules, f"dieshot.simulator.{module}", fake)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "chatter" not in captured.out
    return captured.out


@pytest.mark.parametrize(
    ("zeros", "words"),
    [
        ({"sparsity": "dense", "density": 1.0}, "fp8\n"),
        ({"sparsity": "2:4", "density": 0.5}, "fp8, 2:4 weights\n"),
        ({"sparsity": "unstructured", "density": 0.3}, "fp8, unstructured weights at density 0.3\n"),
    ],
)
def test_the_title_says_which_weights_are_zero(
    zeros: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "studies.run", run=Study(SimpleNamespace(summary=SUMMARY | zeros)))
    printed_title = printed(capsys, "run", "dgx-h100", "llama-3-70b", "--no-log").partition("time to")[0]
    assert printed_title.endswith(words)


def test_run_asks_for_the_defaults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(SimpleNamespace(summary=SUMMARY))
    install(monkeypatch, "studies.run", run=study)
    printed(capsys, "run", "dgx-h100", "llama-3-70b")
    ((args, kwargs),) = study.asked
    assert args == ("dgx-h100", "llama-3-70b")
    assert callable(kwargs.pop("progress"))
    assert kwargs == {
        "batch": 1,
        "prompt": 1024,
        "generate": 128,
        "precision": None,
        "kv_precision": None,
        "tensor_parallel": None,
        "pipeline_parallel": None,
        "micro_batches": None,
        "sets": (),
        "seed": 0,
        "routing": "balanced",
        "sparsity": "dense",
        "density": None,
        "prefill_chunk": None,
        "cached": 0,
        "output": Path("llama-3-70b_dgx-h100.h5"),
        "compression": "gzip",
        "processes": 1,
    }


def test_run_hands_on_every_option(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(SimpleNamespace(summary=SUMMARY))
    install(monkeypatch, "studies.run", run=study)
    words = "run s m --batch 2 --prompt 3 --generate 4 --precision bf16 --kv-precision fp8 --tp 8 --pp 2 --seed 5"
    words += (
        " --set chip.a=*2 --set fabric.b=9.2Gbps --routing power_law -o x.h5 --compression zstd --processes 2 --quiet"
        " --micro-batches 2 --sparsity unstructured --density 0.25 --prefill-chunk 2 --cached 6"
    )
    assert printed(capsys, *words.split()) == ""
    ((_, kwargs),) = study.asked
    del kwargs["progress"]
    assert kwargs == {
        "batch": 2,
        "prompt": 3,
        "generate": 4,
        "precision": "bf16",
        "kv_precision": "fp8",
        "tensor_parallel": 8,
        "pipeline_parallel": 2,
        "micro_batches": 2,
        "sets": ("chip.a=*2", "fabric.b=9.2Gbps"),
        "seed": 5,
        "routing": "power_law",
        "sparsity": "unstructured",
        "density": 0.25,
        "prefill_chunk": 2,
        "cached": 6,
        "output": Path("x.h5"),
        "compression": "zstd",
        "processes": 2,
    }


@pytest.mark.parametrize(
    ("system", "model", "file"),
    [
        ("dgx-h100", "qwen2.5-72b", "qwen2.5-72b_dgx-h100.h5"),
        ("my/box.yaml", "my-model/config.json", "my-model_box.h5"),
        ("../../etc/box.yaml", "/tmp/tiny.json", "tiny_box.h5"),
    ],
)
def test_the_result_is_named_for_model_and_system_in_this_folder(
    system: str, model: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(SimpleNamespace(summary=SUMMARY))
    install(monkeypatch, "studies.run", run=study)
    printed(capsys, "run", system, model)
    assert study.asked[0][1]["output"] == Path(file)


def test_run_prints_figures_operators_stalls_and_bounds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "studies.run", run=Study(SimpleNamespace(summary=SUMMARY)))
    text = printed(capsys, "run", "dgx-h100", "llama-3-70b")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "llama-3-70b on dgx-h100, batch 1, prompt 1,024, generate 128, fp8"
    for expected in (
        "time to first token 52.30 ms",
        "time per output token 8.410 ms",
        "average power 3.746 kW",
        "simulated cycles 1,987,654,321",
        "qkv_proj gemm 80 1.000 ms 20.0 % mac",
        "attention attention 10,160 100.0 ms 10.0 %",
        "hbm channel 72.0 %",
        "sm waiting for memory 51.0 %",
        "decode hbm 3.350 TB/s",
        "decode step 2.700 ms",
        "1 assumed parameters were read; --json names them",
        "cycles: llama-3-70b_dgx-h100.h5",
    ):
        assert expected in lines
    assert text.index("operators, prefill") < text.index("operators, decode") < text.index("stalls")


def test_json_is_one_object_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "studies.run", run=Study(SimpleNamespace(summary=SUMMARY)))
    record = json.loads(printed(capsys, "run", "dgx-h100", "llama-3-70b", "--json", "--no-log"))
    assert record["file"] is None
    assert record["time_per_output_token_s"] == 0.00841
    assert record["stall_fractions"] == {"sm": {"waiting_for_memory": 0.51}, "barrier": None}
    assert set(record) == {"file", *SUMMARY}


def test_replay_keeps_its_source_and_names_its_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(SimpleNamespace(summary=SUMMARY))
    asked: list[tuple[Any, ...]] = []
    install(monkeypatch, "studies.replay", replay=study, other_run=lambda *words: asked.append(words))
    Path("a.h5").touch()
    Path("b.trace.gz").touch()
    printed(capsys, "replay", "a.h5", "--set", "chip.hbm.pin_rate=*2")
    printed(capsys, "replay", "b.trace.gz", "dgx-h200", "--no-log")
    printed(capsys, "replay", "b.trace.gz", "dgx-h200")
    (first, first_options), (second, second_options), (_, third_options) = study.asked
    assert first == (Path("a.h5"), None)
    assert first_options["sets"] == ("chip.hbm.pin_rate=*2",)
    assert first_options["output"] == Path("a_replay.h5")
    assert second == (Path("b.trace.gz"), "dgx-h200")
    assert second_options["output"] is None
    assert third_options["output"] == Path("b_dgx-h200.h5")
    assert asked[0] == (Path("a.h5"), None, True)
    assert first_options["against"] is None


def test_show_prints_what_run_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "studies.run", run=Study(SimpleNamespace(summary=SUMMARY)))
    install(
        monkeypatch, "log.reader", open_run=lambda path: ResultFile(summary=SUMMARY, complete=True, difference=None)
    )
    by_run = printed(capsys, "run", "dgx-h100", "llama-3-70b", "-o", "x.h5")
    Path("x.h5").touch()
    assert printed(capsys, "show", "x.h5") == by_run
    assert json.loads(printed(capsys, "show", "x.h5", "--json"))["cycles"] == SUMMARY["cycles"]


def test_show_says_that_a_run_was_killed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "log.reader", open_run=lambda path: ResultFile(summary={}, complete=False, difference=None))
    Path("x.h5").touch()
    assert main(["show", "x.h5"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("x.h5: the run did not come to its end")


def test_trace_says_what_it_wrote(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(steps=(1, 2, 3), digest=lambda: "ab12", totals={"weight_bytes": 70_000_000_000, "macs": 5})
    study = Study(answer)
    install(monkeypatch, "studies.trace", trace=study)
    text = printed(capsys, "trace", "llama-3-70b", "--generate", "3")
    assert study.asked[0][1]["output"] == Path("llama-3-70b.trace")
    assert study.asked[0][1]["generate"] == 3
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert {"file llama-3-70b.trace", "steps 3", "weight 70.00 GB"} <= set(lines)
    record = json.loads(printed(capsys, "trace", "llama-3-70b", "--json"))
    assert record == {
        "file": "llama-3-70b.trace",
        "steps": 3,
        "digest": "ab12",
        "totals": {"weight_bytes": 70_000_000_000, "macs": 5},
    }


def test_list_names_one_kind_or_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "studies.describe", list_names=lambda kind: [f"{kind}-a", f"{kind}-b"])
    assert printed(capsys, "list", "chips") == "chips-a\nchips-b\n"
    assert "systems:\n  systems-a\n" in printed(capsys, "list")
    assert json.loads(printed(capsys, "list", "links", "--json")) == {"links": ["links-a", "links-b"]}
    every = {"systems", "chips", "models", "links", "memories", "costs", "sweeps"}
    assert set(json.loads(printed(capsys, "list", "--json"))) == every


def test_describe_shows_value_unit_kind_and_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = {"path": "hbm.pin_rate", "value": 5_200_000_000, "unit": "bit/s", "kind": "published", "source": "h100wp"}
    wait = {
        "path": "hbm.latency",
        "value": 450,
        "unit": "ns",
        "kind": "assumed",
        "why": "[typical]",
        "range": [400, 500],
    }
    size = {
        "path": "l2.capacity",
        "value": 1024,
        "unit": "B",
        "written": "1 KiB",
        "kind": "derived",
        "formula": "2 * half",
    }
    fit = {"path": "launch", "value": 2, "unit": "1", "kind": "fitted", "data": "gemm.csv", "residual": "4 %"}
    record = {"kind": "chip", "name": "h100-sxm", "file": "h100-sxm.yaml", "parameters": [rate, wait, size, fit]}
    install(monkeypatch, "studies.describe", describe=Study(record))
    lines = [" ".join(line.split()) for line in printed(capsys, "describe", "h100-sxm").splitlines()]
    assert "hbm.pin_rate 5,200,000,000 bit/s published h100wp" in lines
    assert "hbm.latency 450 ns assumed [typical]; range 400 to 500" in lines
    assert "l2.capacity 1 KiB derived = 2 * half" in lines
    assert "launch 2 fitted gemm.csv; residual 4 %" in lines
    assert json.loads(printed(capsys, "describe", "h100-sxm", "--json")) == record


def window(start: int, stop: int) -> SimpleNamespace:
    """Return cycles that stall for the first 10 of every 100 cycles."""
    cycle = np.arange(start, stop)
    codes = (cycle % 100 < 10).astype(np.int64)
    busy = 1.0 - codes
    return SimpleNamespace(
        component="chip0/sm0",
        start=start,
        stop=stop,
        clock_period_fs=569_801,
        unit="MAC",
        utilization=busy,
        state=("busy", "waiting for memory"),
        codes=codes,
        power_w=2.0 + 3.0 * busy,
        amount=1024.0 * busy,
    )


@pytest.fixture
def cycles_file(monkeypatch: pytest.MonkeyPatch) -> str:
    def read(component: str, start: int, stop: int) -> SimpleNamespace:
        assert component == "chip0/sm0"
        return window(start, stop)

    install(monkeypatch, "log.reader", open_run=lambda path: ResultFile(cycles=read))
    Path("x.h5").touch()
    return "x.h5"


def test_cycles_in_json_are_dense(cycles_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(printed(capsys, "cycles", cycles_file, "chip0/sm0", "5:1_005", "--json"))
    assert (record["component"], record["start"], record["stop"], record["unit"]) == ("chip0/sm0", 5, 1005, "MAC")
    assert record["state"][:6] == ["waiting for memory"] * 5 + ["busy"]
    assert len(record["utilization"]) == len(record["power_w"]) == len(record["amount"]) == 1000
    assert sum(record["amount"]) == 900 * 1024


def test_runs_of_equal_cycles_add_up_to_the_window(cycles_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(printed(capsys, "cycles", cycles_file, "chip0/sm0", "5:305", "--json", "--run-length"))
    assert record["cycle"] == [5, 10, 100, 110, 200, 210, 300]
    assert record["length"] == [5, 90, 10, 90, 10, 90, 5]
    assert record["utilization"] == [0, 1, 0, 1, 0, 1, 0]


def test_cycles_as_csv_are_one_cycle_a_line(cycles_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "cycles", cycles_file, "chip0/sm0", "8:12", "--csv"))))
    assert [row["cycle"] for row in rows] == ["8", "9", "10", "11"]
    assert rows[1] == {
        "cycle": "9",
        "utilization": "0.0",
        "state": "waiting for memory",
        "amount": "0.0",
        "power_w": "2.0",
    }


def test_a_long_table_is_run_length_and_a_short_one_dense(cycles_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    long = [
        " ".join(line.split()) for line in printed(capsys, "cycles", cycles_file, "chip0/sm0", "0:1000").splitlines()
    ]
    assert any("10 │ 90 │ 1.000 │ busy │ 1,024 │ 5.000 W" in line for line in long)
    short = printed(capsys, "cycles", cycles_file, "chip0/sm0", "0:20")
    assert short.count("busy") == short.count("waiting for memory") == 10
    dense = printed(capsys, "cycles", cycles_file, "chip0/sm0", "0:100", "--dense")
    assert dense.count("busy") == 90


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--version") == "dieshot 0.1.0\n"
    text = printed(capsys)
    assert all(f" {verb} " in text for verb in ("run", "trace", "replay", "cycles", "show", "list", "describe"))
    for verb in ("run", "trace", "replay", "cycles", "show", "list", "describe"):
        assert "--json" in printed(capsys, verb, "--help")
