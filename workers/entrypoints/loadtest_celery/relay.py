"""The task of a shard: starts its process, and carries what it and its leader tell each other.

The process is the same as on one machine: one that shares nothing with a worker of Celery, which
has threads and signals of its own. When this ends, however that comes, so does its standard input,
and the process has its callers hang up and leaves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO, Any, Final

import orjson

from workers.entrypoints.loadtest_celery.mail import LEADER, Mail, MailError
from workers.entrypoints.loadtest_processes import shard_environment
from workers.entrypoints.loadtest_shard import COMMAND
from workers.loadtest.shards.messages import Failed, Left, encode

_TAKE_S: Final = 10.0
_LEAVE_S: Final = 10.0
_POLL_S: Final = 0.2
_LAST: Final = frozenset({Left.__name__, Failed.__name__})


def box_of(index: int) -> str:
    """Return the box of a shard."""
    return f"shard-{index + 1}"


def relay(app: Any, test: str, index: int) -> None:
    """Make a shard of a test, from its first letter to its process's end.

    Raises:
        MailError: the broker went away.
    """
    with Mail(app.connection_for_write(), test) as mail:
        first = mail.get(box_of(index), wait_s=_TAKE_S)
        if first is None:
            return  # Somebody else has it, or the test is over.
        process = subprocess.Popen(  # noqa: S603  our own interpreter and command
            COMMAND,
            env=shard_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _carry(app, test, index, mail, first, process)
        finally:
            _end(process)
            with contextlib.suppress(MailError):
                mail.remove(box_of(index))


def _carry(
    app: Any, test: str, index: int, mail: Mail, first: Any, process: subprocess.Popen[bytes]
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    back = _Back(app, test, index, process.stdout)
    back.start()
    letter = first
    with contextlib.suppress(BrokenPipeError):
        while back.is_alive():
            if letter is not None:
                process.stdin.write(orjson.dumps(letter) + b"\n")
                process.stdin.flush()
            letter = mail.get(box_of(index), wait_s=_POLL_S)
    back.join(_LEAVE_S)
    if not back.said_last:
        code = process.wait(_LEAVE_S)
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        gone = encode(Failed(f"Its process ended by itself: {why}."))
        mail.put(LEADER, {"shard": index, "said": gone})


class _Back(threading.Thread):
    """Carries what the process says, until it says no more."""

    def __init__(self, app: Any, test: str, index: int, stdout: IO[bytes]) -> None:
        super().__init__(name="back", daemon=True)
        self._app, self._test, self._index = app, test, index
        self._stdout = stdout
        self.said_last = False
        """Whether it has taken its leave."""

    def run(self) -> None:
        with (
            contextlib.suppress(MailError),
            Mail(self._app.connection_for_write(), self._test) as mail,
        ):
            for line in self._stdout:
                said = orjson.loads(line)
                mail.put(LEADER, {"shard": self._index, "said": said})
                self.said_last = said["kind"] in _LAST


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEAVE_S)
    # With the one that measures for it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
