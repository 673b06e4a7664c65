"""Simulated SN40L sockets beside what is published of them; nothing is fitted to any of it."""

from __future__ import annotations

import pytest

from accuracy.reconfigurable_dataflow import decode, services
from dieshot import run

PUBLISHED_SHARE = 0.75  # of the HBM's peak that decoding takes, at least, on 8 and 16 sockets
BOUND_70B = 181  # tokens/s without speculation: 16 sockets' HBM over the weights
SWITCH_S = 0.01  # from one model of 8 G parameters to another


@pytest.mark.parametrize("system", ["sn40l-8", "sn40l-16"])
def test_decoding_takes_what_is_published_of_the_hbm(system: str) -> None:
    _, share = decode(system, "llama-3.1-70b")
    assert PUBLISHED_SHARE < share < 0.92


def test_one_user_stays_below_the_bound_without_speculation() -> None:
    step_s, _ = decode("sn40l-16", "llama-3.1-70b")
    assert PUBLISHED_SHARE * BOUND_70B < 1 / step_s < BOUND_70B


def test_services_need_as_many_tokens_a_pass_as_drafts_yield() -> None:
    needed = {service.model: service.tokens_per_pass for service in services()}
    assert 2 < needed["llama-3.1-70b"][0] < needed["llama-3.1-70b"][1] < 4
    assert 3 < needed["llama-3.1-405b"][0] < 6
    assert needed["llama-3.1-8b"][1] < 1  # the sockets alone are faster than the service


def test_a_switch_of_models_takes_about_what_is_published() -> None:
    took = [
        run("sn40l-8", "llama-3.1-8b", prompt=8, generate=0, sets=sets).summary["total_time_s"]
        for sets in ((), ("chip.ddr.model_switch=true",))
    ]
    assert took[1] - took[0] == pytest.approx(SWITCH_S, rel=0.2)
