"""Simulated SN40L sockets beside what is published (`python tests/accuracy/reconfigurable_dataflow.py` prints a table).

Speculative decoding is not simulated: beside services that use it stands how many tokens a forward pass would have to
yield on average.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import build_trace, load_model_config, partition

DATA = Path(__file__).parent.parent / "data" / "sn40l_api.csv"
FS_PER_S = 10**15
PROMPT = 1000


@dataclass(frozen=True)
class Service:
    """What a service shows for one user (tokens/s), and a forward pass of the sockets alone (s)."""

    model: str
    low: float
    high: float
    pass_s: float

    @property
    def tokens_per_pass(self) -> tuple[float, float]:
        """Tokens that a forward pass would have to yield."""
        return self.low * self.pass_s, self.high * self.pass_s


@cache
def decode(system: str, model: str) -> tuple[float, float]:
    """Return the time of a decode step (s) and the share of the HBM's peak that its weights and cache take."""
    setup = set_up(system)
    degree = setup.system.values.partition.tensor_parallel
    setup = setup.placed(degree, 1)
    config = load_model_config(find_path("models", model))
    trace = build_trace(config, batch=1, prompt=PROMPT, generate=2, precision="bf16", kv_precision="bf16")
    parts = partition(trace, degree, 1, pad=setup.chip.pads_shards)
    steps = [parts.stages[0].steps[1]]
    setup.chip.prepare([steps], 1)
    host = setup.system.values.host
    took_s = (setup.machine(degree, 1).run([steps]) + (host.step_gap if host else 0)) / FS_PER_S
    moved = sum(b.repeat * sum(op.weight_bytes + op.kv_read_bytes for op in b.operators) for b in steps[0].blocks)
    return took_s, moved / took_s / setup.chip.peaks()["memory"]


def services() -> list[Service]:
    """Return the rows of the table."""
    with DATA.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [
        Service(row["model"], float(row["low"]), float(row["high"]), decode(row["system"], row["model"])[0])
        for row in rows
    ]


if __name__ == "__main__":
    for system, model in (("sn40l-8", "llama-3.1-8b"), ("sn40l-8", "llama-3.1-70b"), ("sn40l-16", "llama-3.1-8b"),
                          ("sn40l-16", "llama-3.1-70b"), ("sn40l-16", "llama-3.1-405b")):  # fmt: skip
        step_s, share = decode(system, model)
        print(f"{system:9} {model:15} {1 / step_s:8.1f} token/s {share:6.3f} of the HBM's peak")
    for service in services():
        low, high = service.tokens_per_pass
        print(f"{service.model:15} {service.low:.0f} to {service.high:.0f} token/s: {low:.2f} to {high:.2f} a pass")
