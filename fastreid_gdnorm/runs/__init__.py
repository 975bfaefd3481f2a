"""Runs: the contents of a run's folder, how commands start them, and how several processes share one."""
