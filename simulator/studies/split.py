"""A model over a system's chips: degrees of parallelism, micro-batches, and whether all of it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dieshot.simulator.engine.chip import Chip, UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.refusing import refusing
from dieshot.simulator.studies.setup import SystemSetup
from dieshot.traces import ModelConfig, Partition, Stage, Trace, divides, partition

GB = 1e9
MB = 1e6


class Degrees(NamedTuple):
    """Ranks of a stage, stages, and replicas: shares of the chips that do all of it for users of their own."""

    tensor_parallel: int
    pipeline_parallel: int
    data_parallel: int = 1


@dataclass(frozen=True, slots=True)
class Split:
    """A trace over the chips of a system: `setup` has the chip that one rank gets, `parts` what each rank does.

    The trace is that of one micro-batch; `micro_batches` such follow each other through the stages. All of
    `data_parallel` replicas do the same at the same time: one is carried out, and counted that many times.
    """

    setup: SystemSetup
    parts: Partition
    micro_batches: int
    data_parallel: int = 1

    @property
    def n_ranks(self) -> int:
        """All ranks of all stages of all replicas."""
        return self.parts.tensor_parallel * self.parts.pipeline_parallel * self.data_parallel

    @property
    def n_chips(self) -> int:
        """Chips in use."""
        stages = self.parts.tensor_parallel * self.parts.pipeline_parallel
        return -(-stages // self.setup.stages_on_chip) * self.data_parallel

    @property
    def part(self) -> str:
        """What the log calls that which a rank runs on."""
        return "chip" if self.setup.stages_on_chip == 1 else "region"

    @property
    def batch(self) -> int:
        """Sequences served together, in all micro-batches of all replicas."""
        return self.parts.trace.batch * self.micro_batches * self.data_parallel


def degrees(
    setup: SystemSetup, model: ModelConfig, tensor_parallel: int | None, pipeline_parallel: int | None
) -> Degrees:
    """Return the degrees asked for, or the system's own: no more ranks than divide the model, unless it is padded, and
    no more stages than layers (and one for the head, see Chip); that many if the system names none."""
    default, most = setup.system.values.partition, model.num_hidden_layers + setup.chip.head_apart
    stages = pipeline_parallel or min(default.pipeline_parallel or most, most)
    if tensor_parallel is not None or setup.chip.pads_shards:
        return Degrees(tensor_parallel or default.tensor_parallel, stages)
    return Degrees(next(ways for ways in range(default.tensor_parallel, 0, -1) if divides(model, ways)), stages)


def replicas_of(setup: SystemSetup, batch: int) -> int:
    """Return how many of the system's replicas serve a batch: as many as can have equal parts of it."""
    return next(parts for parts in range(min(setup.replicas, batch), 0, -1) if batch % parts == 0)


def micro_batches_of(setup: SystemSetup, wanted: Degrees, batch: int, micro_batches: int | None) -> int:
    """Return into how many parts a batch is cut; by default as many as there are stages, where the chip asks for it."""
    if micro_batches is not None:
        if batch % micro_batches:
            raise InputError("cannot be cut evenly", key="--micro-batches", value=micro_batches,
                             expected=f"a divisor of the batch of {batch}")  # fmt: skip
        return micro_batches
    most = wanted.pipeline_parallel if setup.chip.pipelines_users else 1
    return next(parts for parts in range(min(most, batch), 0, -1) if batch % parts == 0)


