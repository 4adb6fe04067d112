"""The parent process: starts children, hears of them, and does what the core says.

No event loop: a selector, the children's socket pairs, and signals through a wake-up socket.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from workers.entrypoints.supervisor.core import Supervision
from workers.entrypoints.supervisor.events import (
    Begun,
    ChildExited,
    ChildReady,
    Command,
    Event,
    Finish,
    Hurry,
    Kill,
    Leave,
    Reason,
    RecycleWanted,
    ReportDeath,
    ReportLeft,
    ReportRecycling,
    ReportRestartGivenUp,
    RestartRequested,
    Spawn,
    StopRequested,
    TimePassed,
)
from workers.entrypoints.supervisor.words import HURRY, LEAVE, READY, RECYCLE, REPLACED, Lines

# sysexits.h, EX_OSERR: the system could not start it. Not a child's own code.
EXIT_NOT_STARTED = 71
_READ_BYTES = 1024
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

ChildCommand = Callable[[int, int], Sequence[str]]
"""From a place, and the file descriptor of the child's end: what to run."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    place: int
    since: float
    process: subprocess.Popen[bytes]
    end: socket.socket
    lines: Lines = field(default_factory=Lines)


class Parent:
    """Keeps children running until it is told to stop. For the main thread, because of signals.

    Args:
        supervision: What is to be done when.
        command: What a child is.
        listener: The socket that all children accept from; ``run`` closes it when it stops.
        environment: The children's.
        on_vacant: Told of a place whose last process has gone.
    """

    def __init__(
        self,
        supervision: Supervision,
        command: ChildCommand,
        *,
        listener: socket.socket,
        environment: Mapping[str, str],
        on_vacant: Callable[[int], None] = lambda _place: None,
    ) -> None:
        self._on_vacant = on_vacant
        self._supervision = supervision
        self._command = command
        self._listener = listener
        self._environment = environment
        self._children: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._events: deque[Event] = deque()
        self._stopping = False
        self._exit_code: int | None = None

    def run(self) -> int:
        """Return the exit code, when all children are gone."""
        with self._selector, _wake_up() as (wake_up, terminal_gone):
            self._selector.register(wake_up, selectors.EVENT_READ)
            try:
                self._happen(Begun())
                while self._exit_code is None:
                    for key, _ in self._selector.select(self._timeout()):
                        if key.fileobj is wake_up:
                            self._signalled(wake_up.recv(_READ_BYTES), terminal_gone)
                        else:
                            self._heard(key.data)
                    self._reap()
                    self._happen(TimePassed())
            finally:
                # Whatever went wrong here: children whose parent's end is closed leave.
                for child in self._children.values():
                    child.end.close()
                self._listener.close()
        _log.info("supervisor.stopped", code=self._exit_code)
        return self._exit_code

    def _timeout(self) -> float | None:
        deadline = self._supervision.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _happen(self, event: Event) -> None:
        self._events.append(event)
        while self._events and self._exit_code is None:
            for command in self._supervision.handle(self._events.popleft(), time.monotonic()):
                self._do(command)

    # What happens.

    def _signalled(self, numbers: bytes, terminal_gone: Callable[[], bool]) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT) or (
                number == signal.SIGHUP and terminal_gone()
            ):
                self._stop()
            elif number == signal.SIGHUP:
                _log.info("supervisor.restarting", children=len(self._children))
                self._happen(RestartRequested())

    def _stop(self) -> None:
        event = "supervisor.hurrying" if self._stopping else "supervisor.stopping"
        _log.info(event, children=len(self._children))
        self._stopping = True
        # Where the children stop accepting, too, connections are refused rather than kept waiting.
        self._listener.close()
        self._happen(StopRequested())

    def _heard(self, number: int) -> None:
        child = self._children.get(number)
        if child is None:
            return
        try:
            data = child.end.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            # It is about to exit; SIGCHLD says how.
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.end)
            return
        for line in child.lines.feed(data):
            word, _, reason = line.partition(" ")
            if word == READY:
                took_s = round(time.monotonic() - child.since, 1)
                self._log(child, "supervisor.child_ready", took_s=took_s)
                self._happen(ChildReady(number))
            elif word == RECYCLE and reason in set(Reason):
                self._happen(RecycleWanted(number, Reason(reason)))

    def _reap(self) -> None:
        for number, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                # What it said last comes first.
                self._heard(number)
                # Before its replacement is started.
                if [each.place for each in self._children.values()].count(child.place) == 1:
                    self._on_vacant(child.place)
                self._happen(ChildExited(number, code))
                with contextlib.suppress(KeyError):
                    self._selector.unregister(child.end)
                del self._children[number]
                child.end.close()

    # What is to be done.

    def _do(self, command: Command) -> None:
        match command:
            case Spawn(child=number, place=place):
                self._spawn(number, place)
            case Leave(child=number, replaced=replaced):
                self._tell(number, REPLACED if replaced else LEAVE)
            case Hurry(child=number):
                self._tell(number, HURRY)
            case Kill(child=number):
                child = self._children[number]
                state = self._supervision.state(number)
                self._log(child, "supervisor.child_killed", level="error", while_=state)
                child.process.kill()
            case Finish(code=code):
                self._exit_code = code
            case ReportDeath():
                self._report_death(command)
            case ReportLeft(child=number, after_s=after_s):
                child = self._children[number]
                code = child.process.returncode
                level = "warning" if code else "info"
                how = _how(code)
                self._log(
                    child, "supervisor.child_left", level=level, after_s=round(after_s, 1), **how
                )
            case ReportRecycling(child=number, reason=reason):
                self._log(self._children[number], "supervisor.recycling", reason=str(reason))
            case ReportRestartGivenUp():
                _log.error("supervisor.restart_given_up", children=len(self._children) - 1)

    def _report_death(self, death: ReportDeath) -> None:
        child = self._children.get(death.child)
        if child is None:
            # It could not even be started.
            _log.error("supervisor.child_not_started", restart_in_s=death.restart_in_s)
            return
        self._log(
            child,
            "supervisor.child_died",
            level="error",
            **_how(child.process.returncode),
            lived_s=round(death.lived_s, 1),
            restart_in_s=death.restart_in_s,
        )

    def _spawn(self, number: int, place: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                    self._command(place, theirs.fileno()),
                    pass_fds=(self._listener.fileno(), theirs.fileno()),
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    # A terminal's Ctrl-C is for the parent, which tells them in order.
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                _log.error("supervisor.cannot_start", process=place, error=str(error))
                self._events.append(ChildExited(number, EXIT_NOT_STARTED))
                return
        ours.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, number)
        self._children[number] = _Running(place, time.monotonic(), process, ours)
        self._log(self._children[number], "supervisor.child_started", level="debug")

    def _tell(self, number: int, word: str) -> None:
        # A child that is gone is about to be reaped; one that has not read for hundreds of
        # kilobytes of this is killed in its time.
        with contextlib.suppress(OSError, KeyError):
            self._children[number].end.send(f"{word}\n".encode())

    def _log(self, child: _Running, event: str, *, level: str = "info", **values: object) -> None:
        getattr(_log, level)(event, process=child.place, pid=child.process.pid, **values)


def _how(code: int) -> dict[str, object]:
    if code >= 0:
        return {"code": code}
    with contextlib.suppress(ValueError):
        return {"signal": signal.Signals(-code).name}
    return {"signal": -code}


@contextlib.contextmanager
def _wake_up() -> Iterator[tuple[socket.socket, Callable[[], bool]]]:
    """Have signals come as bytes on a socket, and learn whether the terminal was closed."""
    had_terminal = _has_terminal()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        handlers = {number: signal.signal(number, _noted) for number in _SIGNALS}
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours, lambda: had_terminal and not _has_terminal()
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _noted(_number: int, _frame: object) -> None:
    """The wake-up socket has it."""


def _has_terminal() -> bool:
    # tty(4): opening it fails where the process has no controlling terminal, or has lost it.
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
