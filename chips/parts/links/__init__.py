"""Links between chips, the fabrics that they make, and collectives on them."""
