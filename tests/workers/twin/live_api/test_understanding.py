"""Utterances told apart by their position codes."""

from __future__ import annotations

import random

from tests.workers.twin.live_api.table import Table
from workers.twin import position_code, speech
from workers.twin.live_api.messages import ActivityEndIn, ActivityStartIn
from workers.twin.live_api.script import LiveScript, Say, Turn
from workers.twin.live_api.session_log import Keep, SessionLog
from workers.twin.live_api.understanding import Understanding, codes_of

_SCRIPT = LiveScript(turns=tuple(Turn(f"Question {n}.", (Say(f"Answer {n}."),)) for n in "1234"))


def coded(first: int, count: int, rate_hz: int = 16_000) -> bytes:
    return position_code.encode_run(first, count, rate_hz=rate_hz)


def heard(table: Table) -> list[str]:
    return [turn.text for turn in table.log.heard]


def test_codes_are_read_from_an_utterance_and_from_nothing_else() -> None:
    """First and last; none in speech, silence or at a rate that carries none."""
    assert codes_of(coded(100, 50), 16_000) == (100, 149)
    assert codes_of(coded(100, 50, 8000), 8000) == (100, 149)
    assert codes_of(bytes(300) + coded(7, 40) + b"\0", 16_000) == (7, 46)
    assert codes_of(speech.line("caller_hours").at_rate(16_000).pcm, 16_000) is None
    assert codes_of(bytes(32_000), 16_000) is None
    assert codes_of(b"", 16_000) is None
    assert codes_of(coded(100, 50), 11_025) is None


def test_an_utterance_heard_again_gets_the_same_turn() -> None:
    """Any overlap is a replay, whole or in part; what has none is new."""
    understanding = Understanding()
    assert understanding.turn((100, 150), 0) == 0
    assert understanding.turn((300, 350), 1) == 1
    assert understanding.turn((100, 150), 2) == 0
    assert understanding.turn((150, 180), 2) == 0
    assert understanding.turn((90, 99), 2) == 2
    assert understanding.turn((340, 345), 0) == 1
    assert understanding.turn((500, 550), 0) == 3


def test_codes_that_start_again_from_zero_are_new() -> None:
    """After the last number comes 0, and no utterance of the first lap is meant by it."""
    understanding = Understanding()
    last = position_code.CODES - 1
    assert understanding.turn((0, 50), 0) == 0
    for turn, first in enumerate(range(4000, last, 4000), start=1):
        assert understanding.turn((first, first + 50), 0) == turn
    newest = understanding.turn((last - 100, 20), 0)
    assert understanding.turn((10, 60), 0) == newest
    assert understanding.turn((100, 150), 0) == newest + 1
    assert understanding.turn((last - 90, last), 0) == newest


def test_codes_may_start_again_while_nobody_speaks() -> None:
    """The first utterance of the new lap is as new as one that runs across the seam."""
    understanding = Understanding()
    for turn, first in enumerate(range(0, position_code.CODES, 4000)):
        assert understanding.turn((first, first + 50), 0) == turn
    assert understanding.turn((0, 50), 0) == turn + 1
    assert understanding.turn((16_000, 16_050), 0) == turn
    assert understanding.turn((30, 60), 0) == turn + 1


