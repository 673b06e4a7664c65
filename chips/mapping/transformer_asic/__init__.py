"""How operators become groups of fixed units, and groups the programs of a chip with large arrays."""
