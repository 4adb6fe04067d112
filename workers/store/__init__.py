"""What is kept of calls, in SQL."""
