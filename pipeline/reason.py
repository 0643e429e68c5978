"""The protocol of reasoners, and the register of those there are: adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SettingsError
from ..records import Percept

if TYPE_CHECKING:
    from .evidence import Finder
    from .question import Question


@dataclass(frozen=True, slots=True)
class Support:
    """A span that a conclusion rests on."""

    stream: str
    t0_ns: int
    t1_ns: int
    percept: Percept
    """The one that shows it best: its lane, words, thumbnail, place."""
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a reasoner makes of the evidence, before thumbnails and timings are added."""

    text: str
    abstained: bool
    confidence: float
    support: tuple[Support, ...] = ()


class Reasoner(Protocol):
    """Answers a question from one snapshot of a memory, through a finder; says so when the evidence is not there."""

    def conclude(self, question: Question, finder: Finder) -> Conclusion: ...


def abstain(reason: str) -> Conclusion:
    """The conclusion that there is no evidence, and why."""
    return Conclusion(f"I found no evidence for that: {reason}.", abstained=True, confidence=0.0)


def _extractive(_settings: Mapping[str, Any]) -> Reasoner:
    from .extractive import Extractive

    return Extractive()


def _openai(settings: Mapping[str, Any]) -> Reasoner:
    from ..config import load
    from .openai_reasoner import OpenAIReasoner, OpenAISettings

    return OpenAIReasoner(load("openai", OpenAISettings, settings))


REASONERS: Mapping[str, Callable[[Mapping[str, Any]], Reasoner]] = {"extractive": _extractive, "openai": _openai}
"""Name -> maker, given the settings file."""


def make_reasoner(name: str, settings: Mapping[str, Any]) -> Reasoner:
    """The reasoner of that name. Errors: `SettingsError` for a name that is not registered."""
    if name not in REASONERS:
        raise SettingsError(f"there is no reasoner {name!r}", f"choose one of {', '.join(sorted(REASONERS))}")
    return REASONERS[name](settings)
