"""Parts of a chip of systolic cores."""
