"""One collective among the chips of a system: as a run has it, or by an ideal schedule, link by link."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.engine.cell import BUSY, Cell
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import FS_PER_SECOND, transfer_fs
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import LinkParameters, Resolved, document_from_text, resolve
from dieshot.simulator.studies.micro.link import bytes_of
from dieshot.simulator.studies.micro.topology import SWITCH, chip_graph, has_switches, n_chips_of, ring_order
from dieshot.simulator.studies.setup import SystemSetup, set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

MIB = 1 << 20
FJ_PER_J = 10**15
# How finely data is cut where that is not asked for: least bytes of a block, chunks, and chunks under way (0: all).
# Trees and switches that add serve the way up and the way down by turns: small pieces, and few under way.
PIPELINE = (1 << 16, 8, 0)
PIPELINES = {"tree": (1 << 14, 128, 12), "in-switch": (1 << 14, 1024, 24)}
MANY_TRANSFERS = 500_000  # as long as a chunk or more can be left out
MOST_TRANSFERS = 4_000_000
IN_SWITCH = "in-switch"
IDEAL = "ideal"
ALL = "all chips"  # whose links in one direction are told together, the busiest one's time with them
AS_IN_A_RUN = "as in a run: the library's kernels and buffers fitted to measured collectives"
WITHOUT_SWITCH = "as in a run: launch, neighbours ready, links and adding; not held against measurements"
IDEAL_SCHEDULE = "ideal schedule: launch, all ready, links and adding; no set-up of a library, no bound on reads"
# Bytes over a chip's links per byte of the collective, as nccl-tests counts them, times n.
RUN_OPERATORS = {"all-reduce": "all_reduce", "all-gather": "all_gather"}
BUS_SHARES = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1, "all-to-all": 1}

Ends = tuple[int, int] | tuple[str, str]  # chips and switches, or all chips and a direction


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a collective of some bytes, in chunks, on a topology of the links of a document.

    n_ways: neighbours that a chip's links are made for (None: as many as the topology gives it).
    """

    kind: str
    bytes: int
    topology: str
    n_chips: int
    n_chunks: int | None
    link: Resolved[LinkParameters]
    local: LocalCosts
    n_ways: int | None


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

    algorithm: None takes the time of the same collective in a run, where the system's fabric knows it, else as "ideal":
    tries all schedules and takes the fastest; or the name of one of them. topology: such as "torus:4x2" (see
    studies.micro.topology) or None for the system's own; a chip's links are split evenly over its neighbours.
    n_chunks: pieces in a pipeline. `model` says which of the two it was, `assumed` the link's parameters that it leans
    on and nobody published, `fitted` those fitted to measurements. Energy is that of the payload.
    """
    schedules = importlib.import_module("dieshot.chips.parts.links.schedule")
    known = schedules.ALGORITHMS
    if kind not in known:
        raise InputError("unknown collective", value=kind, expected=listed(known), nearest=nearest_name(kind, known))
    setup = set_up(system, sets)
    question = _question(setup, kind, bytes_of("--bytes", size), n_chips, topology, n_chunks)
    if algorithm is None and topology is None and n_chunks is None and kind in RUN_OPERATORS:
        record, leaned_on = _as_in_a_run(setup, question), setup.fabric_parameters
    else:
        leaned_on = question.link
        record = _ideal(setup.name, question, _choices(schedules, question, None if algorithm == IDEAL else algorithm))
    assert leaned_on is not None
    record["assumed"] = [each.path for each in leaned_on.assumed_read()]
    record["fitted"] = [
        each.path for each in leaned_on.records if each.kind == "fitted" and each.path in leaned_on.read
    ]
    return record


def _ideal(system: str, question: Question, names: list[str]) -> dict[str, Any]:
    tried = {name: _run(question, name) for name in names}
    best = min(tried, key=lambda name: int(tried[name]["time_fs"]))
    record = _record(system, question, IDEAL_SCHEDULE, best, tried[best])
    if len(tried) > 1:
        record["tried_time_s"] = {name: result["time_fs"] / FS_PER_SECOND for name, result in tried.items()}
    return record


def _question(
    setup: SystemSetup, kind: str, bytes_: int, n_chips: int | None, topology: str | None, n_chunks: int | None
) -> Question:
    if setup.fabric_parameters is None:
        raise InputError(f"the system {setup.name} has no links", expected="a system with a fabric, such as dgx-h100")
    # Resolved anew, so that it remembers what is read for the question and not what the fabric of a run reads.
    document = document_from_text(setup.fabric_parameters.text, setup.name)
    resolved = resolve(document, LinkParameters)
    link = resolved.values
    n_ways = None
    if topology is None:
        topology, n_ways = _own_topology(link, setup.system.values.n_chips, n_chips)
    n = n_chips_of(topology)
    if n_chips not in (None, n):
        raise InputError(f"does not agree with {topology}", key="--chips", value=n_chips, expected=str(n))
    if topology.startswith("switch:") and n > link.max_chips:
        raise InputError(f"{link.name} joins fewer", key="--chips", value=n, expected=f"at most {link.max_chips} chips")
    if n_chunks is not None and not 1 <= n_chunks <= 4096:
        raise InputError("not a number of chunks", key="--chunks", value=n_chunks, expected="1 to 4096")
    local: LocalCosts = setup.chip.local_costs
    return Question(kind, bytes_, topology, n, n_chunks, resolved, local, n_ways)


def _own_topology(link: LinkParameters, n_system: int, n_chips: int | None) -> tuple[str, int | None]:
    """Return the topology of some (None: all) of a system's chips, and the neighbours that their links are made for."""
    if link.topology == "switch" or link.wiring == "free":
        return f"{link.topology}:{n_chips or n_system}", None
    if link.topology == "full":
        return f"full:{n_chips or n_system}", link.max_chips - 1
    whole = importlib.import_module("dieshot.chips.parts.links.grid").grid_of(link, n_system)
    grid = whole.part(n_chips or n_system)
    if grid is None:
        raise InputError(f"no box of {link.name}", key="--chips", value=n_chips, expected=f"a box in {whole.topology}")
    shape = ("torus" if len(grid.sides) > 1 else "ring") if any(grid.closed) else "mesh"
    return f"{shape}:{'x'.join(map(str, grid.sides))}", len(grid.lane_names)


