"""Cycle-level discrete-event simulator of AI inference chips."""

__version__ = "0.1.0"
