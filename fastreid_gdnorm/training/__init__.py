"""What the plugin adds to training: hooks, population statistics, progress."""
