"""Answers about what was seen and heard, from the words of sights and sounds; see `seen_question` for the questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..records import NS_PER_S, Lane
from .places import PlaceNames
from .question import Question
from .reason import Conclusion, Support, abstain
from .recalled import Hit, Scenes
from .seen_question import Asked, Named, read_named, read_seen
from .thesaurus import SIZES, same_room
from .wording import choice_text, clock, flat, quoted, span
from .words import split

if TYPE_CHECKING:
    from .evidence import Finder

SLACK_NS = NS_PER_S // 2
MOST = 5
"""Moments that an answer cites, at most."""
_WORDS: tuple[Lane, ...] = ("speech", "caption")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A conclusion, and whether it stands whatever was said or printed."""

    conclusion: Conclusion
    decisive: bool


def conclude_seen(question: Question, finder: Finder, scenes_of: Callable[[Finder], Scenes] = Scenes) -> Verdict | None:
    """The answer from what was seen and heard; None where the question asks for something else.

    A memory whose sights and sounds have no words has no answers of this kind.
    """
    order = question.route == "order" and len(question.choices) == 2
    asked = None if order else read_seen(question, PlaceNames(finder.snapshot.places(finder.stream)).names)
    if not order and asked is None:
        return None
    scenes = scenes_of(finder)
    if scenes.empty:
        return None
    if order:
        return _order(question, scenes)
    asked = read_seen(question, scenes.names)
    return None if asked is None else _Answering(asked, scenes).conclude()


def _order(question: Question, scenes: Scenes) -> Verdict | None:
    """Which of two came first; None where one of them was neither seen nor heard."""
    firsts = []
    for choice in question.choices:
        if choice.quotes or set(choice.lanes) & {"speech", "caption"}:
            return None
        named, room, heard = read_named(choice_text(choice), scenes.names)
        hits = _occurrences(scenes, named, room, heard or "sound" in choice.lanes)
        if not hits:
            return None
        firsts.append(hits[0])
    names = [choice_text(choice) for choice in question.choices]
    when = ", ".join(f"{name} is at {span(h.t0_ns, h.t1_ns)}" for name, h in zip(names, firsts, strict=True))
    earlier = 0 if firsts[0].t0_ns <= firsts[1].t0_ns else 1
    pick = earlier if question.first else 1 - earlier
    if question.counted == "relation":
        head, pick = ("Before" if earlier == 0 else "After"), earlier
    elif question.counted.startswith("yes-no"):
        head, pick = ("Yes" if (earlier == 0) == question.counted.endswith("before") else "No"), earlier
    else:
        head = names[pick]
    return Verdict(_told(f"{head}: {when}.", [firsts[pick], firsts[1 - pick]]), True)


def _occurrences(scenes: Scenes, named: Named, room: str, heard: bool) -> list[Hit]:
    """When what is named was seen or heard; of a room alone, the stays in it. In order of time."""
    if named.empty:
        return scenes.stays(room) if room else []
    if heard:
        return scenes.sounds(named, room)
    return scenes.sights(named, room) or scenes.sounds(named, room)


