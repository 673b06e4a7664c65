"""Parts of a GPU's die."""
