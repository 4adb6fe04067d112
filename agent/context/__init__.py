"""What the model holds of a long call: its size, its summary, what a fresh session is told."""
