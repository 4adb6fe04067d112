"""The processes of an installation, each of which can be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from tests.fakes.rabbitmq import RabbitMQ
from tests.fakes.redis import Redis
from tests.scenarios.fleet.process import _end_with_the_test
from workers.twin.twilio_api.ledger import Ledger

ROOT = Path(__file__).parents[3]
CELERY = ("-m", "celery", "-q", "-A", "tests.scenarios.campaigns.celery_process")
LONGEST_AWAY_S = 3.0
"""Before what was killed is started again."""
QUIET_S = 10.0
"""Killing goes on after it, also where nobody is dialled."""
_BEGINS_S = 10.0
"""A child of a worker of Celery's, on a machine that has a lot to do."""


class Process:
    """One of Python's, with all its children.

    Args:
        words: Of the command, behind the interpreter.
        environment: All that it finds set beside PATH, HOME and LANG.
        log_file: Where its output goes.
    """

    def __init__(
        self, words: Sequence[str], *, environment: Mapping[str, str], log_file: Path
    ) -> None:
        self._words = words
        self._environment = environment
        self.log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = 0
        """How often it was found to have ended without having been killed."""

    @property
    def runs(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it, in a group of its own."""
        outside = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._words],
                env=outside | dict(self._environment) | {"PYTHONPATH": str(ROOT)},
                cwd=self.log_file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_the_test,
            )

    def kill(self) -> None:
        """SIGKILL to all of it, as when a machine goes."""
        if self._process is not None:
            self.ended += self._process.poll() is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself, now or before."""
        return self.ended > 0 or (self._process is not None and self._process.poll() is not None)

    def kill_child(self, dice: Random) -> bool:
        """SIGKILL to one of its children, as when memory runs out; False: it has none yet.

        Not to one that only begins: Celery gives the whole worker up for that ("Could not start
        worker processes", celery/worker/loops.py), and leaves it to whoever has started it.
        """
        if self._process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            children = [
                child
                for child in psutil.Process(self._process.pid).children()
                if time.time() - child.create_time() > _BEGINS_S
            ]
            if children:
                dice.choice(children).kill()
                return True
        return False


Broker = Redis | RabbitMQ | None


@dataclass
class Killer:
    """Kills at random, by seed, whenever some more calls have been asked for.

    Attributes:
        celery: Workers.
        beat: Sends periodic tasks.
        server: Answers Twilio.
        broker: None: it is a folder.
        ledger: Of the twin.
        dice: What fixes everything.
        wanted: How many kills.
        dials_each: Calls between two kills, about.
    """

    celery: Sequence[Process]
    beat: Process
    server: Process
    broker: Broker
    ledger: Ledger
    dice: Random
    wanted: int
    dials_each: float
    killed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Kill until there are enough kills; what was killed runs again at the end."""
        async with asyncio.TaskGroup() as restarts:
            while len(self.killed) < self.wanted:
                await self._wait_for(self.dice.uniform(0.2, 1.8) * self.dials_each)
                kinds = {"worker": 4, "child": 2, "beat": 2, "server": 3, "broker": 2}
                (kind,) = self.dice.choices(list(kinds), list(kinds.values()))
                if kind == "child":
                    if self.dice.choice(self.celery).kill_child(self.dice):
                        self.killed.append(kind)
                    continue
                chosen = {
                    "worker": self.dice.choice(self.celery),
                    "beat": self.beat,
                    "server": self.server,
                    "broker": self.broker,
                }[kind]
                if chosen is not None and chosen.runs:
                    chosen.kill()
                    self.killed.append(kind)
                    away_s = self.dice.uniform(0.0, LONGEST_AWAY_S)
                    restarts.create_task(self._restart(chosen, away_s))

    async def _wait_for(self, dials: float) -> None:
        wanted = len(self.ledger) + dials
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                while len(self.ledger) < wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def _restart(self, what: Process | Redis | RabbitMQ, away_s: float) -> None:
        await asyncio.sleep(away_s)
        if isinstance(what, Process):
            # By this thread, with whose end it would be killed.
            what.start()
        else:
            await asyncio.to_thread(what.start)
