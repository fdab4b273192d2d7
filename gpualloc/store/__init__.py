"""SQLite: state.db (workloads, plans, runs, audit) and history.db (samples)."""
