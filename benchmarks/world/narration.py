"""What is said over a story: facts in whole sentences, each with what people ask of it and the words that answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence and its questions."""

    text: str
    topic: str
    """A noun phrase that only this sentence is about."""
    asked: str
    """A question that the sentence answers."""
    accept: tuple[str, ...]
    """Any of these in an answer is right."""
    never: str
    """A question near to it that nothing answers."""


NAMES = ("Maria", "Oscar", "Helen", "Viktor", "Amira", "Louis", "Greta", "Samuel", "Ingrid", "Pablo", "Nadia", "Felix",
         "Clara", "Hugo", "Yusuf", "Agnes", "Marco", "Elena", "Robin", "Thea")  # fmt: skip
"""First names; half of them are drawn for the facts of one story, the others for what was never said."""
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "city": ("Lisbon", "Vienna", "Oslo", "Cairo", "Dublin", "Athens", "Geneva", "Prague", "Toronto", "Kyoto"),
    "n": ("four", "five", "six", "seven", "eight", "nine", "eleven", "twelve"),
    "food": ("lentil soup", "apple pie", "mushroom rice", "tomato salad", "onion bread", "fish stew", "plum cake"),
    "job": ("dentist", "teacher", "pilot", "baker", "lawyer", "nurse", "plumber", "painter"),
    "instrument": ("violin", "trumpet", "cello", "flute", "accordion", "harp"),
    "hour": ("seven", "eight", "nine", "ten", "eleven"),
    "gift": ("silver watch", "wool scarf", "chess set", "leather wallet", "telescope", "fountain pen"),
    "place": ("post office", "pharmacy", "bakery", "town hall", "swimming pool", "train station", "museum"),
    "hide": ("blanket", "doormat", "mirror", "curtain", "carpet", "toolbox"),
    "object": ("spare key", "passport", "birthday card", "insurance letter", "concert tickets", "battery charger"),
    "month": ("January", "March", "April", "June", "August", "October", "November"),
})  # fmt: skip
_TEMPLATES: tuple[tuple[str, str, str, str, str], ...] = (  # text, topic, asked, answer, near miss with another name
    ("{name} will arrive from {city} on {day}.", "the arrival of {name}", "From which city will {name} arrive?",
     "{city}", "From which city will {other} arrive?"),
    ("{name} works as a {job} near the {place}.", "the work of {name}", "What does {name} work as?", "{job}",
     "What does {other} work as?"),
    ("For dinner {name} wants to cook {food}.", "what {name} wants to cook", "What does {name} want to cook?", "{food}",
     "What does {other} want to cook?"),
    ("{name} has been learning the {instrument} for {n} years.", "the lessons of {name}",
     "Which instrument has {name} been learning?", "{instrument}", "Which instrument has {other} been learning?"),
    ("The birthday of {name} is in {month}.", "the birthday of {name}", "In which month is the birthday of {name}?",
     "{month}", "In which month is the birthday of {other}?"),
    ("We bought a {gift} as a present for {name}.", "the present for {name}",
     "What was bought as a present for {name}?", "{gift}", "What was bought as a present for {other}?"),
    ("{name} left the {object} under the {hide}.", "what {name} left under the {hide}",
     "What did {name} leave under the {hide}?", "{object}", "What did {other} leave under the {hide}?"),
    ("The appointment of {name} at the {place} is on {day}.", "the appointment of {name}",
     "On which day is the appointment of {name}?", "{day}", "On which day is the appointment of {other}?"),
    ("{name} gets up at {hour} in the morning.", "when {name} gets up", "At what time does {name} get up?", "{hour}",
     "At what time does {other} get up?"),
    ("{name} owns {n} goats on a farm near {city}.", "the goats of {name}", "How many goats does {name} own?", "{n}",
     "How many goats does {other} own?"),
    ("The train of {name} leaves for {city} at {hour}.", "the train of {name}",
     "Where does the train of {name} leave for?", "{city}", "Where does the train of {other} leave for?"),
    ("{name} lost the {object} at the {place}.", "the loss of {name}", "Where did {name} lose the {object}?", "{place}",
     "Where did {other} lose the {object}?"),
)  # fmt: skip
_DIGITS = {"four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "eleven": "11",
           "twelve": "12"}  # fmt: skip


class Narrator:
    """Draws facts; none is about the same person in the same way before all others have been told."""

    def __init__(self, draw: np.random.Generator) -> None:
        self._draw = draw
        names = [str(name) for name in draw.permutation(NAMES)]
        self._told, self._never = names[: len(names) // 2], names[len(names) // 2 :]
        self._left: list[tuple[int, str]] = []

    def tell(self) -> Fact:
        """The next fact."""
        if not self._left:
            pairs = [(k, name) for k in range(len(_TEMPLATES)) for name in self._told]
            self._left = [pairs[i] for i in self._draw.permutation(len(pairs))]
        k, name = self._left.pop()
        filling = {slot: str(self._draw.choice(words)) for slot, words in _WORDS.items()}
        filling |= {"name": name, "other": str(self._draw.choice(self._never))}
        text, topic, asked, answer, never = (part.format(**filling) for part in _TEMPLATES[k])
        accept = (answer, _DIGITS[answer]) if answer in _DIGITS else (answer,)
        return Fact(text, topic, asked, accept, never)


SIGNS = ("WET FLOOR", "NO SMOKING", "MIND THE STEP", "PLEASE KNOCK", "FRESH PAINT", "KEEP CLEAR", "STAFF ONLY",
         "OUT OF ORDER", "NO ENTRY", "TICKETS HERE", "LOST AND FOUND", "QUIET PLEASE", "FIRE EXIT", "HOT SURFACE",
         "OPEN AT NOON", "BACK AT SIX", "MEETING TODAY", "GARDEN SALE", "FREE COFFEE", "HIGH VOLTAGE")  # fmt: skip
"""Short words of signs; behind all of these they are numbered."""
