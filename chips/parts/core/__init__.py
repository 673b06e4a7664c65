"""Systolic arrays, and cores with a scratchpad."""
