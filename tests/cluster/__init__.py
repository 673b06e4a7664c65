"""Sweeps on real clusters: Dask's processes and Slurm's daemons, all on this machine's loopback."""
