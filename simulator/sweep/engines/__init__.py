"""Ways to carry out the runs of a sweep: here, in worker processes, on a cluster."""
