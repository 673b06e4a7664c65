"""How a model's operators become passes of the parts of a block that has their weights in ROM."""
