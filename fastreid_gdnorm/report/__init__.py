"""Tables, figures and pages: about runs, path sweeps and searches."""
