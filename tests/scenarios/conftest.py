"""Scenarios run on uvloop, as the worker does, and in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

HERE = Path(__file__).parent
VIRTUAL = HERE / "test_long_call.py"
"""Has a clock of its own, and computes all the time."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


# Before pytest looks at the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole calls, which ``make test`` keeps apart from tests that compute."""
    for item in items:
        if item.path.parent == HERE and item.path != VIRTUAL:
            item.add_marker("real_time")
