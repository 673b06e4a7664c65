"""Many runs: what to run, carried out by one of several engines, kept in one store."""
