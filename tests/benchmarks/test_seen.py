from dataclasses import replace

import pytest

from tests.benchmarks.seen import (
    Connected,
    Seen,
    Spread,
    answer_delay_ms,
    cut_gap_ms,
    heard_twice_ms,
    is_whole,
    lost_audio,
    open_at_once,
    share_heard,
    times_begun,
)
from workers.entrypoints.drill.observed import FRAME_MS, Coded

_LAST = 600
_QUESTION = range(100, 150)  # is heard from 2 to 3 s
_LINE = range(1000, 1050)


def _frames(codes: range, at_ms: float) -> tuple[Coded, ...]:
    return tuple(Coded(at_ms + FRAME_MS * n, code) for n, code in enumerate(codes))


def _one_connection(**fields: object) -> Connected:
    values: dict[str, object] = {
        "number": 1,
        "opened_s": 0.0,
        "closed_s": 12.0,
        "codes": tuple(range(_LAST)),
        "turns": ((100, 149, 3.3),),
        "answers_s": (3.4,),
    }
    return Connected(**values | fields)  # type: ignore[arg-type]


def _seen(*connections: Connected, heard: tuple[Coded, ...] = ()) -> Seen:
    return Seen(
        connections=connections or (_one_connection(),),
        refused=0,
        first_streamed=0,
        spoken=_frames(range(_LAST), 0.0),
        loud=frozenset(_QUESTION),
        heard=heard or _frames(_LINE, 3400.0),
        ended_ms=12_000.0,
    )


def test_nothing_is_lost_that_one_connection_heard() -> None:
    """A connection that got every frame and answered leaves nothing to count."""
    assert lost_audio(_seen()).total_ms == 0


def test_frames_between_connections_are_lost() -> None:
    """What no connection received counts, and only that."""
    before = _one_connection(codes=tuple(range(300)), closed_s=6.0)
    after = _one_connection(number=2, opened_s=6.3, codes=tuple(range(316, _LAST)), turns=())
    lost = lost_audio(_seen(before, after))
    assert (lost.early_ms, lost.unsent_ms, lost.died_ms) == (0, 16 * FRAME_MS, 0)


def test_audio_before_the_first_connection_is_counted_apart() -> None:
    """What was said before any connection listened is no loss of a move."""
    lost = lost_audio(_seen(_one_connection(codes=tuple(range(52, _LAST)))))
    assert (lost.early_ms, lost.unsent_ms) == (50 * FRAME_MS, 0)


def test_speech_that_only_a_dead_connection_heard_is_lost() -> None:
    """Half a question on a connection that ended before it answered is as good as unsaid."""
    before = _one_connection(codes=tuple(range(130)), closed_s=2.6, turns=(), answers_s=())
    after = _one_connection(
        number=2, opened_s=2.6, codes=tuple(range(130, _LAST)), turns=((130, 149, 3.3),)
    )
    assert lost_audio(_seen(before, after)).died_ms == 30 * FRAME_MS


def test_speech_that_was_sent_again_is_not_lost() -> None:
    """The half that is replayed to the connection that answers is heard after all."""
    before = _one_connection(codes=tuple(range(130)), closed_s=2.6, turns=(), answers_s=())
    after = _one_connection(number=2, opened_s=2.6, codes=tuple(range(90, _LAST)))
    assert lost_audio(_seen(before, after)).total_ms == 0


def test_speech_a_connection_answered_before_it_died_is_not_lost() -> None:
    """A model that began to answer had heard the question."""
    before = _one_connection(codes=tuple(range(180)), closed_s=3.6)
    after = _one_connection(
        number=2, opened_s=3.6, codes=tuple(range(180, _LAST)), turns=(), answers_s=()
    )
    assert lost_audio(_seen(before, after)).total_ms == 0


def test_share_of_a_question_is_what_the_answering_model_heard() -> None:
    """The connection that heard the end answers, and knows only what it got itself."""
    before = _one_connection(codes=tuple(range(130)), closed_s=2.6, turns=(), answers_s=())
    after = _one_connection(
        number=2, opened_s=2.6, codes=tuple(range(130, _LAST)), turns=((130, 149, 3.3),)
    )
    seen = _seen(before, after)
    assert share_heard(seen, seen.utterances()[0]) == pytest.approx(0.4)
    assert share_heard(_seen(before), seen.utterances()[0]) is None


def test_gap_of_a_cut_answer_lasts_until_the_next_word() -> None:
    """From the end of the last frame of the line to the first frame of what follows."""
    heard = _frames(_LINE[:20], 3400.0) + _frames(range(5000, 5030), 4200.0)
    assert cut_gap_ms(_seen(heard=heard), _LINE) == pytest.approx(400)


def test_answer_that_was_heard_whole_has_no_gap() -> None:
    """Silence after a line's end is a pause."""
    heard = _frames(_LINE, 3400.0) + _frames(range(5000, 5030), 9000.0)
    seen = _seen(heard=heard)
    assert cut_gap_ms(seen, _LINE) == 0
    assert is_whole(seen, _LINE)


def test_answer_that_never_goes_on_has_no_measurable_gap() -> None:
    """Nothing came, or only after the caller had spoken again: there is no end to measure to."""
    alone = _seen(heard=_frames(_LINE[:20], 3400.0))
    assert cut_gap_ms(alone, _LINE) is None
    heard = _frames(_LINE[:20], 3400.0) + _frames(range(5000, 5030), 9000.0)
    asked_again = replace(_seen(heard=heard), loud=frozenset({*_QUESTION, *range(250, 300)}))
    assert cut_gap_ms(asked_again, _LINE) is None


def test_delay_counts_from_the_last_word() -> None:
    """The caller is silent from 3 s on and hears the model at 3.4 s."""
    seen = _seen()
    assert answer_delay_ms(seen, seen.utterances()[0]) == pytest.approx(400)


def test_rest_of_the_answer_before_is_no_answer() -> None:
    """A model that still speaks when the caller has ended has not answered yet."""
    heard = _frames(range(500, 530), 2800.0) + _frames(_LINE, 3900.0)
    seen = _seen(heard=heard)
    assert answer_delay_ms(seen, seen.utterances()[0]) == pytest.approx(900)


def test_audio_heard_again_is_counted() -> None:
    """Twenty frames of the line again, and its beginning."""
    seen = _seen(heard=_frames(_LINE, 3400.0) + _frames(_LINE[:20], 5000.0))
    assert (heard_twice_ms(seen), times_begun(seen, _LINE)) == (20 * FRAME_MS, 2)


@pytest.mark.parametrize(("opened_s", "most"), [(6.0, 1), (5.5, 2)])
def test_connections_at_once_are_those_that_overlap(opened_s: float, most: int) -> None:
    """One that opens when the other is closed does not overlap with it."""
    both = (_one_connection(closed_s=6.0), _one_connection(number=2, opened_s=opened_s))
    assert open_at_once(both, 12.0) == most


def test_spread_is_of_the_nearest_ranks() -> None:
    """Of 100 values the 50th, the 95th and the last."""
    assert Spread.of(float(n) for n in range(100, 0, -1)) == Spread(100, 50, 95, 100)
    assert Spread.of([]) == Spread(0, 0, 0, 0)
