"""Operators to programs of systolic cores."""
