"""The log of a run: one HDF5 file, written by `recorder` alone, read by `reader`."""
