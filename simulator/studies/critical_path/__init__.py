"""The chain of operators and resources that sets a run's time, and what each would give if it were free."""
