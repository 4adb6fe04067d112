"""Recipes are read, or refused with a word on what is wrong."""

from __future__ import annotations

import pytest

from workers.twin.text_model.behaviour import Behaviour, Kind, read_recipe


def test_recipe_is_a_list_of_steps() -> None:
    """Steps stand in order, with numbers where they take one."""
    assert read_recipe("error(503), slow(0.5),ok") == (
        Behaviour(Kind.ERROR, 503),
        Behaviour(Kind.SLOW, 0.5),
        Behaviour(Kind.OK),
    )


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.SLOW, Kind.ERROR)])
def test_every_other_kind_is_written_by_its_name(kind: Kind) -> None:
    """What takes no number is one word."""
    assert read_recipe(kind.value) == (Behaviour(kind),)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("oops", "'oops' is none of ok, slow"),
        ("", "'' is none of"),
        ("ok, ", "'' is none of"),
        ("slow", "slow needs a number"),
        ("error()", "is none of"),
        ("ok(3)", "ok takes no number"),
    ],
)
def test_wrong_step_is_named(recipe: str, told: str) -> None:
    """A typo does not turn a test into one of something else."""
    with pytest.raises(ValueError, match=r"^") as caught:
        read_recipe(recipe)
    assert told in str(caught.value)
