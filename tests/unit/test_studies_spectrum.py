"""The spectrum: batches, order, published figures, rows, page."""

import json
from pathlib import Path
from typing import Any

import pytest

from dieshot.simulator.cli.main import main
from dieshot.simulator.params import catalog_sources, list_names
from dieshot.simulator.report.page import spectrum_page
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.spectrum import explain_row, spectrum
from dieshot.simulator.studies.spectrum.batch import batch_sizes, best_batch, largest_that
from dieshot.simulator.studies.spectrum.published import Figure, published_figures
from dieshot.simulator.studies.spectrum.rank import order_of_published, spearman
from dieshot.simulator.studies.spectrum.survey import main_stall, steady_energy_j

ASKED: dict[str, Any] = {"context": 64, "tpot_limit_s": 0.02}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return spectrum("qwen3-8b", ["inf2-12", "tpu-v5e-1"], **ASKED, sets=("cost.electricity=0.2USD/kWh",))


def test_sizes_fill_the_stages() -> None:
    assert batch_sizes(1)[:6] == [1, 2, 3, 4, 6, 8]
    assert [size for size in batch_sizes(36) if size > 36][:3] == [72, 108, 144]
    assert batch_sizes(1, 10)[:4] == [1, 10, 20, 30]


@pytest.mark.parametrize("most", [0, 1, 5, 17, 100_000])
def test_the_largest_that_fits_is_found(most: int) -> None:
    sizes = batch_sizes(1)
    index = largest_that(lambda size: size <= most, sizes)
    assert index == sum(size <= most for size in sizes) - 1


@pytest.mark.parametrize("limit_s", [0.012, 0.05, 0.5, 100.0])
def test_the_best_batch_keeps_the_limit_and_is_near_it(limit_s: float) -> None:
    asked: list[int] = []

    def time_s(batch: int) -> float:
        asked.append(batch)
        return 0.01 + 0.0004 * batch

    sizes = batch_sizes(1)[:20]
    batch = best_batch(time_s, lambda size: 0.003 + 0.0003 * size, sizes, limit_s)
    assert batch is not None and time_s(batch) <= limit_s
    above = [size for size in sizes if size > batch]
    assert not above or time_s(above[0]) > limit_s or time_s(batch) > 0.7 * limit_s
    assert len(asked) <= 6


def test_no_batch_where_one_user_already_waits_too_long() -> None:
    assert best_batch(lambda batch: 1.0, lambda batch: 0.1, [1, 2], 0.5) is None


def test_rank_correlation_against_worked_examples() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    # differences of ranks 1, 1, 0, 0 among four: 1 - 6 * 2 / (4 * 15)
    assert spearman([2, 1, 3, 4], [5, 6, 7, 8]) == pytest.approx(0.8)
    assert spearman([1, 1, 2], [3, 4, 5]) == pytest.approx(0.8660254)
    assert spearman([1, 2], [1, 2]) is None and spearman([1, 1, 1], [1, 2, 3]) is None


def test_speculation_does_not_count_in_the_order() -> None:
    def figure(value: float, speculation: str) -> Figure:
        return Figure("a", ("m",), "tokens_per_s_user", value, "token/s", "measured", speculation, "", "x")

    rows = [{"system": "a", "model": "m", "refused": None, "tokens_per_s_user": 5.0}]
    figures = [figure(2.0, "no"), figure(8.0, "no"), figure(900.0, "yes"), figure(900.0, "unknown")]
    assert order_of_published(rows, figures)["pairs"] == [{"system": "a", "simulated": 5.0, "published": 4.0}]
    rows[0]["refused"] = "why"
    assert order_of_published(rows, figures)["pairs"] == []


def test_published_figures_name_systems_models_and_sources_that_are_there() -> None:
    figures = published_figures()
    assert len(figures) > 20
    for each in figures:
        assert each.system in list_names("systems"), each
        assert set(each.alike) <= set(list_names("models")), each
        assert each.source in catalog_sources(), each
        assert each.kind in ("measured", "claimed") and each.speculation in ("no", "yes", "unknown"), each
        assert each.metric in ("tokens_per_s_user", "tokens_per_s_system", "power_w", "usd_per_mtoken"), each
        assert each.value > 0 and each.conditions


