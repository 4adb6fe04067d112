"""What README.md and infra/readme/campaigns.md tell operators to type and to copy, done."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.entrypoints.campaign.conftest import Evercall
from workers.dialling.delivery import signature

ROOT = Path(__file__).parents[4]
README, DETAILS = ROOT / "README.md", ROOT / "infra/readme/campaigns.md"
SECTION = README.read_text(encoding="utf-8").split("## Call a list of people")[1]
SECTION = SECTION.split("\n## ")[0]
PEOPLE = """\
Phone,Name,Time zone,Consent,Appointment
(212) 555-0123,Ada,,form 1,Monday at nine
(212) 555-0124,Ben,,form 2,Tuesday at ten
12,Cho,,form 3,Friday
"""


def blocks(text: str, language: str) -> Iterator[str]:
    for block in re.finditer(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        yield block[1]


def commands(text: str) -> list[list[str]]:
    lines = "".join(blocks(text, "sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture
def example(folder: Path) -> Path:
    (folder / "campaign.yaml").write_text(next(blocks(SECTION, "yaml")), encoding="utf-8")
    (folder / "people.csv").write_text(PEOPLE, encoding="utf-8")
    (folder / "bakery.yaml").write_text(
        "name: bakery\nsystem_instruction: Be brief.\n", encoding="utf-8"
    )
    (folder / "do-not-call.csv").write_text("number\n+12125550143\n", encoding="utf-8")
    return folder


def is_for_a_person(words: list[str]) -> bool:
    """Not a server, nor a screen that waits for the campaign's end."""
    return words[0] == "evercall" and words[1] not in ("up", "serve") and "watch" not in words


@pytest.mark.usefixtures("example")
def test_the_walk_goes_from_list_to_report(evercall: Evercall, example: Path) -> None:
    """In the order in which it stands there, without anybody dialling."""
    ran = [words for words in commands(SECTION) if is_for_a_person(words)]
    assert len(ran) >= 8
    for words in ran:
        done = evercall(*words[1:], numbers=True)
        assert done.exit_code == 0, (words, done.output)
    assert "Ada" in (example / "contacts.csv").read_text(encoding="utf-8-sig")
    assert "june-check-up" in (example / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("example")
def test_commands_of_the_details_work(evercall: Evercall) -> None:
    """All of them, on a campaign that was imported."""
    assert evercall("campaign", "import", "campaign.yaml").exit_code == 0
    ran = [words for words in commands(DETAILS.read_text("utf-8")) if is_for_a_person(words)]
    # Last, because nothing leads out of it.
    ran.sort(key=lambda words: "cancel" in words)
    assert len(ran) >= 15
    for words in ran:
        done = evercall(*words[1:], numbers=True)
        assert done.exit_code == 0, (words, done.output)


def test_every_campaign_command_is_explained() -> None:
    """Whoever adds one explains it."""
    text = SECTION + DETAILS.read_text("utf-8")
    from workers.entrypoints.cli import campaign_app

    names = [command.name for command in campaign_app.registered_commands]
    assert names
    assert [name for name in names if f"campaign {name}" not in text.replace("`", "")] == []


def test_links_of_the_details_lead_somewhere() -> None:
    """To headings of their own or of the README."""
    text = DETAILS.read_text("utf-8")

    def anchors(of: str) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", of, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}

    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors(text)
    readme = README.read_text("utf-8")
    assert set(re.findall(r"\]\(\.\./\.\./README\.md#([^)]*)\)", text)) <= anchors(readme)
    assert set(re.findall(r"campaigns\.md#([^)]*)\)", readme)) <= anchors(text)


@pytest.mark.parametrize("secret", ["whsec_c2VzYW1lIG9wZW4=", "any other text"])
def test_receivers_example_takes_what_is_sent_and_nothing_else(secret: str) -> None:
    """With both kinds of secret."""
    scope: dict[str, Any] = {}
    exec(next(blocks(DETAILS.read_text("utf-8"), "python")), scope)
    is_genuine = scope["is_genuine"]
    now, body = int(time.time()), b'{"type":"contact.finished"}'

    def sent(at: int) -> dict[str, str]:
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secret, "msg_1", at, body),
        }

    assert is_genuine(secret, sent(now), body)
    assert not is_genuine("another", sent(now), body)
    assert not is_genuine(secret, sent(now), body + b" ")
    assert not is_genuine(secret, sent(now) | {"webhook-id": "msg_2"}, body)
    assert not is_genuine(secret, sent(now - 3600), body)
