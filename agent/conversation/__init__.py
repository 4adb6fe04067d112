"""What was said and heard, and the record of a call."""
