"""Pictures of rows: the same bytes for the same rows, labels with units, one line for what cannot be drawn."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.report.label import label_of, prefix_for
from dieshot.simulator.report.plot import plot, plot_figure

ROWS: list[dict[str, Any]] = [
    {"system": name, "batch": batch, "time_per_output_token_s": slope * batch * 1e-3, "chip.hbm.pin_rate": 1.5}
    for name, slope in (("one", 1.0), ("other", 2.0))
    for batch in (64, 1, 8)
]
X, Y = "batch", "time_per_output_token_s"


def figure(rows: list[dict[str, Any]], x: str = X, y: str = Y, **more: Any) -> Any:
    usual: dict[str, Any] = {"by": "system", "kind": "line", "x_scale": "linear", "y_scale": "linear", "units": {}}
    return plot_figure(rows, x, y, **usual | more)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_rows_make_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    first = plot(ROWS, X, Y, tmp_path / f"a{suffix}", by="system", x_scale="log").read_bytes()
    again = plot(iter(ROWS), X, Y, str(tmp_path / f"b{suffix}"), by="system", x_scale="log").read_bytes()
    assert first == again and len(first) > 5000
    assert plot(ROWS[:-1], X, Y, tmp_path / f"c{suffix}", by="system", x_scale="log").read_bytes() != first
    assert first.startswith(b"\x89PNG") if suffix == ".png" else ET.fromstring(first).tag.endswith("svg")


def test_a_line_for_each_value_in_the_order_of_x() -> None:
    axes = figure(ROWS).axes[0]
    assert [line.get_label() for line in axes.lines] == ["one", "other"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 8, 64]] * 2
    assert list(axes.lines[1].get_ydata()) == pytest.approx([2, 16, 128])  # ms
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("batch (sequences)", "time per output token (ms)")
    assert axes.get_legend().get_title().get_text() == "system"
    assert axes.get_ylim()[0] == 0
    assert figure(ROWS, kind="scatter").axes[0].lines[0].get_linewidth() == 0


def test_log_axes_have_ticks_that_can_be_read() -> None:
    drawn = figure(ROWS, x_scale="log", y_scale="log")
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8", "64"]


def test_rows_without_a_figure_are_left_out() -> None:
    failed = [{"system": "one", "batch": 2, Y: None}, {"system": "one", "batch": 3}, {"system": "one", Y: 1.0}]
    failed += [{"system": "one", "batch": 4, Y: math.nan}, {"system": "one", "batch": 0, Y: 1.0}]
    line = figure(failed + ROWS, x_scale="log").axes[0].lines[0]
    assert list(line.get_xdata()) == [1, 8, 64]


def test_words_stand_side_by_side() -> None:
    drawn = figure(ROWS, x="system", by="batch")
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["one", "other"]
    assert [line.get_label() for line in axes.lines] == ["64", "1", "8"]


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("time_to_first_token_s", "time to first token (ms)"),
        ("energy_hbm_j", "energy hbm (mJ)"),
        ("tokens_per_s_user", "tokens a second, one user (1/s)"),
        ("chip.hbm.pin_rate", "chip.hbm.pin_rate (Gbit/s)"),
        ("chip.l2.capacity", "chip.l2.capacity, times its own value"),
        ("chip.time.slow_s", "chip.time.slow_s"),
        ("stall_memory", "stall memory"),
    ],
)
def test_labels_have_units(column: str, label: str) -> None:
    units = {"chip.hbm.pin_rate": "Gbit/s", "chip.l2.capacity": "x"}
    assert label_of(column, units, "m") == label


@pytest.mark.parametrize(
    ("values", "prefix"), [([0.5, 2.0], ""), ([0.01, 0.5], "m"), ([3e-5], "u"), ([1e-12], "n"), ([], ""), ([0.0], "")]
)
def test_a_prefix_keeps_numbers_short(values: list[float], prefix: str) -> None:
    assert prefix_for("total_time_s", values)[1] == prefix
    assert prefix_for("cycles", values) == (1.0, "")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"y": "time_per_output_tokn_s"}, "--plot: no such column; expected a column of the rows; got "
         "'time_per_output_tokn_s'; did you mean 'time_per_output_token_s'?"),
        ({"by": "sistem"}, "--plot: no such column; expected a column of the rows; got 'sistem'; did you mean "
         "'system'?"),
        ({"path": "plot.pdf"}, "--plot: not a picture; expected a file that ends in .png or .svg; got 'plot.pdf'"),
        ({"path": "no/such/folder.png"}, "no/such/folder.png: cannot be written: No such file or directory"),
        ({"rows": [{"batch": 1, Y: None}]}, "--plot: nothing to draw; expected rows with batch and "
         "time_per_output_token_s"),
        ({"rows": []}, "--plot: nothing to draw; expected rows with batch and time_per_output_token_s"),
        ({"kind": "bar"}, "unknown way to draw; expected line or scatter; got 'bar'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as refused:
        plot(**{"rows": ROWS, "x": X, "y": Y, "path": "plot.png"} | more)
    assert str(refused.value) == says