def split(setup: SystemSetup, trace: Trace, wanted: Degrees, micro_batches: int) -> Split:
    """Return a micro-batch's trace over the system's chips; InputError where it cannot run or does not fit."""
    with refusing(setup.name):
        _refuse_kinds(setup.chip, trace)
        setup.chip.admit(trace)
    tp, pp, replicas = wanted
    n_chips = setup.chips_per_replica
    stages_on_chip = -(-tp * pp // n_chips)
    if stages_on_chip > 1 and not (setup.chip.divisible and tp == 1):
        each = "" if setup.replicas == 1 else " in each of its replicas"
        problem, bound = f"a partition of {tp} x {pp} ranks", f"at most {n_chips} chips of {setup.name}{each}"
        if setup.chip.divisible:
            bound += ", or --tp 1, as a chip is divided into stages only"
        raise InputError(problem, key="--tp x --pp", value=tp * pp, expected=bound)
    parts = partition(trace, tp, pp, pad=setup.chip.pads_shards)
    needs = [_Need.of_stage(setup.chip, parts, stage, micro_batches) for stage in parts.stages]
    _check_total(setup, parts, needs, micro_batches)
    with refusing(setup.name, "the partition does not suit the chip"):
        placed = setup.placed(tp, stages_on_chip)
    _check_each(placed, parts, needs, micro_batches)
    return Split(placed, parts, micro_batches, replicas)


def _refuse_kinds(chip: Chip[Any], trace: Trace) -> None:
    """Raise UnsupportedError for an operator of a kind that the chip has nothing to run on."""
    blocks = {id(block): block for step in trace.steps for block in step.blocks}
    for block in blocks.values():
        for operator in block.operators:
            if operator.kind not in chip.kinds:
                raise UnsupportedError(
                    f"no unit or program for {operator.kind} (operator {operator.name} of {trace.model.name}); "
                    f"there is one for {', '.join(sorted(chip.kinds))}"
                )


class _Need(NamedTuple):
    """Bytes that one rank of a stage must hold."""

    weights: int
    cache: int
    widest: int

    @staticmethod
    def of_stage(chip: Chip[Any], parts: Partition, stage: Stage, micro_batches: int) -> _Need:
        blocks = {id(block): block for step in stage.steps for block in step.blocks if step.phase == "prefill"}
        widest = max(chip.working_bytes(op) for block in blocks.values() for op in block.operators)
        cache = parts.kv_bytes_per_rank(stage.index) * micro_batches
        return _Need(parts.weight_bytes_per_rank(stage.index, chip.stored_weight_bytes), cache, widest)

    @property
    def all(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        return f"{_gb(self.weights)} weights, {_gb(self.cache)} KV cache, {_gb(self.widest)} activations"


def _check_total(setup: SystemSetup, parts: Partition, needs: Sequence[_Need], micro_batches: int) -> None:
    n_chips = setup.chips_per_replica
    have = setup.chip.memory_bytes * n_chips
    total = _Need(*(sum(need[part] for need in needs) * parts.tensor_parallel for part in range(3)))
    if total.all > have:
        where = "on 1 chip" if n_chips == 1 else f"on {n_chips} chips"
        alone = parts.tensor_parallel * parts.pipeline_parallel <= n_chips  # one stage a chip: the fullest decides
        rooms = [(total, have), *((need, setup.chip.memory_bytes) for need in needs if alone)]
        raise _refusal(setup, parts, micro_batches, total, have, where, _batch_that_fits(parts, micro_batches, rooms))


def _check_each(setup: SystemSetup, parts: Partition, needs: Sequence[_Need], micro_batches: int) -> None:
    have = setup.chip.memory_bytes
    stage = max(range(len(needs)), key=lambda index: needs[index].all)
    if needs[stage].all > have:
        where = "per chip" if setup.stages_on_chip == 1 else f"per stage, {setup.stages_on_chip} on a chip"
        of = f" in stage {stage}" if len(needs) > 1 else ""
        fits = _batch_that_fits(parts, micro_batches, [(need, have) for need in needs])
        raise _refusal(setup, parts, micro_batches, needs[stage], have, where, fits, of)


def _refusal(
    setup: SystemSetup,
    parts: Partition,
    micro_batches: int,
    need: _Need,
    have: int,
    where: str,
    fits: str,
    of: str = "",
) -> InputError:
    batch = parts.trace.batch * micro_batches
    return InputError(
        f"{parts.trace.model.name} in {parts.trace.precision} with batch {batch} does not fit on {setup.name}, "
        f"{_gb(need.all - have)} {where} too much{of}",
        key="memory",
        value=f"{_gb(need.all)} {where} ({need})",
        expected=f"at most {_gb(have)}{fits}{setup.chip.more_memory and f', or {setup.chip.more_memory}'}",
    )


def _batch_that_fits(parts: Partition, micro_batches: int, rooms: Sequence[tuple[_Need, int]]) -> str:
    """Return in words how many sequences all rooms (what is needed, bytes there are) have place for; "" for none.

    All but weights grows with the batch.
    """
    batch = parts.trace.batch
    fits = min((have - need.weights) * batch // max(1, need.cache + need.widest) for need, have in rooms)
    return f", or a batch of {fits * micro_batches}" if 0 < fits < batch else ""


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / GB:.1f} GB" if n_bytes >= GB else f"{n_bytes / MB:.1f} MB"
