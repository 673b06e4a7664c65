"""One collective among the chips of a system, link by link: time, bus bandwidth, the best algorithm, busy links."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import FS_PER_SECOND, transfer_fs
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import LinkParameters
from dieshot.simulator.studies.micro.link import bytes_of
from dieshot.simulator.studies.micro.topology import chip_graph, has_switches, n_chips_of
from dieshot.simulator.studies.setup import SystemSetup, set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

MIB = 1 << 20
# How finely data is cut where that is not asked for: bytes of a block, chunks, and chunks under way (0: all). A switch
# that adds serves sums and copies by turns, so it wants small pieces, and few under way.
PIPELINE = (1 << 16, 8, 0)
SWITCH_PIPELINE = (1 << 13, 128, 16)
MOST_TRANSFERS = 4_000_000
IN_SWITCH = "in-switch"
# Bytes over a chip's links per byte of the collective, as nccl-tests counts them, times n.
BUS_SHARES = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1, "all-to-all": 1}
# Blocks that everybody handles in every step: transfers grow with the cube of the chips.
CUBIC = {"one-shot", "recursive"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a collective of some bytes, in chunks, on a topology of the links of a document."""

    kind: str
    bytes: int
    topology: str
    n_chips: int
    n_chunks: int | None
    link: LinkParameters
    local: LocalCosts


def collective(
    system: str,
    kind: str,
    size: str = "64MiB",
    algorithm: str | None = None,
    n_chips: int | None = None,
    topology: str | None = None,
    n_chunks: int | None = None,
    sets: Sequence[str] = (),
) -> dict[str, Any]:
    """Carry out one collective of `size` (such as "64MiB") on the system's links, or these links wired otherwise.

    algorithm: None tries all and takes the fastest. topology: "ring:8", "torus:4x2", "full:8", "switch:8" or None for
    the system's own; a chip's links are split evenly over its neighbours. n_chunks: pieces in a pipeline.
    """
    schedules = importlib.import_module("dieshot.chips.parts.schedule")
    known = schedules.ALGORITHMS
    if kind not in known:
        raise InputError("unknown collective", value=kind, expected=listed(known), nearest=nearest_name(kind, known))
    setup = set_up(system, sets)
    question = _question(setup, kind, bytes_of("--bytes", size), n_chips, topology, n_chunks)
    tried = {name: _run(question, name) for name in _choices(schedules, question, algorithm)}
    best = min(tried, key=lambda name: int(tried[name]["time_fs"]))
    record = _record(setup.name, question, best, tried[best])
    if len(tried) > 1:
        record["tried_time_s"] = {name: result["time_fs"] / FS_PER_SECOND for name, result in tried.items()}
    if topology is None:
        record |= _as_in_a_run(setup, question)
    return record


def _question(
    setup: SystemSetup, kind: str, bytes_: int, n_chips: int | None, topology: str | None, n_chunks: int | None
) -> Question:
    if setup.fabric_parameters is None:
        raise InputError(f"the system {setup.name} has no links", expected="a system with a fabric, such as dgx-h100")
    link = setup.fabric_parameters.values
    if topology is None:
        topology = f"{link.topology}:{n_chips or setup.system.values.n_chips}"
    n = n_chips_of(topology)
    if n_chips not in (None, n):
        raise InputError(f"does not agree with {topology}", key="--chips", value=n_chips, expected=str(n))
    if topology.startswith("switch:") and n > link.max_chips:
        raise InputError(f"{link.name} joins fewer", key="--chips", value=n, expected=f"at most {link.max_chips} chips")
    if n_chunks is not None and not 1 <= n_chunks <= 4096:
        raise InputError("not a number of chunks", key="--chunks", value=n_chunks, expected="1 to 4096")
    local: LocalCosts = setup.chip.local_costs
    return Question(kind, bytes_, topology, n, n_chunks, link, local)


