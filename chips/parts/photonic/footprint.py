"""Area of an optical multiplier from the lengths of its parts, beside that of a digital one.

Light cannot be guided in less than about half its wavelength in the material; what sets the size of a cell is the
length in which a phase shifts, and the radius in which light bends.
"""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.parameters.photonic import PhotonicParameters
from dieshot.chips.parts.photonic.timing import timing_of

UM = 1000  # in a mm
FS_PER_SECOND = 1e15


@dataclass(frozen=True, slots=True)
class Area:
    """half_wavelength_um: of the guided mode, the least width of a guide. cell_um2: of one multiplier; of a digital one
    alone, and with its share of a die. arrays_mm2: all cells. macs_per_s_mm2: of cells at their rate, and of a die."""

    half_wavelength_um: float
    cell_length_um: float
    cell_width_um: float
    cell_um2: float
    electronic_cell_um2: float
    electronic_die_um2: float
    arrays_mm2: float
    macs_per_s_mm2: float
    electronic_macs_per_s_mm2: float

    @property
    def area_ratio_to_cell(self) -> float:
        """How many times the area of a digital multiplier alone one in optics takes."""
        return self.cell_um2 / self.electronic_cell_um2

    @property
    def area_ratio_to_die(self) -> float:
        """The same, to a digital multiplier with its share of memory, links and all else on a die."""
        return self.cell_um2 / self.electronic_die_um2


def area_of(p: PhotonicParameters) -> Area:
    """Return the areas of a chip's cells: shifters and couplers in a row, a bend at either end, two guides abreast."""
    f = p.footprint
    length = f.shifters * f.shifter + f.couplers * f.coupler + 2 * f.bend_radius
    width = 2 * f.bend_radius + 2 * f.pitch
    cell = length * width
    rate = FS_PER_SECOND / timing_of(p).issue_fs
    return Area(
        half_wavelength_um=UM * f.wavelength / (2 * f.mode_index),
        cell_length_um=UM * length,
        cell_width_um=UM * width,
        cell_um2=UM**2 * cell,
        electronic_cell_um2=UM**2 * f.electronic_cell,
        electronic_die_um2=UM**2 * f.electronic_mac,
        arrays_mm2=p.cores * p.array.rows * p.array.columns * cell,
        macs_per_s_mm2=rate / cell,
        electronic_macs_per_s_mm2=f.electronic_clock / f.electronic_mac,
    )