class _Answering:
    """One question over the scenes of a memory."""

    def __init__(self, asked: Asked, scenes: Scenes) -> None:
        self.asked = asked
        self.scenes = scenes
        self.what = asked.named.text or asked.room or "that"

    def conclude(self) -> Verdict | None:
        asked = self.asked
        if asked.room and not self.scenes.stays(asked.room):
            words = asked.kind in ("printed", "spoken") or (asked.kind == "happened" and not self.scenes.rooms)
            return None if words else self._never(f"{asked.room!r} is never seen")
        match asked.kind:
            case "printed" | "spoken":
                return self._words()
            case "rooms":
                return self._rooms()
            case "sounds":
                return self._listed(self._beside(self.scenes.sounds(None, asked.room)), "heard")
            case "things":
                return self._things()
            case "beside":
                return self._next_to()
            case "happened":
                return self._happened()
            case _:
                return self._of_named()

    def _of_named(self) -> Verdict | None:
        asked = self.asked
        every = _occurrences(self.scenes, asked.named, asked.room, asked.heard)
        if not every:
            elsewhere = _occurrences(self.scenes, asked.named, "", asked.heard) if asked.room else []
            if elsewhere:
                rooms = ", ".join(dict.fromkeys(h.room for h in elsewhere if h.room))
                return self._never(f"{self.what!r} is not there, only in {rooms or 'another place'}")
            return self._never(f"{self.what!r} is never {'heard' if asked.heard else 'seen'}")
        hits = self._beside(every)
        if not hits:
            return self._never(f"{self.what!r} is not {'heard' if asked.heard else 'seen'} {asked.side} that")
        match asked.kind:
            case "where":
                return self._where(hits)
            case "colour" | "size" | "doing":
                return self._quality(hits)
            case "count":
                return self._count(hits)
            case "times":
                noun = "time" if len(hits) == 1 else "times"
                text = f"{len(hits)} {noun}: at {', '.join(span(h.t0_ns, h.t1_ns) for h in hits[:12])}."
                return self._verdict(text, hits)
            case "when":
                chosen = self._end(hits)
                return self._verdict(f"At {_times(chosen)}: {_described(chosen[0])}.", chosen)
        best = sorted(hits, key=lambda h: (-h.score, h.t0_ns))
        verb = "heard" if best[0].percept.lane == "sound" else "seen"
        return self._verdict(f"Yes: {best[0].text} is {verb} {_place(best[0])}.", best)

    def _where(self, hits: list[Hit]) -> Verdict | None:
        chosen = self._end(hits)
        if self.asked.end == "previous":
            chosen = _former(hits)
            if not chosen:
                return self._never(f"{self.what!r} is only seen in one place, {in_room(hits[-1].room)}")
        elif self.asked.side == "before":
            chosen = chosen[-1:]
        elif self.asked.side == "after":
            chosen = chosen[:1]
        votes: dict[str, float] = defaultdict(float)
        for hit in chosen:
            votes[hit.room] += hit.weight
        roomed = [hit for hit in chosen if hit.room]
        if not roomed:
            return self._verdict(f"It is seen at {_times(chosen)}: {chosen[0].text}.", chosen, 0.7)
        kept = [hit for hit in roomed if votes[hit.room] >= 0.2 * max(votes.values())]
        told = []
        for room in dict.fromkeys(hit.room for hit in kept):
            told.append(f"{in_room(room)} ({_times([h for h in kept if h.room == room])})")
        text = ", then ".join(told)
        ordered = sorted(kept, key=lambda h: (-votes[h.room], -h.score, h.t0_ns))
        return self._verdict(f"{text[0].upper()}{text[1:]}: {ordered[0].text}.", ordered)

    def _quality(self, hits: list[Hit]) -> Verdict | None:
        votes: dict[str, float] = defaultdict(float)
        by: dict[str, list[Hit]] = defaultdict(list)
        for hit in self._end(hits):
            if value := _quality_of(hit, self.asked.kind):
                votes[value] += hit.weight
                by[value].append(hit)
        if not votes:
            return self._never(f"what is asked of {self.what!r} is not known")
        ranked = sorted(votes, key=lambda v: (-votes[v], v))
        likely = [v for v in ranked if votes[v] >= 0.5 * votes[ranked[0]]]
        text = "; ".join(f"{v}: {by[v][0].text} ({_place(by[v][0])})" for v in likely)
        share = votes[ranked[0]] / sum(votes.values())
        return self._verdict(f"{text[0].upper()}{text[1:]}.", [by[v][0] for v in likely], 0.5 + 0.5 * share)

    def _count(self, hits: list[Hit]) -> Verdict | None:
        distinct: dict[tuple[str, str], Hit] = {}
        for hit in hits:
            thing = hit.seen.thing if hit.seen else None
            key = (hit.text.lower(), "") if thing is None else (thing.head.stem, thing.colour)
            if key not in distinct or hit.score > distinct[key].score:
                distinct[key] = hit
        found = sorted(distinct.values(), key=lambda h: (h.stream, h.t0_ns))
        return self._verdict(f"{len(found)}: {'; '.join(_described(h) for h in found[:12])}.", found)

    def _rooms(self) -> Verdict | None:
        asked = self.asked
        if not asked.named.empty:
            hits = self._beside(_occurrences(self.scenes, asked.named, "", asked.heard))
        else:
            hits = self._beside(self.scenes.stays())
        hits = [hit for hit in hits if hit.room]
        if not hits:
            return self._never("no room is known there")
        if asked.end or asked.side in ("before", "after"):
            late = asked.end == "last" or (asked.side == "before" and asked.end != "first")
            hits = hits[-1:] if late else hits[:1]
            name = in_room(hits[0].room).removeprefix("in ")
            return self._verdict(f"{name[0].upper()}{name[1:]} ({span(hits[0].t0_ns, hits[0].t1_ns)}).", hits)
        first: dict[str, Hit] = {}
        for hit in hits:
            known = next((room for room in first if same_room(room, hit.room)), hit.room)
            first.setdefault(known, hit)
        names = ", ".join(f"{room} ({clock(hit.t0_ns)})" for room, hit in first.items())
        noun = "room" if len(first) == 1 else "rooms"
        return self._verdict(f"{len(first)} {noun}: {names}." if asked.number else f"{names}.", list(first.values()))

    def _things(self) -> Verdict | None:
        asked = self.asked
        if not asked.named.empty:  # "what was the red mug doing there" is of no form that is known
            return None
        hits = self.scenes.things_in(self.scenes.stays(asked.room)) if asked.room else self.scenes.things()
        hits = [h for h in hits if not asked.room or self.scenes.is_in(asked.room, h)]
        if asked.side in ("before", "after") and asked.anchor is not None:
            own = {h.text for h in _occurrences(self.scenes, asked.anchor, asked.anchor_room, False)}
            hits = [h for h in hits if h.text not in own]
        return self._listed(self._beside(hits), "seen")

    def _words(self) -> Verdict | None:
        """What was said or printed during the stays in a room; None where that is nothing."""
        lane: Lane = "caption" if self.asked.kind == "printed" else "speech"
        hits = [
            Hit(p.stream, p.t0_ns, p.t1_ns, stay.room, flat(p), p, 0.9)
            for stay in self.scenes.stays(self.asked.room)
            for p in self.scenes.words(lane, stay)
        ]
        hits = list({hit.percept.id: hit for hit in hits}.values())
        if not hits:
            return None
        verb = "shown" if lane == "caption" else "said"
        text = " / ".join(f"{quoted(hit.text)} ({verb} {_place(hit)})" for hit in hits[:8])
        return self._verdict(f"{text}.", hits)

    def _happened(self) -> Verdict | None:
        """What was seen, heard, said and shown in a place, stay by stay, the latest first."""
        stays = self._beside(self.scenes.stays(self.asked.room))[::-1]
        if not stays:
            return self._never(f"{self.asked.room!r} is not seen then")
        heard = self.scenes.sounds(None, self.asked.room)
        told = []
        for stay in stays[:MOST]:
            seen = [h.text for h in self.scenes.things_in([stay]) if self.scenes.is_in(self.asked.room, h)]
            sounds = [h.text for h in heard if stay.meets(h.stream, h.t0_ns, h.t1_ns)]
            words = [quoted(flat(p)) for lane in _WORDS for p in self.scenes.words(lane, stay)]
            parts = [f"{', '.join(dict.fromkeys(seen))} seen" if seen else "", *_heard(sounds), *words[:3]]
            told.append(
                f"at {span(stay.t0_ns, stay.t1_ns)} {'; '.join(filter(None, parts)) or 'nothing that has a name'}"
            )
        text = f"{len(stays)} {'stay' if len(stays) == 1 else 'stays'} {in_room(stays[0].room)}: {' / '.join(told)}"
        return self._verdict(f"{text}.", stays)

    def _next_to(self) -> Verdict | None:
        own = self.scenes.sights(self.asked.named, self.asked.room)
        if not own:
            return self._never(f"{self.what!r} is never seen")
        stating = {p.id for hit in own if hit.seen for p in hit.seen.percepts}
        texts = {hit.text for hit in own}
        hits = [
            h for h in self.scenes.things()
            if h.text not in texts and h.seen and stating & {p.id for p in h.seen.percepts}
        ]  # fmt: skip
        together = [
            replace(hit, t0_ns=max(hit.t0_ns, at.t0_ns), t1_ns=min(hit.t1_ns, at.t1_ns))
            for hit in hits
            for at in own
            if at.meets(hit.stream, hit.t0_ns, hit.t1_ns)
        ]
        return self._listed(together, "seen")

    def _listed(self, hits: list[Hit], verb: str) -> Verdict | None:
        asked = self.asked
        if not hits:
            return self._never(f"nothing that has a name is {verb} there")
        if asked.end or asked.side in ("before", "after"):
            late = asked.end == "last" or (asked.side == "before" and asked.end != "first")
            hits = hits[-1:] if late else hits[:1]
        first: dict[str, Hit] = {}
        for hit in hits:
            first.setdefault(hit.text, hit)
        number = f"{len(first)}: " if asked.number else ""
        text = "; ".join(f"{name} ({verb} {_place(hit)})" for name, hit in list(first.items())[:12])
        return self._verdict(f"{number}{text[0].upper()}{text[1:]}.", list(first.values()))

    def _beside(self, hits: list[Hit]) -> list[Hit]:
        """The hits on the side of the anchor that is asked for, in order of time; all without one."""
        asked = self.asked
        if asked.span_ns is not None:
            hits = [hit for hit in hits if hit.meets(hit.stream, *asked.span_ns)]
        if not asked.side:
            return hits
        anchor = asked.anchor or Named("", None, ())
        anchors = _occurrences(self.scenes, anchor, asked.anchor_room, asked.anchor_heard)
        if asked.side == "while":
            return [hit for hit in hits if any(at.meets(hit.stream, hit.t0_ns, hit.t1_ns) for at in anchors)]
        for at in anchors if asked.side == "before" else anchors[::-1]:
            side = [
                h for h in hits
                if h.stream == at.stream
                and (h.t1_ns <= at.t0_ns + SLACK_NS if asked.side == "before" else h.t0_ns >= at.t1_ns - SLACK_NS)
            ]  # fmt: skip
            if side:
                return side
        return []

    def _end(self, hits: list[Hit]) -> list[Hit]:
        """The first or the last hit, where that is asked for."""
        return hits[:1] if self.asked.end == "first" else hits[-1:] if self.asked.end == "last" else hits

    def _verdict(self, text: str, hits: Sequence[Hit], trust: float = 1.0) -> Verdict:
        asked = self.asked
        thing = asked.named.thing
        particular = thing is not None and bool(thing.colour)
        return Verdict(
            _told(text, hits, trust), asked.explicit or particular or bool(asked.room) or asked.kind == "exist"
        )

    def _never(self, reason: str) -> Verdict:
        return Verdict(abstain(reason), self.asked.own)


