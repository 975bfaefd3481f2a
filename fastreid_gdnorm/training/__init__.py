"""Training additions: hooks, population statistics and progress."""
