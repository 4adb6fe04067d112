"""The sound of the slowest calls is kept, and that of no others."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import cast

import pytest

from tests.workers.loadtest.measured_samples import answered, call
from workers.loadtest.wavs import SlowestWavs
from workers.twin.twilio_api.result import CallResult


class Sound:
    def stereo_wav(self, path: Path) -> Path:
        path.write_bytes(b"RIFF")
        return path


SOUND = cast(CallResult, Sound())


def test_slowest_calls_are_kept_and_those_that_are_no_more_are_deleted(tmp_path: Path) -> None:
    """However many there are, so many files."""
    wavs = SlowestWavs(tmp_path / "calls", most=2)
    for number, delay_ms in enumerate((30.0, 10.0, 20.0, 5.0, 40.0), start=1):
        wavs.offer(call(number, answers=answered(delay_ms)), SOUND)
    assert list(wavs.files) == [1, 5]
    assert sorted(file.name for file in (tmp_path / "calls").iterdir()) == [
        "call-0001.wav",
        "call-0005.wav",
    ]


def test_sound_that_cannot_be_written_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    """It is not among the files there are."""

    class Cut(Sound):
        def stereo_wav(self, path: Path) -> Path:
            super().stereo_wav(path)
            raise OSError(errno.ENOSPC, "No space left on device")

    wavs = SlowestWavs(tmp_path)
    with pytest.raises(OSError, match="No space"):
        wavs.offer(call(1, answers=answered(30.0)), cast(CallResult, Cut()))
    assert wavs.files == {}
    assert list(tmp_path.iterdir()) == []


def test_call_in_which_nobody_waited_is_not_kept(tmp_path: Path) -> None:
    """Not even where there is room."""
    wavs = SlowestWavs(tmp_path / "calls")
    wavs.offer(call(1), SOUND)
    assert wavs.files == {}
    assert not (tmp_path / "calls").exists()


def test_files_of_an_earlier_test_are_deleted(tmp_path: Path) -> None:
    """Those of others stay."""
    (tmp_path / "call-0007.wav").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    SlowestWavs(tmp_path).clear()
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    SlowestWavs(tmp_path / "nothing").clear()
