"""What keeps a load test from being made."""

from __future__ import annotations


class LoadTestError(Exception):
    """It cannot be made; the text is a sentence for whoever wants it."""
