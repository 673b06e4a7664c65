"""What is shown of results: rows of tables, plots, pages. Knows nothing of how they came about."""
