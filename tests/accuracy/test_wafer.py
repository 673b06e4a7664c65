"""Wafers against measurements; `wafer.py` beside this prints all of them and what they hang on."""

from __future__ import annotations

from typing import Any

import pytest

from accuracy.wafer import POINTS, layer_shares, speed


def test_open_kernels_on_wse_2_are_met_within_an_eighth() -> None:
    """The one point that a parameter was fitted to; the fit ended at the end of the parameter's range."""
    assert speed(POINTS[0]) == pytest.approx(POINTS[0].measured, rel=0.125)


def test_speeds_of_the_service_are_bounds_not_predictions() -> None:
    """The kernels that served at launch are not public; what moves hop by hop alone is about twice as fast."""
    for point in POINTS[1:]:
        assert 1 < speed(point) / point.measured < 2.3


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.system)
def test_a_layer_waits_for_wavelets_more_than_for_anything_else(point: Any) -> None:
    shares = dict(layer_shares(point))
    assert max(shares, key=lambda state: shares[state]) == "stall_link"
    assert sum(shares.values()) == pytest.approx(1, abs=0.02)
