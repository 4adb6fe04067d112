"""A throw-away PostgreSQL of one's own, that can be taken away and given back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_TIMEOUT_S = 60


class NoPostgresqlError(Exception):
    """There is none on this machine."""


class Postgresql:
    """A cluster that listens on a socket in a folder of its own."""

    def __init__(self, home: Path, programs: Path) -> None:
        self._home = home
        self._programs = programs
        self._data = home / "data"
        # PostgreSQL refuses to run as root; pytest's own directories are closed to others.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._numbers = count(1)
        if self._user is not None:
            shutil.chown(home, self._user)
        self._run("initdb", "-D", str(self._data), "-U", "test", "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        """The address of the database that is there from the beginning."""
        return self._url("postgres")

    def fresh(self) -> str:
        """Make an empty database; returns its address."""
        name = f"fresh_{next(self._numbers)}"
        self._run("createdb", "-h", str(self._home), "-U", "test", name)
        return self._url(name)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._home} -c fsync=off"
        log = str(self._home / "log")
        self._control("-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Take it away, as a crash does: every connection breaks off."""
        self._control("-m", "immediate", "stop")

    def _url(self, name: str) -> str:
        return f"postgresql://test@/{name}?host={self._home}"

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            (str(self._programs / program), *arguments),
            user=self._user,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            cwd=self._home,
        )


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """Run a cluster; at the end nothing of it is left.

    Raises:
        NoPostgresqlError: the server's programs, or the driver, are not installed.
    """
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="evercall-pg-"))
    try:
        cluster = Postgresql(home, programs)
        cluster.start()
        try:
            yield cluster
        finally:
            try:
                cluster.stop()
            except subprocess.CalledProcessError:
                # A test had taken it away and failed before it gave it back.
                if (home / "data" / "postmaster.pid").exists():
                    raise
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs() -> Path:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise NoPostgresqlError("psycopg is not installed") from error
    # Debian keeps the server's programs off the path.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    elsewhere = shutil.which("initdb")
    if not found and elsewhere is not None:
        found = [Path(elsewhere).resolve()]
    if not found:
        raise NoPostgresqlError("no PostgreSQL here")
    return found[-1].parent