def test_any_replay_in_any_order_keeps_every_turn() -> None:
    """A hundred utterances, replayed at random within 30 s: each keeps the turn it got at first."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    understanding = Understanding()
    at, turns = 0, []
    for number in range(100):
        length = rng.randint(5, 200)
        codes = (at % position_code.CODES, (at + length) % position_code.CODES)
        assert understanding.turn(codes, 0) == number
        turns.append((at, codes, number))
        recent = [one for one in turns if at - one[0] < 1500]
        for _, again, turn in rng.sample(recent, min(3, len(recent))):
            assert understanding.turn(again, 0) == turn
        at += length + rng.randint(20, 400)


def test_replayed_audio_is_answered_as_before_on_a_fresh_connection() -> None:
    """The fresh session begins at position 0, and still knows what the caller says."""
    understanding = Understanding()
    old = Table(script=_SCRIPT, understanding=understanding)
    old.coded(100)
    old.run(20)
    old.coded(2000)
    old.run(0.1)
    assert heard(old) == ["Question 1.", "Question 2."]
    assert [turn.codes for turn in old.log.heard] == [(100, 159), (2000, 2059)]
    new = Table(script=_SCRIPT, understanding=understanding)
    new.coded(2000)
    new.run(20)
    new.coded(3000)
    new.run(20)
    assert heard(new) == ["Question 2.", "Question 3."]
    assert new.heard_text("outputTranscription") == " Answer 2. Answer 3."


def test_half_an_utterance_that_was_heard_again_whole_is_one_turn() -> None:
    """A drop in mid-sentence: the first connection never took it for ended."""
    understanding = Understanding()
    old = Table(script=_SCRIPT, understanding=understanding)
    old.hear(coded(100, 30))
    assert old.log.heard == []
    new = Table(script=_SCRIPT, understanding=understanding)
    new.coded(100)
    new.run(20)
    new.coded(900)
    assert heard(new) == ["Question 1.", "Question 2."]


def test_a_pause_in_a_turn_does_not_make_two_of_it() -> None:
    """Speech before the answer belongs to the same turn, also where it is replayed alone."""
    understanding = Understanding()
    old = Table(script=_SCRIPT, understanding=understanding)
    old.coded(100, quiet=27)
    old.coded(187)
    old.run(0.1)
    assert heard(old) == ["Question 1.", "Question 1."]
    new = Table(script=_SCRIPT, understanding=understanding)
    new.coded(187)
    assert heard(new) == ["Question 1."]


def test_two_turns_replayed_in_one_go_stay_two_turns() -> None:
    """Faster than real time there is no room for an answer between them: the last is answered."""
    understanding = Understanding()
    old = Table(script=_SCRIPT, understanding=understanding)
    for first in (100, 500):
        old.coded(first)
        old.run(20)
    new = Table(script=_SCRIPT, understanding=understanding)
    new.coded(100, quiet=27)
    new.coded(500)
    new.run(20)
    assert heard(new) == ["Question 1.", "Question 2."]
    assert new.heard_text("outputTranscription") == " Answer 2."
    assert [text for role, text in new.log.memory if role == "user"] == heard(new)


def test_the_codes_of_an_utterance_end_where_the_caller_falls_silent() -> None:
    """Quiet frames have codes too; they are no part of what was said."""
    table = Table(script=_SCRIPT)
    table.hear(position_code.encode_run(0, 50, rate_hz=16_000, loud=False))
    table.coded(50, frames=40)
    assert table.log.heard[0].codes == (50, 89)


def test_manual_mode_knows_the_codes_too() -> None:
    """Between the client's marks everything is the utterance."""
    table = Table(
        script=_SCRIPT, realtimeInputConfig={"automaticActivityDetection": {"disabled": True}}
    )
    table.send(ActivityStartIn())
    table.hear(coded(40, 50))
    table.send(ActivityEndIn())
    (turn,) = table.log.heard
    assert (turn.codes, turn.started_ms, turn.ended_ms) == ((40, 89), 0, 1000)


def test_a_log_lists_the_codes_it_received_in_order() -> None:
    """Gaps, repeats and all, as far as audio was kept."""
    log = SessionLog(number=1, path="", headers={}, opened_at=0.0, keep=Keep(audio_s=1.0))
    log.audio(coded(10, 20), 16_000, 0.0)
    log.audio(coded(50, 10), 16_000, 0.0)
    log.audio(coded(55, 100), 16_000, 0.0)
    assert log.codes() == [*range(10, 30), *range(50, 60), *range(55, 75)]
