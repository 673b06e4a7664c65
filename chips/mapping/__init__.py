"""How a GPU's library turns an operator into kernels: tile shapes, splits, orders of CTAs."""
