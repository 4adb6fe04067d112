"""What must not be in a text that goes to a model."""

from __future__ import annotations

import re
from typing import Final

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of surrogate pairs, which end a session (observed: roomkit)."""
