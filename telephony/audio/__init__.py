"""G.711, resampling and 20 ms frames."""
