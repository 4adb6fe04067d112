"""Load tests: simulated callers on a worker, and what they experience."""