def test_a_row_is_the_run_that_it_names(found: dict[str, Any]) -> None:
    row = next(row for row in found["systems"] if row["system"] == "inf2-12")
    assert row["refused"] is None and row["failed"] is None and row["model"] == "qwen3-8b"
    summary = run("inf2-12", "qwen3-8b", batch=row["batch"], prompt=1, generate=2, cached=62).summary
    assert row["tokens_per_s_user_at_batch"] == summary["tokens_per_s_user"]
    assert row["tokens_per_s_system"] == row["batch"] / summary["time_per_output_token_s"]
    assert row["power_w"] == pytest.approx(row["energy_per_token_j"] * row["tokens_per_s_system"])
    assert summary["time_per_output_token_s"] <= ASKED["tpot_limit_s"]
    assert row["usd_per_mtoken"] == pytest.approx(1.08 * 12 / 0.6 / (row["tokens_per_s_system"] * 3600 / 1e6))
    assert 0 < row["assumed_share"] < 1


def test_a_system_that_cannot_says_why_and_runs_the_largest_it_can(found: dict[str, Any]) -> None:
    last = found["systems"][-1]
    assert last["system"] == "tpu-v5e-1" and "does not fit" in last["refused"]
    assert last["model"] != "qwen3-8b" and last["tokens_per_s_user"] > 0
    assert found["systems"][0]["refused"] is None


def test_a_user_who_waits_too_long_has_figures_and_no_batch() -> None:
    (row,) = spectrum("qwen3-0.6b", ["cs2"], context=64, tpot_limit_s=1e-6)["systems"]
    assert row["batch"] is row["tokens_per_s_system"] is None
    assert row["energy_per_token_j"] == row["energy_per_token_single_j"] > 0 and row["power_w"] > 0


def test_energy_in_a_steady_state_leaves_out_filling_and_draining() -> None:
    summary = {"batch": 2, "generate": 4, "energy_per_token_j": 3.0, "static_power_w": 10.0, "total_time_s": 0.8}
    # 1 J of the 3 J is static power over the run; steady, a token of two users takes 0.05 s
    assert steady_energy_j(summary | {"time_per_output_token_s": 0.1}) == pytest.approx(2.0 + 10 * 0.1 / 2)


@pytest.mark.parametrize(
    ("fractions", "stall"),
    [
        ({"idle": 0.5, "stall_link": 0.2, "stall_memory": 0.1}, ("link", 0.4)),
        ({"idle": 0.25}, ("idle", 0.25)),
        ({}, ("busy", 1.0)),
    ],
)
def test_the_main_stall_is_a_share_of_the_time_with_work(fractions: dict[str, float], stall: tuple[str, float]) -> None:
    reason, share = main_stall({"stall_fractions": fractions})
    assert (reason, share) == (stall[0], pytest.approx(stall[1]))


def test_a_fault_of_one_system_is_told_in_its_row(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from dieshot.simulator.studies.spectrum import survey

    monkeypatch.setattr(survey, "_row", lambda *_: 1 / 0)
    (row,) = spectrum("qwen3-8b", ["inf2-12"], **ASKED)["systems"]
    assert row["failed"] == "ZeroDivisionError: division by zero"
    assert main(["spectrum", "inf2-12", "--model", "qwen3-8b", "--processes", "1", "-q"]) == 1
    assert "inf2-12: ZeroDivisionError" in capsys.readouterr().err


def test_the_page_needs_nothing_else_and_is_the_same_twice(found: dict[str, Any]) -> None:
    page = spectrum_page(found)
    assert page == spectrum_page(found)
    assert "<svg" in page and "inf2-12" in page and "tpu-v5e-1" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_an_opened_line_shows_run_stalls_and_what_it_hangs_on() -> None:
    opened = explain_row("cs2", "qwen3-0.6b", **ASKED)
    assert opened["command"].startswith("dieshot run cs2 qwen3-0.6b") and opened["refused"] is None
    assert opened["row"]["tokens_per_s_user"] == opened["tokens_per_s_user"]
    start = next(each for each in opened["parameters"] if each["path"] == "chip.software.vector_start")
    assert start["low"]["time_per_output_token_s"] < start["high"]["time_per_output_token_s"]
    assert sum(opened["stalls"].values()) <= 1


def test_the_command_prints_json_and_writes_a_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    words = ["spectrum", "cs2", "--model", "qwen3-0.6b", "--context", "64", "--tpot-limit", "20ms", "--processes", "1"]
    assert main([*words, "--json", "-o", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tpot_limit_s"] == 0.02 and told["systems"][0]["system"] == "cs2"
    assert page.read_text().startswith("<!doctype html>")
    assert main(words) == 0
    assert "cs2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--tpot-limit", "fast"], "such as 50ms"),
        (["--tpot-limit", "-1ms"], "such as 50ms"),
        (["--model", "llama-3-7b"], "unknown model 'llama-3-7b'"),
        (["no-such"], "unknown system 'no-such'"),
        (["--explain", "no-such"], "unknown system 'no-such'"),
        (["cs2", "--set", "cost.pue=0.5"], "cost.pue: too small"),
    ],
)
def test_bad_input_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", *words, "--processes", "1"]) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1
