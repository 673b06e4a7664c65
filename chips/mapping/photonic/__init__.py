"""From operators to the program of a chip of optical arrays."""
