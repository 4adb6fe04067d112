"""Caller audio: in order, bounded, said again where nobody answered, and every loss is counted."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from agent.live.replay import IN_FLIGHT_MS, ONSET_MS, CallerTape

PIECE_MS = 20


def piece(number: int) -> bytes:
    return number.to_bytes(4, "little") * 160


class Line:
    """A caller whose pieces are numbered, and what was sent of them."""

    def __init__(self) -> None:
        self.tape = CallerTape()
        self.tape.held = False
        self.said = 0
        self.sent: list[int] = []

    def say(self, ms: int, *, take: bool = True) -> None:
        for _ in range(ms // PIECE_MS):
            self.tape.add(piece(self.said))
            self.said += 1
            if take:
                self.take(PIECE_MS)

    def take(self, ms: float) -> list[int]:
        taken = self.tape.take(ms)
        found = [int.from_bytes(taken[at : at + 4], "little") for at in range(0, len(taken), 640)]
        assert all(after == before + 1 for before, after in pairwise(found))
        self.sent += found
        return found

    def speak(self, ms: int, *, answer_due: bool = True) -> None:
        """Speak, pause, and be noticed as the caller's energy is: 100 ms late, 600 ms late."""
        self.say(100)
        self.tape.speech_started(100)
        self.say(ms - 100)
        self.say(600)
        self.tape.speech_ended(answer_due=answer_due)

    def rewound(self, *, in_flight_ms: float = 0.0) -> list[int]:
        """Lose the connection and send to the next what has to be said again."""
        self.tape.rewind(in_flight_ms=in_flight_ms)
        return self.take(1e9)


def numbers(since_ms: float, until_ms: float) -> list[int]:
    return list(range(round(since_ms / PIECE_MS), round(until_ms / PIECE_MS)))


def test_audio_comes_out_in_order() -> None:
    """Pieces are joined, never reordered or split."""
    tape = CallerTape()
    pieces = [piece(n) for n in range(12)]
    for item in pieces:
        tape.add(item)
    assert tape.take(100) == b""
    tape.held = False
    assert tape.unsent_ms == 240
    assert tape.take(100) == b"".join(pieces[:5])
    assert tape.take(1_000) == b"".join(pieces[5:])
    assert tape.unsent_ms == 0
    assert tape.take(100) == b""


def test_oldest_falls_off_and_is_counted() -> None:
    """The bound is kept by dropping what the caller said first."""
    line = Line()
    line.say(30_060, take=False)
    assert line.tape.lost_ms == 60
    assert line.tape.unsent_ms == 30_000
    assert line.take(20) == [3]


def test_one_piece_longer_than_the_bound_is_kept() -> None:
    """What the caller says now is never dropped for being long."""
    tape = CallerTape()
    tape.held = False
    tape.add(bytes(40_000 * 32))
    assert tape.lost_ms == 0
    assert len(tape.take(20)) == 40_000 * 32


def test_unanswered_speech_is_said_again_with_its_onset() -> None:
    """From a little before the caller was first heard to the end, in order."""
    line = Line()
    line.say(2_000)
    line.speak(1_000)
    assert line.tape.has_unanswered
    assert line.rewound() == numbers(2_000 - ONSET_MS, 3_600)
    assert line.tape.replayed_ms == 1_600 + ONSET_MS


def test_answered_speech_is_never_said_again() -> None:
    """It would be answered twice; not even for what was on its way."""
    line = Line()
    line.speak(1_000)
    line.tape.answered(quiet_ms=0)
    line.say(200)
    assert not line.tape.has_unanswered
    assert line.rewound(in_flight_ms=IN_FLIGHT_MS) == numbers(1_600, 1_800)


def test_speech_that_needs_no_answer_is_not_said_again() -> None:
    """A cough, or the agent's own echo."""
    line = Line()
    line.speak(200, answer_due=False)
    assert not line.tape.has_unanswered
    assert line.rewound() == []


def test_silence_on_its_way_is_said_again() -> None:
    """What a broken connection was sent last, it may never have read."""
    line = Line()
    line.say(5_000)
    assert line.rewound(in_flight_ms=IN_FLIGHT_MS) == numbers(4_000, 5_000)


def test_answer_in_the_pause_leaves_what_follows_unanswered() -> None:
    """The server may notice the end of a turn before we do; speech that goes on then is new."""
    line = Line()
    line.say(100)
    line.tape.speech_started(100)
    line.say(900)
    line.say(400)
    line.tape.answered(quiet_ms=400)
    line.say(500)
    line.say(20)
    assert not line.tape.in_speech
    line.tape.speech_started(20)
    line.say(580)
    line.tape.speech_ended(answer_due=True)
    assert line.rewound() == numbers(1_900 - ONSET_MS, 2_500)


def test_speech_over_an_answer_is_unanswered_from_its_beginning() -> None:
    """An answer that begins while the caller speaks is one to what was said before."""
    line = Line()
    line.speak(1_000)
    line.say(200)
    line.say(100)
    line.tape.speech_started(100)
    line.tape.answered(quiet_ms=0)
    line.say(400)
    assert line.rewound() == numbers(1_800, 2_300)


def test_first_unanswered_speech_counts_not_the_last() -> None:
    """A caller who asked twice without an answer is heard twice."""
    line = Line()
    line.speak(500)
    line.say(1_000)
    line.speak(500)
    assert line.rewound() == numbers(0, 3_200)


