"""One link under one pattern: latency and wait under load, utilization, what credits cost."""

from __future__ import annotations

import importlib
import math
import re
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import LinkParameters, find_document, overrides_of, parse_overrides, resolve
from dieshot.simulator.params.unit import conversion

FS = 10**15  # of a second, and fJ of a joule
ARRIVALS = ("poisson", "even")
LEVELS = ("flit", "packet")
MOST_BYTES = 1 << 50
MOST_ITEMS = 100_000_000
MOST_FLITS = 10_000_000_000  # half a minute


def link(
    name: str,
    message: str = "64KiB",
    n: int = 1000,
    load: float = 0.8,
    arrivals: str = "poisson",
    level: str = "flit",
    n_senders: int = 1,
    seed: int = 0,
    sets: Sequence[str] = (),
) -> dict[str, Any]:
    """Send `n` messages over one link (one direction) of a link document at a share `load` of its wire.

    message: payload of each, such as "64KiB". arrivals: "poisson" or "even". level: "flit" or "packet" (a message
    starts only when the far buffer has room for all of it). Senders take turns at random. Returns times in s; what
    credits allow at most, `credit_bound_bytes_per_s`, is of payload, as are throughput and energy. What an item alone
    waits for, layer by layer, is in `idle_latency_parts`; `laser_energy_j` is of the link's lasers in all that time.
    """
    refuse_unknown("--arrivals", arrivals, ARRIVALS)
    refuse_unknown("--level", level, LEVELS)
    for key, number, most in (("--n", n, MOST_ITEMS), ("--senders", n_senders, 1 << 20)):
        if not 1 <= number <= most:
            raise InputError("not a number of them", key=key, value=number, expected=f"1 to {most}")
    if not 0 < load <= 10:
        raise InputError("not a load", key="--load", value=load, expected="more than 0, at most 10 (of the wire)")
    if seed < 0:
        raise InputError("not a seed", key="--seed", value=seed, expected="at least 0")
    bytes_ = bytes_of("--bytes", message)
    overrides = overrides_of(parse_overrides(sets), "fabric")
    parameters = resolve(find_document("links", name), LinkParameters, overrides).values
    return _measure(parameters, bytes_, n, load, arrivals, level, n_senders, seed)


def _measure(
    parameters: LinkParameters, bytes_: int, n: int, load: float, arrivals: str, level: str, n_senders: int, seed: int
) -> dict[str, Any]:
    part = importlib.import_module("dieshot.chips.parts.links.channel")
    timing = part.channel_timing(parameters)
    n_flits = math.ceil(bytes_ / (parameters.protocol_efficiency * timing.flit_bytes))
    service_fs = n_flits * timing.flit_fs
    if n * n_flits > MOST_FLITS:
        problem = f"too many flits at {n_flits} a message"
        raise InputError(problem, key="--n", value=n, expected=f"at most {MOST_FLITS:,} in all")
    random = np.random.default_rng(seed)
    gaps = random.exponential(service_fs / load, n) if arrivals == "poisson" else np.full(n, service_fs / load)
    times = np.cumsum(gaps)
    if times[-1] >= 2**62:
        raise InputError("too long a run", key="--n", value=n, expected="an end before 2**62 fs (4,600 s)")
    arrival_fs = times.astype(np.int64)
    sender = random.integers(0, n_senders, n)
    channel = part.Channel(parameters.name, timing, n_senders, level)
    _warm_up(part, timing)
    begin = time.perf_counter()
    started, finished = channel.carry(arrival_fs, sender, np.full(n, n_flits, np.int64))
    wall_s = time.perf_counter() - begin
    wait, latency = (started - arrival_fs) / FS, (finished - arrival_fs) / FS
    span_fs = int(finished[-1] - arrival_fs[0])
    alone, _ = part.Channel(parameters.name, timing).carry(*(np.array([x]) for x in (0, 0, n_flits)))[::-1]
    parts = part.idle_times(parameters, n_flits)
    lasers_w = (parameters.laser_power or 0) / 1000
    return {
        "link": parameters.name,
        "bytes": bytes_,
        "flits_per_message": n_flits,
        "n": n,
        "load": load,
        "time_s": span_fs / FS,
        "utilization": channel.busy_fs / max(1, span_fs),
        "throughput_bytes_per_s": n * bytes_ * FS / max(1, span_fs),
        "serialization_s": service_fs / FS,
        "idle_latency_s": int(alone[0]) / FS,
        "idle_latency_parts": {f"{name}_s": time_fs / FS for name, time_fs in parts.items()},
        "average_wait_s": float(wait.mean()),
        "average_latency_s": float(latency.mean()),
        "p99_latency_s": float(np.quantile(latency, 0.99)),
        "queue_theory_wait_s": load * service_fs / FS / (2 * (1 - load))
        if arrivals == "poisson" and load < 1
        else None,
        "blocked_fraction": channel.blocked_fs / max(1, span_fs),
        "credits": timing.n_credits,
        "credit_bound_bytes_per_s": _credit_bound(timing, level, n_flits, bytes_),
        "bytes_sent": int(channel.sent_flits.sum()) * timing.flit_bytes,
        "link_energy_j": n * bytes_ * 8 * parameters.energy / FS,
        "laser_energy_j": lasers_w * span_fs / FS,
        "simulator_flits_per_s": n * n_flits / max(wall_s, 1e-9),
    }


def _credit_bound(timing: Any, level: str, n_flits: int, bytes_: int) -> float:
    """Return the payload rate at which the buffer's credits are all on the way there or back (B/s), at most the wire's.

    A flit holds its credit for the round trip and waits half a codeword on average. So many whole packets as fit into
    the buffer go in a round trip; the next waits for those credits of the first that the room left over does not spare.
    """
    unit = n_flits if level == "packet" else 1
    n_units, spare = divmod(timing.n_credits, unit)
    codeword_fs = max(0, timing.block_fs - timing.flit_fs) / 2
    round_trip_fs = (
        (unit - spare) * timing.flit_fs + codeword_fs + timing.latency_fs + timing.drain_fs + timing.credit_fs
    )
    flits_per_fs = min(1 / timing.flit_fs, n_units * unit / round_trip_fs)
    return float(flits_per_fs * FS * bytes_ / n_flits)


def _warm_up(part: Any, timing: Any) -> None:
    """Load the compiled loop before the clock of the speed runs."""
    part.Channel("warm-up", timing).carry(*(np.array([x]) for x in (0, 0, 1)))


def bytes_of(key: str, text: str) -> int:
    """Return the bytes of a text such as '64KiB' or '4096'; InputError unless it is a whole number of at least 1."""
    found = re.fullmatch(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*([A-Za-z]*)\s*", text)
    expected = "a size such as 64KiB, 1MB or 4096"
    if not found:
        raise InputError("not a size", key=key, value=text, expected=expected)
    try:
        scale = conversion(found[2] or "B", "B")
    except InputError as error:
        raise error.located(key=key) from None
    amount = Fraction(found[1]) * scale if scale is not None else Fraction(0)
    if amount.denominator != 1 or not 1 <= amount <= MOST_BYTES:
        raise InputError("not a size", key=key, value=text, expected=f"{expected}, at most 1 PiB")
    return int(amount)


def refuse_unknown(key: str, value: str, names: Sequence[str]) -> None:
    """Raise InputError with the nearest name unless `value` is one of `names`."""
    if value not in names:
        raise InputError("unknown", key=key, value=value, expected=listed(names), nearest=nearest_name(value, names))
