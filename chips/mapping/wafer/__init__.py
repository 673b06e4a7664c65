"""Operators to phases of regions of PEs, and regions to a wafer."""
