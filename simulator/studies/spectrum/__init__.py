"""The spectrum: one model on every system, beside what is published."""

from dieshot.simulator.studies.spectrum.spectrum import explain_row, spectrum

__all__ = ["explain_row", "spectrum"]