def _quality_of(hit: Hit, kind: str) -> str:
    if hit.seen is None:
        return ""
    thing = hit.seen.thing
    if kind == "colour":
        return thing.colour
    if kind == "doing":
        return thing.trailing
    return next((SIZES[w.lower] for w in split(thing.text) if w.lower in SIZES), "")


def _told(text: str, hits: Sequence[Hit], trust: float = 1.0) -> Conclusion:
    support = tuple(Support(h.stream, h.t0_ns, h.t1_ns, h.percept, _described(h), h.score) for h in hits[:MOST])
    return Conclusion(text, False, trust * max(h.score for h in hits), support)


def _former(hits: Sequence[Hit]) -> list[Hit]:
    """The last hit in another place than the last one's; none where there is only one place."""
    placed = [hit for hit in hits if hit.room]
    if not placed:
        return []
    now = placed[-1]
    return [hit for hit in placed if not (same_room(hit.room, now.room) and hit.place == now.place)][-1:]


def _heard(sounds: Sequence[str]) -> list[str]:
    return [f"{', '.join(dict.fromkeys(sounds))} heard"] if sounds else []


def in_room(room: str) -> str:
    """ "in the kitchen", but "in Granny's corner" and "in place 3"."""
    return f"in {room}" if room[:1].isupper() or room[-1:].isdigit() else f"in the {room}"


def _described(hit: Hit) -> str:
    return f"{hit.text}; {hit.room}" if hit.room and hit.room != hit.text else hit.text


def _place(hit: Hit) -> str:
    at = f"at {span(hit.t0_ns, hit.t1_ns)}"
    return f"{in_room(hit.room)} {at}" if hit.room and hit.room != hit.text else at


def _times(hits: Sequence[Hit]) -> str:
    return ", ".join(span(h.t0_ns, h.t1_ns) for h in hits[:MOST])
