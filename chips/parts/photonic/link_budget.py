"""How many bits the light of an array carries: laser, losses, and the noise of detectors and converters.

Signal and noise are those of one output at full scale: all inputs and weights at their largest. What a sine wave of
that swing has to noise is the usual measure of converters: effective bits = (SNR in dB - 1.76) / 6.02.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dieshot.chips.parameters.photonic import PhotonicParameters

ELECTRON_C = 1.602176634e-19
DB_PER_BIT = 20 * math.log10(2)
SINE_DB = 10 * math.log10(1.5)


@dataclass(frozen=True, slots=True)
class LinkBudget:
    """detector_mw: light on one output at full scale; loss_db: from laser to detector, without dividing among outputs.

    noise: its sources' power relative to the signal's; bits: effective bits of one output at full scale; typical_bits:
    of a sum of independent random products, whose swing grows with the root of their number alone; optical_bits:
    before the output's converter and without the operands' rounding.
    """

    detector_mw: float
    loss_db: float
    noise: dict[str, float]
    optical_bits: float
    bits: float
    typical_bits: float

    @property
    def limit(self) -> str:
        """The largest source of noise."""
        return max(self.noise, key=self.noise.__getitem__)


def effective_bits(p: PhotonicParameters) -> LinkBudget:
    """Return the budget of one array's output."""
    detectors = p.detectors
    loss_db = p.optics.loss_db
    detector_mw = p.laser.optical_power / p.cores / p.array.columns * 10 ** (-loss_db / 10)
    current = detector_mw * 1e-3 * detectors.responsivity_a_per_w
    bandwidth = detectors.rate / 2
    # Two diodes take the difference: full scale either way, and the noise of both.
    signal = current**2 / 2
    neighbour_db = detectors.crosstalk_db * (2 if detectors.detection == "power" else 1)
    optical = {
        "shot": 2 * 2 * ELECTRON_C * current * bandwidth / signal,
        "amplifier": 2 * (detectors.noise_pa_per_rthz * 1e-12) ** 2 * bandwidth / signal,
        "laser_intensity": 10 ** (p.laser.rin_db_per_hz / 10) * bandwidth * current**2 / signal,
        "crosstalk": 2 * 10 ** (neighbour_db / 10),
    }
    converters = {
        "inputs": rounding(p.inputs.bits) / p.array.rows,
        "weights": rounding(p.weights.bits) / p.array.rows,
        "outputs": rounding(detectors.bits),
    }
    noise = optical | converters
    bits = bits_of(sum(noise.values()))
    typical = bits - math.log2(p.array.rows) / 2
    return LinkBudget(detector_mw, loss_db, noise, bits_of(sum(optical.values())), bits, typical)


def rounding(bits: int) -> float:
    """Return the noise of rounding to a number of bits, relative to a sine wave of full scale."""
    return float(10 ** (-(DB_PER_BIT * bits + SINE_DB) / 10))


def bits_of(noise: float) -> float:
    """Return effective bits where noise has a power relative to a sine wave of full scale."""
    return (-10 * math.log10(noise) - SINE_DB) / DB_PER_BIT
