"""From an accepted socket to a stream that has started, or a reason to close it.

Nothing is known of the peer here: one deadline holds for all of it, little is read, nothing kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telephony.audio.g711 import RATE_HZ
from telephony.errors import (
    MalformedMessage,
    MediaSocketClosed,
    RemoteProtocolError,
    StreamRejected,
)
from telephony.media_stream.codec import decode
from telephony.media_stream.messages import MediaFormat, Start
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.protocol import MediaStreamProtocol, Started

# RFC 6455, section 7.4.1.
CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_UNSUPPORTED: Final = 1003
CLOSE_ABNORMAL: Final = 1006
CLOSE_POLICY: Final = 1008

# ``connected`` and ``start``, and room for messages that are not known yet.
_MAX_MESSAGES: Final = 8

# twilio.com/docs/voice/media-streams/websocket-messages: always so, both ways. SDK 9.13 has
# attributes to ask for others; we do not, so another format is a mistake in the TwiML.
_FORMAT: Final = MediaFormat("audio/x-mulaw", RATE_HZ, 1)


@dataclass(frozen=True, slots=True)
class StartedStream:
    """A stream whose ``start`` has been read; its ticket has not been looked at yet."""

    protocol: MediaStreamProtocol
    start: Start
    started_at: float
    """When ``start`` was read, by the monotonic clock."""

    @property
    def ticket(self) -> str | None:
        """The ticket passed as ``<Parameter name="ticket">``."""
        return self.start.custom_parameters.get("ticket")


async def receive_start(
    socket: MediaSocket, *, timeout_s: float = 5.0, clock: Callable[[], float] = time.monotonic
) -> StartedStream:
    """Read up to ``start``.

    Raises:
        StreamRejected: no ``start`` in time, another protocol, or audio we cannot decode. The
            socket is left open, to be closed with the code and reason given.
    """
    protocol = MediaStreamProtocol()
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(_MAX_MESSAGES):
                event = protocol.receive(decode(await socket.receive()))
                if isinstance(event, Started):
                    _check(event.start)
                    return StartedStream(protocol, event.start, clock())
    except TimeoutError as error:
        raise StreamRejected(CLOSE_POLICY, f"no start within {timeout_s:g} s") from error
    except MalformedMessage as error:
        raise StreamRejected(CLOSE_PROTOCOL_ERROR, "malformed message before start") from error
    except MediaSocketClosed as error:
        raise StreamRejected(error.code, "closed before start") from error
    except StreamRejected:
        raise
    except RemoteProtocolError as error:
        raise StreamRejected(CLOSE_PROTOCOL_ERROR, "message out of order") from error
    raise StreamRejected(CLOSE_POLICY, "no start among the first messages")


def _check(start: Start) -> None:
    if start.media_format != _FORMAT:
        raise StreamRejected(CLOSE_UNSUPPORTED, "audio is not 8 kHz mu-law, mono")
    if "inbound" not in start.tracks:
        raise StreamRejected(CLOSE_UNSUPPORTED, "the caller's track is missing")
