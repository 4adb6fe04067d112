"""Logs of what fails on purpose, in plain text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _plain_tracebacks() -> Iterator[None]:
    # By default rich draws each with all locals, for a third of a second, in a transaction that is
    # open: on a slow machine PostgreSQL ended it as idle.
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    before = structlog.get_config()
    structlog.configure(processors=[*before["processors"][:-1], plain])
    yield
    structlog.configure(**before)
