"""A seeded grammar: who gave what to whom and when, and the same fact as the receiver tells it."""

from __future__ import annotations

import random

NAMES = ("Ada", "Ben", "Eva", "Gus", "Ida", "Kai", "Leo", "Mia", "Noa", "Pia", "Sam", "Tom")
THINGS = (
    "apples",
    "books",
    "coins",
    "keys",
    "lamps",
    "maps",
    "pens",
    "ropes",
    "seeds",
    "shells",
    "stamps",
    "tickets",
)
DEEDS = {"sold": "bought", "gave": "received", "lent": "borrowed", "mailed": "got"}
MONTHS = {"January": "01", "April": "04", "May": "05", "June": "06", "August": "08", "October": "10"}


def sentence(draw: random.Random) -> tuple[str, str]:
    """Return a prompt such as "On 17 May, Ada sold 12 pens to Leo. =" and its only right answer."""
    giver, receiver = draw.sample(NAMES, 2)
    deed, month = draw.choice(list(DEEDS)), draw.choice(list(MONTHS))
    count, day, thing = draw.randint(10, 99), draw.randint(1, 28), draw.choice(THINGS)
    prompt = f"On {day} {month}, {giver} {deed} {count} {thing} to {receiver}. ="
    return prompt, f"{receiver} {DEEDS[deed]} {count} {thing} from {giver} on {MONTHS[month]}-{day:02}."


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Return prompts with their answers."""
    draw = random.Random(seed)
    return [sentence(draw) for _ in range(count)]
