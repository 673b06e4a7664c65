"""Timing of a photonic chip's parts from its parameters: what limits the issue of vectors, and what a pass takes."""

from __future__ import annotations

from dieshot.chips.parameters.photonic import PhotonicParameters
from dieshot.chips.parts.photonic.host_memory import stream_bytes_per_s
from dieshot.chips.parts.photonic.program import HostTiming, PhotonicTiming
from dieshot.simulator.engine.clock import FS_PER_SECOND, Clock

C_MM_PER_S = 299_792_458_000
SUM_BYTES = 8  # of 4, read and written
VALUE_BYTES = 2


def issue_limits_fs(p: PhotonicParameters) -> dict[str, int]:
    """Return the time between two vectors that each part of an array allows; the largest is the issue interval."""
    columns, rows = p.array.columns, p.array.rows
    clock = Clock.from_hz(p.clock).period_fs
    sums = -(-int(columns * p.accumulator.ops_per_sum) // p.accumulator.rate)
    moved = -(-(rows * VALUE_BYTES + columns * SUM_BYTES) // p.sram.bandwidth)
    return {
        "input_dac": FS_PER_SECOND // p.inputs.rate,
        "adc": -(-columns // p.detectors.lanes) * FS_PER_SECOND // p.detectors.rate,
        "accumulator": sums * clock,
        "sram": moved * clock,
    }


def flight_fs(p: PhotonicParameters) -> int:
    """Return the time of flight through the optics."""
    return round(p.optics.path * p.optics.group_index * FS_PER_SECOND / C_MM_PER_S)


def laser_mw(p: PhotonicParameters) -> int:
    """Return the electrical power of the laser."""
    return round(p.laser.optical_power / p.laser.wall_plug)


def timing_of(p: PhotonicParameters) -> PhotonicTiming:
    """Return what the parts need to know."""
    period = Clock.from_hz(p.clock).period_fs
    memory = stream_bytes_per_s(p.host.memory, p.host.channels)
    return PhotonicTiming(
        n_cores=p.cores,
        period_fs=period,
        issue_fs=max(issue_limits_fs(p).values()),
        buffers=p.weights.buffers,
        dac_fs=p.inputs.latency + p.inputs.modulator,
        flight_fs=flight_fs(p),
        amplifier_fs=p.detectors.amplifier,
        adc_fs=p.detectors.latency,
        sum_fs=p.accumulator.latency * period,
        weight_sram_bytes=p.sram.weights,
        host=HostTiming(memory, p.host.link, p.host.latency, p.host.buffers),
    )
