"""A story: a camera carried through the rooms of a floor plan, and everything that it meets, from a seed.

Told visit by visit and never held as a whole, so that a day of it costs no more memory than a minute. All that is in a
room is in view while the camera is there: what a picture shows is what the truth says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mneme.records import to_ns

from .captions import Thing
from .floorplan import FloorPlan, draw_floorplan
from .narration import SIGNS, Narrator
from .truth import Deed, Happening, Line, Noise, Presence, Sign, Visit, Waypoint
from .vocabulary import ACTIONS, ALIVE, COLOURS, KINDS, MATERIALS, SOUNDS

MOST = 3
"""Objects that stand in one room, at most, unless a story has a number of its own; a figure may come to them."""
SLOTS = (0.22, 0.5, 0.78)
"""Where they stand, from the left."""
EDGE_S = 1.2
"""Nothing but a figure begins or ends this near to either end of a visit."""
RARE_PERCENT = (10, 20)
"""When a rare room is visited, as percentages of the story."""
SHARE_NIGHT = 0.25
_DEEDS: tuple[Deed | None, ...] = (None, "placed", "dropped", "taken", "hidden")
_MAY = {"sound": 0.5, "line": 0.45, "sign": 0.22, "figure": 0.35, "moved": 0.3}
"""How likely a visit has one."""


@dataclass(frozen=True, slots=True)
class Story:
    """What all of a story follows from."""

    seed: int
    length_ns: int
    plan: FloorPlan
    day_ns: int
    """From one midnight to the next."""
    objects: int | None = None
    """How many objects there are in all, from the beginning to the end; None: as many as come up."""
    rare: int | None = None
    """A room that is visited twice only, early; nothing is carried into it or out of it unseen."""

    def visits(self) -> Iterator[Visit]:
        """The visits in order, told anew each time: they cover [0, length_ns) without a gap."""
        return _Teller(self).visits()

    def is_night(self, t_ns: int) -> bool:
        """A day begins in the light and ends with its night."""
        return t_ns % self.day_ns >= (1 - SHARE_NIGHT) * self.day_ns


def draw_story(
    seed: int,
    minutes: float,
    *,
    rooms: int | None = None,
    twins: float = 0.0,
    day_minutes: float | None = None,
    objects: int | None = None,
    rare: bool = False,
) -> Story:
    """A story of that length.

    rooms: 4 to 10 by the length unless given. twins: see `draw_floorplan`. day_minutes: of a day and its night, half of
    the story but at most 24 hours unless given. objects, rare: see `Story`; the rare room is the last of those that
    no way leads through. Raises ValueError where it is shorter than six seconds.
    """
    if minutes < 0.1:
        raise ValueError(f"a story has at least 0.1 minutes, not {minutes}")
    rooms = rooms if rooms is not None else min(max(round(minutes * 0.3), 4), 10)
    day = day_minutes if day_minutes is not None else min(minutes / 2, 24 * 60)
    plan = draw_floorplan(seed, rooms, twins=twins)
    aside = [room.id for room in plan.rooms if _is_aside(plan, room.id)] if rare else []
    return Story(seed, to_ns(minutes * 60), plan, to_ns(day * 60), objects, aside[-1] if aside else None)


def _is_aside(plan: FloorPlan, room: int) -> bool:
    """Whether every other room can be reached without going through this one."""
    reached: set[int] = set()
    ahead = [other.id for other in plan.rooms if other.id != room][:1]
    while ahead:
        here = ahead.pop()
        reached.add(here)
        ahead += [other for other in plan.next_to(here) if other != room and other not in reached]
    return len(reached) == len(plan.rooms) - 1


@dataclass(slots=True)
class _Item:
    """An object of the world."""

    id: int
    thing: Thing
    size: float
    room: int | None
    """None: carried away."""
    slot: int = 0
    x: float = 0.0
    y: float = 0.0
    covered: float = 0.0
    away: bool = False
    """In its room, but put where it cannot be seen."""


@dataclass(slots=True)
class _Draft:
    """A visit in the making."""

    presences: list[Presence] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)


class _Teller:
    """The state of the world, and the next visit from it."""

    def __init__(self, story: Story) -> None:
        self._story, self._plan = story, story.plan
        self._draw = np.random.default_rng((story.seed, 102))
        self._narrator = Narrator(self._draw)
        self._fresh = self._everything()
        self._figures = self._shuffled([(c, k) for k in ALIVE for c in COLOURS])[:8]
        self._cast = [str(name) for name in self._draw.permutation(list(SOUNDS))[: len(SOUNDS) * 2 // 3]]
        weights = self._draw.uniform(0.3, 1.0, len(self._cast))
        self._chances = weights / weights.sum()
        self._signs: list[str] = []
        self._signed = 0
        self._items: list[_Item] = []
        self._seen = [-1] * len(self._plan.rooms)
        self._due = [story.length_ns * share // 100 for share in RARE_PERCENT]
        self._slots: tuple[float, ...] = SLOTS
        if story.objects is not None:
            each = -(-story.objects // len(self._plan.rooms))
            self._slots = tuple(float(x) for x in np.linspace(0.1, 0.9, max(each + 2, MOST)))  # room for what moves
            for k in range(story.objects):
                self._put(self._new(), k % len(self._plan.rooms))
            return
        for room in self._plan.rooms:
            for _ in range(int(self._draw.integers(1, MOST + 1))):
                self._put(self._new(), room.id)

    def visits(self) -> Iterator[Visit]:
        here, entered, t_ns, ordinal = int(self._draw.integers(len(self._plan.rooms))), None, 0, 0
        if here == self._story.rare:
            here = self._plan.next_to(here)[0]
        while t_ns < self._story.length_ns:
            t1_ns = t_ns + to_ns(round(float(self._draw.uniform(11.0, 28.0)), 3))
            if self._story.length_ns - t1_ns < to_ns(8.0):
                t1_ns = self._story.length_ns
            onward = self._choose(here, t_ns)
            yield self._visit(ordinal, here, entered, onward, t_ns, t1_ns)
            self._seen[here] = ordinal
            here, entered, t_ns, ordinal = onward, here, t1_ns, ordinal + 1

    def _choose(self, here: int, t_ns: int) -> int:
        """The next room: rather one that was not seen for long; the rare one where its time has come, else never."""
        near = self._plan.next_to(here) or (here,)
        rare = self._story.rare
        if rare in near:
            if self._due and t_ns >= self._due[0]:
                self._due.pop(0)
                return rare
            near = tuple(room for room in near if room != rare) or (here,)
        return min(near, key=lambda room: self._seen[room] + float(self._draw.uniform(0, 6)))

    def _visit(self, ordinal: int, here: int, entered: int | None, onward: int, t0_ns: int, t1_ns: int) -> Visit:
        draw, room = self._draw, self._plan.rooms[here]
        light = "night" if self._story.is_night(t0_ns) else "day"
        if draw.random() < _MAY["moved"]:
            self._move_unseen(here)
        for item in self._items:
            item.covered = float(draw.uniform(0.35, 0.5)) if draw.random() < 0.2 else 0.0
        draft = _Draft([self._presence(item, t0_ns, t1_ns) for item in self._in(here)])
        if t1_ns - t0_ns >= to_ns(8.0):
            self._change(draft, here, self._within(t0_ns, t1_ns, 3.0), t1_ns)
            if draw.random() < _MAY["figure"]:
                self._figure(draft, here, t0_ns, t1_ns)
        signs = self._hang(t0_ns, t1_ns)
        lines, sounds = self._hear(t0_ns, t1_ns)
        middle = 0.5 + float(draw.uniform(-0.06, 0.06))
        still = signs or any(p.hidden for p in draft.presences)  # who reads, or looks past something, holds still
        turn = 0.0 if still else float(draw.uniform(-0.04, 0.04))
        return Visit(
            ordinal, room, t0_ns, t1_ns, light, float(draw.uniform(1, 4)), (middle - turn, middle + turn),
            self._walk(here, entered, onward, t0_ns, t1_ns), tuple(draft.presences), tuple(draft.happenings), signs,
            sounds, lines,
        )  # fmt: skip

    # Objects

    def _new(self) -> _Item:
        """An object never seen before; when there is none left, one that was carried away."""
        gone = [item for item in self._items if item.room is None]
        if gone and (not self._fresh or len(self._items) == self._story.objects):
            return gone[int(self._draw.integers(len(gone)))]
        self._fresh = self._fresh or self._everything()  # a plan of a hundred rooms holds two of a kind
        colour, kind = self._fresh.pop()
        size = round(float(self._draw.uniform(0.14, 0.3)), 3)
        told = "small" if size < 14 / 64 and self._draw.random() < 0.5 else "large" if size > 0.26 else ""
        item = _Item(len(self._items), Thing(kind, colour, told, self._any(tuple(MATERIALS))), size, None)
        self._items.append(item)
        return item

    def _everything(self) -> list[tuple[str, str]]:
        """Every (colour, kind) of objects, shuffled."""
        return self._shuffled([(c, k) for k in KINDS if k not in ALIVE for c in COLOURS])

    def _in(self, room: int) -> list[_Item]:
        return [item for item in self._items if item.room == room and not item.away]

    def _put(self, item: _Item, room: int) -> None:
        """Into a free slot."""
        taken = {other.slot for other in self._items if other.room == room}
        free = [slot for slot in range(len(self._slots)) if slot not in taken]
        item.room, item.away, item.slot = room, False, free[int(self._draw.integers(len(free)))]
        item.x = self._slots[item.slot] + float(self._draw.uniform(-0.03, 0.03))
        item.y = float(self._draw.uniform(0.7, 0.92))

    def _space(self, room: int) -> bool:
        return sum(item.room == room for item in self._items) < len(self._slots)

    def _move_unseen(self, here: int) -> None:
        """Something somewhere else is carried to another room, or stands in view again."""
        left_out = (here, self._story.rare)
        away = [item for item in self._items if item.room not in (None, *left_out)]
        rooms = [room.id for room in self._plan.rooms if room.id not in left_out and self._space(room.id)]
        if not away or not rooms:
            return
        item = away[int(self._draw.integers(len(away)))]
        self._put(item, rooms[int(self._draw.integers(len(rooms)))])

    def _change(self, draft: _Draft, here: int, t_ns: int, t1_ns: int) -> None:
        """At most one deed to an object while the camera looks on."""
        deed = _DEEDS[int(self._draw.integers(len(_DEEDS)))]
        standing = self._in(here)
        back = [item for item in self._items if item.room == here and item.away]
        if deed in ("placed", "dropped"):
            if back:
                item, deed = back[0], "found"
                item.away = False
            elif self._space(here) and (self._story.objects is None or any(i.room is None for i in self._items)):
                gone = [item for item in self._items if item.room is None]
                item = gone[int(self._draw.integers(len(gone)))] if gone and self._draw.random() < 0.6 else self._new()
                self._put(item, here)
            else:
                return
            draft.presences.append(replace(self._presence(item, t_ns, t1_ns), falls=deed == "dropped"))
        elif deed is not None and len(standing) > 1:
            item = standing[int(self._draw.integers(len(standing)))]
            k = next(k for k, p in enumerate(draft.presences) if p.item == item.id)
            draft.presences[k] = replace(draft.presences[k], t1_ns=t_ns)
            item.room, item.away = (None, False) if deed == "taken" else (here, True)
        else:
            return
        draft.happenings.append(Happening(deed, item.id, item.thing, here, t_ns))

    @staticmethod
    def _presence(item: _Item, t0_ns: int, t1_ns: int) -> Presence:
        return Presence(item.id, item.thing, t0_ns, t1_ns, item.x, item.x, item.y, item.size, item.covered)

    def _figure(self, draft: _Draft, here: int, t0_ns: int, t1_ns: int) -> None:
        """Somebody comes, does something, and goes or is still there when the camera leaves."""
        k = int(self._draw.integers(len(self._figures)))
        colour, kind = self._figures[k]
        size = float(self._draw.uniform(0.3, 0.42)) if kind == "person" else float(self._draw.uniform(0.18, 0.28))
        action = self._any(tuple(ACTIONS))
        start_ns = self._within(t0_ns, t1_ns - to_ns(5.0), 1.0)
        end_ns = min(start_ns + to_ns(round(float(self._draw.uniform(4.0, 9.0)), 3)), t1_ns)
        end_ns = t1_ns if t1_ns - end_ns < to_ns(1.0) else end_ns
        x, x1 = (0.36, 0.64) if self._draw.random() < 0.5 else (0.64, 0.36)
        thing = Thing(kind, colour, "", "plain", action)
        walks = action == "walking"
        draft.presences.append(Presence(-1 - k, thing, start_ns, end_ns, x, x1 if walks else x, 0.97, size))
        draft.happenings.append(Happening("came", -1 - k, thing, here, start_ns))
        if end_ns < t1_ns:
            draft.happenings.append(Happening("went", -1 - k, thing, here, end_ns))

    # Signs, sounds and words

    def _hang(self, t0_ns: int, t1_ns: int) -> tuple[Sign, ...]:
        length_ns = to_ns(round(float(self._draw.uniform(4.0, 6.0)), 3))
        if self._draw.random() >= _MAY["sign"] or t1_ns - t0_ns < length_ns + to_ns(3.0):
            return ()
        if not self._signs:
            again = f" {self._signed // len(SIGNS) + 1}" if self._signed else ""
            self._signs = [str(sign) + again for sign in self._draw.permutation(SIGNS)]
        self._signed += 1
        start_ns = self._within(t0_ns, t1_ns - length_ns, EDGE_S)
        return (Sign(self._signs.pop(), start_ns, start_ns + length_ns),)

    def _hear(self, t0_ns: int, t1_ns: int) -> tuple[tuple[Line, ...], tuple[Noise, ...]]:
        """A line, a sound, both one after the other, or neither."""
        draw = self._draw
        lines: list[Line] = []
        sounds: list[Noise] = []
        from_ns, gap_ns = t0_ns + to_ns(EDGE_S), to_ns(2.0)
        until_ns = t1_ns - to_ns(EDGE_S)
        for kind in ("line", "sound") if draw.random() < 0.5 else ("sound", "line"):
            if draw.random() >= _MAY[kind]:
                continue
            fact = self._narrator.tell() if kind == "line" else None
            length_s = round(len(fact.text.split()) / 2.5, 3) if fact else round(float(draw.uniform(1.5, 3.0)), 3)
            start_ns = from_ns + to_ns(round(float(draw.uniform(0.0, 2.5)), 3))
            end_ns = start_ns + to_ns(length_s)
            if end_ns > until_ns:
                continue
            if fact:
                lines.append(Line(fact, start_ns, end_ns))
            else:
                name = str(draw.choice(self._cast, p=self._chances))
                sounds.append(Noise(name, start_ns, end_ns, float(draw.uniform(15, 30))))
            from_ns = end_ns + gap_ns
        return tuple(lines), tuple(sounds)

    # The camera

    def _walk(self, here: int, entered: int | None, onward: int, t0_ns: int, t1_ns: int) -> tuple[Waypoint, ...]:
        """In by one door, to a place in the room, out by another."""
        room, draw = self._plan.rooms[here], self._draw
        x, y = (
            room.x + float(draw.uniform(-0.2, 0.2)) * room.width,
            room.y + float(draw.uniform(-0.2, 0.2)) * room.depth,
        )
        points = [(x, y)]
        if entered is not None and entered != here:
            door = self._plan.door(entered, here)
            points.insert(0, (door.x, door.y))
        else:
            points.insert(0, (x, y))
        if onward != here:
            door = self._plan.door(here, onward)
            points.append((door.x, door.y))
        else:
            points.append((x, y))
        step_ns = min(to_ns(1.5), (t1_ns - t0_ns) // 4)
        (ax, ay), (bx, by), (cx, cy) = points
        inward = math.atan2(by - ay, bx - ax) if (ax, ay) != (bx, by) else 0.0
        turned = inward + float(draw.uniform(-0.5, 0.5))
        return (
            Waypoint(t0_ns, ax, ay, inward),
            Waypoint(t0_ns + step_ns, bx, by, inward),
            Waypoint(t1_ns - step_ns, bx, by, turned),
            Waypoint(t1_ns, cx, cy, turned),
        )

    # Draws

    def _within(self, t0_ns: int, t1_ns: int, edge_s: float) -> int:
        """A time between two, `edge_s` from either if there is room, to the millisecond."""
        low, high = t0_ns + to_ns(edge_s), max(t1_ns - to_ns(edge_s), t0_ns + to_ns(edge_s))
        return low + round((high - low) * float(self._draw.random()) / 1e6) * 1_000_000

    def _any(self, words: tuple[str, ...]) -> str:
        return words[int(self._draw.integers(len(words)))]

    def _shuffled(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [pairs[i] for i in self._draw.permutation(len(pairs))]
