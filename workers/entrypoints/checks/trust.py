"""Whose certificates are believed."""

from __future__ import annotations

import ssl
from pathlib import Path


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """What the checks' own connections trust. Reads files for tens of milliseconds.

    Raises:
        OSError: the file cannot be used.
    """
    return ssl.create_default_context(cafile=ca_file)