def test_what_was_not_sent_cannot_be_answered() -> None:
    """An answer to something else leaves held speech to be answered."""
    line = Line()
    line.say(2_000)
    line.tape.held = True
    line.speak(1_000)
    line.tape.answered(quiet_ms=0)
    line.tape.held = False
    assert line.tape.has_unanswered
    assert line.take(1e9) == numbers(2_000, 3_600)
    assert line.rewound() == numbers(2_000, 3_600)


def test_pieces_of_any_length_keep_answered_speech_from_coming_back() -> None:
    """A piece is said again whole or not at all, so one that was answered in part is not."""
    tape = CallerTape()
    tape.held = False
    tape.add(bytes(500 * 32))
    tape.take(1_000)
    tape.speech_started(500)
    tape.answered(quiet_ms=250)
    tape.add(bytes(100 * 32))
    tape.take(1_000)
    tape.rewind(in_flight_ms=1_000)
    assert tape.unsent_ms == 100


def test_each_move_says_it_again_until_it_is_answered() -> None:
    """A second connection that dies has not answered either."""
    line = Line()
    line.speak(1_000)
    first, second = line.rewound(), line.rewound()
    assert first == second == numbers(0, 1_600)
    line.tape.answered(quiet_ms=0)
    assert line.rewound() == []


def test_long_monologue_is_said_again_from_where_it_is_kept_and_the_rest_is_counted_once() -> None:
    """Thirty seconds, as promised; two moves do not lose the same words twice."""
    line = Line()
    line.say(100)
    line.tape.speech_started(100)
    line.say(34_900)
    assert line.rewound() == numbers(5_000, 35_000)
    assert line.tape.lost_ms == 5_000
    assert line.rewound() == numbers(5_000, 35_000)
    assert line.tape.lost_ms == 5_000


def test_hole_in_what_is_held_counts_each_lost_word_once() -> None:
    """What lies before a hole cannot be said again in front of what lies behind it."""
    line = Line()
    line.say(100)
    line.tape.speech_started(100)
    line.say(900)
    line.tape.held = True
    line.say(31_000, take=False)
    assert line.tape.lost_ms == 1_000
    line.tape.rewind(in_flight_ms=0.0)
    assert line.tape.lost_ms == 2_000
    line.tape.rewind(in_flight_ms=0.0)
    assert line.tape.lost_ms == 2_000
    line.tape.held = False
    assert line.take(1e9) == numbers(2_000, 32_000)


def test_answered_words_before_a_hole_are_not_lost() -> None:
    """Only what a next connection would have had to hear counts."""
    line = Line()
    line.say(100)
    line.tape.speech_started(100)
    line.say(900)
    line.tape.held = True
    line.say(30_500, take=False)
    line.tape.answered(quiet_ms=300)
    line.tape.rewind(in_flight_ms=0.0)
    assert line.tape.lost_ms == 500


def test_memory_of_a_quiet_line_is_bounded() -> None:
    """Of silence only the newest moments are kept."""
    line = Line()
    line.say(60_000)
    assert len(line.rewound(in_flight_ms=1e9)) * PIECE_MS <= IN_FLIGHT_MS + ONSET_MS + PIECE_MS


@pytest.mark.parametrize("seed", range(20))
def test_every_piece_is_accounted_for(seed: int) -> None:
    """Offered and said again = sent, unsent, or lost before it was sent; always in order."""
    print("seed", seed)
    chance = random.Random(seed)
    line = Line()
    speaking = False
    for _ in range(400):
        match chance.randrange(8):
            case 0 | 1 | 2:
                line.say(chance.choice([20, 100, 1_000]), take=chance.random() < 0.7)
            case 3:
                line.take(chance.choice([20, 100, 1e9]))
            case 4:
                line.tape.held = not line.tape.held
            case 5 if speaking:
                line.tape.speech_ended(answer_due=chance.random() < 0.7)
                speaking = False
            case 5:
                line.tape.speech_started(100)
                speaking = True
            case 6:
                line.tape.answered(quiet_ms=chance.choice([0.0, 300.0]))
            case 7:
                # Losses at a move are of audio that was sent; they are counted apart below.
                before_ms = line.tape.lost_ms
                line.tape.rewind(in_flight_ms=chance.choice([0.0, 1_000.0]))
                line.tape.lost_ms = before_ms
        tape = line.tape
        sent_ms = len(line.sent) * PIECE_MS
        assert tape.offered_ms + tape.replayed_ms == sent_ms + tape.unsent_ms + tape.lost_ms
        assert tape.unsent_ms <= 30_000 + 30_000
        assert tape.offered_ms == line.said * PIECE_MS


def test_audio_that_another_worker_never_hears_is_lost() -> None:
    """What nobody has answered and what was never sent, each once."""
    line = Line()
    line.speak(1_000)
    line.tape.answered(quiet_ms=600)
    line.say(1_000)
    line.tape.speech_started(1_000)
    line.say(500, take=False)
    line.tape.abandon()
    assert line.tape.lost_ms == 1_500
    line.tape.give_up()
    assert line.tape.lost_ms == 1_500


def test_nothing_is_lost_to_another_worker_where_all_was_answered() -> None:
    """A safe point."""
    line = Line()
    line.speak(1_000)
    line.tape.answered(quiet_ms=600)
    line.say(2_000)
    line.tape.abandon()
    assert line.tape.lost_ms == 0
