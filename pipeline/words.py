"""English words as the reasoner sees them: tokens, stems, which words carry content, which exclude each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\d+(?::\d\d)+|\d+(?:[.,]\d+)+|\w+(?:['’](?!s\b)\w+)?", re.UNICODE)

STOP = frozenset(
    (
        "a an the this that these those some any each every all both either neither no not and or but nor if than "
        "then so as of in on at by for with from to into onto over under about above below up down out off through "
        "between among against within without upon around is are was were be been being am do does did done doing "
        "have has had having can could will would shall should may might must it its he she they them him her his "
        "hers their theirs we us our you your i me my mine yours who whom whose which what when where why how there "
        "here also just only very too much many more most such own same other another one ones s t ve re ll d m "
        "according entire ever exactly actually please whether until besides i'd like let's itself himself herself "
        "themselves nobody someone"
    ).split()
)

FRAME = frozenset(
    (
        "say said saying says tell told telling tells talk talked talking talks speak spoke spoken speaking speaks "
        "mention mentioned mentions mentioning announce announced ask asked asks asking state stated describe "
        "described explain explained discuss discussed hear heard hearing hears listen audible show shown shows "
        "showing appear titled called appears appeared appearing see seen sees visible display displayed displays "
        "read reads written writing printed come comes came coming happen happens happened happening occur occurs "
        "occurred follow follows followed following precede precedes preceded next previous last before after right "
        "directly immediately later during while earlier thing things something anything voice speaker narrator "
        "narration presenter someone somebody anyone anybody caption captions slide slides sign signs subtitle "
        "subtitles screen on-screen burnt burned overlay warn warned warns advise advised invite invited recommend "
        "recommended remind reminded refer referred claim claimed suggest suggested recite recited introduce "
        "introduced utter uttered remarked narrate narrated voiced uttering going repeat find locate list recall "
        "remember go goes went accompany accompanies accompanied learn learns learned know knows wonder wondering "
        "listed lists aloud viewers besides except total overall words stand stands up afterwards afterward"
    ).split()
)
"""Words of the question's frame ("when does the speaker say ..."): never what it is about."""

LIGHT = FRAME | frozenset(
    (
        "sound sounds write print take takes place get gets got give gives given gave giving name names named call "
        "first person people man men woman women guy lady boy girl speech sentence phrase word words remark quote "
        "quotation quoted statement line text texts title titles banner label picture image scene scenes clip video "
        "film movie footage recording moment point time times part second seconds minute minutes start starts begin "
        "begins end ends different separate distinct question frame shot view camera kind sort type use used using "
        "make makes made let topic subject reply replied answer answered he she"
    ).split()
)
"""Words that are mostly frame or say little; behind a topic marker ("about a film") they are the topic all the same."""

TOPIC = frozenset("about regarding concerning mention mentions mentioned mentioning".split())

_IRREGULAR = {
    form: base
    for base, forms in {
        "bring": "brought",
        "buy": "bought",
        "think": "thought",
        "teach": "taught",
        "catch": "caught",
        "go": "went gone",
        "take": "took taken",
        "give": "gave given",
        "come": "came",
        "see": "saw seen",
        "find": "found",
        "leave": "left",
        "keep": "kept",
        "meet": "met",
        "lose": "lost",
        "sell": "sold",
        "tell": "told",
        "hold": "held",
        "stand": "stood",
        "build": "built",
        "send": "sent",
        "spend": "spent",
        "begin": "began begun",
        "drive": "drove driven",
        "write": "wrote written",
        "speak": "spoke spoken",
        "break": "broke broken",
        "choose": "chose chosen",
        "fall": "fell fallen",
        "fly": "flew flown",
        "grow": "grew grown",
        "know": "knew known",
        "wear": "wore worn",
        "win": "won",
        "pay": "paid",
        "make": "made",
        "get": "got",
        "run": "ran",
        "sit": "sat",
        "feed": "fed",
        "lead": "led",
        "rise": "rose risen",
        "sing": "sang sung",
        "swim": "swam swum",
        "hide": "hid hidden",
        "steal": "stole stolen",
        "eat": "ate eaten",
        "drink": "drank drunk",
        "ride": "rode ridden",
        "throw": "threw thrown",
        "draw": "drew drawn",
        "man": "men",
        "woman": "women",
        "child": "children",
        "foot": "feet",
        "tooth": "teeth",
        "mouse": "mice",
        "person": "people",
        "knife": "knives",
        "leaf": "leaves",
        "mister": "mr",
        "doctor": "dr",
        "missis": "mrs",
        "street": "st",
        "avenue": "ave",
        "metre": "meter meters metres",
        "colour": "color colors colours",
        "centre": "center centers centres",
        "licence": "license licensed licences licenses",
        "okay": "ok",
        "television": "tv",
        "programme": "program programs programmes",
        "grey": "gray",
    }.items()
    for form in forms.split()
}

