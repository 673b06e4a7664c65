"""A model in ROM against its maker's figures, to which nothing was fitted; `model_rom.py` beside this prints them."""

from __future__ import annotations

import pytest

from accuracy.model_rom import CARD_W, CLAIMS, FULL, RATE, idle_for, point, rows_for, speed


def test_speeds_of_one_user_are_met_within_a_third() -> None:
    for claim in CLAIMS:
        assert 0.75 * claim.low < speed(claim.context) < 1.35 * claim.high
    assert speed(RATE.context) == pytest.approx(RATE.low, rel=0.1)


def test_the_speed_falls_with_the_context() -> None:
    rates = [speed(context) for context in (50, 500, 1000, 2000)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 1.5 * rates[-1]


def test_lanes_for_the_makers_speed_are_within_what_the_die_may_hold() -> None:
    """From 1,000 transistors a lane, the low end of the range, to twice as many."""
    assert 128 < rows_for(RATE.low) < 284


def test_one_user_takes_less_power_than_the_card_is_said_to() -> None:
    """Half of it or less: the idle power would have to be beyond its range, or more users in flight."""
    assert point(1536)["average_power_w"] < CARD_W[0] / 2
    assert idle_for(CARD_W[0]) > 120
    assert point(*FULL)["average_power_w"] > CARD_W[0]