def _pipeline(question: Question, algorithm: str) -> tuple[int, int]:
    """Return the chunks and how many of them are under way at once."""
    block_bytes, most_chunks, depth = SWITCH_PIPELINE if algorithm == IN_SWITCH else PIPELINE
    chosen = max(1, min(most_chunks, question.bytes // (question.n_chips * block_bytes)))
    return question.n_chunks or chosen, depth


def _choices(schedules: Any, question: Question, algorithm: str | None) -> list[str]:
    """Return the algorithms to try; InputError where the one asked for cannot be done here, with one that can."""
    known = schedules.ALGORITHMS[question.kind]
    if algorithm is not None and algorithm not in known:
        problem = f"no algorithm of {question.kind}"
        nearest = nearest_name(algorithm, known)
        raise InputError(problem, key="--algorithm", value=algorithm, expected=listed(known), nearest=nearest)
    obstacles = {name: _obstacle(schedules, question, name) for name in known}
    possible = [name for name in known if obstacles[name] is None]
    if algorithm is None:
        if not possible:
            raise InputError("no algorithm for so many chips", key="--topology", value=question.topology)
        return [name for name in possible if name != "two-shot"]  # another name of direct
    if obstacles[algorithm] is not None:
        problem = str(obstacles[algorithm])
        raise InputError(problem, key="--algorithm", value=algorithm, expected=listed(possible))
    return [algorithm]


def _obstacle(schedules: Any, question: Question, algorithm: str) -> str | None:
    n = question.n_chips
    if algorithm == IN_SWITCH:
        if not question.topology.startswith("switch:"):
            return f"there is no switch in {question.topology}"
        if question.link.in_switch_reduction != "supported":
            return f"the switches of {question.link.name} do not add"
    if (question.kind, algorithm) in schedules.POWER_OF_TWO and n & (n - 1):
        return f"{n} chips are no power of two"
    cubic = algorithm in CUBIC or (question.kind, algorithm) == ("all-to-all", "ring")
    n_chunks, _ = _pipeline(question, algorithm)
    if n ** (3 if cubic else 2) * 2 * n_chunks > MOST_TRANSFERS:
        return f"more than {MOST_TRANSFERS} transfers among {n} chips"
    return None


def _run(question: Question, algorithm: str) -> dict[str, Any]:
    """Return {time_fs, lanes} of one algorithm; chips start after they have told each other that they are ready."""
    parts = importlib.import_module("dieshot.chips.parts.collective")
    schedules = importlib.import_module("dieshot.chips.parts.schedule")
    simpy = importlib.import_module("simpy")
    env = simpy.Environment()
    network = parts.LinkNetwork(env, _graph(question, algorithm))
    pairs = [(0, chip) for chip in range(1, question.n_chips)]
    ready_fs = max(network.latency_fs(a, b) for a, b in pairs)
    n_chunks, depth = _pipeline(question, algorithm)
    plan = schedules.schedule(question.kind, algorithm, question.n_chips, question.bytes, n_chunks, depth)
    costs = parts.EndpointCosts(0, question.local.local_fs_per_mib)
    start_fs = question.local.launch_fs + ready_fs
    running = parts.Collective(env, algorithm, network, plan, costs, start_fs)
    env.run(running.process)
    return {
        "time_fs": int(env.now) + question.local.drain_fs,
        "lanes": network.lanes,
        "chunks": n_chunks,
        "transfers": len(plan.transfers),
    }


def _graph(question: Question, algorithm: str) -> Any:
    """Return the links as wired: a chip's own, all to the switch or split over its neighbours."""
    link = question.link
    efficiency = link.protocol_efficiency
    if algorithm == IN_SWITCH and link.in_switch_efficiency is not None:
        efficiency = link.in_switch_efficiency
    degree = max(d for node, d in chip_graph(question.topology, 1, 1).out_degree() if node >= 0)
    fs_per_mib = transfer_fs(MIB * degree, int(link.n_links * link.rate * efficiency))
    latency_fs = link.hop_latency // 2 if has_switches(question.topology) else link.hop_latency
    return chip_graph(question.topology, fs_per_mib, latency_fs)


def _record(system: str, question: Question, algorithm: str, result: dict[str, Any]) -> dict[str, Any]:
    n, time_fs = question.n_chips, int(result["time_fs"])
    share = BUS_SHARES[question.kind] * (n - 1) / n if question.kind in BUS_SHARES else 1.0
    return {
        "system": system,
        "collective": question.kind,
        "bytes": question.bytes,
        "chips": n,
        "topology": question.topology,
        "algorithm": algorithm,
        "chunks": result["chunks"],
        "transfers": result["transfers"],
        "time_s": time_fs / FS_PER_SECOND,
        "algorithm_bytes_per_s": question.bytes * FS_PER_SECOND / time_fs,
        "bus_bandwidth_bytes_per_s": share * question.bytes * FS_PER_SECOND / time_fs,
        "links": list(_links(result["lanes"], time_fs)),
    }


def _links(lanes: dict[tuple[int, int], Any], time_fs: int) -> Iterable[dict[str, Any]]:
    several = any(node < -1 for link in lanes for node in link)
    for link, lane in lanes.items():
        source, destination = (node if node >= 0 else f"switch{-1 - node}" if several else "switch" for node in link)
        yield {
            "from": source,
            "to": destination,
            "bytes": lane.bytes,
            "utilization": lane.busy_fs / time_fs,
        }


def _as_in_a_run(setup: SystemSetup, question: Question) -> dict[str, Any]:
    """Return what the same collective costs in a whole run, where the chips' kernels are fitted to measured ones."""
    operation = question.kind.replace("-", "_")
    if setup.fabric is None or operation not in ("all_reduce", "all_gather"):
        return {}
    dims = {"elements": -(-question.bytes // 2), "group": question.n_chips}
    operator = make_operator("micro", operation, dims, Formats("bf16", None, "bf16"), "x")
    try:
        cell = setup.fabric.carry_out(operator, question.n_chips, record=False)
    except UnsupportedError as error:
        raise InputError(str(error), key="--chips", value=question.n_chips) from None
    return {"run_time_s": cell.duration_fs / FS_PER_SECOND, "run_algorithm": cell.name.split()[1].replace("_", "-")}
