"""Budgets whose talk is counted as it should be: what the tests of budgets begin with."""

from __future__ import annotations

from agent.context.budget import ContextBudget, Reported
from agent.context.window import Window
from agent.events import UsageReported

INSTRUCTION = "x" * 1_200
"""300 tokens."""
WINDOW = Window(131_072, 100_000, 10_000)
SMALL = Window(10_000, 4_000, 2_000)


def count(prompt: int, response: int = 0) -> UsageReported:
    return UsageReported(prompt, response, prompt + response)


def connected(window: Window = WINDOW, instruction: str = INSTRUCTION) -> ContextBudget:
    budget = ContextBudget(window)
    budget.connected(instruction=instruction, resumed=False)
    return budget


def turn(
    budget: ContextBudget,
    *,
    heard_ms: float = 4_000,
    said_ms: float = 8_000,
    rates: tuple[float, float] = (32, 25),
    prompt: int | None = None,
) -> Reported:
    """One exchange with its count; ``prompt`` is what it says of the context if all is right."""
    right = budget.tokens + round(heard_ms * rates[0] / 1000)
    budget.caller_audio(heard_ms)
    budget.turn_begins()
    budget.model_audio(said_ms)
    return budget.reported(
        count(right if prompt is None else prompt, round(said_ms * rates[1] / 1000))
    )


def greeted(window: Window = WINDOW) -> ContextBudget:
    """The model has greeted the caller, in 100 tokens."""
    budget = connected(window)
    turn(budget, heard_ms=0, said_ms=4_000)
    return budget


def long_talk(window: Window = SMALL, turns: int = 2) -> ContextBudget:
    budget = greeted(window)
    for _ in range(turns):
        turn(budget)
    return budget


def to_the_trigger(window: Window = SMALL) -> ContextBudget:
    """Talk until the next turn is over the trigger, and begin that."""
    budget = greeted(window)
    trigger = window.trigger_tokens
    assert trigger is not None
    while budget.tokens + 128 <= trigger:
        turn(budget)
    budget.caller_audio(4_000)
    return budget


def fixed_tokens(budget: ContextBudget) -> int:
    """What is never cut: a fresh session holds nothing else."""
    budget.connected(instruction=INSTRUCTION, resumed=False)
    return budget.tokens
