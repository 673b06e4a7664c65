"""The lasers of a chip's links: they burn the whole time, whether bits flow or not."""

from __future__ import annotations

from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.params import LinkParameters

KIND = "link_laser"
CYCLE_FS = 10**6  # of their line in the log; a milliwatt is a whole number of fJ in it
FJ_PER_MW_CYCLE = CYCLE_FS // 1000


def laser_lines(parameters: LinkParameters) -> list[ComponentSpec]:
    """Return the line of a chip's lasers, one laser for each link; none where the links have no light."""
    power_mw = parameters.laser_power
    if not power_mw:
        return []
    return [ComponentSpec("link/laser", KIND, CYCLE_FS, "byte", 0, FJ_PER_MW_CYCLE * power_mw, parameters.n_links)]
