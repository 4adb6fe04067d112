"""Recordings: each side in its place, cleared speech gone, playable at any moment."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from workers.call import wav
from workers.call.recording import BATCH_PIECES, Recorder, Recording

# Loud and distinguishable after G.711: each value is one of its levels.
ONE, TWO, THREE = (array("h", ulaw_to_pcm(bytes([code])))[0] for code in (0x90, 0xA0, 0xB0))


def ulaw(value: int, duration_ms: float) -> bytes:
    return pcm_to_ulaw(array("h", [value]).tobytes()) * round(duration_ms * 8)


def sides(path: Path) -> tuple[array[int], array[int]]:
    """Caller and agent, as a stock reader finds them."""
    with wave.open(str(path)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (2, 2, 8000)
        both = array("h", reader.readframes(reader.getnframes()))
    return both[0::2], both[1::2]


def spans(samples: array[int]) -> list[tuple[int, float, float]]:
    """(value, from ms, until ms) of each stretch that is not silent."""
    found: list[tuple[int, float, float]] = []
    for index, value in enumerate(samples):
        if not value:
            continue
        if found and found[-1][0] == value and found[-1][2] == index / 8:
            found[-1] = (value, found[-1][1], (index + 1) / 8)
        else:
            found.append((value, index / 8, (index + 1) / 8))
    return found


def say(recording: Recording, value: int, at_ms: float, duration_ms: float) -> None:
    for start_ms in range(0, int(duration_ms), 20):
        recording.agent_audio(ulaw(value, 20), at_ms=at_ms + start_ms)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path / "recordings")
    yield recorder
    recorder.close()
    assert not any(thread.name == "recorder" for thread in threading.enumerate())


async def test_caller_is_left_and_agent_right_in_their_places(recorder: Recorder) -> None:
    """Pieces of any length stand where they were said, with silence between."""
    recording = recorder.open("CA1")
    recording.caller_audio(ulaw(ONE, 33), at_ms=100)
    recording.agent_audio(ulaw(TWO, 20), at_ms=120)
    recording.agent_audio(ulaw(TWO, 20), at_ms=140)
    recording.caller_audio(ulaw(ONE, 20), at_ms=30_000)
    await recording.close()
    caller, agent = sides(recording.path)
    assert spans(caller) == [(ONE, 100, 133), (ONE, 30_000, 30_020)]
    assert spans(agent) == [(TWO, 120, 160)]
    assert recording.lost_pieces == 0


async def test_cleared_speech_is_not_in_the_file(recorder: Recorder) -> None:
    """A barge-in takes back what was sent and not heard, within a piece too; the caller stays."""
    recording = recorder.open("CA1")
    say(recording, TWO, 0, 2000)
    recording.caller_audio(ulaw(ONE, 1000), at_ms=500)
    recording.agent_cleared(at_ms=810)
    say(recording, THREE, 1500, 100)
    await recording.close()
    caller, agent = sides(recording.path)
    assert spans(agent) == [(TWO, 0, 810), (THREE, 1500, 1600)]
    assert spans(caller) == [(ONE, 500, 1500)]


async def test_speech_is_cleared_though_it_was_written_long_ago(recorder: Recorder) -> None:
    """Marks may tell late what was heard; the file is mended."""
    recording = recorder.open("CA1")
    say(recording, TWO, 0, 30_000)
    recording.agent_cleared(at_ms=5000)
    await recording.close()
    assert spans(sides(recording.path)[1]) == [(TWO, 0, 5000)]


async def test_rounded_times_leave_no_gaps(recorder: Recorder) -> None:
    """Adjacent pieces stay adjacent when their times are rounded; a click would be heard."""
    recording = recorder.open("CA1")
    for index in range(200):
        at_ms = 77.77 + index * 20 + (0.1 if index % 3 else -0.1)
        recording.agent_audio(ulaw(TWO, 20), at_ms=at_ms)
    await recording.close()
    [(_, _, _)] = spans(sides(recording.path)[1])


async def test_streams_of_one_call_share_a_file(recorder: Recorder) -> None:
    """A second stream goes on where it began in the call, also in another process."""
    first = recorder.open("CA1")
    first.caller_audio(ulaw(ONE, 1000), at_ms=0)
    await first.close()
    second = recorder.open("CA1", offset_ms=3000)
    second.caller_audio(ulaw(TWO, 500), at_ms=0)
    second.agent_cleared(at_ms=0)
    await second.close()
    assert second.path == first.path
    assert spans(sides(first.path)[0]) == [(ONE, 0, 1000), (TWO, 3000, 3500)]


async def test_calls_do_not_mix(recorder: Recorder) -> None:
    """Two calls at once have a file each."""
    one, two = recorder.open("CA1"), recorder.open("CA2")
    for index in range(100):
        one.caller_audio(ulaw(ONE, 20), at_ms=index * 20)
        two.caller_audio(ulaw(TWO, 20), at_ms=index * 20)
    await asyncio.gather(one.close(), two.close())
    assert spans(sides(one.path)[0]) == [(ONE, 0, 2000)]
    assert spans(sides(two.path)[0]) == [(TWO, 0, 2000)]


async def test_call_without_audio_leaves_no_file(recorder: Recorder) -> None:
    """A stream that ends at once records nothing, and closing twice is closing once."""
    recording = recorder.open("CA1")
    recording.agent_cleared(at_ms=0)
    await recording.close()
    await recording.close()
    recording.caller_audio(ulaw(ONE, 20), at_ms=0)
    assert not recording.path.exists()


async def test_times_before_the_call_and_after_a_day_are_cut(recorder: Recorder) -> None:
    """A time that cannot be does not make a file of gigabytes, nor lose what is good."""
    recording = recorder.open("CA1")
    recording.caller_audio(ulaw(ONE, 100), at_ms=-40)
    recording.caller_audio(ulaw(ONE, 20), at_ms=1e12)
    await recording.close()
    assert spans(sides(recording.path)[0]) == [(ONE, 0, 60)]
    assert recording.lost_pieces == 1


def test_file_is_only_where_it_should_be(recorder: Recorder) -> None:
    """A call SID cannot lead out of the folder."""
    for bad in ("../etc", "", "CA/1", "CA.1"):
        with pytest.raises(ValueError, match="call SID"):
            recorder.open(bad)


async def test_file_is_for_its_owner_only(recorder: Recorder) -> None:
    """What people said on the phone is nobody else's to read."""
    recording = recorder.open("CA1")
    recording.caller_audio(ulaw(ONE, 20), at_ms=0)
    await recording.close()
    assert recording.path.stat().st_mode & 0o077 == 0


