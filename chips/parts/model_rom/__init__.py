"""Parts of a block that has its weights in ROM: lanes, vector lanes, cache with its multipliers, bus."""
