"""A whole run on GPUs adds up: work and bytes in the log against those in the trace."""

from __future__ import annotations

from typing import Any

import pytest
from recorded import Recorded, amounts, operators_of, placed_sum, record

SPARSE = {"precision": "w8a16", "sparsity": "2:4"}
# Half of the int8 values of 2:4 weights are stored, two bits of index with each.
STORED_SHARE = {"2:4": 0.5 * (1 + 2 / 8), "dense": 1}


@pytest.fixture(
    scope="module",
    params=[(1, 1, {}), (4, 2, {}), (1, 1, SPARSE)],
    ids=["one chip", "4 x 2 chips", "2:4 weights in int8"],
)
def recorded(request: Any, tmp_path_factory: Any) -> Recorded:
    tp, pp, formats = request.param
    return record("dgx-h100", tmp_path_factory.mktemp("run"), 2, tp, pp, **formats)


def test_all_matrix_work_of_the_trace_is_in_the_log(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        issued = placed_sum(recorded, stage, "macs_issued")
        assert amounts(recorded, stage, "tensor") == issued
        gemms = [(op, n) for op, n in operators_of(recorded.parts, stage) if op.kind == "gemm"]
        skipped = placed_sum(recorded, stage, "skipped_macs")
        assert placed_sum(recorded, stage, "macs") + skipped == sum(op.macs * n for op, n in gemms)
        assert skipped == sum(op.macs // 2 * n for op, n in gemms if op.sparsity == "2:4")
        assert issued + skipped >= sum(op.macs * n for op, n in operators_of(recorded.parts, stage))


def test_weights_and_cache_come_from_memory(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        needed = sum(
            (op.weight_bytes * STORED_SHARE[op.sparsity] + op.kv_read_bytes) * n
            for op, n in operators_of(recorded.parts, stage)
        )
        assert placed_sum(recorded, stage, "hbm_read_bytes") >= needed
        written = sum((op.output_bytes + op.kv_write_bytes) * n for op, n in operators_of(recorded.parts, stage))
        collectives = ("all_reduce", "all_gather", "send_recv")
        sent = sum(op.output_bytes * n for op, n in operators_of(recorded.parts, stage) if op.kind in collectives)
        assert placed_sum(recorded, stage, "hbm_write_bytes") >= written - sent


def test_the_log_holds_the_bytes_that_the_counters_say(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        l2 = placed_sum(recorded, stage, "l2_read_bytes") + placed_sum(recorded, stage, "l2_write_bytes")
        assert amounts(recorded, stage, "l2") == l2
        dram = placed_sum(recorded, stage, "hbm_read_bytes") + placed_sum(recorded, stage, "hbm_write_bytes")
        assert amounts(recorded, stage, "hbm_channel") == dram
