"""Dialling campaigns: what looks for work, what does it, and what sends both out."""
