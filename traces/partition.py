"""Spreading a trace over chips: tensor parallelism inside a stage, pipeline parallelism from stage to stage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dieshot.traces.config import ModelConfig
from dieshot.traces.count import state_bytes_per_sequence
from dieshot.traces.dtype import bytes_of, elements_in, precision_named
from dieshot.traces.error import TraceError, show
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator
from dieshot.traces.shard import rank_part
from dieshot.traces.share import check_tensor_parallel, share_of
from dieshot.traces.spread import spread_layers
from dieshot.traces.trace import HEAD, LAYERS, SEND, TAIL, Block, Step, Trace
from dieshot.traces.work import Formats


def _resident_bytes(operator: Operator) -> int:
    return operator.resident_weight_bytes


@dataclass(frozen=True, slots=True)
class Stage:
    """The consecutive layers of one pipeline stage; `steps` hold the operators of each of its equal ranks."""

    index: int
    layers: int
    tensor_parallel: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """A trace over tensor_parallel x pipeline_parallel ranks."""

    trace: Trace
    tensor_parallel: int
    pipeline_parallel: int
    stages: tuple[Stage, ...]

    def weight_bytes_per_rank(self, stage: int, stored_bytes: Callable[[Operator], int] = _resident_bytes) -> int:
        """Return the bytes of parameters that each rank of the stage stores.

        stored_bytes: those of one operator, on a chip that stores them otherwise than dense.
        """
        blocks = self.stages[stage].steps[self.trace.n_prefill_steps - 1].blocks
        total = sum(block.repeat * sum(map(stored_bytes, block.operators)) for block in blocks)
        return total - self._shared_head_bytes(blocks)

    def kv_bytes_per_rank(self, stage: int) -> int:
        """Return the bytes of KV cache, or of recurrent state, on each rank of the stage at the end of the run.

        With a sliding window the cache is a ring of that many positions, as in the Mistral 7B report
        (arXiv:2310.06825, section 2).
        """
        model = self.trace.model
        if model.encoder:
            return 0
        if model.recurrent:
            whole = state_bytes_per_sequence(model, self.trace.kv_precision, self.tensor_parallel)
            return self.trace.batch * self.stages[stage].layers * whole // model.num_hidden_layers
        kv_len = self.stages[stage].steps[-1].kv_len
        positions = min(kv_len, model.sliding_window) if model.sliding_window else kv_len
        kv_heads = share_of(model, self.tensor_parallel).kv_heads
        n_elements = 2 * self.trace.batch * positions * kv_heads * model.head_dim
        return self.stages[stage].layers * bytes_of(n_elements, self.trace.kv_precision)

    def _shared_head_bytes(self, blocks: tuple[Block, ...]) -> int:
        """Return the bytes of a tied language-model head whose embedding lies on the same rank."""
        names = {block.name for block in blocks}
        if not self.trace.model.tie_word_embeddings or not {HEAD, TAIL} <= names:
            return 0
        return sum(_resident_bytes(op) for op in blocks[-1].operators if op.name == "lm_head")


def partition(trace: Trace, tensor_parallel: int, pipeline_parallel: int, pad: bool = False) -> Partition:
    """Split the trace. Layers are spread over the stages as `spread_layers` says.

    All ranks of a stage do the same work, so one operator list stands for them all. KV heads fewer than ranks are
    copied. pad: heads and feed-forward widths that do not divide are padded up (`share_of`), so that every rank does
    what the largest has to. Each stage but the last ends in a send_recv of what the next one reads (the last operator's
    output and the residual stream, in full from every rank to its counterpart); the sampled token's way back is not
    counted.
    With one stage more than layers, each layer is a stage and so is what follows the last (`TAIL`).
    Raises TraceError when the heads or the feed-forward width do not divide (unless padded), or with still more stages.
    """
    _check_degrees(trace, tensor_parallel, pipeline_parallel, pad)
    if tensor_parallel == pipeline_parallel == 1:
        stage = Stage(0, trace.model.num_hidden_layers, 1, trace.steps)
        return Partition(trace, 1, 1, (stage,))
    ranks = _RankBlocks(trace, tensor_parallel)
    layers = ranks.layers(pipeline_parallel)
    stages = tuple(
        Stage(index, n_layers, tensor_parallel, tuple(ranks.steps(index, n_layers, pipeline_parallel)))
        for index, n_layers in enumerate(layers)
    )
    return Partition(trace, tensor_parallel, pipeline_parallel, stages)


def most_stages(model: ModelConfig) -> int:
    """Return the most stages that a model can be cut into: its layers, and what follows the last one."""
    return model.num_hidden_layers + 1


class _RankBlocks:
    """Makes each operator and block of a rank once and hands it out again: most decode steps share theirs.

    Objects are told apart by identity; the trace, which outlives this, keeps them alive.
    """

    def __init__(self, trace: Trace, tp: int) -> None:
        self._trace = trace
        self._tp = tp
        self._carrier = precision_named(trace.precision).carrier
        self._parts: dict[tuple[int, tuple[str | None, ...]], tuple[Operator, ...]] = {}
        self._operators: dict[int, tuple[Operator, ...]] = {}
        self._blocks: dict[tuple[int, int], Block] = {}
        self._sends: dict[tuple[int, int, bool], Block] = {}

    @property
    def _whole_step(self) -> Step:
        """The first step that yields a token, and so has every block."""
        return self._trace.steps[self._trace.n_prefill_steps - 1]

    def layers(self, pp: int) -> list[int]:
        """Return the layers of each stage, by the bytes of parameters that a rank stores."""
        ranks = (self._block(block, 1).operators for block in self._whole_step.blocks)
        head, layer, tail = (sum(map(_resident_bytes, operators)) for operators in ranks)
        if pp > self._trace.model.num_hidden_layers:
            return [1] * self._trace.model.num_hidden_layers + [0]
        return spread_layers(self._trace.model.num_hidden_layers, pp, layer, head, tail)

    def steps(self, stage: int, n_layers: int, pp: int) -> Iterator[Step]:
        """Yield the steps of one stage; of one that only has the tail, those that yield no token are empty."""
        apart = pp > self._trace.model.num_hidden_layers
        wanted = {LAYERS} if n_layers else set()
        wanted |= ({HEAD} if stage == 0 else set()) | ({TAIL} if stage == pp - 1 else set())
        for step in self._trace.steps:
            blocks = [self._block(block, n_layers) for block in step.blocks if block.name in wanted]
            to_tail = apart and stage == pp - 2
            if stage < pp - 1 and not (to_tail and step.index < self._trace.n_prefill_steps - 1):
                blocks.append(self._send(step, to_tail))
            yield Step(step.index, step.phase, step.batch, step.tokens, step.kv_len, tuple(blocks))

    def _block(self, block: Block, n_layers: int) -> Block:
        repeat = n_layers if block.name == LAYERS else block.repeat
        key = (id(block), repeat)
        if key not in self._blocks:
            if id(block) not in self._operators:
                self._operators[id(block)] = self._rank_operators(block.operators)
            self._blocks[key] = Block(block.name, repeat, self._operators[id(block)])
        return self._blocks[key]

    def _rank_operators(self, operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
        if self._tp == 1:
            return operators
        result: list[Operator] = []
        collectives: dict[str, str] = {}
        for operator in operators:
            completed = tuple(map(collectives.get, operator.inputs))
            key = (id(operator), completed)
            if key not in self._parts:
                self._parts[key] = rank_part(operator, self._trace.model, self._tp, completed)
            parts = self._parts[key]
            result.extend(parts)
            if len(parts) > 1:
                collectives[operator.name] = parts[1].name
        return tuple(result)

    def _send(self, step: Step, to_tail: bool) -> Block:
        """Return the block that sends what the next stage reads: the last output and the residual stream; the tail
        alone needs no more than each sequence's last token."""
        tokens = 1 if to_tail else step.tokens
        key = (step.batch, tokens, to_tail)
        if key not in self._sends:
            last = next(block for block in step.blocks if block.name == LAYERS).operators[-1]
            inputs = {PREVIOUS: last.output_bytes * tokens // step.tokens}
            # A norm at the end (BERT) has the residual stream in its own output.
            if last.kind != "norm":
                n_hidden = step.batch * tokens * self._trace.model.hidden_size
                inputs[RESIDUAL] = bytes_of(n_hidden, self._carrier)
            dims = {"elements": elements_in(sum(inputs.values()), last.output_dtype)}
            formats = Formats(last.output_dtype, None, last.output_dtype)
            operator = make_operator("send", "send_recv", dims, formats, inputs, fused=("send_recv",))
            self._sends[key] = Block(SEND, 1, (operator,))
        return self._sends[key]


def _check_degrees(trace: Trace, tp: int, pp: int, pad: bool) -> None:
    model = trace.model
    for key, value, high in (
        ("tensor_parallel", tp, model.ffn if pad else model.num_attention_heads or model.ffn),
        ("pipeline_parallel", pp, most_stages(model)),
    ):
        if type(value) is not int or not 1 <= value <= high:
            problem = f"expected an integer from 1 to {high} for {model.name}, got {show(value)}"
            raise TraceError("partition", key, problem)
    if not pad:
        check_tensor_parallel(model, tp)
    # Built traces are of this form; one from a file need not be.
    for step in trace.steps:
        names = [(block.name, block.repeat) for block in step.blocks]
        yields = step.index >= trace.n_prefill_steps - 1
        if names != [(HEAD, 1), (LAYERS, model.num_hidden_layers), (TAIL, 1)][: 3 if yields else 2]:
            expected = f"{HEAD}, {LAYERS} x {model.num_hidden_layers}" + (f", {TAIL}" if yields else "")
            raise TraceError("partition", f"step {step.index}", f"expected the blocks {expected}")
