"""Word lists that grounding leans on: verbs and qualities, opposites, synonyms, the types that are asked for."""

from __future__ import annotations

import re

VERBS = frozenset(
    (
        "accept add agree aim allow announce answer apply arrange arrive attend avoid bake base be become begin "
        "believe belong book borrow break bring build buy call cancel care carry catch cause change charge check "
        "choose clean climb close collect come compare complete consider consist contain continue cook cost count "
        "cover create cross cut deal decide deliver depart depend describe design develop die discover draw drink "
        "drive drop earn eat employ end enjoy enter equal exist expect explain fail fall feed feel fill find finish "
        "fit fix fly follow forbid forget form fool gather give go grow guard hang happen hate help hide hit hold "
        "hope hum include increase intend invite join keep kill know last lay lead learn leave lend let lie like "
        "limit live load lock look lose love lower make manage mean measure meet mix move need notice offer open "
        "operate order own pack paint park participate pass pay perform plan plant play point pour predict prefer "
        "prepare prevent print produce promise protect prove provide pull purchase push put reach receive recommend "
        "reduce refuse release rely remain remove rent repair replace require reserve rest return ride ring rise "
        "roll run save see seem sell send separate serve set share shut sign sing sit sleep solve speak spend stand "
        "start stay steal stick stop store study supply support surprise swim take talk taste teach tell thank "
        "think throw touch train travel treat try turn understand use visit wait wake walk want warn wash watch "
        "water wear weigh welcome win wish work write wrap"
    ).split()
)
"""Common verbs: what is done to a thing is said in many ways, so a verb need not stand in the evidence."""

QUALITIES = frozenset(
    (
        "old new big small large little great good bad nice long short tall high low wide deep hot cold warm cool "
        "fast slow quick early late young heavy light hard soft strong weak rich poor cheap expensive costly free "
        "full empty open accurate typical usual normal special main certain often far near much many whole "
        "available possible due necessary important different own real true several next final extra ready public"
    ).split()
)
"""Adjectives of degree and use: they need not stand in the evidence, but their opposites must not stand for them."""

ATTRIBUTES = frozenset(
    (
        "price cost fee number amount date time year month day age size weight length height depth distance "
        "temperature deadline name code job profession address colour color population title speed duration total "
        "rate percentage share way kind type sort reason place location city country story host problem"
    ).split()
)
"""Nouns that name what is asked for: "the price of figs" stands there as FIGS 2.80."""

_OPPOSITES = (
    ("open opens opened opening", "close closes closed closing shut shuts"),
    ("large big larger", "small little smaller tiny"),
    ("start starts begin begins started", "end ends finish finishes ended"),
    ("high higher", "low lower"),
    ("hot hotter warm", "cold colder cool"),
    ("early earlier", "late later"),
    ("old older", "new newer young"),
    ("arrive arrives arrival", "leave leaves depart departs departure"),
    ("buy buys bought", "sell sells sold"),
    ("grandfather grandpa", "grandmother grandma"),
    ("father dad", "mother mum mom"),
    ("brother", "sister"),
    ("son", "daughter"),
    ("uncle", "aunt"),
    ("husband", "wife"),
    ("indoor inside", "outdoor outside"),
    ("upstairs", "downstairs"),
    ("win won", "lose lost"),
    ("cheap cheapest", "expensive dearest"),
    ("entrance entry", "exit"),
    ("increase rise", "decrease fall"),
    ("front", "back rear"),
    ("upper", "lower"),
)
OPPOSITES: dict[str, frozenset[str]] = {}
for _one, _other in _OPPOSITES:
    for _word in _one.split():
        OPPOSITES[_word] = OPPOSITES.get(_word, frozenset()) | frozenset(_other.split())
    for _word in _other.split():
        OPPOSITES[_word] = OPPOSITES.get(_word, frozenset()) | frozenset(_one.split())
ALIKE: dict[str, frozenset[str]] = {}
for _group in (
    "password passcode code pin",
    "kid kids child children",
    "clever smart intelligent",
    "price cost costs fee charge pay paid expensive euros dollars pounds",
    "job work profession occupation",
    "wife woman spouse",
    "husband man spouse",
    "film movie video",
    "begin start starts started",
    "end finish ends",
    "near close beside",
    "talk presentation lecture speech",
    "big large",
    "small little",
    "shop store",
    "road street",
    "doctor dr physician",
    "car automobile",
    "bike bicycle",
    "phone telephone",
    "picture photo image",
    "house home",
    "required needed necessary",
    "permitted allowed",
    "forbidden prohibited banned no",
    "people persons visitors guests audience",
    "participate join attend",
    "helper helpers volunteers volunteer",
    "moved live lives",
    "weighs weigh weight heavy kilograms",
):
    for _word in _group.split():
        ALIKE[_word] = ALIKE.get(_word, frozenset()) | frozenset(_group.split())

_DAY = r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|tomorrow|weekend"
_MONTH = r"january|february|march|april|may|june|july|august|september|october|november|december"
_COLOUR = (
    r"red|orange|yellow|green|blue|purple|violet|pink|brown|black|white|gr[ea]y|silver|golden?|turquoise|beige|scarlet"
)
_COUNT = r"\d|once|twice|half|dozen|couple|pair|every|daily|weekly|monthly|yearly|hourly|free"

ASKED_TYPES: tuple[tuple[re.Pattern[str], re.Pattern[str], bool], ...] = tuple(
    (re.compile(asked, re.I), re.compile(rf"\b(?:{instance})", re.I), numbers)
    for asked, instance, numbers in (
        (r"\b(?:what|which) colou?rs?\b|\bcolou?r of\b", _COLOUR, False),
        (r"\b(?:what|which) (?:week)?days?\b", rf"{_DAY}|{_MONTH}|noon|\d{{1,2}}", True),
        (r"\b(?:what|which) month\b", _MONTH, False),
        (r"\b(?:what|which) year\b", r"\d{4}", True),
        (
            r"\bhow (?:much|many|often|far|long|old|tall|high|heavy|hot|cold|deep|wide|fast|expensive)\b|"
            r"\bwhat (?:does|do|did|will) .+ (?:cost|weigh)\b|\b(?:what|which) number\b|\bwhat time\b|"
            r"\bwhat is the (?:price|cost|weight|height|number|temperature|age)\b",
            _COUNT,
            True,
        ),
    )
)
"""(the question asks for this type, an instance of it, whether any number is one): an answer must hold an instance."""
