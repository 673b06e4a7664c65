"""The verbs end to end, on real runs: run, show, cycles, replay, trace, describe; files that agree to the last byte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dieshot.simulator.cli.main import main
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.params.catalog import KIND_NOUNS

KEYS = {
    "time_to_first_token_s",
    "time_per_output_token_s",
    "tokens_per_s_user",
    "tokens_per_s_system",
    "energy_per_token_j",
    "average_power_w",
    "utilization",
    "stall_fractions",
    "cycles",
    "wall_s",
    "peak_rss_bytes",
    "log_bytes",
    "bounds",
    "assumed_parameters_read",
}
MODEL = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 2816,
    "vocab_size": 4096,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
}
SHAPE = ("--prompt", "64", "--generate", "3")


@pytest.fixture(autouse=True)
def in_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    path.write_text(json.dumps(MODEL))
    return str(path)


@pytest.fixture(scope="module")
def eight(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a run on eight chips, one parameter of each document changed."""
    path = tmp_path_factory.mktemp("eight") / "eight.h5"
    assert main(["run", "dgx-h100", model, *SHAPE, *CHANGES, "-q", "-o", str(path)]) == 0
    return str(path)


@pytest.fixture(scope="module")
def single(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a run on one chip."""
    path = tmp_path_factory.mktemp("single") / "single.h5"
    assert main(["run", "h100-sxm", model, *SHAPE, "-q", "-o", str(path)]) == 0
    return str(path)


CHANGES = ("--set", "chip.hbm.pin_rate=*1.25", "--set", "system.host.step_gap=20us", "--set", "fabric.hop_latency=1us")


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(words) == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def refusal(capsys: pytest.CaptureFixture[str], *words: str, status: int = 2) -> str:
    capsys.readouterr()
    assert main(words) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dieshot: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_json_is_one_object_with_every_figure(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = answer(capsys, "run", "h100-sxm", model, *SHAPE, "--json", "-o", "x.h5")
    assert set(record) >= KEYS
    assert record["file"] == "x.h5"
    assert record["log_bytes"] == Path("x.h5").stat().st_size
    assert 0 < record["time_to_first_token_s"] < record["total_time_s"]
    assert record["tokens_per_s_user"] == pytest.approx(1 / record["time_per_output_token_s"])
    assert record["energy_per_token_j"] * 3 == pytest.approx(sum(record["energy_j"].values()))
    bounds = record["bounds"]
    assert bounds["roofline_s"] <= record["total_time_s"] <= bounds["serial_s"]
    assert all(0 <= share <= 1 for share in (*record["utilization"].values(), *record["stall_fractions"].values()))


def test_show_prints_what_run_printed(model: str, single: str, capsys: pytest.CaptureFixture[str]) -> None:
    ran = answer(capsys, "run", "h100-sxm", model, *SHAPE, "--json", "--no-log")
    shown = answer(capsys, "show", single, "--json")
    of_this_moment = {"file", "wall_s", "peak_rss_bytes", "log_bytes"}
    assert {key: value for key, value in ran.items() if key not in of_this_moment} == {
        key: value for key, value in shown.items() if key not in of_this_moment
    }


def test_no_log_leaves_no_file(model: str, tmp_path: Path) -> None:
    assert main(["run", "h100-sxm", model, *SHAPE, "-q", "--no-log"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "component", ["chip0/sm0/tensor", "chip0/sm131/copy", "chip0/l2", "chip0/hbm4/channel15/pins1"]
)
def test_cycles_add_up_to_the_totals(component: str, single: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open_run(single) as run:
        totals = run.totals(component)
        period_fs = next(each.spec.clock_period_fs for each in run.components(component))
        n_cycles = -(-run.duration_fs // period_fs)
    window = answer(capsys, "cycles", single, component, f"0:{n_cycles}", "--json", "--run-length")
    length = window["length"]
    assert sum(length) == n_cycles
    amount = sum(n * each for n, each in zip(length, window["amount"], strict=True))
    assert amount == pytest.approx(totals.amount, rel=1e-9) and amount > 0
    joules = sum(n * each for n, each in zip(length, window["power_w"], strict=True)) * period_fs * 1e-15
    expected_fj = totals.dynamic_energy_fj + totals.static_energy_fj
    assert joules == pytest.approx(expected_fj * 1e-15, rel=1e-9)


def test_the_matrix_units_do_all_the_multiplications(single: str) -> None:
    with open_run(single) as run:
        done = sum(run.totals(each.path).amount for each in run.components("chip0/sm*/tensor"))
        operators = run.operators()
    asked = int((operators["macs"] * operators["repeat"]).sum())
    assert asked <= done  # padding to tiles


def test_a_replay_is_the_same_run(eight: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = answer(capsys, "replay", eight, "--json", "-o", "again.h5")
    assert digest("again.h5") == digest(eight)
    assert main(["replay", "again.h5", "-q", "--compression", "zstd", "-o", "third.h5"]) == 0
    assert digest("third.h5") == digest(eight)
    assert first["tensor_parallel"] == 8


def test_a_trace_replayed_is_the_run(model: str, eight: str) -> None:
    assert main(["trace", model, *SHAPE, "-q", "-o", "x.trace"]) == 0
    assert main(["replay", "x.trace", "dgx-h100", *CHANGES, "-q", "-o", "x.h5"]) == 0
    assert digest("x.h5") == digest(eight)


def test_a_replay_with_something_changed_differs_in_that(single: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = answer(capsys, "show", single, "--json")
    faster = answer(capsys, "replay", single, "--set", "hbm.pin_rate=*2", "--json", "--no-log")
    assert faster["total_time_s"] < before["total_time_s"]
    other = answer(capsys, "replay", single, "dgx-h200", "--pp", "2", "--tp", "4", "--json", "--no-log")
    assert (other["system"], other["tensor_parallel"], other["pipeline_parallel"]) == ("dgx-h200", 4, 2)


def test_two_processes_give_the_same_bytes(eight: str, model: str) -> None:
    words = ["run", "dgx-h100", model, *SHAPE, *CHANGES, "-q", "--processes", "2", "-o", "two.h5"]
    assert main(words) == 0
    assert digest("two.h5") == digest(eight)


def _workers(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                is_child = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
                if is_child and b"spawn_main" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def _first_worker(run: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < deadline:
        if workers := _workers(run.pid):
            return workers[0]
        time.sleep(0.01)
    raise AssertionError("the run started no worker")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
def test_a_killed_worker_is_one_line_and_status_1(model: str, tmp_path: Path) -> None:
    words = ["run", "dgx-h100", model, "--prompt", "2000", "--batch", "8", "--generate", "2", "--processes", "2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "dieshot", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        worker = _first_worker(run)
        os.kill(worker, signal.SIGKILL)
        out, err = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert "a worker process ended in the middle of its work" in err
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_has_no_time_per_token(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "h100-sxm", "bert-base-uncased", "--prompt", "32", "--generate", "0", "-o", "bert.h5"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "time per output token" in text and "None" not in text and "nan" not in text
    record = answer(capsys, "show", "bert.h5", "--json")
    assert record["time_per_output_token_s"] is None and record["tokens_per_s_user"] is None
    assert record["tokens_per_s_system"] > 0


def test_every_name_of_the_catalog_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, names in answer(capsys, "list", "--json").items():
        assert names
        for name in names:
            record = answer(capsys, "describe", f"{kind}/{name}", "--json")
            assert (record["kind"], record["name"]) == (KIND_NOUNS[kind], name)
            assert record["parameters"]
            assert Path(record["file"]).parts[-2] == kind
    assert answer(capsys, "describe", "h100-sxm", "--json")["also"] == "systems/h100-sxm"


def test_an_assumption_shows_its_range_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "systems/dgx-h100"]) == 0
    assert "range 0 to 500 us" in " ".join(capsys.readouterr().out.split())


def test_a_killed_run_can_be_replayed(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "dgx-h100", model, "--prompt", "2000", "--batch", "8", "--generate", "2", "-o", "x.h5"]
    run = subprocess.Popen([sys.executable, "-m", "dieshot", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not _has_provenance(Path("x.h5.part")) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        run.kill()
        run.communicate()
    assert not Path("x.h5").exists()
    record = answer(capsys, "replay", "x.h5.part", "--tp", "4", "--json", "--no-log")
    assert (record["tensor_parallel"], record["batch"], record["prompt"]) == (4, 8, 2000)


def _has_provenance(part: Path) -> bool:
    if not part.exists():
        return False
    with open_run(part) as run:
        return "trace" in run.provenance


def test_a_users_own_documents_are_found_beside_each_other(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/chip.yaml").write_text("extends: h100-sxm\nname: my-chip\n")
    Path("mine/box.yaml").write_text("extends: h100-sxm\nname: my-box\nchip: chip.yaml\n")
    record = answer(capsys, "run", "mine/box.yaml", model, *SHAPE, "--json", "-o", "x.h5")
    assert record["system"] == "my-box"
    with open_run("x.h5") as run:
        assert "my-chip" in run.provenance["chip"]
    assert answer(capsys, "describe", "mine/box.yaml", "--json")["kind"] == "system"
    assert answer(capsys, "describe", "mine/chip.yaml", "--json")["kind"] == "chip"


BOMB = "name: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run dgx-h10 llama-3-8b", ["unknown system 'dgx-h10'", "did you mean 'dgx-h100'?"]),
        ("run h100-sxm llama-3-80b", ["unknown model 'llama-3-80b'", "did you mean 'llama-3-8b'?"]),
        ("run bomb.yaml llama-3-8b", ["bomb.yaml:1", "anchors and aliases are not allowed"]),
        ("run bomb.yaml.gz llama-3-8b", ["unknown system 'bomb.yaml.gz'"]),
        ("run ./random.yaml llama-3-8b", ["random.yaml", "not UTF-8"]),
        ("run h100-sxm ./random.json", ["random.json"]),
        ("run h100-sxm llama-3-8b --set chip.hbm.pin_rat=*2", ["chip.hbm.pin_rat", "did you mean 'chip.hbm.pin_rate'"]),
        ("run h100-sxm llama-3-8b --set chip.hbm.pin_rate=9GB", ["--set", "chip.hbm.pin_rate"]),
        ("run h100-sxm llama-3-8b --set chip.hbm.pin_rate", ["not an override", "PATH=VALUE"]),
        ("run h100-sxm llama-3-8b --set fabric.hop_latency=1us", ["fabric.hop_latency", "has no fabric"]),
        ("run h100-sxm llama-3-70b --precision bf16", ["does not fit on h100-sxm", "too much", "at most 80.0 GB"]),
        ("run h100-sxm llama-3-8b --batch 64 --prompt 8000", ["KV cache", "too much", "at most 80.0 GB"]),
        ("run h100-sxm llama-3-8b --precision fp4", ["fp4", "did you mean 'fp8'?"]),
        ("run dgx-h100 llama-3-8b --tp 8 --pp 2", ["--tp x --pp", "at most 8 chips of dgx-h100", "got 16"]),
        ("run dgx-h100 llama-3-8b --tp 3", ["tensor_parallel", "expected one of 1, 2, 4, 8"]),
        ("run h100-sxm bert-base-uncased --prompt 32", ["generate", "expected 0 for bert-base-uncased"]),
        ("replay tiny.trace", ["tiny.trace", "a trace names no system", "expected a system's name or file"]),
        ("replay cut.trace h100-sxm", ["cut.trace"]),
        ("replay random.trace h100-sxm", ["random.trace"]),
        ("replay empty.trace h100-sxm", ["empty.trace"]),
        ("replay random.h5", ["random.h5"]),
        ("replay cut.h5", ["cut.h5"]),
        ("replay damaged.h5", ["damaged.h5"]),
        ("replay single.h5 dgx-h10", ["did you mean 'dgx-h100'?"]),
        ("replay single.h5 --set system.chip=h200-sxm", ["system.chip", "brings its own chip"]),
        ("replay single.h5 --tp 2", ["--tp x --pp", "at most 1 chips of h100-sxm"]),
        ("show cut.h5", ["cut.h5"]),
        ("describe dgx-h10", ["nothing is called 'dgx-h10'", "did you mean 'dgx-h100'?"]),
        ("describe qwen3-0.6", ["did you mean 'qwen3-0.6b'?"]),
        ("describe systems/h100", ["did you mean 'h100-sxm'?"]),
        ("describe bomb.yaml", ["bomb.yaml:1", "anchors and aliases are not allowed"]),
        ("trace llama-3-8 -o x.trace", ["did you mean 'llama-3-8b'?"]),
        ("trace llama-3-8b --prompt 9000 -o x.trace", ["prompt", "8192"]),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_file(
    words: str, said: list[str], model: str, single: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _hostile_files(model, single)
    before = sorted(tmp_path.iterdir())
    line = refusal(capsys, *words.split())
    for each in said:
        assert each in line
    assert sorted(tmp_path.iterdir()) == before


def _hostile_files(model: str, single: str) -> None:
    noise = bytes(i * i * 7 % 251 for i in range(4096))
    for suffix in ("trace", "h5", "yaml", "json"):
        Path(f"random.{suffix}").write_bytes(b"\xff\x00" + noise)
    Path("empty.trace").touch()
    Path("bomb.yaml").write_text(BOMB)
    assert main(["trace", model, *SHAPE, "-q", "-o", "tiny.trace"]) == 0
    text = Path("tiny.trace").read_text()
    Path("cut.trace").write_text(text[: len(text) // 2])
    image = Path(single).read_bytes()
    Path("single.h5").write_bytes(image)
    Path("cut.h5").write_bytes(image[: len(image) // 2])
    Path("damaged.h5").write_bytes(image[:200] + noise[:2000] + image[2200:])
