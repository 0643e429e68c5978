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
from .words import content_flags, split

Route = Literal["when", "what", "while", "after", "before", "first", "last", "order", "count", "at", "summary"]

MAX_CHARS = 2_000
"""A question of more characters is refused: the text tower reads 256 word pieces."""

WORDS: tuple[Lane, ...] = ("speech", "caption")

_CUES: dict[Lane, str] = {
    "speech": r"sa(?:y|ys|id|ying)|sp(?:eak|eaks|oke|oken|eaking|eech)|speakers?|voices?|narrat\w+|presenter|"
    r"mention\w*|talk(?:s|ed|ing)?|tell(?:s|ing)?|told|announce\w*|sentence|utter\w*|ask(?:s|ed|ing)?|"
    r"quot\w+|(?:which|what) words|remark\w*|explain\w*|describe\w*|discuss\w*|dialogue|conversation|spoke|"
    r"recit\w+|warn\w*|remind\w*",
    "caption": r"captions?|slides?|signs?|texts?|titles?|labels?|banners?|written|writing|reads?|printed|lettering|"
    r"headlines?|bullets?|notice ?boards?|whiteboards?|blackboards?|posters?|overlays?|"
    r"burn(?:t|ed)[- ]in|inscription\w*|notices?|placards?",
    "sound": r"sounds?|noises?|hear|heard|hears|audible|rings?|listen\w*|audio",
    "vision": r"shown|shows?|showing|appear\w*|see|seen|sees|visible|scenes?|pictures?|images?|on[- ]?screen|"
    r"look(?:s|ed)? like|shot|footage|displayed|watch\w*",
}
_CUE = {lane: re.compile(rf"\b(?:{pattern})\b", re.I) for lane, pattern in _CUES.items()}

_QUOTED = re.compile(r"(?<!\w)['‘\"“«]([^'‘’\"“”«»]*(?:\w['’]\w[^'‘’\"“”«»]*)*)['’\"”»](?!\w)")
_CAPITALS = re.compile(
    r"\b[A-Z][A-Z]+\b(?:[ \-/&:,.]+(?:[A-Z\d][A-Z\d]*|\d+(?::\d\d)+)\b)+|"
    r"\b\d+(?::\d\d)*(?:[ \-/&]+[A-Z][A-Z]+\b)+(?:[ \-/&:,.]+(?:[A-Z\d]+|\d+(?::\d\d)+)\b)*"
)

