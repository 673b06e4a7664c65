"""The compiler of statically scheduled chips."""
