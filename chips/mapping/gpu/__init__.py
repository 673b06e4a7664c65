"""Operators to kernels of a GPU: tilings, splits, what stays in the L2."""
