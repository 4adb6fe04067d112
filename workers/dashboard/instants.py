"""Instants as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """``24 Nov, 14:00:05``; with its year where that is not clear from the page's head."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S}"
