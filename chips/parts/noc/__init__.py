"""Networks on a die."""
