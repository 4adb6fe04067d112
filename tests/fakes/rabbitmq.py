"""A throw-away RabbitMQ of one's own, that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fakes.redis import NoServerError
from workers.entrypoints.free_port import free_port

# An idle machine takes 4 s, mostly for Erlang's own start (measured).
_START_S = 90.0
_STOP_S = 20.0
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


class RabbitMQ:
    """A node of its own, with its own port mapper and cookie, on the loopback."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._ports = free_port(), free_port(), free_port()
        self.port = self._ports[0]
        # Made by us: at its first start Erlang would make one that only looks at HOME.
        cookie = home / ".erlang.cookie"
        cookie.write_text("evercall-test")
        cookie.chmod(0o400)
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nnum_acceptors.tcp = 2\n"
            # Tests run on disks that are nearly full; ours holds a handful of messages.
            "disk_free_limit.absolute = 1MB\n"
        )

    @property
    def url(self) -> str:
        """Its address, as Celery takes it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def runs(self) -> bool:
        """Whether it has been started, all of it, and not killed since."""
        return self._ready

    def start(self) -> None:
        """Start it and wait until it talks AMQP; what it kept on disk is there again."""
        assert self._process is None, "it runs"
        if self._mapper is None:
            # Erlang would start one itself, as a daemon that outlives us.
            self._mapper = subprocess.Popen(
                [shutil.which("epmd") or "epmd", "-port", str(self._ports[2])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
            )
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self._home,
                # Erlang's children are killed with it.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("RabbitMQ does not start: " + (self._home / "log").read_text())
            time.sleep(0.1)
        self._ready = True

    def kill(self) -> None:
        """Take it away at once (SIGKILL), with all of its processes."""
        self._ready = False
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOP_S)
            self._process = None

    def close(self) -> None:
        """Take everything away."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(_STOP_S)

    def _environment(self) -> dict[str, str]:
        _, dist, mapper = self._ports
        home = str(self._home)
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": home,
            "RABBITMQ_NODENAME": f"evercall-{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            # Two schedulers are enough for a handful of messages, and leave the cores to the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        # It listens before it lets anybody in: an answer to a wrong version proves the latter.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(_PROTOCOL_HEADER)
                return len(connection.recv(8)) > 0
        except OSError:
            return False


@contextmanager
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """Run a node; at the end nothing of it is left.

    Raises:
        NoServerError: it is not installed.
    """
    # Debian's own command changes to the user rabbitmq; this is what it would run there.
    found = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server")]
    elsewhere = shutil.which("rabbitmq-server")
    found += [Path(elsewhere)] if elsewhere else []
    program = next((path for path in found if path.exists()), None)
    if program is None:
        raise NoServerError("no rabbitmq-server here")
    home = Path(tempfile.mkdtemp(prefix="evercall-rabbitmq-"))
    server = RabbitMQ(program, home)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)
