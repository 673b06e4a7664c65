"""Parts of a chip with fixed operator units behind large arrays."""
