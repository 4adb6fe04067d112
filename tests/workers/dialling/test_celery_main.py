"""``celery -A workers.dialling.celery_main``: what an operator starts by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "TWILIO_ACCOUNT_SID: is not set"),
        ({"EVERCALL_BROKER_URL": "kafka://host"}, "EVERCALL_BROKER_URL: must begin with redis://"),
    ],
)
def test_a_worker_says_what_it_lacks_and_does_not_start(
    environment: dict[str, str], line: str, tmp_path: Path
) -> None:
    """With exit code 2, which ``evercall up`` takes for final."""
    ours = ("EVERCALL_", "TWILIO_", "GOOGLE_", "GEMINI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept |= {"PYTHONPATH": str(Path.cwd()), "EVERCALL_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.dialling.celery_main", "worker", "-c", "1"],
        env={**kept, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert line in done.stderr
    assert "Traceback" not in done.stderr
