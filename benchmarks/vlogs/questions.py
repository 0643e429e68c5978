"""What people ask of a plan, with the truth: many phrasings a kind, near misses that have no answer among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

from .phrasings import PHRASINGS, REFUSALS, UNHEARD, UNSAID, UNSEEN
from .plan import Line, Plan, Sign, read_facts
from .scene import View
from .sound import SOUNDS

Span = tuple[float, float]
Spoken = TypeVar("Spoken", Line, Sign)

LIMITS = {
    "speech-when": 7,
    "speech-what": 7,
    "caption-when": 5,
    "caption-what": 5,
    "cross-modal": 6,
    "order": 5,
    "count": 3,
    "before-after": 6,
    "image-query": 6,
    "unanswerable": 10,
}
"""At most so many questions of a category that need no more than speech, captions, pictures and time."""

SENSES = frozenset(("vision", "sound"))
APART = 2
"""At most so many questions of a category that need open-vocabulary sight or hearing."""


class Spanned(Protocol):
    @property
    def start_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Question:
    category: str
    question: str
    answer: str
    accept: tuple[str, ...]
    evidence: tuple[Span, ...]
    needs: tuple[str, ...]
    unanswerable: bool = False
    view: View | None = None
    """Of an image query: what the picture shows."""


def draw_questions(plan: Plan) -> list[Question]:
    """The questions of a plan, category by category; the same plan gives the same questions."""
    asker = _Asker(plan)
    drawn: list[Question] = []
    for category, limit in LIMITS.items():
        candidates = list(getattr(asker, category.replace("-", "_"))())
        shuffled = [candidates[i] for i in asker.rng.permutation(len(candidates))]
        once = list({q.question + repr(q.view): q for q in shuffled}.values())
        drawn += [q for q in once if SENSES.isdisjoint(q.needs)][:limit]
        drawn += [q for q in once if not SENSES.isdisjoint(q.needs)][:APART]
    return drawn


def stamp(t_s: float) -> str:
    """m:ss"""
    return f"{int(t_s // 60)}:{int(t_s % 60):02d}"


def quote(text: str, rng: np.random.Generator) -> str:
    """Four to seven words of a sentence, as somebody would quote them."""
    words = text.rstrip(".,;!?").split()
    n = min(len(words), int(rng.integers(4, 8)))
    start = int(rng.integers(0, len(words) - n + 1))
    return " ".join(words[start : start + n]).strip(".,;!?")


class _Asker:
    """Writes every candidate of each category; each method is a category."""

    def __init__(self, plan: Plan) -> None:
        self.rng = np.random.default_rng((plan.seed, 11))
        self._plan = plan
        self._signs = [sign for sign in plan.signs if sign.slide is None]
        self._slides = [sign for sign in plan.signs if sign.slide is not None and sign.fact.topic]
        visits = Counter(shot.view.place for shot in plan.shots)
        self._once = {place for place, n in visits.items() if n == 1 and place != "slide"}
        self._turn: dict[str, list[str]] = {}

    def _say(self, kind: str, **values: str) -> str:
        """A phrasing of this kind; all of them are used before one comes again."""
        if not self._turn.get(kind):
            self._turn[kind] = [PHRASINGS[kind][i] for i in self.rng.permutation(len(PHRASINGS[kind]))]
        said = self._turn[kind].pop().format(**values)
        return said[0].upper() + said[1:]

    def _quote(self, line: Line) -> str:
        longest = max(line.parts, key=lambda part: len(part[2]))
        return quote(longest[2], self.rng)

    def speech_when(self) -> Iterator[Question]:
        for line in self._plan.lines:
            asked = [*line.fact.when, self._say("speech-when topic", topic=line.fact.topic)]
            asked.append(self._say("speech-when quote", quote=self._quote(line)))
            for text in self.rng.permutation(asked)[:2]:
                yield _when("speech-when", str(text), [(line.start_s, line.end_s)], ("speech",))

    def speech_what(self) -> Iterator[Question]:
        for line in self._plan.lines:
            span = [(line.start_s, line.end_s)]
            for text, accept in line.fact.what:
                yield Question("speech-what", text, accept[0], accept, tuple(span), ("speech",))
            text = self._say("speech-what topic", topic=line.fact.topic)
            yield Question("speech-what", text, line.text, _forms(line), tuple(span), ("speech",))
        for sign, line in self._together(self._signs):
            text = self._say("speech-what sign", sign=sign.text)
            span = [(line.start_s, line.end_s)]
            yield Question("speech-what", text, line.text, _forms(line), tuple(span), ("speech", "caption"))

    def caption_when(self) -> Iterator[Question]:
        for sign in self._signs:
            asked = [*sign.fact.when, self._say("caption-when", sign=sign.text)]
            words = sign.text.split()
            asked.append(self._say("caption-when part", part=" ".join(words[: max(2, len(words) // 2)])))
            for text in self.rng.permutation(asked)[:2]:
                yield _when("caption-when", str(text), [(sign.start_s, sign.end_s)], ("caption",))
        for slide in self._slides:
            text = self._say("caption-when slide", slide=slide.text)
            yield _when("caption-when", text, [(slide.start_s, slide.end_s)], ("caption",))

    def caption_what(self) -> Iterator[Question]:
        for sign in (*self._signs, *self._slides):
            for text, accept in sign.fact.what:
                spans = [(sign.start_s, sign.end_s)]
                said = (x for x in self._plan.lines if sign.start_s <= x.start_s < sign.end_s)
                spans += [(x.start_s, x.end_s) for x in said if any(a.lower() in x.text.lower() for a in accept)]
                yield Question("caption-what", text, accept[0], accept, tuple(spans), ("caption",))
        for sign in self._signs:
            shot = next(shot for shot in self._plan.shots if shot.start_s <= sign.start_s < shot.end_s)
            text = self._say("caption-what place", place=shot.view.place)
            if shot.view.place in self._once:
                yield Question(
                    "caption-what",
                    text,
                    sign.text,
                    _halves(sign.text),
                    ((sign.start_s, sign.end_s),),
                    ("vision", "caption"),
                )

    def cross_modal(self) -> Iterator[Question]:
        for sign, line in self._together(self._signs):
            text = self._say("cross caption", quote=self._quote(line), topic=line.fact.topic)
            yield Question(
                "cross-modal",
                text,
                sign.text,
                _halves(sign.text),
                ((sign.start_s, sign.end_s),),
                ("speech", "caption", "time"),
            )
        for slide, line in self._together(self._slides):
            text = self._say("cross slide", quote=self._quote(line), topic=line.fact.topic)
            yield Question(
                "cross-modal",
                text,
                slide.text,
                (slide.text,),
                ((slide.start_s, slide.end_s),),
                ("speech", "caption", "time"),
            )
            text = self._say("cross said", slide=slide.text)
            yield Question(
                "cross-modal",
                text,
                line.text,
                _forms(line),
                ((line.start_s, line.end_s),),
                ("speech", "caption", "time"),
            )
        for noise in self._plan.noises:
            if sum(noise.key == other.key for other in self._plan.noises) == 1:
                shot = next(shot for shot in self._plan.shots if shot.start_s <= noise.start_s < shot.end_s)
                text = self._say("cross sound", sound=SOUNDS[noise.key][0])
                accept = (shot.view.place, *(kind for kind, _ in shot.view.things)) if shot.view.things else ("slide",)
                yield Question(
                    "cross-modal", text, shot.description, accept, ((noise.start_s, noise.end_s),), ("sound", "vision")
                )

    def order(self) -> Iterator[Question]:
        for early, late in self._pairs(self._plan.lines):
            slides = [x for x in self._slides for y in (early, late) if x.start_s < y.start_s < x.end_s]
            first = bool(self.rng.integers(2))
            topics = [early.fact.topic, late.fact.topic]
            a, b = topics if self.rng.integers(2) else topics[::-1]
            right = early if first else late
            accept = (right.fact.topic, right.fact.topic.removeprefix("the "), *_forms(right))
            text = self._say("order first" if first else "order last", a=a, b=b)
            yield Question("order", text, right.fact.topic, accept, _spans(early, late, *slides), ("speech", "time"))
            text = self._say("order before", a=a, b=b)
            truth = "before" if a == early.fact.topic else "after"
            yield Question("order", text, truth, (truth,), _spans(early, late, *slides), ("speech", "time"))
        for kind, shown in (("caption", self._signs), ("slide", self._slides)):
            for up, down in self._pairs(shown):
                a, b = (up.text, down.text) if self.rng.integers(2) else (down.text, up.text)
                text = self._say(f"order {kind}", a=a, b=b)
                yield Question("order", text, up.text, (up.text,), _spans(up, down), ("caption", "time"))

    def count(self) -> Iterator[Question]:
        if self._slides:
            for _ in range(2):
                yield _count(self._say("count slides"), self._slides, ("caption", "time"))
        elif len(self._signs) > 1:
            for _ in range(2):
                yield _count(self._say("count captions"), self._signs, ("caption", "time"))
        for key in sorted({noise.key for noise in self._plan.noises}):
            heard = [noise for noise in self._plan.noises if noise.key == key]
            yield _count(self._say("count sounds", sound=SOUNDS[key][0]), heard, ("sound",))
        for shot in self._plan.shots:
            again = [other for other in self._plan.shots if other.revisit_of == shot.id]
            if again:
                yield _count(self._say("count scenes", place=shot.view.place), [shot, *again], ("vision",))

    def before_after(self) -> Iterator[Question]:
        needs = ("speech", "time")
        for a, b in pairwise(self._plan.lines):
            if len(a.parts) == 1:  # of several phrases, what follows one may be the next phrase
                text = self._say("next said", topic=a.fact.topic, quote=self._quote(a))
                yield Question("before-after", text, b.text, _forms(b), _spans(b), needs)
            if len(b.parts) == 1:
                text = self._say("previous said", topic=b.fact.topic, quote=self._quote(b))
                yield Question("before-after", text, a.text, _forms(a), _spans(a), needs)
        for end, line in (("first", self._plan.lines[0]), ("last", self._plan.lines[-1])) if self._plan.lines else ():
            yield Question("before-after", self._say(f"{end} said"), line.text, _forms(line), _spans(line), needs)
        if not self._slides:  # a slide is a caption too: where there are some, the next caption may be one
            for c, d in pairwise(self._signs):
                text = self._say("next caption", sign=c.text)
                yield Question("before-after", text, d.text, _halves(d.text), _spans(d), ("caption", "time"))
                text = self._say("previous caption", sign=d.text)
                yield Question("before-after", text, c.text, _halves(c.text), _spans(c), ("caption", "time"))
        for c, d in pairwise(self._slides):
            text = self._say("next slide", slide=c.text)
            yield Question("before-after", text, d.text, (d.text,), _spans(d), ("caption", "time"))
            text = self._say("previous slide", slide=d.text)
            yield Question("before-after", text, c.text, (c.text,), _spans(c), ("caption", "time"))
        for e, f in pairwise(self._plan.shots):
            if f.view.place != "slide" and e.view.place in self._once:
                text = self._say("next scene", place=e.view.place)
                yield Question("before-after", text, f.view.place, (f.view.place,), _spans(f), ("vision",))

    def image_query(self) -> Iterator[Question]:
        for shot in self._plan.shots:
            if shot.view.place != "slide" and shot.revisit_of is None:
                spans = _spans(*(other for other in self._plan.shots if shot.id in (other.id, other.revisit_of)))
                asked = _when("image-query", self._say("image"), list(spans), ("image",))
                yield Question(
                    asked.category, asked.question, asked.answer, asked.accept, spans, ("image",), False, shot.view
                )

    def unanswerable(self) -> Iterator[Question]:
        for line in self._plan.lines:
            for text in line.fact.never:
                yield _never(text, "speech")
        for sign in (*self._signs, *self._slides):
            for text in sign.fact.never:
                yield _never(text, *(("speech", "caption") if sign.slide else ("caption",)))
        words = " ".join([line.text for line in self._plan.lines] + [sign.text for sign in self._plan.signs]).lower()
        for template in (t for place in read_facts("facts").values() for t in place):
            topic = template["topic"]
            near = "{" in topic or any(w[:5] in words for w in topic.lower().split() if len(w) > 3)
            if not near and self.rng.random() < 0.15:
                yield _never(self._say("speech-when topic", topic=topic), "speech")
        for text in self.rng.permutation(UNSAID)[:2]:
            yield _never(self._say("speech-when quote", quote=str(text)), "speech")
        for thing in self.rng.permutation(UNSEEN)[:2]:
            yield _never(self._say("unseen", thing=str(thing)), "vision")
        for sound in self.rng.permutation(UNHEARD)[:2]:
            yield _never(self._say("unheard", sound=str(sound)), "sound")

    def _together(self, signs: Sequence[Sign]) -> Iterator[tuple[Sign, Line]]:
        """Signs during which exactly one line is heard, for most of its length, and no sign but this."""
        for sign in signs:
            near = [x for x in self._plan.lines if x.start_s < sign.end_s + 1 and x.end_s > sign.start_s - 1]
            if len(near) == 1:
                line = near[0]
                shared = min(line.end_s, sign.end_s) - max(line.start_s, sign.start_s)
                if shared > 0.6 * (line.end_s - line.start_s):
                    yield sign, line

    def _pairs(self, items: Sequence[Spoken]) -> Iterator[tuple[Spoken, Spoken]]:
        """Some pairs, the earlier one first."""
        for _ in range(min(4, len(items) - 1)):
            a, b = sorted(int(i) for i in self.rng.permutation(len(items))[:2])
            yield items[a], items[b]


def _spans(*items: Spanned) -> tuple[Span, ...]:
    return tuple((item.start_s, item.end_s) for item in items)


def _forms(line: Line) -> tuple[str, ...]:
    """What a right answer with this line holds at least: half of one of its phrases."""
    return tuple(half for _, _, phrase in line.parts for half in _halves(phrase))


def _halves(text: str) -> tuple[str, ...]:
    """A sentence's two halves: an answer that holds either has said it."""
    words = text.rstrip(".").split()
    middle = (len(words) + 1) // 2
    return tuple(half for half in (" ".join(words[:middle]), " ".join(words[middle:])) if half)


def _when(category: str, text: str, spans: list[Span], needs: tuple[str, ...]) -> Question:
    answer = "; ".join(f"{stamp(a)}-{stamp(b)}" for a, b in spans)
    accept = tuple(form for a, _ in spans for form in (stamp(a), f"{a:.1f}"))
    return Question(category, text, answer, accept, tuple(spans), needs)


def _count(text: str, items: Sequence[Spanned], needs: tuple[str, ...]) -> Question:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    n = len(items)
    return Question("count", text, str(n), (str(n), words[n]), _spans(*items), needs)


def _never(text: str, *needs: str) -> Question:
    return Question("unanswerable", text, "It is not in this video.", REFUSALS, (), needs, unanswerable=True)
