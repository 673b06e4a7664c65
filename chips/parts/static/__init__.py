"""Parts of a statically scheduled chip, which act out a program and check it."""
