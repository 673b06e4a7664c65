"""Published figures of systems: other people's numbers, shown beside ours and never used to make them."""

from __future__ import annotations

import csv
import functools
from dataclasses import asdict, dataclass
from typing import Any

from dieshot.simulator.params import configs_folder

SINGLE_STREAM, SYSTEM_RATE = "tokens_per_s_user", "tokens_per_s_system"


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure. alike: models of the catalog that it stands for. metric: as in a row of the spectrum.

    speculation: 'no', 'yes' or 'unknown'. kind: 'measured' or 'claimed', by whom in `source` (an id of sources.yaml).
    """

    system: str
    alike: tuple[str, ...]
    metric: str
    value: float
    unit: str
    kind: str
    speculation: str
    conditions: str
    source: str

    def of(self, system: str, model: str) -> bool:
        """Whether it is about this model on this system."""
        return self.system == system and model in self.alike

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"alike": list(self.alike)}


@functools.cache
def published_figures() -> tuple[Figure, ...]:
    """Return the figures of configs/published/rates.csv."""
    with (configs_folder() / "published" / "rates.csv").open(newline="") as file:
        return tuple(map(_figure, csv.DictReader(file)))


def _figure(row: dict[str, str]) -> Figure:
    fields: dict[str, Any] = {**row, "alike": tuple(row["alike"].split()), "value": float(row["value"])}
    return Figure(**fields)
