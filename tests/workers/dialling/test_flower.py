"""Flower, as it is, works against ours."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.workers.dialling.rig import rigged
from workers.entrypoints.free_port import free_port

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("kind", ["redis", "embedded"])
def test_flower_sees_the_worker_and_its_tasks(kind: str, tmp_path: Path) -> None:
    """By its own API: a worker that is there, and a tick that has succeeded."""
    if importlib.util.find_spec("flower") is None:
        pytest.skip("flower is not installed")
    port = free_port()

    def asked(path: str) -> dict[str, Any]:
        with suppress(httpx.HTTPError):
            answer = httpx.get(f"http://127.0.0.1:{port}/api/{path}", trust_env=False, timeout=20)
            if answer.is_success:
                return dict(answer.json())
        return {}

    with rigged(kind, tmp_path) as rig:
        # Its API is closed to strangers unless it is told otherwise, or has passwords.
        rig.environment = {**rig.environment, "FLOWER_UNAUTHENTICATED_API": "true"}
        rig.worker()
        rig.beat()
        rig.start("flower", "--address=127.0.0.1", f"--port={port}")
        rig.wait_until(lambda: len(asked("workers?refresh=1&status=1")) == 1, "worker in Flower")
        rig.wait_until(
            lambda: any(
                task["name"] == "evercall.tick" and task["state"] == "SUCCESS"
                for task in asked("tasks?limit=50").values()
            ),
            "tick in Flower",
        )
