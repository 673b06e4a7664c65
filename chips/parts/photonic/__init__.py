"""Parts of a chip of optical arrays."""
