"""What callers and models of these scenarios say: every line of a call differs from all others.

So what a model knows can be told line by line. Nothing is recorded, so the twins babble it, and
no line has a pause that would end a turn.
"""

from __future__ import annotations

from tests.scenarios.rig import GREETING
from workers.twin.caller import Say, Step, WaitAgentDone, WaitSeconds
from workers.twin.live_api import script
from workers.twin.live_api.script import GoOn, LiveScript, Steps, TextRule, Turn

QUESTIONS = (
    "Do you have rye bread?",
    "How much is one loaf?",
    "When do you open tomorrow?",
    "Can you keep two for me?",
    "Is there parking near you?",
    "Are your rolls still warm?",
    "Do you take cards at all?",
    "Who baked the apple cake?",
)
ANSWERS = (
    "Yes, fresh from the oven.",
    "Four dollars and ten cents.",
    "At seven in the morning.",
    "I will put them aside.",
    "Right behind the old shop.",
    "They came out just now.",
    "Cards and cash are fine.",
    "Our master did it himself.",
)
LONG_ANSWER = (
    "We have rye and wheat and spelt and oat and barley bread and on Saturdays also a dark one "
    "with walnuts and raisins and a white one with olives and a small round one for the children"
)
LONG_QUESTION = (
    "I would like to order for a party of forty people next week and we need rolls and pretzels "
    "and a big cake with candles and somebody who brings it to our house before noon"
)
HERE = "I am here again."
"""Said where a model is told that the caller waits."""
NOBODY = "Nobody there, sorry."
"""Said where a model is told that nobody answered."""


def model(*answers: Steps, questions: tuple[str, ...] = QUESTIONS) -> LiveScript:
    """A model that gives these answers in turn, and the usual ones after them."""
    given = [*answers, *((script.Say(text),) for text in ANSWERS[len(answers) :])]
    return LiveScript(
        opening=(script.Say(GREETING),),
        turns=tuple(Turn(heard, steps) for heard, steps in zip(questions, given, strict=False)),
        texts=(
            TextRule("nobody answered", (script.Say(NOBODY),)),
            TextRule("cut off", (GoOn((LONG_ANSWER, *ANSWERS, GREETING)),)),
            TextRule("waiting for your answer", (script.Say(HERE),)),
        ),
        otherwise=(script.Say("As I said before."),),
        answer_delay_s=0.1,
    )


MODEL = model()


def questions(count: int, *, first: int = 0, pause_s: float = 0.0) -> list[Step]:
    """Ask so many questions, each when the answer before has been heard."""
    steps: list[Step] = []
    for text in QUESTIONS[first : first + count]:
        steps += [Say(text), WaitAgentDone(400, timeout_s=30)]
        if pause_s:
            steps.append(WaitSeconds(pause_s))
    return steps


def greeted() -> list[Step]:
    """Listen to the greeting."""
    return [WaitAgentDone(400)]
