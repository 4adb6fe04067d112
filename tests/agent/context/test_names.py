"""Who is calling, in their own words."""

from __future__ import annotations

import pytest

from agent.context.names import Name, name_answered, name_in


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Hi, my name is Maria Lopez and I need help", "Maria Lopez"),
        ("my name's Juan de la Cruz.", "Juan de la Cruz"),
        ("my name is maria and i am calling", "maria"),
        ("Mein Name ist Dr. Müller", "Dr. Müller"),
        ("ich heiße Jürgen von Arnim, guten Tag", "Jürgen von Arnim"),
        ("Me llamo Carmen Ruiz y llamo por un pedido", "Carmen Ruiz"),
        ("Je m'appelle Luc Moreau", "Luc Moreau"),
        ("Maria Lopez speaking", "Maria Lopez"),
        ("Schmidt am Apparat", "Schmidt"),
        ("My name is O'Brien", "O'Brien"),
    ],
)
def test_caller_says_their_name(sentence: str, name: str) -> None:
    """The name ends where the sentence goes on; titles and particles belong to it."""
    found = name_in(sentence)
    assert found is not None
    assert found.said
    assert found.name.replace("Dr ", "Dr. ") == name


@pytest.mark.parametrize(
    ("sentence", "name"),
    [("This is Maria Lopez from Acme", "Maria Lopez"), ("hier ist Schmidt", "Schmidt")],
)
def test_what_may_be_a_name_is_a_hint(sentence: str, name: str) -> None:
    """Whoever says "I am Irish" says it in the same way."""
    assert name_in(sentence) == Name(name, said=False)


@pytest.mark.parametrize(
    "sentence",
    [
        "I'm calling about an order",
        "This is Tuesday, right",
        "my dog's name is Rex",
        "Hier ist das Problem",
        "I am so tired",
        "",
    ],
)
def test_what_is_no_name_is_none(sentence: str) -> None:
    """Days, verbs and dogs are not calling."""
    assert name_in(sentence) is None


def test_answer_is_a_name_only_where_one_was_asked_for() -> None:
    """A name of a town answers something else."""
    assert name_answered("May I have your name, please?", "Maria Lopez.") == "Maria Lopez"
    assert name_answered("Wie heißen Sie?", "Schmidt") == "Schmidt"
    assert name_answered("Where do you live?", "Springfield.") == ""
    assert name_answered("What is your name?", "why do you ask") == ""
