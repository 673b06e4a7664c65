"""Numbers as a person reads them."""

import math

import pytest

from dieshot.simulator.cli import quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0523, "s", "52.30 ms"),
        (1.0, "s", "1.000 s"),
        (0.0, "J", "0 J"),
        (999.96, "W", "1.000 kW"),
        (999.94, "W", "999.9 W"),
        (3.35e12, "B/s", "3.350 TB/s"),
        (-2.5e-6, "s", "-2.500 us"),
        (1e-20, "s", "1e-05 fs"),
        (2.5e22, "B", "2.5e+04 EB"),
        (1_987_654_321, "", "1,987,654,321"),
        (12, "cycles", "12 cycles"),
        (math.nan, "s", "-"),
        (None, "s", "-"),
        (math.inf, "s", "inf s"),
    ],
)
def test_si(value: float | None, unit: str, text: str) -> None:
    assert quantity.si(value, unit) == text


@pytest.mark.parametrize(
    ("key", "value", "label", "text"),
    [
        ("hbm_bytes_per_s", 3.35e12, "hbm", "3.350 TB/s"),
        ("log_bytes", 2048, "log", "2.048 kB"),
        ("step_fs", 1_500_000_000, "step", "1.500 us"),
        ("issue_cycles", 12, "issue", "12 cycles"),
        ("hbm_utilization", 0.5, "hbm utilization", "50.0 %"),
        ("n_layers", 1234, "n layers", "1,234"),
        ("model", "llama", "model", "llama"),
        ("fused", True, "fused", "True"),
        ("bound", None, "bound", "-"),
    ],
)
def test_the_unit_is_read_from_the_name(key: str, value: object, label: str, text: str) -> None:
    assert (quantity.label(key), quantity.text(key, value)) == (label, text)
