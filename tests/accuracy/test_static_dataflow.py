"""Simulated LPUs beside what services show: chips alone are faster than services, by a factor that is told; the power
of busy chips is near the published one. Nothing is fitted to either."""

from __future__ import annotations

import pytest

from accuracy.static_dataflow import KEPT_BUSY, power_w, round_s, shares, step_s

SHOWN_70B = (250, 300)  # tokens/s of a user; chips and users that share them are not stated
MOST_TIMES_FASTER = 3
PUBLISHED_W = (185, 215)  # average, thermal design


def test_a_single_user_is_served_faster_than_services_show() -> None:
    alone = 1 / step_s("groq-576", "llama-3-70b")
    assert max(SHOWN_70B) < alone < MOST_TIMES_FASTER * min(SHOWN_70B)


def test_full_stages_slow_a_user_down() -> None:
    alone, full = (1 / time_s("groq-576", "llama-3-70b") for time_s in (step_s, round_s))
    assert max(SHOWN_70B) < full < 0.85 * alone


def test_weights_on_their_way_take_most_of_a_layer() -> None:
    told = shares("groq-576", "llama-3-70b")
    assert told["install"] == max(told.values())
    assert told["link"] + told["hops and flight"] > 0.1
    assert sum(told.values()) == pytest.approx(1)


@pytest.mark.parametrize("precision", ["w8a16", "fp16", "int8"])
def test_the_power_of_a_busy_chip_is_near_what_is_published(precision: str) -> None:
    busy, one_user = power_w(precision, KEPT_BUSY), power_w(precision, 1)
    assert one_user < busy
    assert 0.75 * PUBLISHED_W[0] < busy < PUBLISHED_W[1]
