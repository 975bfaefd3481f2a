"""What trains beside fast-reid's trainer: its hooks, population statistics, progress."""
