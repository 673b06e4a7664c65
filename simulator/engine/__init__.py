"""The engine: integer time, SimPy components and ports, regions and cells, the machine level. Nothing chip-specific."""
