"""System documents: how many of which chip, joined by what, split how."""

from __future__ import annotations

from dieshot.simulator.params.quantity import Count, Dollars, DollarsPerHour, Femtoseconds
from dieshot.simulator.params.schema import Schema


class PartitionParameters(Schema):
    """How a model is split by default: ways of tensor parallelism and stages of pipeline parallelism.

    A model with fewer layers has fewer stages; without a number of stages every layer is one. data_parallel: equal
    shares of the chips that have the whole model each and serve users of their own, 1 without it.
    """

    tensor_parallel: int
    pipeline_parallel: int | None = None
    data_parallel: int | None = None


class HostParameters(Schema):
    """The computer that drives the chips. step_gap: time between the steps that it serves, chips idle."""

    step_gap: Femtoseconds


class PriceParameters(Schema):
    """What one chip's share of the system costs to buy, or to rent by the hour."""

    purchase_per_chip: Dollars | None = None
    rent_per_chip: DollarsPerHour | None = None


class SystemParameters(Schema):
    """A system: chip and fabric are names (or paths) of documents.

    precision, kv_precision: the formats that models run in where none are asked for. prefill_chunk: tokens of a prompt
    that go through the stages together, without it the whole prompt. cost: a document of what it takes to own and run a
    system.
    """

    name: str
    chip: str
    fabric: str | None
    n_chips: Count
    partition: PartitionParameters
    precision: str | None = None
    kv_precision: str | None = None
    prefill_chunk: Count | None = None
    cost: str | None = None
    host: HostParameters | None = None
    price: PriceParameters | None = None
