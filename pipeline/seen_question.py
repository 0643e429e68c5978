"""Questions about what was seen or heard, read by their form: what is asked, of which thing, in which room.

"Where did I see the red mug?", "What colour was the chair in the kitchen?", "When did the dog bark?", "How many rooms
were there?", "Where was the blue ball before it was in the garage?". What is said or printed is not asked for here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .question import Question, stretch_of
from .sighting import Thing, read_thing
from .thesaurus import AUDIBLE, is_room
from .words import STOP, Word, split

Kind = Literal[
    "printed",
    "spoken",
    "where",
    "when",
    "colour",
    "size",
    "doing",
    "exist",
    "things",
    "sounds",
    "rooms",
    "count",
    "times",
    "beside",
    "happened",
]


@dataclass(frozen=True, slots=True)
class Named:
    """What a question names: a thing, a sound, or both alike."""

    text: str
    thing: Thing | None
    stems: tuple[str, ...]
    """Of all its words."""

    @property
    def empty(self) -> bool:
        return not self.stems


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about what was seen or heard."""

    kind: Kind
    named: Named
    room: str = ""
    """In which it asks; empty: anywhere."""
    heard: bool = False
    """It asks for a sound."""
    end: Literal["", "first", "last", "previous"] = ""
    """Of several; "previous": where it was before it was where it is now."""
    side: Literal["", "before", "after", "while"] = ""
    anchor: Named | None = None
    """What the answer stands before, after or beside: a thing, a sound;"""
    anchor_room: str = ""
    """or a stay in a room."""
    anchor_heard: bool = False
    span_ns: tuple[int, int] | None = None
    """A stretch of stream time that it names."""
    number: bool = False
    """It asks how many."""
    explicit: bool = False
    """It says that it is about sight or hearing."""
    own: bool = False
    """It asks what the observer saw or heard: no caption can answer that."""


SIGHT = re.compile(
    r"\b(?:see|saw|seen|sees|visible|in (?:view|sight)|look(?:s|ed)? like|spot(?:ted)?|show(?:n|s|ed)?)\b"
)
SOUND = re.compile(r"\b(?:sounds?|noises?|hear|heard|hears|audible|listen\w*)\b")
OWN = re.compile(
    r"\b(?:i|we|you|the (?:camera|robot))\b.*\b(?:see|saw|seen|hear|heard|find|found|pass(?:ed)?|visit\w*|notice\w*)\b"
)
TOLD = re.compile(
    r"\b(?:sa(?:y|ys|id|ying)|sp(?:eak|eaks|oke|oken)|speakers?|narrat\w+|mention\w*|talk\w*|tells?|told|"
    r"captions?|slides?|signs?|titles?|banners?|written|printed|subtitles?|words?|sentences?|according)\b|"
    r"\b(?:hear|heard)\b.*\b(?:about|that)\b|^what .*\bread\b"
)
COLOUR = re.compile(r"\b(?:what|which) colou?rs?\b|\bcolou?rs? of\b|\bhow (?:was|is|were) .+ colou?red\b")
SIZE = re.compile(r"\b(?:what|which) size\b|\bhow (?:big|large|small)\b")
PRINTED = re.compile(r"\b(?:captions?|slides?|signs?|titles?|banners?|written|printed|read)\b")
"""What is read rather than heard."""
DOING = re.compile(r"^what (?:was|is|were|are|did|does) (.+?) (?:doing|do)\b")
WHERE = re.compile(
    r"^(?:where\b(?! in the (?:video|film|recording))|(?:in|at|from|into|through) (?:which|what) (?:rooms?|places?)\b|"
    r"(?:which|what) (?:rooms?|places?)\b)"
)
NOW = re.compile(r"^(?:where(?:'s| is| are)\b|(?:in )?(?:which|what) (?:room|place)s? (?:is|are)\b)")
"""Where something is, is where it was last."""
FORMER = re.compile(
    r"^(?!.*\bi (?:see|saw)\b)(?=.*\b(?:was|were|had|did|used)\b)(.*\S)\s+"
    r"(?:just )?(?:before(?: (?:that|then|this|now|it (?:was|got) (?:moved|taken|carried)\b.*))?|previously|earlier)$"
)
""" "Where was the red mug before?" """
HAPPENED = re.compile(r"^what (?:all |else |ever )?(?:(?:has |had )?happen(?:s|ed)?|went on|was going on|occurred)\b")
WHEN = re.compile(
    r"^(?:when\b|(?:find|show me) the (?:moments?|parts?)\b|"
    r"(?:at|around) (?:what|which) (?:time|point|moment|second|minute)s?\b)"
)
EXIST = re.compile(
    r"^(?:(?:is|was|were|are) there (?:ever )?|(?:did|do|does|have|has|had|can|could) "
    r"(?:i|we|you|the camera|the robot|it|one|anyone)\b|"
    r"(?:is|was|were|are|did|does|do|has|have|had) (?:a|an|any|the|some|my)\b)"
)
TIMES = re.compile(r"\bhow (?:many times|often)\b")
COUNT = re.compile(
    r"\bhow many (?:different |distinct |separate |other |kinds of )*|\bnumber of (?:different |distinct )?"
)
BESIDE = re.compile(r"\b(?:next to|beside|besides|near|together with|alongside|close to|along with|around)\b")
WHAT = re.compile(r"^(?:what|which|name|list)\b")
RELATION = re.compile(
    r"\b(?:right |just |directly |immediately |shortly )?"
    r"(before|after|while|during|when(?= (?:the|an?|it|he|she|they|i|we|you|that)\b))\b "
)
IN_ROOM = re.compile(
    r"\b(?:in|inside|into|within|through|from|of|to|at|left|leaving|(?:enter|visit|reach)(?:ed|ing)?) "
    r"(?:the |a |an |my |our |your |that )?((?:[a-z']+ )?[a-z']+)\b"
)
THE_ROOM = re.compile(r"\b(?:the|a|an|my|our) ((?:[a-z']+ )?[a-z']+)\b")
FIRST, LAST = re.compile(r"\b(?:first|earliest)\b"), re.compile(r"\b(?:last|latest|most recently|finally)\b")
FRAME = frozenset(
    (
        "see saw seen sees find found finds notice noticed spot spotted leave left put placed keep kept lose lost hear "
        "heard hears visible audible show shown shows appear appeared appears appearing present located last first "
        "ever recently finally latest earliest camera robot video recording film view sight room rooms place places "
        "happen happened look looked looking like time times moment point come came pass passed visit visited go went "
        "gone enter entered standing lying sitting still again could thing things object objects item items anything "
        "something stuff furniture sound sounds noise noises listen colour color colours colors coloured colored size "
        "big often many different distinct kinds number total altogether begin began start started end stop get got "
        "play played playing next later earlier immediately right directly just shortly someone somebody doing do "
        "what which where when how whole long far ring rang rung moments part parts now currently"
    ).split()
)
"""Words of the frame: never what is asked for. A verb that is heard counts where nothing else is named (`_named`)."""
_INTO = r"\b(?:in|inside|into|to|at|from|visit(?:ed)?|enter(?:ed)?)"
_PLAIN = re.compile(r"[a-z']+(?: [a-z']+)?")
"""A name that the patterns of rooms take in."""
_MOUTH = frozenset("while during voice narrator speaker presenter anyone anybody read".split())
_VERBAL = frozenset("ring rang rung play played playing someone somebody".split())


