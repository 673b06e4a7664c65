"""Blocks, steps and the trace: what one inference run asks of a chip."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dieshot.traces.config import ModelConfig
from dieshot.traces.operator import Operator
from dieshot.traces.sparsity import DENSE

if TYPE_CHECKING:
    from dieshot.traces.graph import OperatorGraph

HEAD, LAYERS, TAIL, SEND = "head", "layers", "tail", "send"
TOTALS = (
    "operators",
    "input_bytes",
    "weight_bytes",
    "output_bytes",
    "kv_read_bytes",
    "kv_write_bytes",
    "macs",
    "vector_ops",
    "transcendental_ops",
)


@dataclass(frozen=True, slots=True)
class Block:
    """Operators that run one after the other, `repeat` times over (80 equal layers are one block)."""

    name: str
    repeat: int
    operators: tuple[Operator, ...]

    def graph(self) -> "OperatorGraph":
        """Return one instance as a DAG: nodes are operator names with the attribute `operator`."""
        from dieshot.traces.graph import block_graph

        return block_graph(self)


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass. tokens: new tokens of each sequence; kv_len: cache length of each after this step."""

    index: int
    phase: str
    batch: int
    tokens: int
    kv_len: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Trace:
    """All steps of a run. Equal blocks and operators of different steps are the same objects where built here.

    chunk: tokens of a sequence's prompt in a prefill step, None for all of it. cached: tokens of each sequence before
    the prompt that are in the cache already (a shared prefix, or read by another machine).
    """

    model: ModelConfig
    precision: str
    kv_precision: str
    batch: int
    prompt: int
    generate: int
    seed: int
    routing: str
    steps: tuple[Step, ...]
    sparsity: str = DENSE.pattern
    density: float = DENSE.density
    chunk: int | None = None
    cached: int = 0

    @property
    def n_prefill_steps(self) -> int:
        """Steps over the prompt; the last of them yields the first token."""
        return n_prompt_steps(self.prompt, self.chunk)

    @cached_property
    def totals(self) -> Mapping[str, int]:
        """Sums over all operators of all steps, repeats counted; `operators` is their number."""
        sums = dict.fromkeys(TOTALS, 0)
        of_block: dict[int, tuple[int, ...]] = {}
        for step in self.steps:
            for block in step.blocks:
                if id(block) not in of_block:
                    of_block[id(block)] = _block_totals(block)
                for key, value in zip(TOTALS, of_block[id(block)], strict=True):
                    sums[key] += value
        return sums

    def graph(self, step_index: int, expand: bool = False) -> "OperatorGraph":
        """Return one step as a DAG, blocks chained; `expand` gives every repeat of a block its own nodes."""
        from dieshot.traces.graph import step_graph

        return step_graph(self.steps[step_index], expand)

    def digest(self) -> str:
        """Return the SHA-256 of the canonical text (that of `trace_text`) in hexadecimal."""
        from dieshot.traces.file import digest

        return digest(self)


def n_prompt_steps(prompt: int, chunk: int | None) -> int:
    """Return how many steps read a prompt, a chunk each."""
    return -(-prompt // (chunk or prompt))


def prompt_step(prompt: int, chunk: int | None, index: int) -> tuple[int, int]:
    """Return new tokens, and tokens in the cache afterwards, of a step over a prompt."""
    begin = index * (chunk or prompt)
    end = min(begin + (chunk or prompt), prompt)
    return end - begin, end


def _block_totals(block: Block) -> tuple[int, ...]:
    operators = block.operators
    sums = [len(operators)]
    sums += [sum(getattr(operator, key) for operator in operators) for key in TOTALS[1:]]
    return tuple(block.repeat * value for value in sums)
