"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine, which has other things to do.
settings.register_profile("evercall", deadline=None)
settings.load_profile("evercall")

# Minutes each, in one process, since a file is not divided: begun last, they would be waited for.
LONGEST = [
    Path(__file__).parent / name
    for name in ("workers/entrypoints/test_demo.py", "scenarios/test_long_call.py")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    items.sort(key=lambda item: item.path not in LONGEST)