def read_seen(question: Question, rooms: Collection[str] = ()) -> Asked | None:
    """The question as one about what was seen or heard; None where it is about words, or of no form that is known.

    rooms: names, in lower case, that are known to be rooms' beside those that everyone knows.
    """
    text = " ".join(re.sub(r"[?!.]+\s*$", "", question.text.lower()).split())
    if any(p is not None and p.quotes for p in (question.about, question.anchor)):
        return None
    if TOLD.search(text):
        return _told_in(text, rooms)
    text = re.sub(
        r"\b(?:in|of|throughout|during) (?:the|this) (?:whole |entire )?(?:video|film|recording|clip|stream)\b",
        "",
        text,
    )
    span, text = stretch_of(text)
    former = FORMER.match(text) if WHERE.match(text) else None
    text = former.group(1) if former else text
    main, side, tail = _split(text.strip())
    kind = _kind(main)
    if kind is None:
        return None
    room, bare = _room(main, rooms)
    end: Literal["", "first", "last", "previous"] = (
        "first" if FIRST.search(main) else "last" if LAST.search(main) or NOW.match(main) else ""
    )
    if former and not side:
        end = "previous"
    if kind == "happened" and (not room or side):
        kind = "things"  # of no place: what was seen
    explicit = bool(SIGHT.search(main) or SOUND.search(main) or kind in ("rooms", "doing"))
    own = bool(OWN.search(main))
    number = COUNT.search(main) is not None
    asked = Asked(
        kind, _named(bare, kind), room, _heard(main, kind), end, number=number, explicit=explicit or own, own=own
    )
    asked = replace(asked, span_ns=span, own=own or kind == "happened")
    if side:
        asked = _beside(asked, side, tail, rooms)
    if kind == "where" and asked.named.empty:
        asked = replace(asked, kind="rooms", explicit=True)
    if kind == "things" and asked.named.empty and not (asked.room or asked.side or span or asked.explicit):
        return None
    if kind in ("when", "colour", "size", "doing", "exist", "beside", "times") and asked.named.empty and not room:
        return None
    return asked


def _told_in(text: str, rooms: Collection[str]) -> Asked | None:
    """ "What was said while I was in the kitchen?": words are asked for by the room alone; else None."""
    room, bare = _room(text, rooms, bare=False)  # "about the kitchen" is not in it
    left = [w for w in split(bare) if w.lower not in STOP and w.lower not in FRAME and not TOLD.fullmatch(w.lower)]
    if not room or not WHAT.match(text) or any(w.lower not in _MOUTH for w in left):
        return None
    printed = PRINTED.search(text) is not None
    return Asked("printed" if printed else "spoken", Named("", None, ()), room, explicit=True)


