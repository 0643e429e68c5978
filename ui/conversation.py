"""What is said in the page's chat: an answer with the times it rests on, each a link that plays that moment.

Messages are rendered as Markdown and HTML, and what stands in them comes from videos and from who asks: every mark
that could be markup is written as a character reference.
"""

from __future__ import annotations

import re
from html import escape

from ..records import Answer, Evidence
from .moments import stamp, thumbnail_address
from .storyboard import link

CITED = 4
"""Pieces of evidence that are shown below an answer."""
TEXT_CHARS = 160
_MARKS = re.compile(r"[!-/:-@\[-`{-~]")


def plain(words: str) -> str:
    """Words that a Markdown and HTML renderer shows as they are."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", words).replace("\n", "<br>")


def told(answer: Answer, *, several: bool) -> str:
    """An answer as a message; `several`: the evidence names its stream, because there is more than one."""
    if answer.abstained:
        return f'<p class="mn-abstained">{plain(answer.text)}</p>'
    cited = "".join(_citation(evidence, several) for evidence in answer.evidence[:CITED])
    more = len(answer.evidence) - CITED
    rest = f'<p class="mn-rest">and {more} more</p>' if more > 0 else ""
    return f'<p class="mn-answer">{plain(answer.text)}</p><div class="mn-cited">{cited}</div>{rest}'


def refused(line: str) -> str:
    """A fault as a message."""
    return f'<p class="mn-refused">{plain(line)}</p>'


def _citation(evidence: Evidence, several: bool) -> str:
    words = " · ".join(evidence.text.split("\n"))
    words = words if len(words) <= TEXT_CHARS else words[: TEXT_CHARS - 1].rstrip() + "…"
    span = stamp(evidence.t0_ns)
    if stamp(evidence.t1_ns) != span:
        span += f"–{stamp(evidence.t1_ns)}"
    picture = (
        f'<img src="{escape(thumbnail_address(evidence.thumbnail))}" alt="">'
        if evidence.thumbnail
        else '<span class="mn-blank"></span>'
    )
    where = f"{plain(evidence.stream)} · {evidence.lane}" if several else evidence.lane
    return (
        f'<a class="mn-cite" href="{escape(link(evidence.stream, evidence.t0_ns))}">{picture}'
        f'<span class="mn-when"><span class="mn-time">{span}</span> <span class="mn-lane">{where}</span></span>'
        f'<span class="mn-words">{plain(words)}</span></a>'
    )
