"""The results of sweeps: a ledger of runs in SQLite, their figures in Parquet, and questions to both."""
