"""Simulated SN40L sockets beside what was measured and published: `python tests/accuracy/reconfigurable_dataflow.py`.

Benchmark rows are whole requests of a batch; steps of decoding are simulated at the middle of the answer, which their
time follows in a straight line. What a token takes is the difference between two lengths of one batch: it leaves out
what the server takes for a request. Speculative decoding is not simulated: beside services that use it stands how many
tokens a forward pass would have to yield on average.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dieshot.simulator.studies.point import PointRequest, decode_point, point

DATA = Path(__file__).parent.parent / "data"
FITTED = "llama-3-8b"
SHORT, LONG = 128, 1024
HBM_BYTES_PER_S = 1.6e12


@dataclass(frozen=True)
class Comparison:
    """Something measured and simulated, in s."""

    label: str
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Relative error."""
        return self.simulated / self.measured - 1


def table(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of tests/data."""
    with (DATA / name).open() as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


@cache
def step_s(system: str, model: str, batch: int, context: int) -> float:
    """Return the time of a decode step of sequences that hold so many tokens."""
    return float(point(decode_point(system, model, batch, context)).figures["time_per_output_token_s"])


@cache
def prompt_s(system: str, model: str, batch: int, prompt: int) -> float:
    """Return the time to the first token."""
    request = PointRequest(system, model, batch=batch, prompt=prompt, generate=1)
    return float(point(request).figures["time_to_first_token_s"])


def requests(most_tokens: int = LONG) -> Iterator[Comparison]:
    """Yield whole requests of the benchmark with at most so many tokens in and out."""
    for row in table("sn40l_latency.csv"):
        system, model, batch = row["system"], row["model"], int(row["batch"])
        prompt, generate = int(row["prompt"]), int(row["generate"])
        if prompt <= most_tokens:
            decoding = (generate - 1) * step_s(system, model, batch, prompt + generate // 2)
            simulated = prompt_s(system, model, batch, prompt) + decoding
            yield Comparison(f"{model} {batch} x {prompt}+{generate}", float(row["s"]), simulated)


def tokens(batch: int) -> Iterator[Comparison]:
    """Yield what a token takes with a batch, by model."""
    measured: dict[str, dict[int, float]] = {}
    for row in table("sn40l_latency.csv"):
        if int(row["batch"]) == batch:
            measured.setdefault(row["model"], {})[int(row["generate"])] = float(row["s"])
    for model, seconds in measured.items():
        taken = (seconds[LONG] - seconds[SHORT]) / (LONG - SHORT)
        yield Comparison(model, taken, step_s("sn40l-8", model, batch, LONG))


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


def services() -> list[Service]:
    """Return the rows of the table."""
    return [
        Service(row["model"], float(row["low"]), float(row["high"]), step_s(row["system"], row["model"], 1, LONG))
        for row in table("sn40l_api.csv")
    ]


if __name__ == "__main__":
    print("what a token takes")
    for batch in (1, 16):
        for each in tokens(batch):
            taken = f"{each.measured * 1e3:7.3f} ms measured, {each.simulated * 1e3:7.3f} simulated"
            print(f"{each.label:14} batch {batch:2} {taken} {100 * each.error:+6.1f} %")
    print("whole requests")
    for each in requests():
        print(f"{each.label:28} {each.measured:7.3f} s {each.simulated:7.3f} s {100 * each.error:+6.1f} %")
    print("services")
    for service in services():
        low, high = service.tokens_per_pass
        shown = f"{service.low:.0f} to {service.high:.0f} token/s"
        print(f"{service.model:15} {1 / service.pass_s:7.1f} token/s alone; {shown}: {low:.2f} to {high:.2f} a pass")
