"""Memories: DRAM stacks and channels, SRAM banks."""