KILLED = """
import os, sys, time
from pathlib import Path
from workers.call.recording import BATCH_PIECES, Recorder
recorder = Recorder(Path(sys.argv[1]))
recording = recorder.open("CA1")
for index in range(4 * BATCH_PIECES):
    recording.caller_audio(b"\\x90" * 160, at_ms=index * 20)
path = recording.path
while not path.exists() or path.stat().st_size < 44 + 4 * 160 * 4 * BATCH_PIECES:
    time.sleep(0.01)
# The size is there before the header says so; a reader must find no more than was written.
os.kill(os.getpid(), 9)
"""


def test_file_of_a_killed_process_can_be_played(tmp_path: Path) -> None:
    """The header is written as the file grows, so kill -9 costs at most the last batch."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=environment, timeout=60, check=False
    )
    assert ended.returncode == -9
    with wave.open(str(tmp_path / "CA1.wav")) as reader:
        assert reader.getnframes() >= 3 * BATCH_PIECES * 160


class Disk:
    """Stands for ``os`` in workers.call.wav; writes fail while ``full``."""

    def __init__(self) -> None:
        self.full = False
        self.gate = threading.Event()
        self.gate.set()

    def pwrite(self, file: int, data: Any, offset: int) -> int:
        self.gate.wait(10)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # A nearly full disk takes a part.
        return os.pwrite(file, data[:1000], offset)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(wav, "os", disk)
    return disk


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        # The thread has no event to wait for; it is a thread because disks have none.
        while not condition():  # noqa: ASYNC110  # as said above
            await asyncio.sleep(0.005)


async def test_full_disk_is_counted_and_recording_goes_on_after_it(
    recorder: Recorder, disk: Disk
) -> None:
    """The call notices nothing; what was said meanwhile is silence in its place."""
    recording = recorder.open("CA1")
    for index in range(3 * BATCH_PIECES):
        if index == BATCH_PIECES:
            await until(lambda: recording.path.exists() and recording.path.stat().st_size > 30_000)
            disk.full = True
        if index == 2 * BATCH_PIECES:
            await until(lambda: recording.lost_pieces)
            disk.full = False
        recording.caller_audio(ulaw(ONE, 20), at_ms=index * 20)
    await recording.close()
    assert recording.lost_pieces == BATCH_PIECES
    assert spans(sides(recording.path)[0]) == [(ONE, 0, 1000), (ONE, 2000, 3000)]


async def test_disk_full_from_the_start_is_counted(recorder: Recorder, disk: Disk) -> None:
    """No file can be made: the call ends as ever."""
    disk.full = True
    recording = recorder.open("CA1")
    say(recording, TWO, 0, 2000)
    await recording.close()
    assert recording.lost_pieces == 100


async def test_slow_disk_drops_audio_but_never_a_clearing(tmp_path: Path, disk: Disk) -> None:
    """With the queue full the newest audio is lost, yet cleared speech does not come back."""
    recorder = Recorder(tmp_path, queue_batches=1)
    disk.gate.clear()
    recording = recorder.open("CA1")
    say(recording, TWO, 0, 1000)
    await until(lambda: recording.path.exists())
    say(recording, TWO, 1000, 1000)
    recording.agent_cleared(at_ms=500)
    say(recording, THREE, 2000, 1000)
    say(recording, THREE, 3000, 1000)
    assert recording.lost_pieces > 0
    disk.gate.set()
    await recording.close()
    assert spans(sides(recording.path)[1])[0] == (TWO, 0, 500)
    assert all(value == THREE for value, _, _ in spans(sides(recording.path)[1])[1:])
    recorder.close()


actions = st.lists(
    st.tuples(
        st.sampled_from(["caller_audio", "agent_audio", "agent_cleared"]),
        st.integers(0, 100),
        st.integers(0, 15),
    ),
    max_size=80,
)


@given(actions)
async def test_any_order_of_pieces_gives_the_file_a_model_gives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Late, early, overlapping: the file is what laying them one over the other gives."""
    recorder = Recorder(tmp_path_factory.mktemp("recordings"))
    recording = recorder.open("CA1")
    expected = {"caller_audio": [0] * 6000, "agent_audio": [0] * 6000}
    for index, (name, at, length) in enumerate(steps):
        # No piece begins within the snapping distance of another's end.
        start, size = at * 40, length * 40 + 20
        if name == "agent_cleared":
            recording.agent_cleared(at_ms=start / 8)
            expected["agent_audio"][start:] = [0] * (6000 - start)
            continue
        value = (ONE, TWO, THREE)[index % 3]
        getattr(recording, name)(ulaw(value, size / 8), at_ms=start / 8)
        expected[name][start : start + size] = [value] * size
    await recording.close()
    recorder.close()
    if not recording.path.exists():
        return
    for samples, name in zip(sides(recording.path), ("caller_audio", "agent_audio"), strict=True):
        assert list(samples) == expected[name][: len(samples)]
        assert not any(expected[name][len(samples) :])
