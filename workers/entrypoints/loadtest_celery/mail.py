"""Letter boxes on a broker: one for whoever leads a test, one for each of its shards.

Celery's results are one for each task, at its end; these two have to talk meanwhile. Letters are
JSON and in order. They are fetched by asking, which every broker knows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError

LEADER: Final = "leader"
_EXCHANGE: Final = Exchange("evercall.loadtest", type="direct", durable=False)
_POLL_S: Final = 0.1
# Of a box that nobody looks into any more, where the broker can be told (RabbitMQ).
_EXPIRES_S: Final = 3_600.0


class MailError(Exception):
    """The broker cannot be reached, or the box is gone; the text ends a sentence."""


class Mail:
    """Use as a context manager, in one thread at a time.

    Args:
        connection: To the broker, to be closed on exit.
        test: Which test's boxes they are.

    Raises:
        MailError: whatever is asked for cannot be had.
    """

    def __init__(self, connection: Connection, test: str) -> None:
        self._connection = connection
        self._test = test
        self._boxes: dict[str, Any] = {}
        self._errors = (
            *connection.connection_errors,
            *connection.channel_errors,
            KombuError,
            OSError,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._connection.release()
        except self._errors:
            return

    def open(self, box: str) -> None:
        """Let there be this box."""
        try:
            if box not in self._boxes:
                name = f"{_EXCHANGE.name}.{self._test}.{box}"
                queue = Queue(
                    name,
                    # Not the nameless one: Kombu deletes nothing that is not bound.
                    _EXCHANGE,
                    routing_key=name,
                    durable=False,
                    expires=_EXPIRES_S,
                    channel=self._connection.default_channel,
                )
                queue.declare()
                self._boxes[box] = queue
        except self._errors as error:
            raise MailError(_why(error)) from error

    def put(self, box: str, letter: Mapping[str, Any]) -> None:
        """Put a letter into a box."""
        self.open(box)
        try:
            with self._connection.Producer() as producer:
                producer.publish(
                    letter,
                    exchange=_EXCHANGE,
                    routing_key=self._boxes[box].routing_key,
                    serializer="json",
                    delivery_mode="transient",
                )
        except self._errors as error:
            raise MailError(_why(error)) from error

    def get(self, box: str, *, wait_s: float = 0.0) -> Any | None:
        """Return the next letter of a box; None: none came in ``wait_s``."""
        self.open(box)
        until_s = time.monotonic() + wait_s
        while True:
            try:
                message = self._boxes[box].get(no_ack=True, accept=["json"])
            except self._errors as error:
                raise MailError(_why(error)) from error
            if message is not None:
                return message.payload
            if time.monotonic() >= until_s:
                return None
            time.sleep(_POLL_S)

    def remove(self, box: str) -> None:
        """Take a box away with whatever is in it."""
        self.open(box)
        try:
            self._boxes.pop(box).delete()
        except self._errors as error:
            raise MailError(_why(error)) from error


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
