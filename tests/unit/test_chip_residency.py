"""What the L2 holds between kernels, against a list of single bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.mapping.gpu.residency import L2Contents
from dieshot.traces import PREVIOUS, RESIDUAL, Operator

CAPACITY_BYTES = 30


def operator(name: str, inputs: dict[str, int], output: int, streamed: int = 0, writes_residual: int = 0) -> Operator:
    dims = {"writes_residual": writes_residual}
    formats: dict[str, Any] = {"dtype": "fp8", "weight_dtype": "fp8", "output_dtype": "bf16", "kv_dtype": None}
    work = {"kv_read_bytes": 0, "kv_write_bytes": 0, "macs": 0, "vector_ops": 0, "transcendental_ops": 0}
    return Operator(
        name,
        "norm",
        dims,
        **formats,
        inputs=inputs,
        weight_bytes=streamed,
        output_bytes=output,
        **work,
        shard="replicate",
    )


class Bytes:
    """The newest bytes first, one entry a byte: (name, "" for what nobody asks for again)."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.previous = self.residual = ""

    def name(self, producer: str) -> str:
        return {PREVIOUS: self.previous, RESIDUAL: self.residual}.get(producer, producer)

    def resident(self, one: Operator) -> int:
        return sum(min(size, self.stack.count(self.name(producer))) for producer, size in one.inputs.items())

    def touch(self, one: Operator) -> None:
        fresh = [one.name] * one.output_bytes
        for producer, size in one.inputs.items():
            fresh += [self.name(producer)] * size
        fresh += [""] * one.weight_bytes
        named = {one.name, *(self.name(producer) for producer in one.inputs)}
        self.stack = (fresh + [name for name in self.stack if name not in named])[:CAPACITY_BYTES]
        self.previous = one.name
        if one.dims["writes_residual"]:
            self.residual = one.name


SIZES = st.integers(0, 14)


@st.composite
def chains(draw: st.DrawFn) -> list[Operator]:
    """Return operators that each read the one before, some also the residual stream or an older one."""
    out: list[Operator] = []
    for i in range(draw(st.integers(1, 12))):
        residual_is_previous = bool(out) and out[-1].dims["writes_residual"] == 1
        inputs = {PREVIOUS: draw(SIZES)} if out else {}
        has_residual = any(one.dims["writes_residual"] for one in out)
        if has_residual and not residual_is_previous and draw(st.booleans()):
            inputs[RESIDUAL] = draw(SIZES)
        out.append(operator(f"op{i}", inputs, draw(SIZES), draw(st.sampled_from([0, 5, 40])), draw(st.integers(0, 1))))
    return out


@given(chains())
def test_contents_act_as_a_list_of_bytes(chain: list[Operator]) -> None:
    contents, plain = L2Contents(), Bytes()
    for one in chain:
        assert contents.resident_bytes(one) == plain.resident(one)
        contents = contents.after(one, CAPACITY_BYTES)
        plain.touch(one)
        assert sum(size for _, size in contents.stack) <= CAPACITY_BYTES
        held = {name: size for name, size in contents.stack if name}
        assert held == {name: plain.stack.count(name) for name in dict.fromkeys(plain.stack) if name}


def test_weights_push_out_what_is_older_than_themselves() -> None:
    first = operator("a", {}, 10)
    contents = L2Contents().after(first, CAPACITY_BYTES)
    reader = operator("b", {PREVIOUS: 10}, 4, streamed=100)
    assert contents.resident_bytes(reader) == 10
    after = contents.after(reader, CAPACITY_BYTES)
    assert after.stack == (("b", 4), ("a", 10))
    assert after.after(operator("c", {}, 1, streamed=100), CAPACITY_BYTES).stack == (("c", 1),)


@pytest.mark.parametrize("tensor_bytes", [31, 1000])
def test_a_tensor_larger_than_the_cache_is_held_in_part(tensor_bytes: int) -> None:
    contents = L2Contents().after(operator("a", {}, tensor_bytes), CAPACITY_BYTES)
    assert contents.resident_bytes(operator("b", {PREVIOUS: tensor_bytes}, 1)) == CAPACITY_BYTES
