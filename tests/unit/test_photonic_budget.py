"""Effective bits and areas of optical arrays, by pencil."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest

from dieshot.chips.parameters.photonic import PhotonicParameters
from dieshot.chips.parts.photonic.footprint import area_of
from dieshot.chips.parts.photonic.link_budget import bits_of, effective_bits, rounding
from dieshot.chips.parts.photonic.timing import flight_fs
from dieshot.simulator.params import find_document, parse_overrides, resolve


@cache
def parameters(chip: str = "lightmatter-2025", *sets: str) -> PhotonicParameters:
    return resolve(find_document("chips", chip), PhotonicParameters, parse_overrides(sets)).values


def amplifier_limited(p: PhotonicParameters) -> PhotonicParameters:
    """Return the chip with an amplifier so noisy that nothing else counts."""
    return replace(p, detectors=replace(p.detectors, noise_pa_per_rthz=1e5))


@pytest.mark.parametrize("bits", [4, 8, 11, 16])
def test_rounding_alone_leaves_the_bits_of_the_converter(bits: int) -> None:
    assert bits_of(rounding(bits)) == pytest.approx(bits)
    assert -10 * math.log10(rounding(bits)) == pytest.approx(6.02 * bits + 1.76, abs=0.02)  # 98 dB for 16 bits


def test_half_the_light_costs_a_bit_where_the_amplifier_limits() -> None:
    p = amplifier_limited(parameters())
    darker = replace(p, optics=replace(p.optics, loss_db=p.optics.loss_db + 10 * math.log10(2)))
    assert effective_bits(p).limit == "amplifier"
    assert effective_bits(p).bits - effective_bits(darker).bits == pytest.approx(1, abs=1e-3)
    assert effective_bits(p).detector_mw == pytest.approx(2 * effective_bits(darker).detector_mw)


def test_half_the_light_costs_half_a_bit_where_photons_limit_and_none_where_the_laser_does() -> None:
    p = parameters()
    quiet = replace(p.detectors, noise_pa_per_rthz=0.0, crosstalk_db=-200.0, bits=30)
    shot = replace(p, detectors=quiet, laser=replace(p.laser, rin_db_per_hz=-300.0))
    laser = replace(p, detectors=quiet, laser=replace(p.laser, rin_db_per_hz=-110.0))
    for each, lost in ((shot, 0.5), (laser, 0.0)):
        darker = replace(each, optics=replace(each.optics, loss_db=each.optics.loss_db + 10 * math.log10(2)))
        assert effective_bits(each).optical_bits - effective_bits(darker).optical_bits == pytest.approx(lost, abs=0.01)


def test_noise_of_the_detector_by_pencil() -> None:
    p = parameters()
    budget = effective_bits(p)
    # 1.6 W over 4 arrays and 128 outputs, 9.2 dB lost: 0.376 mW and as many mA.
    current = 1.6 / 512 * 10**-0.92
    assert budget.detector_mw == pytest.approx(1e3 * current)
    bandwidth = p.inputs.rate / 2
    assert budget.noise["shot"] == pytest.approx(8 * 1.602e-19 * bandwidth / current, rel=1e-3)
    assert budget.noise["amplifier"] == pytest.approx(4 * 1e-22 * bandwidth / current**2, rel=1e-3)
    assert budget.noise["laser_intensity"] == pytest.approx(2e-15 * bandwidth, rel=1e-3)
    assert budget.bits < budget.optical_bits < 10
    assert budget.bits - budget.typical_bits == pytest.approx(3.5)  # half of the 7 bits of 128 inputs


def test_crosstalk_of_fields_costs_twice_that_of_powers() -> None:
    p = parameters()
    field = replace(p, detectors=replace(p.detectors, detection="field"))
    assert effective_bits(p).noise["crosstalk"] == pytest.approx(2 * 10**-6)
    assert effective_bits(field).noise["crosstalk"] == pytest.approx(2 * 10**-3)


def test_a_mesh_of_128_loses_what_a_crossbar_does_not() -> None:
    mesh = parameters("mzi-mesh", "array.rows=128", "array.columns=128")
    assert mesh.optics.elements == 257
    assert mesh.optics.elements * mesh.optics.element_db == pytest.approx(2 * 25.6, abs=0.3)  # 26 dB a unitary mesh
    crossbar = replace(mesh, optics=parameters().optics)
    assert effective_bits(crossbar).bits - effective_bits(mesh).bits > 3


def test_light_takes_14_ps_a_mm_of_silicon() -> None:
    assert flight_fs(parameters()) == pytest.approx(20 * 14e3, rel=0.01)
    assert flight_fs(parameters("qant-npu2")) == pytest.approx(30 * 7.5e3, rel=0.01)


def test_lengths_of_devices_not_the_wavelength_set_the_size_of_a_cell() -> None:
    area = area_of(parameters())
    assert area.half_wavelength_um == pytest.approx(1.31 / 4.8)
    assert area.cell_length_um == pytest.approx(100 + 2 * 30 + 2 * 10)
    assert area.cell_width_um == pytest.approx(2 * 10 + 2 * 5)
    assert area.arrays_mm2 == pytest.approx(4 * 128 * 128 * area.cell_um2 * 1e-6)
    assert area.cell_um2 < 6400  # units below 0.0064 mm2 have been made
    assert area.area_ratio_to_die == pytest.approx(area.cell_um2 / (814e6 / (132 * 4096)))
    assert area.area_ratio_to_cell == pytest.approx(90)
    longer = area_of(parameters("lightmatter-2025", "footprint.shifter=0.2mm"))
    assert longer.cell_um2 - area.cell_um2 == pytest.approx(100 * 30)
    assert area.half_wavelength_um == longer.half_wavelength_um