def read_named(text: str, rooms: Collection[str] = ()) -> tuple[Named, str, bool]:
    """(what a phrase names, the room in which, whether it is heard), of a choice of an order question."""
    low = " ".join(text.lower().split()).strip(" ?.,")
    room, bare = _room(low, rooms)
    if not room and is_room(low.removeprefix("the "), rooms):
        room, bare = low.removeprefix("the "), ""
    return _named(bare, "when"), room, _heard(low, "when")


def _split(text: str) -> tuple[str, Literal["", "before", "after", "while"], str]:
    """(main clause, relation, the clause behind it)."""
    match = next((m for m in RELATION.finditer(text) if m.start() > 0), None)
    if match is None:
        return text, "", ""
    word = match.group(1)
    side: Literal["before", "after", "while"] = (
        "before" if word == "before" else "after" if word == "after" else "while"
    )
    return text[: match.start()].strip(" ,"), side, text[match.end() :]


def _kind(main: str) -> Kind | None:
    sound = SOUND.search(main)
    for pattern, kind in ((COLOUR, "colour"), (SIZE, "size"), (TIMES, "times"), (DOING, "doing")):
        if pattern.search(main):
            return kind  # type: ignore[return-value]  # the literals stand one line above
    if HAPPENED.match(main):
        return "happened"
    if match := COUNT.search(main):
        counted = main[match.end() :]
        return "rooms" if re.match(r"(?:rooms?|places?)\b", counted) else "count"
    if WHEN.match(main):
        return "when"
    if WHERE.match(main):
        return "where"
    if BESIDE.search(main) and WHAT.match(main):
        return "beside"
    if EXIST.match(main):
        return "exist"
    if WHAT.match(main):
        return "sounds" if sound else "things"
    return None


def _heard(main: str, kind: Kind) -> bool:
    verbs = {word.stem for word in split(main)} & AUDIBLE
    return kind == "sounds" or bool(SOUND.search(main)) or (bool(verbs) and not SIGHT.search(main))


def _room(text: str, rooms: Collection[str], *, bare: bool = True) -> tuple[str, str]:
    """(the room that the text names behind a preposition or, if `bare`, without one; the text without it)."""
    for odd in sorted((name.lower() for name in rooms), key=lambda name: (-len(name), name)):
        if not _PLAIN.fullmatch(odd):  # "place 3", "granny's corner by the door"
            match = re.search(rf"{_INTO} (?:the )?({re.escape(odd)})(?!\w)", text)
            if match:
                return odd, _without(text, match, odd)
    for match in reversed(list(IN_ROOM.finditer(text))):
        for words, name in _readings(match.group(1)):
            if is_room(name, rooms) and not STOP & set(name.split()):  # "which room" is none
                return name, _without(text, match, words)
    for match in THE_ROOM.finditer(text) if bare else ():
        for words, name in _readings(match.group(1)):
            after = split(text[match.start(1) + len(words) :])
            alone = not after or after[0].lower in STOP or after[0].lower in FRAME  # "the library book" is no library
            if alone and is_room(name, rooms) and not STOP & set(name.split()):
                return name, _without(text, match, words)
    return "", text


def _readings(words: str) -> list[tuple[str, str]]:
    """(words taken, room's name) of one or two words: "living room"; "kitchen" before a verb; "tool workshop"."""
    first, _, last = words.partition(" ")
    return [(words, words), (first, first), *([(words, last)] if last else [])]


def _without(text: str, match: re.Match[str], words: str) -> str:
    return " ".join((text[: match.start()] + " " + text[match.start(1) + len(words) :]).split())


def _named(text: str, kind: Kind) -> Named:
    """What a clause names once its frame is taken away."""
    if kind == "beside":
        text = BESIDE.split(text, maxsplit=1)[-1]
    kept = [w for w in split(text) if w.lower not in STOP and w.lower not in FRAME]
    frame_verbs = [w for w in split(text) if w.lower in _VERBAL]
    words = kept or [w for w in frame_verbs if w.stem in AUDIBLE]
    name = " ".join(w.surface for w in words)
    verbs = {w.stem for w in words} & AUDIBLE
    nouns = " ".join(w.surface for w in words if w.stem not in verbs) or name
    return Named(
        name, read_thing(nouns) if nouns else None, tuple(w.stem for w in [*words, *_heard_verbs(frame_verbs)])
    )


def _heard_verbs(words: Sequence[Word]) -> list[Word]:
    return [w for w in words if w.stem in AUDIBLE]


def _beside(asked: Asked, side: Literal["before", "after", "while"], tail: str, rooms: Collection[str]) -> Asked:
    """The question with what it stands beside; "it" is what the main clause names."""
    room, bare = _room(tail, rooms)
    if not room and is_room(bare.removeprefix("the ").removeprefix("a "), rooms):
        room, bare = bare.removeprefix("the ").removeprefix("a "), ""
    anchor = _named(bare, "when")
    again = re.match(r"(?:it|he|she|they|that)\b", tail) is not None
    if anchor.empty and again:
        anchor = asked.named
    return replace(
        asked,
        side=side,
        anchor=None if anchor.empty else anchor,
        anchor_room=room,
        anchor_heard=_heard(tail, "when"),
        explicit=True,
    )
