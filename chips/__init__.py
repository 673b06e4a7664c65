"""Architecture models, one file per family, found by the name of the file."""