CONTRASTS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "monday tuesday wednesday thursday friday saturday sunday",
        "january february march april may june july august september october november december",
        "red orange yellow green blue purple violet pink brown black white grey gray silver golden gold",
        "north south east west northern southern eastern western",
        "left right",
        "upper lower",
        "front back side rear",
        "morning afternoon evening midnight",
        "spring summer autumn winter",
        "first second third fourth fifth sixth",
        "breakfast lunch dinner",
    )
)
"""Words of one row exclude each other: an answer about the red folder does not answer for the blue one."""

_CONTRAST_OF = {word: row for row in CONTRASTS for word in row}


@dataclass(frozen=True, slots=True)
class Word:
    """A token of a text: where it stands, as written, and its stem."""

    start: int
    end: int
    surface: str
    stem: str

    @property
    def lower(self) -> str:
        return self.surface.lower()

    @property
    def has_digit(self) -> bool:
        return any(c.isdigit() for c in self.surface)


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of one word, lower case (Snowball's English stemmer after a table of irregular forms).

    >>> stem("deployment") == stem("deployed"), stem("brought") == stem("bring")
    (True, True)
    """
    import snowballstemmer

    lower = word.lower().replace("’", "'")
    lower = _IRREGULAR.get(lower, lower)
    stemmed = str(snowballstemmer.stemmer("english").stemWord(lower))  # one that questions shared would mix their words
    # Snowball keeps "-ment" after a short stem; "deployment" and "deployed" are one word to a question.
    return stemmed[:-4] if stemmed.endswith("ment") and len(stemmed) > 7 else stemmed


def split(text: str) -> list[Word]:
    """The words of a text in order; hyphens split, clock times and decimals stay whole, possessive 's falls away."""
    return [Word(m.start(), m.end(), m.group(), stem(m.group())) for m in _TOKEN.finditer(text)]


def content_flags(words: Sequence[Word], light: bool = False) -> list[bool]:
    """Which words of a phrase carry content: all but function words, frame words and light words.

    A light word does where `light` says so, behind a topic marker ("speak about a film"), or when the phrase has
    nothing better ("whom to
    write to").
    """
    flags: list[bool] = []
    topic = False
    for word in words:
        lower = word.lower
        if lower in TOPIC:
            topic = True
        plain = lower not in STOP and lower not in TOPIC and lower not in (FRAME if light else LIGHT)
        flags.append(plain or (topic and lower not in STOP and lower not in FRAME and lower not in TOPIC))
        if flags[-1] or (lower in FRAME and lower not in TOPIC):
            topic = False
    if not any(flags):
        flags = [w.lower not in STOP and w.lower in _WEAK for w in words]
    return flags


_WEAK = frozenset("write print film movie".split())


def excludes(word: str, others: frozenset[str]) -> bool:
    """Whether `others` (lower case) hold a contrasting word and not `word` itself: "red" against {"blue"}."""
    row = _CONTRAST_OF.get(word.lower())
    return row is not None and word.lower() not in others and bool(row & others)


def contrasts(word: str) -> bool:
    """Whether the word belongs to a row of mutually exclusive words (weekdays, colours, sides, ...)."""
    return word.lower() in _CONTRAST_OF
