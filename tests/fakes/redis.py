"""A throw-away Redis of one's own, that can be killed and comes back empty."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.entrypoints.free_port import free_port

_START_S = 20.0
_STOP_S = 20.0


class NoServerError(Exception):
    """There is none on this machine."""


class Redis:
    """A server on a port of the loopback that keeps nothing on disk."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address, as Celery takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def runs(self) -> bool:
        """Whether it has been started, all of it, and not killed since."""
        return self._ready

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        assert self._process is None, "it runs"
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    *("--bind", "127.0.0.1", "--port", str(self.port)),
                    *("--save", "", "--appendonly", "no", "--dir", str(self._home)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("Redis does not start: " + (self._home / "log").read_text())
            time.sleep(0.02)
        self._ready = True

    def kill(self) -> None:
        """Take it away at once (SIGKILL); what it held is gone."""
        self._ready = False
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def redis_server() -> Iterator[Redis]:
    """Run a server; at the end nothing of it is left.

    Raises:
        NoServerError: it is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise NoServerError("no redis-server here")
    home = Path(tempfile.mkdtemp(prefix="evercall-redis-"))
    server = Redis(program, home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
