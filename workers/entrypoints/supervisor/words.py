"""What parent and child tell each other: a word a line, over one socket pair for each child.

The parent's end closes when the parent dies, however it dies. A child then leaves.
"""

from __future__ import annotations

from typing import Final

READY: Final = "ready"
"""Child: I serve."""
RECYCLE: Final = "recycle"
"""Child: replace me. The reason follows."""
LEAVE: Final = "leave"
"""Parent: as on SIGTERM. Not by SIGTERM itself, because systemd and others send that to parent and
children alike, and the second one would hurry."""
REPLACED: Final = "leave replaced"
"""Parent: the same, and new connections are another one's."""
HURRY: Final = "hurry"
"""Parent: as on a second SIGTERM."""
# Longer than any line of these; what goes on and on without an end is no line.
_MAX_CHARS: Final = 256


class Lines:
    """Bytes as they come in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete by now."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_MAX_CHARS]
        return [line.decode("ascii", "replace") for line in lines]
