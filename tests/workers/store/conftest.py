"""A PostgreSQL for the contract tests: a given one, else a throw-away cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

GIVEN = "EVERCALL_TEST_POSTGRESQL_URL"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    # Debian keeps the server's programs off the path.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(path) for path in [shutil.which("initdb")] if path
    ]
    if not found:
        pytest.skip(f"no PostgreSQL here, and {GIVEN} names none")
    programs = found[-1].parent
    # PostgreSQL refuses to run as root; pytest's own directories are closed to others.
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="evercall-pg-"))
    data = home / "data"
    try:
        if user is not None:
            shutil.chown(home, user)

        def run(*command: str) -> None:
            subprocess.run(
                command, user=user, check=True, capture_output=True, timeout=60, cwd=home
            )

        run(str(programs / "initdb"), "-D", str(data), "-U", "test", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off"
        log = str(home / "log")
        run(str(programs / "pg_ctl"), "-D", str(data), "-l", log, "-w", "-o", options, "start")
        try:
            yield f"postgresql://test@/postgres?host={home}"
        finally:
            run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
