"""From operators of one token to phases of a block's parts.

Vectors pass in items of as many elements as ROM rows are read at a time, so that a part begins as soon as the one
before it has handed over what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.model_rom.machine import BlockMachine
from dieshot.chips.mapping.model_rom.phase import Cache, Matrix, Phase, Stream
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator

KINDS = frozenset({"embedding", "norm", "gemm", "rope_kv_append", "attention", "activation", "sample"})
WEIGHTS = ("int4",)
CACHES = ("int8", "bf16")
INDEX_BYTES = 4


@dataclass(frozen=True)
class Lowering:
    """Lowers the operators that a decoder layer, embedding and head consist of; each for one token."""

    machine: BlockMachine

    def lower(self, operator: Operator, position: int) -> list[Phase]:
        """Return the phases of one token; `position`: how many the attention sees, itself included."""
        if operator.kind == "attention":
            return self.attention(operator, position)
        lowering = getattr(self, operator.kind)
        phases: list[Phase] = lowering(operator)
        return phases

    def refuse(self, operator: Operator) -> None:
        """Raise UnsupportedError for an operator that no block has a part for."""
        name = self.machine.parameters.name
        if operator.kind not in (*KINDS, "send_recv"):
            raise UnsupportedError(f"{name} has no part for {operator.kind} (operator {operator.name})")
        if operator.kind in ("gemm", "embedding") and operator.weight_dtype not in WEIGHTS:
            raise UnsupportedError(
                f"{name} has its weights in ROM as {', '.join(WEIGHTS)}, not {operator.weight_dtype} (operator "
                f"{operator.name}); precision w4a8"
            )
        if operator.sparsity != "dense":
            raise UnsupportedError(
                f"{name} cannot skip zeros of its ROM (operator {operator.name}, {operator.sparsity})"
            )
        cached = operator.kind in ("attention", "rope_kv_append")
        if cached and operator.kv_dtype not in CACHES:
            raise UnsupportedError(
                f"{name} keeps its cache in {' or '.join(CACHES)}, not {operator.kv_dtype} (operator {operator.name})"
            )
        if operator.kind == "attention" and operator.dims["window"]:
            raise UnsupportedError(f"{name} has no sliding window (operator {operator.name})")

    def items(self, elements: int) -> int:
        """Return the items that a vector passes in."""
        return -(-elements // self.machine.parameters.rom.rows)

    def embedding(self, operator: Operator) -> list[Phase]:
        """The token's number comes back from the head, its row is read out and widened."""
        p, hidden = self.machine.parameters, operator.dims["hidden"]
        n_bytes = bytes_of(hidden, operator.weight_dtype or operator.dtype)
        return [
            Stream("bus", INDEX_BYTES, 1, 1, 0, p.bus.loop),
            Stream("table", n_bytes, self.items(hidden), 1, 0, p.rom.table_latency, barrier=True),
            self._vector(hidden, 1),
        ]

    def norm(self, operator: Operator) -> list[Phase]:
        """Add the residual and sum up squares; when all is there, scale."""
        vector, hidden = self.machine.parameters.vector, operator.dims["hidden"]
        root = vector.reduce + vector.transcendental_latency
        return [self._vector(hidden, 2 + operator.dims["residual"], extra=root), self._vector(hidden, 2, barrier=True)]

    def gemm(self, operator: Operator) -> list[Phase]:
        """Rows of ROM as activations come; what a low-rank path adds is added by the vector lanes."""
        K, N = operator.dims["K"], operator.dims["N"]
        lora = self.lora_words(operator)
        phases: list[Phase] = [Matrix(K, N, self.items(K), lora)]
        return [*phases, self._vector(N, 1)] if any(lora) else phases

    def lora_words(self, operator: Operator) -> tuple[int, int]:
        """Return the SRAM words of the matrices down to the rank and up from it; those beside the head have none."""
        n = sum(name.endswith("_proj") for name in operator.fused)
        rank, element = self.machine.rank, self.machine.parameters.lora.element
        if not rank or not n:
            return 0, 0
        down, up = n * rank * operator.dims["K"], rank * operator.dims["N"]
        word = self.machine.word_bytes
        return -(-down * element // word), -(-up * element // word)

    def rope_kv_append(self, operator: Operator) -> list[Phase]:
        """Rotate queries and keys; keys and values go to the next words of the cache."""
        dims = operator.dims
        rotated = (dims["heads"] + dims["kv_heads"]) * dims["head_dim"]
        words = 2 * self._words(operator)
        return [self._vector(rotated, 3), Cache(words, self.machine.beats(words), 0, 0)]

    def attention(self, operator: Operator, position: int) -> list[Phase]:
        """Keys against queries, softmax over all scores, values by their weights, division by the sum."""
        dims, p = operator.dims, self.machine.parameters
        scores, output = dims["heads"] * position, dims["heads"] * dims["head_dim"]
        words = position * self._words(operator)
        beats = self.machine.beats(words)
        elements = dims["kv_heads"] * dims["head_dim"] * position
        macs = elements // words * (dims["heads"] // dims["kv_heads"])
        lane_cycles = self.machine.lane_cycles(macs)
        vector = p.vector
        return [
            Cache(words, beats, macs, lane_cycles),
            Stream("vector", scores, beats, 2, 0, vector.latency + vector.reduce),
            Stream("vector", scores, beats, 2, 1, vector.latency + vector.transcendental_latency, barrier=True),
            Cache(words, beats, macs, lane_cycles, gated=True, barrier=False),
            self._vector(output, 1, extra=vector.transcendental_latency, barrier=True),
        ]

    def activation(self, operator: Operator) -> list[Phase]:
        """SiLU of the gate times up, narrowed; columns of both lie beside each other."""
        vector, ffn = self.machine.parameters.vector, operator.dims["ffn"]
        latency = vector.latency + vector.transcendental_latency
        return [Stream("vector", ffn, self.items(ffn), 4, 1, latency)]

    def sample(self, operator: Operator) -> list[Phase]:
        """Largest logit, exponentials and their sum, and a draw."""
        vector, vocab = self.machine.parameters.vector, operator.dims["vocab"]
        latency = vector.latency + vector.reduce
        return [
            Stream("vector", vocab, self.items(vocab), 1, 0, latency),
            Stream("vector", vocab, self.items(vocab), 3, 1, latency + vector.transcendental_latency, barrier=True),
        ]

    def send_recv(self, operator: Operator) -> list[Phase]:
        """What the next block reads, over the wires between the two."""
        return [Stream("bus", operator.output_bytes, 1, 1, 0, self.machine.parameters.bus.latency)]

    def _vector(self, elements: int, ops: int, extra: int = 0, barrier: bool = False) -> Stream:
        latency = self.machine.parameters.vector.latency + extra
        return Stream("vector", elements, self.items(elements), ops, 0, latency, barrier)

    def _words(self, operator: Operator) -> int:
        """Return the SRAM words of a position's keys, or of its values."""
        n_elements = operator.dims["kv_heads"] * operator.dims["head_dim"]
        return -(-bytes_of(n_elements, operator.kv_dtype or operator.dtype) // self.machine.word_bytes)

    def positions_per_beat(self, operator: Operator) -> int:
        """Return how many positions' keys all banks read in a beat: as many are read and multiplied at once."""
        return max(1, self.machine.n_banks // self._words(operator))


def tokens_of(operator: Operator) -> int:
    """Return the tokens of an operator, which pass through a block one after the other."""
    dims = operator.dims
    if operator.kind == "attention":
        return dims["batch"] * dims["q_len"]
    return dims["M"] if operator.kind == "gemm" else dims.get("tokens", 1)


def positions(operators: Sequence[Operator]) -> list[int]:
    """Return how many positions the attention of each token sees, sequence after sequence; 1 where there is none.

    Operators of a stretch all have as many tokens.
    """
    for operator in operators:
        if operator.kind == "attention":
            first = operator.dims["kv_len"] - operator.dims["q_len"] + 1
            return list(range(first, operator.dims["kv_len"] + 1)) * operator.dims["batch"]
    return [1] * tokens_of(operators[0])
