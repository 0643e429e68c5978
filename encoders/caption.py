"""Captions: text that stands still in the picture, read by RapidOCR only when there is new text to read.

Text burnt into a picture holds still while the rest moves, so the edges that persist over a few frames are its own
(multi-frame integration: Lienhart & Effelsberg, "Automatic text segmentation and text recognition for video indexing",
2000). Persistent edges that look like strokes and were not examined before are cut out and read; afterwards the same
edges tell, without reading again, from when to when each line stood. Reading is paid from a credit that grows with the
stream's time, so the cost is bounded whatever the picture shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..records import NS_PER_S, Picture, to_ns, to_s
from .base import Read
from .boxes import Box, area, clipped, joined, overlap
from .ocr import Line, LineReader, RapidLines, plain, rows, same_text, worth_keeping
from .strokes import Edges, Strokes, edges_of, padded, persistent, regions, stroke_cells


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """How captions are found and read; times in seconds, lengths in pixels of the working frame."""

    width: int = 640  # of the working frame; what is read is cut from the frame at up to twice this
    settle_s: float = 0.6  # edges count as standing once they have held this long
    history_s: float = 4.0  # how far back the start of a text is looked for
    linger_s: float = 0.8  # a text that is missing for less than this has not gone
    hold_s: float = 0.8  # a text that stood for less than this is not a caption
    max_hold_s: float = 30.0  # a text that stands longer comes in pieces of this length, on a grid of stream time
    edge: int = 100  # least gradient of a stroke (a step of 25 grey levels gives 100)
    frames_a_second: float = 0.25  # reading credit: whole frames' worth of pixels a second of stream
    score: float = 0.7  # least mean confidence of the recogniser for a line
    threads: int = 1


@dataclass(slots=True, eq=False)
class _Standing:
    """A line that is being followed by its edges."""

    line: Line
    strokes: Strokes
    t0_ns: int
    picture: Picture
    gone_ns: int | None = None  # since when it is missing
    doubt_ns: int | None = None  # since when a part of it, or a line that came with it, differs: it must be read again
    wait_ns: int = NS_PER_S  # how long to wait after the next reading before another: doubled each time
    reread_ns: int = 0  # not read again before this
    replaced: bool = False  # another text took its place: it has ended, whatever its strokes seem to do
    presence: list[float] = field(default_factory=lambda: [0.0, 0.0])  # sum and number of presences, for confidence

    def due(self, settled_ns: int, t_ns: int) -> bool:
        """It must be read again, now that a change has settled."""
        doubted = self.gone_ns is None and self.doubt_ns is not None and self.doubt_ns <= settled_ns
        return doubted and self.reread_ns <= t_ns

    def settle(self, t_ns: int) -> None:
        """It was read again and still stands."""
        self.doubt_ns = None
        self.reread_ns = t_ns + self.wait_ns
        self.wait_ns = min(2 * self.wait_ns, 4 * NS_PER_S)


class Captions:
    """A `CaptionReader`: one `Read` per screenful, that is, lines that came together and went together.

    Starts and ends are exact to a sampled frame. `calls` and `pixels` count what reading has cost.
    """

    def __init__(self, settings: CaptionSettings | None = None, reader: LineReader | None = None) -> None:
        self.settings = settings or CaptionSettings()
        self._reader = reader
        self._frames: deque[tuple[int, Edges]] = deque()
        self._known: Edges | None = None  # edges that were examined and still stand
        self._waiting: NDArray[np.bool_] | None = None
        self._standing: list[_Standing] = []
        self._credit = 0.0
        self._settled_ns = 0
        self.calls = 0
        self.pixels = 0

    @property
    def settled_ns(self) -> int:
        """No text that starts before this will still come."""
        return self._settled_ns

    def look(self, t_ns: int, picture: Picture) -> list[Read]:
        """Take uint8[H, W, 3] RGB at `t_ns` (times ascend); give the texts that are complete by now."""
        edges = edges_of(picture, self.settings.width)
        another_size = bool(self._frames) and self._frames[-1][1].shape != edges.shape
        done = self.flush(t_ns) if another_size else []
        # A stream opens with credit for one frame, and never saves up more than two.
        passed_s = to_s(t_ns - self._frames[-1][0]) if self._frames else 0.0
        earned = self._credit + self.settings.frames_a_second * passed_s * edges.size
        self._credit = min(earned, 2.0 * edges.size) if self._frames else edges.size
        self._frames.append((t_ns, edges))
        while self._frames[0][0] < t_ns - to_ns(self.settings.history_s):
            self._frames.popleft()
        held = self._persistent()
        self._follow(t_ns, edges, held)
        if held is not None:
            self._examine(t_ns, picture, held)
        done += self._complete(t_ns)
        self._settled_ns = min([self._frames[0][0], *(s.t0_ns for s in self._standing)])
        return done

    def flush(self, t_ns: int) -> list[Read]:
        """The stream has ended at `t_ns`: what still stands is complete."""
        for standing in self._standing:
            standing.gone_ns = t_ns if standing.gone_ns is None else standing.gone_ns
        self._frames.clear()
        self._known = self._waiting = None
        self._settled_ns = t_ns
        return self._complete(t_ns + to_ns(self.settings.linger_s))

    def _persistent(self) -> Edges | None:
        """The strong edges that held, with one sign, through the last `settle_s`, 0 elsewhere; None before that."""
        since_ns = self._frames[-1][0] - to_ns(self.settings.settle_s)
        before = sum(t_ns <= since_ns for t_ns, _ in self._frames)
        if before == 0:
            return None
        return persistent([edges for _, edges in self._frames][before - 1 :], self.settings.edge)

    def _follow(self, t_ns: int, edges: Edges, held: Edges | None) -> None:
        for standing in [s for s in self._standing if not s.replaced]:
            whole, weakest = standing.strokes.shown(edges, held)
            if whole < 0.5:
                if standing.gone_ns is None:
                    standing.gone_ns = t_ns
                    self._doubt(standing, t_ns)
                continue
            standing.gone_ns = None
            standing.presence[0] += whole
            standing.presence[1] += 1
            if weakest < 0.65:
                self._doubt(standing, t_ns)

    def _doubt(self, standing: _Standing, t_ns: int) -> None:
        """A line and those that came with it may be another screenful by now."""
        for mate in self._standing:
            if mate.doubt_ns is None and _near(mate.t0_ns, standing.t0_ns):
                mate.doubt_ns = t_ns

    def _examine(self, t_ns: int, picture: Picture, held: Edges) -> None:
        edges = self._frames[-1][1]
        self._known = np.zeros_like(edges) if self._known is None else self._known
        # An edge stays known while it stands, at a quarter of the threshold so that noise does not make it new again.
        still = (np.sign(edges) == np.sign(self._known)) & (np.abs(edges) >= self.settings.edge // 4)
        self._known[~still] = 0
        strokes = stroke_cells(np.where(self._known == 0, held, 0))
        ripe = strokes if self._waiting is None else strokes & self._waiting
        self._waiting = strokes
        height, width = edges.shape
        boxes = [s.line.box for s in self._standing if s.due(t_ns - to_ns(self.settings.settle_s), t_ns)]
        boxes += regions(strokes, ripe, [standing.line.box for standing in self._standing])
        for box in joined([padded(box, width, height) for box in boxes]):
            if self._credit >= area(box):
                self._read(t_ns, picture, held, box)
                x0, y0, x1, y1 = box
                self._known[y0:y1, x0:x1] = held[y0:y1, x0:x1]

    def _read(self, t_ns: int, picture: Picture, held: Edges, box: Box) -> None:
        """Read one region of the newest frame, and follow the lines that are text and stand still."""
        import cv2

        height, width = held.shape
        x0, y0, x1, y1 = box
        scale = picture.shape[1] / width
        part = picture[round(y0 * scale) : round(y1 * scale), round(x0 * scale) : round(x1 * scale)]
        if scale > 2.0:
            size = 2 * (x1 - x0), 2 * (y1 - y0)
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._reader is None:
            self._reader = RapidLines(self.settings.threads)
        self.calls += 1
        self.pixels += area(box)
        self._credit -= area(box)
        by = (x1 - x0) / max(part.shape[1], 1)
        found = []
        for line in self._reader(np.ascontiguousarray(part)):
            a, b, c, d = (by * corner for corner in line.box)
            found.append(Line(line.text, line.score, clipped((x0 + a, y0 + b, x0 + c, y0 + d), width, height)))
        small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        for line in worth_keeping(rows(found), self.settings.score):
            self._stand(t_ns, line, held, small)
        for standing in self._standing:
            if standing.doubt_ns is not None and overlap(standing.line.box, box) > 0.5:  # nothing else was read there
                standing.settle(t_ns)

    def _stand(self, t_ns: int, line: Line, held: Edges, picture: Picture) -> None:
        edges = self._frames[-1][1]
        x0, y0, x1, y1 = line.box
        strokes = Strokes(line.box, held[y0:y1, x0:x1].copy())
        if np.count_nonzero(strokes.edges) < 0.4 * np.count_nonzero(np.abs(edges[y0:y1, x0:x1]) >= self.settings.edge):
            return  # it moves with the scene
        new = _Standing(line, strokes, t_ns, picture)
        overlapping = [s for s in self._standing if not s.replaced and overlap(s.line.box, line.box) > 0.5]
        now = plain(line.text)
        same = [s for s in overlapping if same_text(s.line.text, line.text) or plain(s.line.text) in now]
        if same:  # read again, or read whole: it goes on, in its better reading
            old = min(same, key=lambda s: s.t0_ns)
            better = len(now) > len(plain(old.line.text)) or line.score >= old.line.score
            old.line = line if better else Line(old.line.text, old.line.score, line.box)
            old.strokes, old.gone_ns = strokes, None
            old.settle(t_ns)
            self._standing = [s for s in self._standing if s is old or s not in same]
            return
        if any(s.gone_ns is None and s.doubt_ns is None for s in overlapping):
            return  # what is there stands unaltered: this reading is of something it covers
        misses = 0
        for at_ns, frame in reversed(self._frames):
            if misses > 1:
                break
            if strokes.shown(frame)[0] >= 0.5 and all(strokes.closer(old.strokes, frame) for old in overlapping):
                new.t0_ns, misses = at_ns, 0
            else:
                misses += 1
        for old in overlapping:  # replaced: it ends where the new one begins, and cannot come back
            old.gone_ns = new.t0_ns if old.gone_ns is None else min(old.gone_ns, new.t0_ns)
            old.doubt_ns, old.replaced = None, True
        self._standing.append(new)

    def _complete(self, t_ns: int) -> list[Read]:
        settings, done = self.settings, []
        while True:
            gone = [s for s in self._standing if s.gone_ns is not None]
            first = min(gone, key=lambda s: s.gone_ns or 0, default=None)
            if first is None or first.gone_ns is None or t_ns - first.gone_ns < to_ns(settings.linger_s):
                break
            together = [s for s in gone if _near(s.t0_ns, first.t0_ns) and _near(s.gone_ns or 0, first.gone_ns)]
            self._standing = [s for s in self._standing if s not in together]
            # What stays of a screenful of which most went, such as a title, goes on with what came instead.
            staying = [s for s in self._standing if _near(s.t0_ns, first.t0_ns) and s.gone_ns is None]
            if _letters(staying) >= _letters(together):
                staying = []
            done += self._give(together + staying, first.t0_ns, first.gone_ns)
            for standing in staying:
                standing.t0_ns = first.gone_ns
        for first in sorted(self._standing, key=lambda s: s.t0_ns):
            cut_ns = self._cut_after(first.t0_ns)
            if first.gone_ns is None and t_ns >= cut_ns:
                together = [s for s in self._standing if _near(s.t0_ns, first.t0_ns) and s.gone_ns is None]
                done += self._give(together, first.t0_ns, cut_ns)
                for standing in together:
                    standing.t0_ns = cut_ns
        return done

    def _cut_after(self, t0_ns: int) -> int:
        """Where a text that still stands is cut, half a length to one and a half after its start.

        On the grid, so that a stream that is read again from the middle falls in step.
        """
        step = to_ns(self.settings.max_hold_s)
        return -(-(t0_ns + step // 2) // step) * step

    def _give(self, together: Sequence[_Standing], t0_ns: int, t1_ns: int) -> list[Read]:
        if t1_ns - t0_ns < to_ns(self.settings.hold_s):
            return []
        lines = sorted(together, key=lambda s: (s.line.box[1], s.line.box[0]))
        score = float(np.average([s.line.score for s in lines], weights=[_letters([s]) for s in lines]))
        # Overlays stand to the pixel and say something; print on things of the scene shakes and is short.
        stillness = float(np.mean([s.presence[0] / max(s.presence[1], 1.0) for s in lines]))
        confidence = score * min(1.0, stillness + 0.1) * min(1.0, 0.6 + _letters(lines) / 20)
        best = max(lines, key=lambda s: s.line.score)
        return [Read(t0_ns, t1_ns, "\n".join(s.line.text for s in lines), min(confidence, 1.0), best.picture)]


def _letters(standing: Iterable[_Standing]) -> int:
    return sum(len(plain(s.line.text)) for s in standing)


def _near(a_ns: int, b_ns: int) -> bool:
    """Together, as sampled frames see it: within half a second."""
    return abs(a_ns - b_ns) <= NS_PER_S // 2
