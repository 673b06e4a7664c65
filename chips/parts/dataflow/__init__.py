"""Parts of a chip of compute and memory tiles that a compiler joins to a pipeline."""
