"""Chips of compute and memory tiles that a compiler joins to a pipeline in space: a layer is one region without a
launch inside, weights and cache stream from HBM through it, and the streams of the next layer begin while it drains."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from dieshot.chips.mapping.dataflow.lower import Lowering, successors
from dieshot.chips.mapping.dataflow.machine import DataflowMachine
from dieshot.chips.mapping.dataflow.stage import Region
from dieshot.chips.parameters.power import watts
from dieshot.chips.parameters.reconfigurable_dataflow import (
    Ddr,
    ReconfigurableDataflowParameters,
    check_feasible,
    path_fs,
    stream_room,
)
from dieshot.chips.parameters.systolic import Stacks
from dieshot.chips.parts.dataflow.die import N_SHARED, Die, RegionRun, piece_of
from dieshot.chips.parts.dataflow.lines import lines
from dieshot.chips.parts.dataflow.model_switch import switch_cells
from dieshot.chips.parts.dataflow.timing import DataflowTiming, Handover
from dieshot.chips.parts.links.fabric_choice import choose_fabric
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import MIB, HbmDesign, hbm_design
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import MATRIX_FORMATS, OperatorOutcome, Resource, UnsupportedError
from dieshot.simulator.engine.clock import transfer_fs
from dieshot.simulator.engine.cut import cut
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import COLLECTIVES, StepLike
from dieshot.simulator.params import LinkParameters
from dieshot.traces import Trace
from dieshot.traces.operator import Operator

GB = 1e9


class ReconfigurableDataflow(FusingChip[Handover]):
    """One socket, its links to others among its parts; cells are kept by stretch and by what was left before it."""

    Parameters = ReconfigurableDataflowParameters
    collectives_inside = True
    pads_shards = True
    main_kind = "pcu"
    resources: ClassVar[Mapping[str, Resource]] = {
        "HBM": Resource(("hbm_channel", "stall_refresh"), ("chip.hbm.pin_rate=*{}",)),
        "DDR": Resource(("ddr_channel",), ("chip.ddr.memory.timings.tCK=/{}",)),
        "memory latency": Resource(("stall_memory",), ("chip.hbm.idle_latency=/{}",)),
        "PCUs": Resource(
            ("pcu",), (*(f"chip.pcu.mac_rate.{each}=*{{}}" for each in MATRIX_FORMATS), "chip.pcu.reduction=/{}")
        ),
        "SIMD": Resource(("simd",), ("chip.pcu.tail_rate=*{}",)),
        "PMUs": Resource(("pmu",), ("chip.pmu.read=*{}", "chip.pmu.write=*{}", "chip.pmu.access=/{}")),
        "mesh": Resource(("mesh",), ("chip.mesh.width=*{}", "chip.mesh.hop=/{}", "chip.mesh.die_crossing=/{}")),
        "address units": Resource(("agcu", "stall_credit"), ("chip.agcu.window=*{}", "chip.agcu.credit=/{}")),
        "program": Resource(("stall_launch", "idle"), ("chip.program.start=/{}",)),
    }

    def __init__(self, parameters: ReconfigurableDataflowParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.machine = DataflowMachine(parameters)
        self.clock = self.machine.clock
        self.lowering = Lowering(self.machine)
        p = parameters
        self.hbm = _design(p.hbm, p.hbm.stacks, path_fs(p.hbm))
        self.ddr = _design(p.ddr, p.ddr.modules, path_fs(p.ddr))
        self._link: LinkParameters | None = None
        self._fabric: Fabric | None = None
        self._tied = False
        self._model_bytes = 0
        self._cells: dict[Hashable, tuple[OperatorOutcome[Handover], ...]] = {}

    def attach(self, link: LinkParameters, group: int) -> None:
        """Learn the links and how many sockets a stage has; see Chip."""
        self._link = link
        own = len(lines(self.machine, self.hbm, self.ddr))
        self._fabric = choose_fabric(link, self.local_costs, own, link.laid_for or link.max_chips, group)
        self._cells.clear()

    @property
    def memory_bytes(self) -> int:
        """HBM of a socket."""
        return self.parameters.hbm.capacity

    def working_bytes(self, operator: Operator) -> int:
        """Return nothing: activations stay in memory units, token tile after token tile."""
        return 0

    @property
    def initial_state(self) -> Handover:
        """Before the first forward pass: nothing fetched, and the model perhaps in DDR still."""
        return Handover(loaded=not self.parameters.ddr.model_switch)

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Average power of a socket with its share of the host, by reports of racks."""
        return {"average": watts(self.parameters.power.average)}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates by format (MAC/s), HBM bandwidth, links of one way (B/s), SIMD rate (op/s)."""
        p = self.parameters
        rates = {f"mac:{dtype}": float(p.pcu.count * rate * p.clock) for dtype, rate in p.pcu.mac_rate.items()}
        return rates | {
            "memory": self.hbm.bytes_per_s,
            "link": float(self._link.n_links * self._link.rate) if self._link else 0.0,
            "vector": float(p.pcu.count * p.pcu.lanes * p.pcu.stages * p.clock),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return a line for every strip of PCUs, mesh, memory units, SIMD work, AGCUs, pins of the HBM, then links."""
        fabric = self._fabric.components() if self._fabric else ()
        return [*lines(self.machine, self.hbm, self.ddr), *fabric]

    def admit(self, trace: Trace) -> None:
        """Note whether embedding and head are one table; see Chip."""
        self._tied = trace.model.tie_word_embeddings

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse formats that PCUs do not multiply, and learn what follows what, to fetch ahead; see Chip."""
        lowering = self.lowering
        lowering.follow = {}
        keys: dict[int, Hashable] = {}
        prefixes: dict[Hashable, int] = {}
        orders = []
        for step in (step for steps in stages for step in steps):
            for block in step.blocks:
                if id(block.operators) not in keys:
                    for operator in block.operators:
                        self._refuse(operator)
                    key = keys[id(block.operators)] = lowering.key(block.operators)
                    if key not in prefixes:
                        prefixes[key] = lowering.region(block.operators).prefix_bytes
            named = [(keys[id(block.operators)], block.repeat) for block in step.blocks]
            orders.append([(key, repeat, prefixes[key]) for key, repeat in named])
        room = stream_room(self.parameters) // 2
        lowering.follow = {key: min(room, n_bytes) for key, n_bytes in successors(orders).items()}
        self._cells.clear()
        if self.parameters.ddr.model_switch:
            self._model_bytes = self._copied_bytes(stages)

    def _copied_bytes(self, stages: Sequence[Sequence[StepLike]]) -> int:
        """Return the bytes of parameters that a switch of models copies; UnsupportedError where it is not simulated."""
        name, capacity = self.parameters.name, self.parameters.ddr.capacity
        if len(stages) > 1:
            raise UnsupportedError(f"{name}: a switch of models is simulated for one stage, not {len(stages)}")
        blocks = max((step.blocks for step in stages[0]), key=len)
        tables = [self.stored_weight_bytes(op) for b in blocks for op in b.operators if op.kind == "embedding"]
        total = sum(b.repeat * sum(map(self.stored_weight_bytes, b.operators)) for b in blocks)
        total -= sum(tables) if self._tied else 0
        if total > capacity:
            raise UnsupportedError(
                f"{name}: {total / 1e9:.1f} GB of weights do not lie in {capacity / 1e9:.1f} GB of DDR"
            )
        return total

    def carry_out_all(
        self, operators: Sequence[Operator], state: Handover, record: bool = True
    ) -> tuple[OperatorOutcome[Handover], ...]:
        """Simulate a stretch as one region, and cut it at the ends of its operators; see Chip."""
        for operator in operators:
            self._refuse(operator)
        key = (self.lowering.key(operators), state, record)
        if key not in self._cells and not state.loaded:
            first, *others = self.carry_out_all(operators, replace(state, loaded=True), record)
            copied = switch_cells(self.machine, self.hbm, self.ddr, self._model_bytes)
            loaded = OperatorOutcome((*copied, *first.cells), first.state)
            self._cells[key] = (loaded, *others)
        if key not in self._cells:
            region = self.lowering.region(operators)
            self._cells[key] = self._outcomes(key, region, self._die().run(region, state, record))
        return self._cells[key]

    def drain(self, state: Handover) -> tuple[Cell | None, Handover]:
        """Nothing is under way after the last stretch of a step, which fetches nothing ahead; see Chip."""
        return None, Handover()

    @property
    def local_costs(self) -> LocalCosts:
        """A collective begins and ends as a stage; a strip adds copies as fast as its memory units deliver them."""
        p = self.parameters
        period = self.clock.period_fs
        add_fs_per_mib = transfer_fs(MIB, self.machine.strip * p.pmu.read * p.clock)
        return LocalCosts(period, self.clock.fs(p.pmu.access), self.clock.fs(p.pmu.access), add_fs_per_mib)

    def _die(self) -> Die:
        p = self.parameters
        timing = DataflowTiming(
            period_fs=self.clock.period_fs,
            hbm=self.hbm,
            room_bytes=stream_room(p),
            transfer_bytes=p.agcu.transfer,
            under_way=p.agcu.window // p.agcu.transfer,
            credit_fs=self.clock.fs(p.agcu.credit),
            width=p.mesh.width,
            start_fs=p.program.start,
            collective=self._collective,
        )
        return Die(self.machine, timing, p.mesh.columns + N_SHARED)

    def _collective(self, operator: Operator) -> Cell:
        if self._fabric is None:
            raise UnsupportedError(f"{self.parameters.name} has no links in a system without a fabric")
        return self._fabric.carry_out(operator, operator.dims.get("group", 1))

    def _outcomes(self, key: Hashable, region: Region, run: RegionRun) -> tuple[OperatorOutcome[Handover], ...]:
        outcomes = []
        begin = 0
        energies = self._energies(region)
        for index, (stage, end, part) in enumerate(
            zip(region.stages, run.ends_fs, cut(run.activity, run.ends_fs), strict=True)
        ):
            operator, work = stage.operator, stage.work
            counters = {"macs": operator.macs, "padded_macs": work.spare_macs}
            if index == len(region.stages) - 1:
                counters |= run.counters
            name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
            cell = Cell((key, index), name, operator.kind, end - begin, part, energies, counters)
            outcomes.append(OperatorOutcome((cell,), run.left))
            begin = end
        return tuple(outcomes)

    def _energies(self, region: Region) -> dict[str, int]:
        """Return event energies (fJ); those of MACs of the format that most of a region's are in."""
        energy = self.parameters.energy
        macs: dict[str, int] = {}
        for stage in region.stages:
            macs[stage.work.dtype] = macs.get(stage.work.dtype, 0) + stage.work.macs
        dtype = max(macs, key=lambda name: macs[name])
        links: dict[str, int] = {}
        for stage in region.stages:
            if stage.collective:
                links |= self._collective(piece_of(stage.operator, region.token_tiles)).fj_per_amount
        return {
            "pcu": energy.mac[dtype] if macs[dtype] else 0,
            "mesh": energy.hop,
            "pmu": energy.sram,
            "simd": energy.simd_op,
            "hbm_channel": round(energy.hbm * 8),
        } | links

    def _refuse(self, operator: Operator) -> None:
        p = self.parameters
        for dtype in (
            {operator.dtype, operator.weight_dtype} if operator.macs and operator.kind not in COLLECTIVES else ()
        ):
            if dtype is not None and dtype not in p.pcu.mac_rate:
                raise UnsupportedError(
                    f"{p.name} does not multiply {dtype} (operator {operator.name}); it multiplies "
                    f"{', '.join(sorted(p.pcu.mac_rate))}"
                )
        if operator.kv_dtype is not None and operator.kv_dtype not in p.pcu.mac_rate:
            raise UnsupportedError(
                f"{p.name} keeps no KV cache in {operator.kv_dtype} (operator {operator.name}); it keeps "
                f"{', '.join(sorted(p.pcu.mac_rate))}"
            )


def _design(memory: Stacks | Ddr, stacks: int, path_fs: int) -> HbmDesign:
    n_channels = stacks * memory.memory.geometry.n_channels
    policy = ControllerPolicy(queue=memory.queue, refresh=memory.refresh, n_channels=n_channels)
    return hbm_design(memory.memory, policy, memory.interleave, path_fs, 0)
