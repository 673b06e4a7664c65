"""The command line: one thin file per verb, tables and progress. Everything heavy is imported inside functions."""
