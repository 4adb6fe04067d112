"""Which verb follows which outcome."""

from __future__ import annotations

from workers.twin.twilio_api import program as p
from workers.twin.twilio_api import twiml as t
from workers.twin.twilio_api.twiml import Document

URL = "https://voice.example/app/voice"


def loaded(*verbs: t.Verb, fallback_url: str = "") -> tuple[p.Program, p.Step]:
    program = p.Program(fallback_url=fallback_url)
    return program, program.next(p.DocumentFetched(Document(verbs), URL))


def test_verbs_run_in_order_and_the_end_ends_the_call() -> None:
    """A document without a Hangup ends with a hang-up."""
    program, step = loaded(t.Say("a"), t.Say("b"))
    assert step == p.Run(t.Say("a"), answers=True)
    assert program.next(p.VerbEnded()) == p.Run(t.Say("b"), answers=True)
    assert program.next(p.VerbEnded()) == p.Finish()


def test_first_pause_does_not_answer() -> None:
    """The phone keeps ringing; a later pause is part of the answered call."""
    program, step = loaded(t.Pause(1), t.Pause(1))
    assert step == p.Run(t.Pause(1), answers=False)
    assert program.next(p.VerbEnded()) == p.Run(t.Pause(1), answers=True)


def test_action_of_connect_goes_before_the_next_verb() -> None:
    """With an action the following verbs are never reached."""
    connect = t.Connect(t.Stream("wss://x/"), action="after?n=1")
    program, _ = loaded(connect, t.Say("never"))
    assert program.next(p.VerbEnded()) == p.Fetch("https://voice.example/app/after?n=1")


def test_connect_without_action_falls_through() -> None:
    """The next verb, here a Redirect, decides."""
    program, _ = loaded(t.Connect(t.Stream("wss://x/")), t.Redirect("/again", "GET"))
    assert program.next(p.VerbEnded()) == p.Fetch("https://voice.example/again", "GET")


def test_dial_action_gets_the_outcome() -> None:
    """What the verb reports is what the action is sent."""
    program, _ = loaded(t.Dial((t.Number("+1555"),), action="/result"))
    step = program.next(p.VerbEnded({"DialCallStatus": "busy"}))
    assert step == p.Fetch("https://voice.example/result", "POST", {"DialCallStatus": "busy"})


def test_reject_first_sets_the_status() -> None:
    """``busy`` and ``no-answer``, by its reason."""
    assert loaded(t.Reject())[1] == p.Finish("no-answer", "Reject")
    assert loaded(t.Reject("busy"))[1] == p.Finish("busy", "Reject")


def test_gather_without_digits_falls_through() -> None:
    """Keys lead to the action, by default the same document; none lead on."""
    program, _ = loaded(t.Gather(()), t.Hangup())
    assert program.next(p.GatherEnded("")) == p.Finish("completed", "Hangup")
    program, _ = loaded(t.Gather(()), t.Hangup())
    assert program.next(p.GatherEnded("1")) == p.Fetch(URL, "POST", {"Digits": "1"})


def test_failed_fetch_falls_back_once_then_apologises() -> None:
    """The second failure is spoken by Twilio."""
    program = p.Program(fallback_url="https://f.example/")
    assert program.next(p.FetchFailed(11200, URL)) == p.Fetch(
        "https://f.example/", "POST", {"ErrorCode": "11200", "ErrorUrl": URL}
    )
    step = program.next(p.FetchFailed(11205, "https://f.example/"))
    assert step == p.Run(t.Say(p.APPLICATION_ERROR), answers=True)
    assert program.next(p.VerbEnded()) == p.Finish("completed", "Hangup")
