"""Observers are told what happened, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dieshot.simulator.engine.hooks import Hooks
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import Degrees, split
from dieshot.traces import build_trace, load_model_config


def test_nobody_listens() -> None:
    assert "step_done" not in Hooks()


def test_observers_are_called_in_their_order() -> None:
    hooks, told = Hooks(), []
    hooks.add("step_done", lambda fact: told.append(("first", fact)))
    hooks.add("step_done", lambda fact: told.append(("second", fact)))
    hooks.call("step_done", 7)
    assert told == [("first", 7), ("second", 7)]


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown event 'step_don', expected one of operator_done, step_done"):
        Hooks().add("step_don", print)


def test_an_observer_that_raises_ends_the_run() -> None:
    hooks = Hooks()
    hooks.add("step_done", lambda fact: 1 // fact)
    with pytest.raises(ZeroDivisionError):
        hooks.call("step_done", 0)


def test_observed_and_unobserved_runs_are_the_same() -> None:
    model = load_model_config(find_path("models", "qwen3-0.6b"))
    setup = set_up("h100-sxm")
    trace = build_trace(model, batch=1, prompt=40, generate=3, precision="bf16")
    stages = [stage.steps for stage in split(setup, trace, Degrees(1, 1), 1).parts.stages]
    quiet = set_up("h100-sxm").machine(1, 1)
    watched = setup.machine(1, 1)
    steps: list[Any] = []
    operators: list[tuple[str, int]] = []
    watched.hooks.add("operator_done", lambda operator, start_fs, cells: operators.append((operator.name, start_fs)))
    assert watched.run(stages, steps.append) == quiet.run(stages)
    assert [placement.step for placement in steps] == [0, 1, 2]
    assert operators[0][0] == "embedding"
    assert [start for _, start in operators] == sorted(start for _, start in operators)
