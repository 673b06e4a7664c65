"""What a claimed rate asks of a system: which model in which format, on how many chips, and what they have to give."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dieshot.simulator.studies.audit.catalogue import Catalogue, ClaimedModel, Subject
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.finding import figure

GIGA, TERA, MS_PER_S = 1e9, 1e12, 1000.0
CACHE_BITS = 8.0  # the cached keys and values in 8 bits, which favours the claim
_FORMAT = re.compile(r"(?:mx)?(?:fp|bf|int)(\d+)")


@dataclass(frozen=True, slots=True)
class Tier:
    """A memory that weights may lie in, of one chip."""

    capacity_bytes: float
    bytes_per_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Demand:
    """A model on `n_chips` of a subject with weights of `bits` (`format`); `stated`: the claim says how many chips."""

    subject: Subject
    model: ClaimedModel
    format: str
    n_chips: int
    stated: bool

    @property
    def bits(self) -> float:
        """Bits of a weight."""
        return bits_of(self.format)

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights."""
        return self.model.weight_bytes(self.bits)

    @property
    def active_bytes(self) -> float:
        """Bytes of the weights that one token passes."""
        return self.model.active_bytes(self.bits)

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The memories of a chip, the fastest first."""
        pairs = (("memory", "memory"), ("second", "capacity memory"))
        found = ((self.subject.most(f"{key}_GB"), self.subject.most(f"{key}_TBps"), name) for key, name in pairs)
        return tuple(Tier(gb * GIGA, tbps * TERA, name) for gb, tbps, name in found if gb and tbps)

    @property
    def tier(self) -> Tier | None:
        """The fastest memory that the weights fit in; None where they fit in none."""
        return next((tier for tier in self.tiers if tier.capacity_bytes * self.n_chips >= self.weight_bytes), None)

    @property
    def chips_needed(self) -> int | None:
        """Chips whose largest memory holds the weights; None where no capacity is known."""
        rom = self.subject.number("rom_parameters")
        if rom is not None:
            return math.ceil(self.model.n_parameters / rom * (1 - 1e-3))
        if not self.tiers:
            return None
        return math.ceil(self.weight_bytes / max(tier.capacity_bytes for tier in self.tiers))

    @property
    def deployment(self) -> str:
        """The fact that says on how many chips models like this are deployed."""
        return f"deployed_{self.model.family}_chips"

    @property
    def chips_deployed(self) -> int | None:
        """Chips of a published deployment of models like this; None where none is known."""
        chips = self.subject.number(self.deployment)
        return None if chips is None else int(chips)

    @property
    def peak_flops(self) -> float | None:
        """Peak rate of one chip in this format, or in the narrowest format at least as wide that it has one for."""
        for name in (
            self.format,
            f"int{self.bits:.0f}",
            f"fp{self.bits:.0f}",
            f"bf{self.bits:.0f}",
            "fp8",
            "int8",
            "fp16",
            "bf16",
        ):
            peak = self.subject.most(f"peak_{name}_TFLOPS")
            if peak and bits_of(name) >= self.bits:
                return peak * TERA
        return None

    @property
    def steps_per_s(self) -> float | None:
        """Passes over the active weights a second that the memory allows; None where it is not known."""
        return self.tier.bytes_per_s * self.n_chips / self.active_bytes if self.tier else None

    def on(self, n_chips: int) -> Demand:
        """Return the same on another number of chips."""
        return replace(self, n_chips=n_chips)

    @property
    def reading(self) -> str:
        """The weights' arithmetic."""
        return f"{figure(self.model.n_parameters / GIGA)}e9 weights x {self.bits:.3g} bit = {size(self.weight_bytes)}"


def bits_of(name: str) -> float:
    """Return the bits of a format by its name."""
    found = _FORMAT.fullmatch(name)
    return float(found[1]) if found else 16.0


def size(n_bytes: float) -> str:
    """Return bytes in the unit that people use for so many."""
    for unit, scale in (("TB", TERA), ("GB", GIGA), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{figure(n_bytes / scale)} {unit}"
    return f"{figure(n_bytes / 1e3)} kB"


def formats_of(claim: Claim, subject: Subject) -> tuple[str, ...]:
    """Return the formats that a claim names, or else the one that the subject runs models in."""
    named = tuple(each[0] for each in _FORMAT.finditer(claim.precision.lower()))
    return named or ((subject.words("weight_format"),) if subject.words("weight_format") else ())


def demands(claim: Claim, catalogue: Catalogue) -> Iterator[Demand]:
    """Yield what a claim asks in each of its formats; nothing where its model or its system is not known.

    Where it does not say on how many chips, those of a published deployment are meant, or as many as hold the model.
    """
    subject, model = catalogue.subject(claim.system), catalogue.models.get(claim.model)
    if model is None:
        return
    for name in formats_of(claim, subject):
        stated = claim.chips is not None
        demand = Demand(subject, model, name, claim.chips or 1, stated)
        yield demand if stated else demand.on(max(demand.chips_needed or 1, demand.chips_deployed or 1))
