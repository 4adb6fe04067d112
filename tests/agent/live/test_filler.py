"""The sound of a long gap: the operator's own, or two soft notes."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from agent.audio import AUDIBLE_RMS, loudness
from agent.errors import AgentSpecError
from agent.live.filler import MAX_FILLER_S, load_filler, soft_notes
from agent.spec import AgentSpec, load_agent

PCM = b"\1\2" * 8_000


def agent(folder: Path, filler: str | None) -> AgentSpec:
    lines = ["name: bakery", "system_instruction: Be kind."]
    if filler is not None:
        lines += ["moves:", "  budget_s: 10", f"  filler: {filler}"]
    path = folder / "agent.yaml"
    path.write_text("\n".join(lines) + "\n")
    return load_agent(path)


def write(
    path: Path, *, pcm: bytes = PCM, channels: int = 1, width: int = 2, rate_hz: int = 16_000
) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(pcm)


def test_agent_without_a_filler_has_two_soft_notes(tmp_path: Path) -> None:
    """They can be heard, are softer than speech, and last about half a second."""
    notes = load_filler(agent(tmp_path, None))
    assert notes is soft_notes()
    assert 400 < notes.duration_ms < 700
    assert AUDIBLE_RMS < loudness(notes.pcm) < 2_000


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_filler_lies_beside_the_agents_file(tmp_path: Path, rate_hz: int) -> None:
    """Wherever evercall is started from, at the rate it was recorded with."""
    write(tmp_path / "hm.wav", rate_hz=rate_hz)
    filler = load_filler(agent(tmp_path, "hm.wav"))
    assert (filler.pcm, filler.rate_hz) == (PCM, rate_hz)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": 2}, "mono PCM16"),
        ({"width": 1}, "mono PCM16"),
        ({"rate_hz": 4_000}, "unlikely rate, 4000 Hz"),
        ({"rate_hz": 96_000}, "unlikely rate, 96000 Hz"),
        ({"pcm": b""}, f"up to {MAX_FILLER_S:g} s"),
        ({"pcm": bytes(2 * 16_000 * 6)}, "lasts 6"),
    ],
)
def test_filler_that_cannot_be_used_names_its_line(
    tmp_path: Path, options: dict[str, int], said: str
) -> None:
    """The operator is told where to look before the first call."""
    write(tmp_path / "hm.wav", **options)  # type: ignore[arg-type]  # bytes and numbers
    with pytest.raises(AgentSpecError, match=said) as caught:
        load_filler(agent(tmp_path, "hm.wav"))
    (issue,) = caught.value.issues
    assert (issue.line, issue.field) == (5, "moves.filler")
    assert "hm.wav" in issue.message


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"not a WAV file at all, but words"])
def test_what_is_no_wav_file_names_its_line(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty, cut or foreign file."""
    if content is not None:
        (tmp_path / "hm.wav").write_bytes(content)
    with pytest.raises(AgentSpecError) as caught:
        load_filler(agent(tmp_path, "hm.wav"))
    assert caught.value.issues[0].line == 5


def test_file_cut_short_is_noticed(tmp_path: Path) -> None:
    """A header that promises more than there is must not become half a sample in a call."""
    write(tmp_path / "hm.wav")
    whole = (tmp_path / "hm.wav").read_bytes()
    (tmp_path / "hm.wav").write_bytes(whole[: len(whole) // 2 + 1])
    with pytest.raises(AgentSpecError, match="cut short"):
        load_filler(agent(tmp_path, "hm.wav"))
