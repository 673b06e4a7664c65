"""Studies: what a user asks for, as plain functions."""
