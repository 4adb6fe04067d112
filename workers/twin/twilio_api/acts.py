"""What a person's script does to the media stream of the call, faults included."""

from __future__ import annotations

from workers.twin.caller import (
    DropSocket,
    HoldFrames,
    LoseStream,
    ReadSlowly,
    ReorderFrames,
    SendRaw,
    SkipTime,
)
from workers.twin.performer import Doing
from workers.twin.twilio_api.media.stream import MediaStream


def do_to_stream(stream: MediaStream, doing: Doing) -> None:
    """Do what concerns the stream; everything else is somebody else's."""
    match doing:
        case DropSocket(half_open):
            stream.drop(half_open=half_open)
        case LoseStream(ms):
            stream.lose(ms / 1000)
        case SendRaw(data, framed, times):
            for _ in range(times):
                stream.send_raw(data, framed=framed)
        case SkipTime(ms):
            stream.skip(ms)
        case HoldFrames(ms):
            stream.hold(ms)
        case ReorderFrames(frames):
            stream.reorder(frames)
        case ReadSlowly(ms):
            stream.read_slowly(ms)


def shown(doing: Doing) -> str:
    """Write it down for the journal, garbage shortened."""
    text = repr(doing)
    return text if len(text) <= 100 else text[:100] + "…"
