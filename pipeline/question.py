"""What a question asks: its route, the lane in which the answer lies, and the phrases that must be grounded.

The reading is by form, not by meaning: a question has a frame ("when does the speaker say ...") and, in it, phrases
about the world. Only the phrases are looked for; the frame says where, and what to do with what is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import QuestionError
from ..records import NS_PER_S, Lane
from .cues import (
    AT,
    AUXILIARY,
    BETWEEN,
    CAPITALS,
    COUNT,
    COUNTED,
    CUE,
    CUES,
    FIRST,
    HEARD_WORDS,
    LAST,
    NAME,
    OVER,
    POLITE,
    QUOTED,
    RELATIVE,
    SUMMARY,
    TITLE,
    TOLD_OF,
    TURNED,
    UP,
    WHEN,
    WHILE,
)
from .words import content_flags, split

Route = Literal["when", "what", "while", "after", "before", "first", "last", "order", "count", "at", "summary"]

MAX_CHARS = 2_000
"""A question of more characters is refused: the text tower reads 256 word pieces."""

WORDS: tuple[Lane, ...] = ("speech", "caption")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words about the world that must be grounded, and the lanes in which they are to be looked for."""

    text: str
    quotes: tuple[str, ...] = ()
    """What was put in quotation marks or in capitals: to be found as it stands."""
    lanes: tuple[Lane, ...] = ()
    """Empty: any."""
    raw: str = ""
    """As the question has it."""

    @property
    def empty(self) -> bool:
        return not self.quotes and not any(content_flags(split(self.text)))


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read."""

    text: str
    route: Route
    target: tuple[Lane, ...]
    """Lanes in which the answer lies; empty: not said."""
    about: Phrase
    """What the answer is about."""
    anchor: Phrase | None = None
    """What the answer stands after, before or beside."""
    choices: tuple[Phrase, ...] = ()
    """Of an order question: what is to be put in order."""
    counted: str = ""
    """Of a count: what is counted ("times", "slides", ...)."""
    span_ns: tuple[int, int] | None = None
    """A stretch of stream time that the question names."""
    first: bool = True
    """Of an order question: whether the earlier of the choices is asked for."""


def read(question: str) -> Question:
    """Read a question.

    Errors: `QuestionError` when it is empty, has no word, or is longer than `MAX_CHARS`.
    """
    text = " ".join(question.encode("utf-8", "replace").decode("utf-8").split())  # lone surrogates are no text
    if (mark := text.find("?")) > 0 and len(text[:mark].split()) >= 3:
        text = text[: mark + 1]  # what comes after the question is not part of it
    if not any(c.isalnum() for c in text):
        raise QuestionError("the question is empty", 'ask with words, e.g. "When is the library mentioned?"')
    if len(text) > MAX_CHARS:
        raise QuestionError(f"the question has {len(text)} characters", f"ask with at most {MAX_CHARS}")
    text = POLITE.sub("", text) or text
    for verb, plain in UP:
        text = verb.sub(plain, text)
    for reader in (_summary, _order, _count, _beside, _relative, _at, _when):
        found = reader(text)
        if found is not None:
            return found
    if FIRST.search(text) or LAST.search(text):
        head = FIRST if FIRST.search(text) else LAST
        rest = head.sub(" ", text, count=1)
        if phrase(rest).empty:
            return Question(text, "first" if head is FIRST else "last", lanes_of(text), phrase(rest))
    return Question(text, "what", lanes_of(text), phrase(text))


def phrase(text: str, default: tuple[Lane, ...] = ()) -> Phrase:
    """A phrase of the question: its quotes set apart, its lane read from its own words."""
    raw = text.strip(" ,.;:!?")
    quotes = [m.group(1).strip(" ,.;:!?") for m in QUOTED.finditer(text)]
    bare = QUOTED.sub(" ", text)
    quotes += [m.group().strip(" ,.;:") for m in CAPITALS.finditer(bare)]
    bare = CAPITALS.sub(" ", bare)
    quotes += [next(g for g in m.groups() if g) for m in TITLE.finditer(bare)]
    bare = TITLE.sub(" slide ", bare)
    return Phrase(" ".join(bare.split()), tuple(q for q in quotes if q), lanes_of(bare) or default, raw)


def lanes_of(text: str) -> tuple[Lane, ...]:
    """The lanes whose words stand in a text outside quotes; the most specific first, empty when none do.

    What is "on screen" is a caption where the word caption or slide stands beside it, else the picture.
    """
    bare = NAME.sub(" ", CAPITALS.sub(" ", QUOTED.sub(" \x00 ", text)))
    hit = [lane for lane in ("speech", "caption", "sound", "vision") if CUE[lane].search(bare)]
    if "caption" in hit:
        return ("caption", "speech") if "speech" in hit and not _frame_is_caption(bare) else ("caption",)
    if "speech" in hit:
        return ("speech",)
    if "vision" in hit:
        return ("vision",)
    if "sound" in hit and re.search(r"\b(?:sounds?|noises?)\b", bare, re.I):
        return ("sound",)
    if "sound" in hit:
        if bare.count("\x00") or HEARD_WORDS.search(bare):
            return ("speech",)
        return ("speech", "sound")
    return ()


def _frame_is_caption(text: str) -> bool:
    """Whether the head of the question asks for a caption ("which slide ...", "according to the sign")."""
    return bool(
        re.search(
            rf"\b(?:which|what|that|the|a|according to the|on the|in the)\s+(?:\w+\s+)?"
            rf"(?:{CUES['caption']})\b",
            text,
            re.I,
        )
    ) and not re.match(r"what (?:is|was) said", text, re.I)


def _summary(text: str) -> Question | None:
    return Question(text, "summary", (), Phrase("")) if SUMMARY.match(text) else None


def _order(text: str) -> Question | None:
    """ "Which comes first: A or B?", "Is A before or after B?", "Is A said before B?"."""
    both = re.match(
        r"^(?:is|are|was|were|does|do|did|has|have)\s+(.+?)\s+"
        r"(?:before or after|after or before|earlier or later than|later or earlier than)\s+(.+)$",
        text.rstrip(" ?."),
        re.I,
    )
    if both:
        return Question(
            text,
            "order",
            lanes_of(text),
            Phrase(""),
            counted="relation",
            choices=_choices(both.group(1), both.group(2), "", lanes_of(text)),
        )
    yes_no = re.match(
        r"^(?:is|are|was|were|does|do|did)\s+(.+?)\s+(?:come |comes |happen |appear |shown |said |mentioned "
        r"|heard |)(before|after|earlier than|later than)\s+(.+)$",
        text.rstrip(" ?."),
        re.I,
    )
    if yes_no:
        relation = "before" if yes_no.group(2).lower() in ("before", "earlier than") else "after"
        return Question(
            text,
            "order",
            lanes_of(text),
            Phrase(""),
            counted=f"yes-no {relation}",
            choices=_choices(yes_no.group(1), yes_no.group(3), "", lanes_of(text)),
        )
    masked = QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
    ask = re.search(r"\b(first|earlier|earliest|sooner|last|later|latest|second)\b", masked, re.I)
    cut = masked.lower().rfind(" or ")
    joiner = 4
    if cut < 0 and re.search(r"\bof\b.+\band\b", masked, re.I):
        cut, joiner = masked.lower().rfind(" and "), 5
    if not ask or cut < 0 or not re.match(r"(?:which|what|who|in which|of )", text, re.I):
        return None
    start = max(
        masked.rfind(":", 0, cut),
        masked.rfind(",", 0, cut),
        masked.rfind(" - ", 0, cut),
        masked.rfind("–", 0, cut),
        masked.rfind("—", 0, cut),
    )
    if re.search(r":\d\d", masked[max(start, 0) : start + 3]):  # the colon of a clock time
        start = max(masked.rfind(", ", 0, cut), masked.rfind(": ", 0, cut))
    left_from = start + 1 if start >= 0 else ask.end()
    if start < 0 and (of := re.search(r"\bof\b(?: these)?(?: two)?[:,]?", masked[:cut], re.I)) is not None:
        left_from = of.end()
    left, right = text[left_from:cut], text[cut + joiner :]
    right = re.sub(
        r"\b(?:comes?|is|was|appears?|happens?|gets?)\b[^?]*\b(?:first|earlier|last|later|sooner)\b",
        "",
        right,
        flags=re.I,
    )
    if not left.strip() or not right.strip(" ?."):
        return None
    first = ask.group(1).lower() in ("first", "earlier", "earliest", "sooner")
    return Question(
        text,
        "order",
        lanes_of(text[:left_from]),
        Phrase(""),
        first=first,
        choices=_choices(left, right, text[:left_from]),
    )


def _choices(left: str, right: str, frame: str, default: tuple[Lane, ...] = ()) -> tuple[Phrase, Phrase]:
    lanes = lanes_of(frame)
    one, other = (phrase(side.strip(" ?.,:;"), lanes or default) for side in (left, right))
    if lanes:  # "which slide comes first: Budget or Voice Commands" looks for both among slides
        one, other = replace(one, lanes=lanes), replace(other, lanes=lanes)
    return one, other


def _count(text: str) -> Question | None:
    """How many times, how many slides ...: things that a memory itself counts; of others it asks for a number."""
    if not COUNT.search(text):
        return None
    noun = COUNTED.search(text)
    counted = "times" if re.search(r"\bhow often\b", text, re.I) else noun.group(1).lower() if noun else ""
    if not counted or (counted == "times" and not TOLD_OF.search(text)):
        return None
    rest = COUNTED.sub(" ", text, count=1) if noun else text
    anchor = None
    if (cut := WHILE.search(rest)) and cut.start() > 0 and not phrase(rest[cut.end() :]).empty:
        anchor = phrase(rest[cut.end() :])
        rest = rest[: cut.start()]
    rest = re.sub(
        r"\bin (?:the|this) (?:whole |entire )?(?:video|film|clip|recording|talk|stream)\b", " ", rest, flags=re.I
    )
    rest = re.sub(r"\b(?:in total|total|altogether|overall|in all|over the whole \w+)\b", " ", rest, flags=re.I)
    return Question(text, "count", lanes_of(text), phrase(rest), anchor=anchor, counted=counted)


def _beside(text: str) -> Question | None:
    """ "What is said while X is shown?" and "While X is shown, what is said?"."""
    turned = re.match(
        rf"^(?:while|whilst|during|as|when(?!\s+{AUXILIARY}))\s+(.+?),?\s+((?:what|which|who|whose|how|where)\b.+)$",
        text,
        re.I,
    )
    if turned and not phrase(turned.group(1)).empty:
        target = phrase(turned.group(2))
        return Question(text, "while", lanes_of(turned.group(2)), target, anchor=phrase(turned.group(1)))
    masked = QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
    for cut in WHILE.finditer(masked):
        if cut.start() == 0 or re.search(r"\babout\s*$", text[: cut.start()], re.I):
            continue  # "about when she gets up" names what was spoken of
        if cut.group().lower() == "as" and not re.match(r"\s+(?:the|a|an|someone|somebody|\x00)", masked[cut.end() :]):
            continue
        head, tail = text[: cut.start()], text[cut.end() :]
        if not re.match(r"(?:what|which|who|is|does|how|where|name|tell|at)\b", head, re.I) or phrase(tail).empty:
            continue
        if not phrase(head).empty and not lanes_of(head):
            continue  # "what happens to the pitch when a colony leaves" is one sentence of the world
        return Question(text, "while", lanes_of(head), phrase(head), anchor=phrase(tail))
    over = OVER.search(masked)
    if over and lanes_of(text[: over.start()]) == ("speech",) and phrase(text[: over.start()]).empty:
        return Question(text, "while", ("speech",), phrase(text[: over.start()]), anchor=phrase(text[over.end() :]))
    return None


def _relative(text: str) -> Question | None:
    """ "What is the first thing said after X?": a relation only if its own side names nothing of the world."""
    if (turned := TURNED.match(text)) and not phrase(turned.group(2)).empty and phrase(turned.group(3)).empty:
        target = lanes_of(turned.group(3))
        return Question(
            text,
            "after" if turned.group(1).lower() == "after" else "before",
            target,
            phrase(turned.group(3)),
            anchor=phrase(turned.group(2), target),
        )
    masked = QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
    match = RELATIVE.search(masked)
    if match is None or not re.match(r"(?:what|which|who|how|name|tell)\b", text, re.I):
        return None
    head, tail = text[: match.start()], text[match.end() :]
    route: Route = "after" if match.group("after") else "before"
    if match.group().lower() == "followed" and re.match(r"\s+by\b", tail, re.I):
        return Question(text, "after", lanes_of(text), Phrase(""), anchor=phrase(head))
    if match.group().lower() == "preceded" and re.match(r"\s+by\b", tail, re.I):
        return Question(text, "before", lanes_of(text), Phrase(""), anchor=phrase(head))
    own = phrase(head)
    if not own.empty or phrase(tail).empty:
        return None
    target = lanes_of(head) or lanes_of(tail)
    return Question(text, route, target, own, anchor=phrase(tail, target))


def _at(text: str) -> Question | None:
    """ "What is said at 1:30?", "between 0:30 and 1:00": the question names stream time, and nothing else."""
    span, bare = stretch_of(text)
    rest = phrase(bare)
    if span is None or not rest.empty:
        return None
    return Question(text, "at", lanes_of(text), rest, span_ns=span)


def stretch_of(text: str) -> tuple[tuple[int, int] | None, str]:
    """(the stretch of stream time that a text names, [t0_ns, t1_ns), or None; the text without it)."""
    if match := BETWEEN.search(text):
        parts = match.groups()
        span = _clock_ns(parts[:6]), _clock_ns(parts[6:])
    elif match := AT.search(text):
        t_ns = _clock_ns(match.groups())
        span = t_ns, t_ns + NS_PER_S
    else:
        return None, text
    return (None, text) if span[1] <= span[0] else (span, text[: match.start()] + " " + text[match.end() :])


def _clock_ns(parts: tuple[str | None, ...]) -> int:
    hours_or_minutes, minutes_or_seconds, seconds, amount, unit, bare = parts
    if hours_or_minutes is not None and minutes_or_seconds is not None:
        values = [int(hours_or_minutes), int(minutes_or_seconds)] + ([int(seconds)] if seconds else [])
        total = 0
        for value in values:
            total = total * 60 + value
        return total * NS_PER_S
    if amount is not None and unit is not None:
        return round(float(amount) * (60 if unit.lower().startswith("m") else 1) * NS_PER_S)
    return int(bare or 0) * NS_PER_S


def _when(text: str) -> Question | None:
    if not WHEN.match(text):
        return None
    rest = WHEN.sub(" ", text, count=1)
    return Question(text, "when", lanes_of(rest), phrase(rest))