_PROPER = r"(?:[A-Z][\w'&-]*|\d[\w:.]*)"
_TITLE = re.compile(
    rf"\b(?:slide|caption|sign|title|banner)s?(?: (?:titled|called|named|saying|reading|that (?:says|reads)))? "
    rf"({_PROPER}(?: (?:(?:and|of|the|a|in|on|for|to|or|with|from) )*{_PROPER})*)|"
    rf"\bthe ({_PROPER}(?: (?:(?:and|of|the|for|to) )*{_PROPER})*) (?:slide|caption|sign|banner)\b"
)
"""The title of a slide that was not put in quotation marks: "the slide What We Learned", "the Budget 2031 slide"."""
_HEARD_WORDS = re.compile(
    r"\b(?:hear|hears|heard)\b.*\b(?:about|of|that|how|someone|somebody|anyone|person|man|woman|"
    r"words?)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[a-z,:;] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
"""Capitalised words inside a sentence name something: "the slide Voice Commands" is not about speech."""

_WHEN = re.compile(
    r"^(?:when\b|(?:at|in|around) (?:what|which) (?:time|point|moment|second|minute|part|place)s?\b"
    r"(?! (?:does|do|did|will|is|was) .*\b(?:open|close|leave|depart|arrive|board|start|begin|end)s?\b)"
    r"|where in the (?:video|film|recording|clip)\b|(?:find|show me) the (?:moment|part|place)s?\b)",
    re.I,
)
_COUNT = re.compile(r"\b(?:how many|how often|number of|count (?:the|all|every))\b", re.I)
_COUNTED = re.compile(
    r"\b(?:how many|number of|count (?:the|all))\s+(?:of the |the |all |different |distinct |separate |unique |other |"
    r"burnt[- ]in |burned[- ]in |on[- ]screen |overlaid |written |printed |spoken )*"
    r"(times|captions?|slides?|signs?|texts?|titles?|labels?|overlays?|scenes?|shots?|events?|sounds?|noises?|"
    r"sentences?|utterances?|remarks?|notices?|messages?)\b",
    re.I,
)
_TOLD_OF = re.compile(
    r"^(?!.*\b(?:should|must|need|needs|have to|has to|per (?:day|week|month|year)|a (?:day|week|month|year))\b)"
    r"(?:.*\bhow many times\b|.*\b(?:said|mention\w*|spoken|says?|talk\w*|heard?|hears?|shown|shows?|seen|see|"
    r"appear\w*|rings?|visible|come up|on screen)\b)",
    re.I,
)
"""What is counted is told or shown, not something in the world ("how often does the bus come")."""
_SUMMARY = re.compile(
    r"^(?:what (?:is|was) (?:the|this|that) (?:video|film|recording|clip|stream) about|summar\w+|"
    r"what happen(?:s|ed)(?: in (?:the|this) \w+)?|describe the \w+|give me a summary.*)\W*$",
    re.I,
)
_RELATIVE = re.compile(
    r"\b(?P<after>after|follow(?:s|ed|ing)?|succeed(?:s|ed)|since)\b|"
    r"\b(?P<before>before|preced(?:e|es|ed|ing)|prior to|leads? up to|leading up to)\b",
    re.I,
)
_WHILE = re.compile(
    r"\b(?:while|whilst|during|at the (?:same )?(?:time|moment)(?: that| when| as| of)?|when|as)\b", re.I
)
_OVER = re.compile(
    r"\b(?:over|with|alongside|accompan(?:y|ies|ied|ying)|beside|behind|under|to|on|for)\s+(?:the |a |this |that )"
    r"(?=(?:slide|caption|sign|title|text|banner|label)\b)",
    re.I,
)
_TURNED = re.compile(
    r"^(?:right |just |directly |immediately |shortly )?(before|after)\s+(.+?),\s*((?:what|which|who)\b.+)$", re.I
)
_AUXILIARY = r"(?:do|does|did|is|are|was|were|can|could|will|would|has|have|had|should|shall|may|might|must)\b"
_POLITE = re.compile(
    r"^(?:please,? )?(?:(?:could|can|would) you (?:please )?(?:tell|show|say|remind)(?: me| us)?|"
    r"i(?:'d| would) like to know|i (?:want|need) to know|tell (?:me|us)|do you (?:know|remember)|any idea)\b,?\s*"
    r"(?=\w)(?!the (?:moment|part|place))",
    re.I,
)
_UP = (
    (re.compile(r"\bread(?:s|ing)? (?:out|aloud)\b", re.I), "said"),
    (re.compile(r"\bin order to\b", re.I), "to"),
    (re.compile(r"\b(?:brings?|brought|bringing) up\b", re.I), "mention"),
    (re.compile(r"\b(?:gets?|got|comes?|came) (?:to|round to)\b", re.I), "mention"),
    (re.compile(r"\b(?:comes?|came|coming|pops?|crops?) (?:up|on)\b", re.I), "appears"),
)
"""Verbs with a particle, in the word that the frame knows."""
_FIRST = re.compile(r"\b(?:first|earliest|opening)\b", re.I)
_LAST = re.compile(r"\b(?:last|final|latest|closing)\b", re.I)
_CLOCK = (
    r"(?:(\d{1,4}):(\d\d)(?::(\d\d))?|(\d{1,7}(?:\.\d{1,6})?) ?(seconds?|secs?|s|minutes?|mins?|min|m)\b|"
    r"(?:minute|second) (\d{1,7})\b)"
)
_BETWEEN = re.compile(rf"\b(?:between|from)\s+{_CLOCK}\s+(?:and|to|until|till|-)\s+{_CLOCK}", re.I)
_AT = re.compile(rf"\b(?:at|around|about|near|@)\s+(?:the\s+)?(?:time\s+|minute\s+|second\s+)?{_CLOCK}", re.I)


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
    text = _POLITE.sub("", text) or text
    for verb, plain in _UP:
        text = verb.sub(plain, text)
    for reader in (_summary, _order, _count, _beside, _relative, _at, _when):
        found = reader(text)
        if found is not None:
            return found
    if _FIRST.search(text) or _LAST.search(text):
        head = _FIRST if _FIRST.search(text) else _LAST
        rest = head.sub(" ", text, count=1)
        if phrase(rest).empty:
            return Question(text, "first" if head is _FIRST else "last", lanes_of(text), phrase(rest))
    return Question(text, "what", lanes_of(text), phrase(text))


def phrase(text: str, default: tuple[Lane, ...] = ()) -> Phrase:
    """A phrase of the question: its quotes set apart, its lane read from its own words."""
    raw = text.strip(" ,.;:!?")
    quotes = [m.group(1).strip(" ,.;:!?") for m in _QUOTED.finditer(text)]
    bare = _QUOTED.sub(" ", text)
    quotes += [m.group().strip(" ,.;:") for m in _CAPITALS.finditer(bare)]
    bare = _CAPITALS.sub(" ", bare)
    quotes += [next(g for g in m.groups() if g) for m in _TITLE.finditer(bare)]
    bare = _TITLE.sub(" slide ", bare)
    return Phrase(" ".join(bare.split()), tuple(q for q in quotes if q), lanes_of(bare) or default, raw)


def lanes_of(text: str) -> tuple[Lane, ...]:
    """The lanes whose words stand in a text outside quotes; the most specific first, empty when none do.

    What is "on screen" is a caption where the word caption or slide stands beside it, else the picture.
    """
    bare = _NAME.sub(" ", _CAPITALS.sub(" ", _QUOTED.sub(" \x00 ", text)))
    hit = [lane for lane in ("speech", "caption", "sound", "vision") if _CUE[lane].search(bare)]
    if "caption" in hit:
        return ("caption", "speech") if "speech" in hit and not _frame_is_caption(bare) else ("caption",)
    if "speech" in hit:
        return ("speech",)
    if "vision" in hit:
        return ("vision",)
    if "sound" in hit and re.search(r"\b(?:sounds?|noises?)\b", bare, re.I):
        return ("sound",)
    if "sound" in hit:
        if bare.count("\x00") or _HEARD_WORDS.search(bare):
            return ("speech",)
        return ("speech", "sound")
    return ()


def _frame_is_caption(text: str) -> bool:
    """Whether the head of the question asks for a caption ("which slide ...", "according to the sign")."""
    return bool(
        re.search(
            rf"\b(?:which|what|that|the|a|according to the|on the|in the)\s+(?:\w+\s+)?"
            rf"(?:{_CUES['caption']})\b",
            text,
            re.I,
        )
    ) and not re.match(r"what (?:is|was) said", text, re.I)


def _summary(text: str) -> Question | None:
    return Question(text, "summary", (), Phrase("")) if _SUMMARY.match(text) else None


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
    masked = _QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
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
    if not _COUNT.search(text):
        return None
    noun = _COUNTED.search(text)
    counted = "times" if re.search(r"\bhow often\b", text, re.I) else noun.group(1).lower() if noun else ""
    if not counted or (counted == "times" and not _TOLD_OF.search(text)):
        return None
    rest = _COUNTED.sub(" ", text, count=1) if noun else text
    anchor = None
    if (cut := _WHILE.search(rest)) and cut.start() > 0 and not phrase(rest[cut.end() :]).empty:
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
        rf"^(?:while|whilst|during|as|when(?!\s+{_AUXILIARY}))\s+(.+?),?\s+((?:what|which|who|whose|how|where)\b.+)$",
        text,
        re.I,
    )
    if turned and not phrase(turned.group(1)).empty:
        target = phrase(turned.group(2))
        return Question(text, "while", lanes_of(turned.group(2)), target, anchor=phrase(turned.group(1)))
    masked = _QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
    for cut in _WHILE.finditer(masked):
        if cut.start() == 0:
            continue
        if cut.group().lower() == "as" and not re.match(r"\s+(?:the|a|an|someone|somebody|\x00)", masked[cut.end() :]):
            continue
        head, tail = text[: cut.start()], text[cut.end() :]
        if not re.match(r"(?:what|which|who|is|does|how|where|name|tell|at)\b", head, re.I) or phrase(tail).empty:
            continue
        if not phrase(head).empty and not lanes_of(head):
            continue  # "what happens to the pitch when a colony leaves" is one sentence of the world
        return Question(text, "while", lanes_of(head), phrase(head), anchor=phrase(tail))
    over = _OVER.search(masked)
    if over and lanes_of(text[: over.start()]) == ("speech",) and phrase(text[: over.start()]).empty:
        return Question(text, "while", ("speech",), phrase(text[: over.start()]), anchor=phrase(text[over.end() :]))
    return None


