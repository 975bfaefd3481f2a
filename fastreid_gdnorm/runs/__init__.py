"""What is in a run's folder and who may change it: configs, checkpoints, results, cached rows."""