def _pipeline(schedules: Any, question: Question, algorithm: str) -> tuple[int, int]:
    """Return the chunks and how many of them are under way at once."""
    block_bytes, most_chunks, depth = PIPELINES.get(algorithm, PIPELINE)
    one_chunk = schedules.n_transfers(question.kind, algorithm, question.n_chips, 1)
    most_chunks = min(most_chunks, MANY_TRANSFERS // one_chunk)
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
        if question.link.values.in_switch_reduction != "supported":
            return f"the switches of {question.link.values.name} do not add"
    if (question.kind, algorithm) in schedules.POWER_OF_TWO and n & (n - 1):
        return f"{n} chips are no power of two"
    n_chunks, _ = _pipeline(schedules, question, algorithm)
    if schedules.n_transfers(question.kind, algorithm, n, n_chunks) > MOST_TRANSFERS:
        return f"more than {MOST_TRANSFERS} transfers among {n} chips"
    return None


def _run(question: Question, algorithm: str) -> dict[str, Any]:
    """Return {time_fs, lanes} of one algorithm; chips start after they have told each other that they are ready."""
    parts = importlib.import_module("dieshot.chips.parts.links.collective")
    schedules = importlib.import_module("dieshot.chips.parts.links.schedule")
    simpy = importlib.import_module("simpy")
    env = simpy.Environment()
    network = parts.LinkNetwork(env, _graph(question, algorithm))
    pairs = [(0, chip) for chip in range(1, question.n_chips)]
    ready_fs = max(network.latency_fs(a, b) for a, b in pairs)
    n_chunks, depth = _pipeline(schedules, question, algorithm)
    order = ring_order(question.topology)
    plan = schedules.schedule(question.kind, algorithm, question.n_chips, question.bytes, n_chunks, depth, order)
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
    link = question.link.values
    efficiency = link.protocol_efficiency
    if algorithm == IN_SWITCH and link.in_switch_efficiency is not None:
        efficiency = link.in_switch_efficiency
    degree = question.n_ways or max(d for node, d in chip_graph(question.topology, 1, 1).out_degree() if node >= 0)
    fs_per_mib = transfer_fs(MIB * degree, int(link.n_links * link.rate * efficiency))
    latency_fs = link.hop_latency // 2 if has_switches(question.topology) else link.hop_latency
    return chip_graph(question.topology, fs_per_mib, latency_fs)


def _record(system: str, question: Question, model: str, algorithm: str, result: dict[str, Any]) -> dict[str, Any]:
    n, time_fs = question.n_chips, int(result["time_fs"])
    share = BUS_SHARES[question.kind] * (n - 1) / n if question.kind in BUS_SHARES else 1.0
    links = list(_links(result["lanes"], time_fs))
    # Half of a bit's energy is at each end: a link to a switch is half of the way from chip to chip.
    ends = 1 if has_switches(question.topology) else 2
    return {
        "system": system,
        "collective": question.kind,
        "bytes": question.bytes,
        "chips": n,
        "topology": question.topology,
        "model": model,
        "algorithm": algorithm,
        **{key: result[key] for key in ("chunks", "transfers") if key in result},
        "time_s": time_fs / FS_PER_SECOND,
        "algorithm_bytes_per_s": question.bytes * FS_PER_SECOND / time_fs,
        "bus_bandwidth_bytes_per_s": share * question.bytes * FS_PER_SECOND / time_fs,
        "link_energy_j": sum(each["bytes"] for each in links) * 8 * question.link.values.energy * ends / 2 / FJ_PER_J,
        "links": links,
    }


def _links(lanes: Mapping[Ends, Any], time_fs: int) -> Iterable[dict[str, Any]]:
    several = any(isinstance(node, int) and node < -1 for link in lanes for node in link)
    for link, lane in lanes.items():
        source, destination = (_node_name(node, several) for node in link)
        yield {
            "from": source,
            "to": destination,
            "bytes": lane.bytes,
            "utilization": lane.busy_fs / time_fs,
        }


def _node_name(node: int | str, several_switches: bool) -> int | str:
    if isinstance(node, str) or node >= 0:
        return node
    return f"switch{-1 - node}" if several_switches else "switch"


def _as_in_a_run(setup: SystemSetup, question: Question) -> dict[str, Any]:
    """Return what the same collective is in a whole run, from the very operator that a run places."""
    dims = {"elements": question.bytes, "group": question.n_chips}
    operator = make_operator("micro", RUN_OPERATORS[question.kind], dims, Formats("int8", None, "int8"), "x")
    placed = setup.placed(question.n_chips, 1)
    fabric = placed.fabric
    assert fabric is not None
    try:
        cell = fabric.carry_out(operator, question.n_chips)
    except UnsupportedError as error:
        raise InputError(str(error)) from None
    paths = [each.path.rpartition("/")[2] for each in fabric.components()]
    lines = [_carried(cell, len(placed.chip.components()) + line) for line in range(len(paths))]
    chips = range(question.n_chips)
    lanes: dict[Ends, _Carried] = {}
    if has_switches(question.topology):  # chips act alike, and one of them is recorded
        lanes.update(((SWITCH, chip), lines[1]) for chip in chips)
        lanes.update(((chip, SWITCH), lines[0]) for chip in chips)
    else:
        both = zip(paths, lines, strict=True)
        lanes.update(((ALL, path), _Carried(each.bytes * len(chips), each.busy_fs)) for path, each in both)
    model = AS_IN_A_RUN if has_switches(question.topology) else WITHOUT_SWITCH
    algorithm = cell.name.split()[1].replace("_", "-")
    return _record(setup.name, question, model, algorithm, {"time_fs": cell.duration_fs, "lanes": lanes})


@dataclass(frozen=True, slots=True)
class _Carried:
    bytes: int
    busy_fs: int


def _carried(cell: Cell, component: int) -> _Carried:
    own = cell.activity.component == component
    busy_fs = (cell.activity.end_fs - cell.activity.start_fs)[own & (cell.activity.state == BUSY)].sum()
    return _Carried(int(cell.activity.amount[own].sum()), int(busy_fs))
