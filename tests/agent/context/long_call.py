"""An hour and a half on the phone, in lines of a transcript: twelve facts, then small talk."""

from __future__ import annotations

import random

OPENING = """
You: Hello, Corner Bakery, how can I help you?
Caller: Hi, my name is Maria Lopez. I'd like to change a cake I ordered for a wedding.
You: Of course. What is your order number?
Caller: It's 4711-88.
You: Thank you, Maria. Is that for the wedding of your sister?
Caller: For my niece, yes. Lopez is spelled L-O-P-E-S by the way, people get it wrong all the time.
You: Thank you. On which number can we reach you?
Caller: 0170 555 01 23, best in the morning.
You: And your e-mail address?
Caller: Maria dot lopez at example dot com.
You: Got it, let me look at your order.
You called lookup_order({"number": "4711-88"}). Its result: {"status": "baked", "tiers": 3}
You: I see three tiers here. When should it be there?
Caller: On Saturday the 12th of December, and please before 10 am, the hall closes for lunch.
You: And where shall it go?
Caller: To 12 Baker Street in Springfield.
You: How many guests do you expect?
Caller: There will be about eighty guests.
You: Is there anything the kitchen has to know?
Caller: The bride is allergic to walnuts.
You: I understand. The price was agreed already, I think?
Caller: We agreed on 249 euros with your colleague Jonas.
You: Good. I will send you a new confirmation by e-mail tonight.
Caller: Thank you. My customer number is 88231, if you need it.
You: I'll look at that later. We will refund the delivery fee of 15 euros.
Caller: That is very kind.
""".strip().splitlines()
"""The first ten minutes."""

TOLD = (
    "Maria Lopez",
    "4711-88",
    "L-O-P-E-S",
    "0170 555 01 23",
    "Maria dot lopez at example dot com",
    "Saturday the 12th of December",
    "before 10 am",
    "12 Baker Street",
    "eighty guests",
    "walnuts",
    "249 euros",
    "88231",
)
"""The twelve facts, as they were said."""
PROMISED = ("confirmation by e-mail tonight", "refund the delivery fee of 15 euros")

_CALLER = (
    "We were in {place} last year, it rained for {few} days.",
    "My neighbour {name} has {few} cats now.",
    "I paid {few}0 euros for parking on {day}, can you believe that?",
    "When I was young we baked every {day} with my grandmother.",
    "My son turned {few} in {month}.",
    "The train to {place} was {few}5 minutes late again.",
    "I watched that film with {name}, it was lovely.",
    "There were {few}000 people at the concert in {place}.",
    "You know, it was {month} when we moved into the flat.",
    "My favourite colour is blue, and {name} says it is boring.",
    "I had a coffee with {name} at {few} o'clock, and we talked for hours.",
    "Isn't it cold today?",
    "Do you like dogs at all?",
    "Well, what shall I say.",
    "That is so true.",
    "Ha, my husband said the very same thing.",
    "I'd like to see {place} one day.",
    "The old oven cost {few}90 dollars in 19{few}4.",
    "My dog is called {name}, and he eats everything.",
    "I want a garden with {few} apple trees, that would be something.",
    "On {day} I will go swimming with {name}.",
    "It is {few} degrees outside and I am freezing.",
    "My sister is with {name} since {month}.",
    "I think {name} is right about {place}.",
)
_AGENT = (
    "That sounds lovely.",
    "Oh, really?",
    "How was the weather in {place}?",
    "I can imagine that.",
    "And what did {name} say?",
    "I will be happy to listen.",
    "I'll see what I can do about the rain.",
    "{place} is said to be beautiful in {month}.",
    "Do you go there often?",
    "That must have been {few} years ago.",
    "I am only a voice on the phone, but I do like cakes.",
    "We will be open on {day} as well.",
)
_PLACES = ("Lisbon", "Vienna", "Chicago", "Bath", "Ghent", "Porto", "Leeds", "Bergen")
_NAMES = ("Paul", "Anna", "Yusuf", "Chloe", "Igor", "Mei", "Carlos", "Freya")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "March", "June", "July", "October")


def small_talk(turns: int, chance: random.Random) -> list[str]:
    """Turns of both sides that are of no use to anybody, full of numbers and names."""

    def said(sentences: tuple[str, ...]) -> str:
        return chance.choice(sentences).format(
            place=chance.choice(_PLACES),
            name=chance.choice(_NAMES),
            day=chance.choice(_DAYS),
            month=chance.choice(_MONTHS),
            few=chance.randint(2, 9),
        )

    lines: list[str] = []
    for _ in range(turns // 2):
        lines.append("Caller: " + " ".join(said(_CALLER) for _ in range(chance.randint(1, 3))))
        lines.append("You: " + " ".join(said(_AGENT) for _ in range(chance.randint(1, 2))))
    return lines
