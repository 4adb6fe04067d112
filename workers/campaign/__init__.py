"""Outbound campaigns: whom to call, when, how fast, and what became of it."""
