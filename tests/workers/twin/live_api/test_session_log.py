"""What a connection's log tells of when things came and went."""

from __future__ import annotations

from tests.workers.twin.live_api.raw_client import dial, receive, send, set_up
from workers.twin.live_api.script import LiveScript, Say
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep, SaidTurn, SessionLog

RATE_HZ = 16_000


def log(keep: Keep) -> SessionLog:
    return SessionLog(number=1, path="", headers={}, opened_at=0.0, keep=keep)


def test_which_message_brought_which_audio() -> None:
    """Beside the time of each message stands how much had come with it, kept or not."""
    kept = log(Keep(arrivals=True, audio_s=0))
    kept.audio(bytes(640), RATE_HZ, 1.0)
    kept.audio(bytes(1280), RATE_HZ, 1.5)
    assert (list(kept.arrivals), list(kept.arrived_bytes)) == ([1.0, 1.5], [640, 1920])
    assert not log(Keep()).arrived_bytes


def test_first_audio_of_a_turn() -> None:
    """What has no audio does not count, nor what follows; a parrot's frames belong to no turn."""
    kept = log(Keep())
    kept.sent(1, 20.0, 0.5)
    kept.said.append(SaidTurn(1.0))
    kept.sent(1, 0.0, 1.1)
    kept.sent(1, 20.0, 1.2)
    kept.sent(1, 20.0, 1.3)
    assert kept.said[0].sent_at == 1.2
    assert (kept.frames_sent, kept.audio_sent_ms) == (4, 60.0)


async def test_a_server_says_when_it_first_spoke() -> None:
    """The time is that of the frame that the client gets, not of the turn's beginning."""
    async with LiveTwin(LiveScript(opening=(Say("coded:1:100"),))) as live, dial(live) as socket:
        await set_up(socket)
        await send(socket, {"realtimeInput": {"text": "Greet the caller."}})
        while "modelTurn" not in (await receive(socket)).get("serverContent", {}):
            pass
        (said,) = live.sessions[0].said
        assert said.sent_at is not None
        assert said.sent_at >= said.started_at
