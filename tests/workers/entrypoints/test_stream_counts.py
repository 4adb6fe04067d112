"""Who has fewer streams, over two views of one page."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.entrypoints.stream_counts import StreamCounts


@pytest.fixture
def pair(tmp_path: Path) -> tuple[StreamCounts, StreamCounts]:
    return StreamCounts(tmp_path, 0), StreamCounts(tmp_path, 1)


def test_the_busier_one_knows_it(pair: tuple[StreamCounts, StreamCounts]) -> None:
    """Equal ones do not give way: somebody has to accept."""
    one, other = pair
    other.add(0)
    one.add(2)
    assert one.somebody_has_fewer()
    assert not other.somebody_has_fewer()
    other.add(2)
    assert not one.somebody_has_fewer()
    other.add(1)
    assert other.somebody_has_fewer()
    other.add(-2)
    assert one.somebody_has_fewer()


def test_nobody_gives_way_to_a_place_where_nobody_serves_yet(
    pair: tuple[StreamCounts, StreamCounts],
) -> None:
    one, _starts = pair
    one.add(5)
    assert not one.somebody_has_fewer()


def test_replaced_one_leaves_its_place_to_its_replacement(
    pair: tuple[StreamCounts, StreamCounts], tmp_path: Path
) -> None:
    """Its own streams end one by one, and are not the replacement's."""
    one, other = pair
    one.add(9)
    other.add(3)
    replacement = StreamCounts(tmp_path, 0)
    replacement.add(4)
    one.hand_on()
    one.add(-9)
    assert not one.somebody_has_fewer()
    assert not other.somebody_has_fewer()
    assert replacement.somebody_has_fewer()
    replacement.add(-2)
    assert other.somebody_has_fewer()


def test_leaving_one_takes_only_what_nobody_else_does(
    pair: tuple[StreamCounts, StreamCounts],
) -> None:
    """Its streams get fewer, and that draws no new ones to it."""
    one, other = pair
    one.add(1)
    other.add(30)
    one.leave()
    one.add(-1)
    assert one.somebody_has_fewer()
    assert not other.somebody_has_fewer()
    other.leave()
    assert not one.somebody_has_fewer()
    assert not other.somebody_has_fewer()


def test_replaced_one_that_still_serves_does_not_speak_for_its_replacement(
    pair: tuple[StreamCounts, StreamCounts], tmp_path: Path
) -> None:
    one, other = pair
    other.add(20)
    replacement = StreamCounts(tmp_path, 0)
    replacement.add(0)
    one.add(30)
    assert not replacement.somebody_has_fewer()
    assert other.somebody_has_fewer()


def test_page_stays_for_whoever_has_it(tmp_path: Path) -> None:
    one, other = StreamCounts(tmp_path, 0), StreamCounts(tmp_path, 1)
    StreamCounts.remove(tmp_path)
    StreamCounts.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
    other.add(0)
    one.add(1)
    assert one.somebody_has_fewer()


def test_place_beyond_the_page_takes_no_part(tmp_path: Path) -> None:
    """There is room for a thousand processes; one more accepts as if it were alone."""
    other, beyond = StreamCounts(tmp_path, 0), StreamCounts(tmp_path, 1_000_000)
    other.add(0)
    beyond.add(3)
    assert not beyond.somebody_has_fewer()
    assert not other.somebody_has_fewer()
