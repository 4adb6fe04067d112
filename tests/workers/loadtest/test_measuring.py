"""The process that measures calls takes nothing from those that make them."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from workers.loadtest import measuring


@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
def test_measuring_has_what_nobody_else_wants() -> None:
    """Whoever wakes up has the processor at once, not at the end of its slice."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, measuring._settle) as pool:
        assert pool.submit(os.sched_getscheduler, 0).result(30) == os.SCHED_IDLE
        assert pool.submit(os.nice, 0).result(30) == 19
