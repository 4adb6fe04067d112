"""Greetings kept across calls and processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.audio import OUTPUT_RATE_HZ, PcmChunk
from agent.spec import AgentSpec, Greeting
from tests.tone import tone
from workers.call.greetings import MAX_SIZE_BYTES, GreetingCache

SPEC = AgentSpec("bakery", "Be brief.", greeting=Greeting("Hello.", cached=True))
AUDIO = PcmChunk(tone(500.0, 1000, rate_hz=OUTPUT_RATE_HZ), OUTPUT_RATE_HZ)


def kept(cache: GreetingCache, spec: AgentSpec = SPEC) -> PcmChunk:
    audio = cache.get(spec)
    assert audio is not None
    return audio


def test_greeting_is_kept_for_the_next_call_and_process(tmp_path: Path) -> None:
    """What was caught once plays at 8 kHz, now and after a restart."""
    cache = GreetingCache(tmp_path)
    assert cache.get(SPEC) is None
    cache.keep(SPEC, AUDIO)
    cache.close()
    assert kept(cache).rate_hz == 8000
    assert abs(kept(cache).duration_ms - 1000) < 25
    assert kept(GreetingCache(tmp_path)) == kept(cache)


def test_greeting_belongs_to_all_that_shapes_it(tmp_path: Path) -> None:
    """Other words, voice, model, language or agent: another greeting."""
    cache = GreetingCache(tmp_path)
    cache.keep(SPEC, AUDIO)
    cache.close()
    for other in (
        replace(SPEC, name="other"),
        replace(SPEC, voice="Puck"),
        replace(SPEC, model="gemini-3.1-flash-live-preview"),
        replace(SPEC, language="de-DE"),
        replace(SPEC, greeting=Greeting("Hi.", cached=True)),
    ):
        assert cache.get(other) is None
    assert cache.get(replace(SPEC, system_instruction="Be long.")) is not None


def test_first_greeting_stays(tmp_path: Path) -> None:
    """Two calls that began together do not change it for the third."""
    cache = GreetingCache(tmp_path)
    cache.keep(SPEC, AUDIO)
    cache.keep(SPEC, PcmChunk(AUDIO.pcm[:4800], OUTPUT_RATE_HZ))
    cache.close()
    assert kept(cache).duration_ms > 900


def test_greeting_that_is_not_to_be_kept_is_not(tmp_path: Path) -> None:
    """``cached: false`` keeps nothing and plays nothing."""
    cache = GreetingCache(tmp_path)
    spec = replace(SPEC, greeting=Greeting("Hello."))
    cache.keep(spec, AUDIO)
    assert cache.get(spec) is None
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_empty_and_endless_audio_is_not_kept(tmp_path: Path) -> None:
    """A greeting has sound, and is over within a minute."""
    cache = GreetingCache(tmp_path)
    cache.keep(SPEC, PcmChunk(b"", 8000))
    cache.keep(SPEC, PcmChunk(bytes(2 * MAX_SIZE_BYTES + 2), 8000))
    cache.close()
    assert cache.get(SPEC) is None


def test_disk_that_fails_costs_only_the_next_process(tmp_path: Path) -> None:
    """The folder cannot be made: calls of this process have the greeting all the same."""
    (tmp_path / "greetings").write_text("in the way")
    cache = GreetingCache(tmp_path)
    assert cache.get(SPEC) is None
    cache.keep(SPEC, AUDIO)
    cache.close()
    assert cache.get(SPEC) is not None
    assert GreetingCache(tmp_path).get(SPEC) is None