def _relative(text: str) -> Question | None:
    """ "What is the first thing said after X?": a relation only if its own side names nothing of the world."""
    if (turned := _TURNED.match(text)) and not phrase(turned.group(2)).empty and phrase(turned.group(3)).empty:
        target = lanes_of(turned.group(3))
        return Question(
            text,
            "after" if turned.group(1).lower() == "after" else "before",
            target,
            phrase(turned.group(3)),
            anchor=phrase(turned.group(2), target),
        )
    masked = _QUOTED.sub(lambda m: "\x00" * len(m.group()), text)
    match = _RELATIVE.search(masked)
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
    if match := _BETWEEN.search(text):
        parts = match.groups()
        span = _clock_ns(parts[:6]), _clock_ns(parts[6:])
    elif match := _AT.search(text):
        t_ns = _clock_ns(match.groups())
        span = t_ns, t_ns + NS_PER_S
    else:
        return None
    rest = phrase(text[: match.start()] + " " + text[match.end() :])
    if not rest.empty or span[1] <= span[0]:
        return None
    return Question(text, "at", lanes_of(text), rest, span_ns=span)


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
    if not _WHEN.match(text):
        return None
    rest = _WHEN.sub(" ", text, count=1)
    return Question(text, "when", lanes_of(rest), phrase(rest))
