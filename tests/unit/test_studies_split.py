"""How a model is split over a system: degrees, micro-batches, and what does not fit is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from dieshot import run
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import Degrees, degrees, micro_batches_of, split
from dieshot.simulator.studies.trace import trace
from dieshot.traces import load_model_config


def test_the_systems_own_degrees_and_no_more_stages_than_layers() -> None:
    setup = set_up("dgx-h100")
    llama, qwen = (load_model_config(find_path("models", name)) for name in ("llama-3-8b", "qwen2.5-7b"))
    assert degrees(setup, llama, None, None) == (8, 1, 1)
    assert degrees(setup, llama, 2, 4) == (2, 4, 1)
    assert degrees(setup, qwen, None, None) == (4, 1, 1)  # 28 heads
    assert degrees(setup, qwen, 8, None) == (8, 1, 1)  # as asked, to be refused
    assert degrees(set_up("inf2-12"), qwen, None, None) == (12, 1, 1)  # padded
    deep = set_up("dgx-h100", ["system.partition.pipeline_parallel=40", "system.partition.tensor_parallel=1"])
    assert degrees(deep, llama, None, None) == (1, 32, 1)


@pytest.mark.parametrize(("batch", "micro_batches", "expected"), [(6, None, 1), (6, 3, 3), (1, 1, 1)])
def test_micro_batches(batch: int, micro_batches: int | None, expected: int) -> None:
    assert micro_batches_of(set_up("dgx-h100"), Degrees(1, 4), batch, micro_batches) == expected


def test_micro_batches_divide_the_batch() -> None:
    with pytest.raises(
        InputError, match="--micro-batches: cannot be cut evenly; expected a divisor of the batch of 6; got 4"
    ):
        micro_batches_of(set_up("dgx-h100"), Degrees(1, 4), 6, 4)


def test_micro_batches_fill_the_stages() -> None:
    """Two halves of a batch pass two stages beside each other: less time than one after the other, more than one."""

    def time_s(**options: Any) -> float:
        asked = {"prompt": 16, "generate": 9, "precision": "bf16", "tensor_parallel": 1, "pipeline_parallel": 2}
        return float(run("dgx-h100", "qwen3-0.6b", **asked | options).summary["time_per_output_token_s"])

    half = time_s(batch=2)
    both = time_s(batch=4, micro_batches=2)
    assert half <= both < 1.4 * half
    summary = run("dgx-h100", "qwen3-0.6b", batch=4, micro_batches=2, pipeline_parallel=2, tensor_parallel=1).summary
    assert (summary["batch"], summary["micro_batches"], summary["chips"]) == (4, 2, 2)


@pytest.mark.parametrize(
    ("system", "wanted", "message"),
    [
        ("dgx-h100", Degrees(8, 2), "a partition of 8 x 2 ranks; expected at most 8 chips of dgx-h100"),
        (
            "h100-sxm",
            Degrees(1, 1),
            "llama-3-70b in bf16 with batch 2 does not fit on h100-sxm, 65.2 GB on 1 chip too much",
        ),
        ("dgx-h100", Degrees(1, 1), "does not fit on dgx-h100, 65.2 GB per chip too much"),
        ("dgx-h100", Degrees(1, 2), "does not fit on dgx-h100, .* GB per chip too much in stage [01]"),
    ],
)
def test_what_does_not_fit_is_refused(system: str, wanted: Degrees, message: str) -> None:
    batch = 16 if wanted == Degrees(1, 2) else 1  # with micro-batches twice as many; weights alone fit on two
    operators = trace("llama-3-70b", batch=batch, prompt=5000, generate=1, precision="bf16")
    with pytest.raises(InputError, match=message) as refused:
        split(set_up(system), operators, wanted, 2)
    assert "\n" not in str(refused.value)


def test_replicas_do_the_same_for_users_of_their_own() -> None:
    options = {"prompt": 16, "generate": 3, "tensor_parallel": 2}
    one = run("dgx-h100", "qwen3-0.6b", batch=3, **options).summary
    asked = ["system.partition.data_parallel=4"]
    four = run("dgx-h100", "qwen3-0.6b", batch=12, sets=asked, **options).summary
    assert (one["chips"], one["data_parallel"], four["chips"], four["data_parallel"]) == (2, 1, 8, 4)
    for key in ("time_to_first_token_s", "time_per_output_token_s", "energy_per_token_j", "utilization", "bounds"):
        assert four[key] == pytest.approx(one[key])
    for key in ("tokens_per_s_system", "average_power_w"):
        assert four[key] == pytest.approx(4 * one[key])
    assert run("dgx-h100", "qwen3-0.6b", batch=1, sets=asked, **options).summary["chips"] == 2
    with pytest.raises(InputError, match="at most 2 chips of dgx-h100 in each of its replicas; got 4"):
        run("dgx-h100", "qwen3-0.6b", batch=12, sets=asked, **options | {"tensor_parallel": 4})
