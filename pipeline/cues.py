"""The forms of questions, as patterns: cues of lanes, quotations and titles, the frames of each route."""

from __future__ import annotations

import re

from ..records import Lane

CUES: dict[Lane, str] = {
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
CUE = {lane: re.compile(rf"\b(?:{pattern})\b", re.I) for lane, pattern in CUES.items()}

QUOTED = re.compile(r"(?<!\w)['‘\"“«]([^'‘’\"“”«»]*(?:\w['’]\w[^'‘’\"“”«»]*)*)['’\"”»](?!\w)")
CAPITALS = re.compile(
    r"\b[A-Z][A-Z]+\b(?:[ \-/&:,.]+(?:[A-Z\d][A-Z\d]*|\d+(?::\d\d)+)\b)+|"
    r"\b\d+(?::\d\d)*(?:[ \-/&]+[A-Z][A-Z]+\b)+(?:[ \-/&:,.]+(?:[A-Z\d]+|\d+(?::\d\d)+)\b)*"
)

PROPER = r"(?:[A-Z][\w'&-]*|\d[\w:.]*)"
TITLE = re.compile(
    rf"\b(?:slide|caption|sign|title|banner)s?(?: (?:titled|called|named|saying|reading|that (?:says|reads)))? "
    rf"({PROPER}(?: (?:(?:and|of|the|a|in|on|for|to|or|with|from) )*{PROPER})*)|"
    rf"\bthe ({PROPER}(?: (?:(?:and|of|the|for|to) )*{PROPER})*) (?:slide|caption|sign|banner)\b"
)
"""The title of a slide that was not put in quotation marks: "the slide What We Learned", "the Budget 2031 slide"."""
HEARD_WORDS = re.compile(
    r"\b(?:hear|hears|heard)\b.*\b(?:about|of|that|how|someone|somebody|anyone|person|man|woman|"
    r"words?)\b",
    re.I,
)
NAME = re.compile(r"(?<=[a-z,:;] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
"""Capitalised words inside a sentence name something: "the slide Voice Commands" is not about speech."""

WHEN = re.compile(
    r"^(?:when\b|(?:at|in|around) (?:what|which) (?:time|point|moment|second|minute|part|place)s?\b"
    r"(?! (?:does|do|did|will|is|was) .*\b(?:open|close|leave|depart|arrive|board|start|begin|end)s?\b)"
    r"|where in the (?:video|film|recording|clip)\b|(?:find|show me) the (?:moment|part|place)s?\b)",
    re.I,
)
COUNT = re.compile(r"\b(?:how many|how often|number of|count (?:the|all|every))\b", re.I)
COUNTED = re.compile(
    r"\b(?:how many|number of|count (?:the|all))\s+(?:of the |the |all |different |distinct |separate |unique |other |"
    r"burnt[- ]in |burned[- ]in |on[- ]screen |overlaid |written |printed |spoken )*"
    r"(times|captions?|slides?|signs?|texts?|titles?|labels?|overlays?|scenes?|shots?|events?|sounds?|noises?|"
    r"sentences?|utterances?|remarks?|notices?|messages?)\b",
    re.I,
)
TOLD_OF = re.compile(
    r"^(?!.*\b(?:should|must|need|needs|have to|has to|per (?:day|week|month|year)|a (?:day|week|month|year))\b)"
    r"(?:.*\bhow many times\b|.*\b(?:said|mention\w*|spoken|says?|talk\w*|heard?|hears?|shown|shows?|seen|see|"
    r"appear\w*|rings?|visible|come up|on screen)\b)",
    re.I,
)
"""What is counted is told or shown, not something in the world ("how often does the bus come")."""
SUMMARY = re.compile(
    r"^(?:what (?:is|was) (?:the|this|that) (?:video|film|recording|clip|stream) about|summar\w+|"
    r"what happen(?:s|ed)(?: in (?:the|this) \w+)?|describe the \w+|give me a summary.*)\W*$",
    re.I,
)
RELATIVE = re.compile(
    r"\b(?P<after>after|follow(?:s|ed|ing)?|succeed(?:s|ed)|since)\b|"
    r"\b(?P<before>before|preced(?:e|es|ed|ing)|prior to|leads? up to|leading up to)\b",
    re.I,
)
WHILE = re.compile(
    r"\b(?:while|whilst|during|at the (?:same )?(?:time|moment)(?: that| when| as| of)?|when|as)\b", re.I
)
OVER = re.compile(
    r"\b(?:over|with|alongside|accompan(?:y|ies|ied|ying)|beside|behind|under|to|on|for)\s+(?:the |a |this |that )"
    r"(?=(?:slide|caption|sign|title|text|banner|label)\b)",
    re.I,
)
TURNED = re.compile(
    r"^(?:right |just |directly |immediately |shortly )?(before|after)\s+(.+?),\s*((?:what|which|who)\b.+)$", re.I
)
AUXILIARY = r"(?:do|does|did|is|are|was|were|can|could|will|would|has|have|had|should|shall|may|might|must)\b"
POLITE = re.compile(
    r"^(?:please,? )?(?:(?:could|can|would) you (?:please )?(?:tell|show|say|remind)(?: me| us)?|"
    r"i(?:'d| would) like to know|i (?:want|need) to know|tell (?:me|us)|do you (?:know|remember)|any idea)\b,?\s*"
    r"(?=\w)(?!the (?:moment|part|place))",
    re.I,
)
UP = (
    (re.compile(r"\bread(?:s|ing)? (?:out|aloud)\b", re.I), "said"),
    (re.compile(r"\bin order to\b", re.I), "to"),
    (re.compile(r"\b(?:brings?|brought|bringing) up\b", re.I), "mention"),
    (re.compile(r"\b(?:gets?|got|comes?|came) (?:to|round to)\b", re.I), "mention"),
    (re.compile(r"\b(?:comes?|came|coming|pops?|crops?) (?:up|on)\b", re.I), "appears"),
)
"""Verbs with a particle, in the word that the frame knows."""
FIRST = re.compile(r"\b(?:first|earliest|opening)\b", re.I)
LAST = re.compile(r"\b(?:last|final|latest|closing)\b", re.I)
CLOCK = (
    r"(?:(\d{1,4}):(\d\d)(?::(\d\d))?|(\d{1,7}(?:\.\d{1,6})?) ?(seconds?|secs?|s|minutes?|mins?|min|m)\b|"
    r"(?:minute|second) (\d{1,7})\b)"
)
BETWEEN = re.compile(rf"\b(?:between|from)\s+{CLOCK}\s+(?:and|to|until|till|-)\s+{CLOCK}", re.I)
AT = re.compile(rf"\b(?:at|around|about|near|@)\s+(?:the\s+)?(?:time\s+|minute\s+|second\s+)?{CLOCK}", re.I)
