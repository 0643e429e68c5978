"""Captions: text that stands still in the picture, read by RapidOCR only when there is new text to read.

Text burnt into a picture holds still while the rest moves, so the edges that persist over a few frames are its own
(multi-frame integration: Lienhart & Effelsberg, "Automatic text segmentation and text recognition for video indexing",
2000). Persistent edges that look like strokes and were not examined before are cut out and read; afterwards the same
edges tell, without reading again, from when to when each line stood. Reading is paid from a credit that grows with the
stream's time, so the cost is bounded whatever the picture shows.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingError
from ..records import NS_PER_S, Picture, to_ns, to_s
from .base import Read

Edges = NDArray[np.int16]
"""int16[H, W]: signed horizontal gradient (Sobel) of a grey frame."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half open."""

CELL = 8
"""Side of the cells in which strokes are counted, pixels of the working frame."""
BULLETS = "●•▪■◦○·"
"""Marks before the items of a slide; not words."""


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """How captions are found and read; times in seconds, lengths in pixels of the working frame."""

    width: int = 640  # of the working frame; what is read is cut from the frame at up to twice this
    settle_s: float = 0.6  # edges count as standing once they have held this long
    history_s: float = 4.0  # how far back the start of a text is looked for
    linger_s: float = 0.8  # a text that is missing for less than this has not gone
    hold_s: float = 0.8  # a text that stood for less than this is not a caption
    max_hold_s: float = 30.0  # a text that stands longer is given out in pieces of this length
    edge: int = 100  # least gradient of a stroke (a step of 25 grey levels gives 100)
    frames_a_second: float = 0.25  # reading credit: whole frames' worth of pixels a second of stream
    score: float = 0.7  # least mean confidence of the recogniser for a line
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as the recogniser found it."""

    text: str
    score: float
    box: Box


LineReader = Callable[[Picture], list[Line]]
"""Finds and reads the lines of an RGB picture."""


class RapidLines:
    """RapidOCR's detector and recogniser with the models that come in its wheel; never downloads.

    Raises `MissingError` where the package or its models are not there.
    """

    def __init__(self, threads: int = 1) -> None:
        try:
            import rapidocr
        except ImportError as error:
            raise MissingError("rapidocr is not installed", "pip install rapidocr") from error
        models = Path(rapidocr.__file__).parent / "models"
        found = {part: sorted(models.glob(f"*_{part}_*.onnx")) for part in ("det", "rec")}
        for part, paths in found.items():
            if not paths:
                raise MissingError(f"rapidocr has no {part} model in {models}", "reinstall rapidocr")
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,  # captions stand upright
                "Det.model_path": str(found["det"][0]),  # with a path given, nothing is looked up or fetched
                "Rec.model_path": str(found["rec"][0]),
                "Det.limit_type": "max",  # the default enlarges a strip to 736 pixels of height
                "Det.limit_side_len": 1280,
                # One thread has no pool, so nothing spins; RapidOCR offers no other way to turn spinning off.
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, picture: Picture) -> list[Line]:
        result = self._engine(np.ascontiguousarray(picture[:, :, ::-1]))  # it expects BGR
        if not result.txts:
            return []
        lines = []
        for text, score, corners in zip(result.txts, result.scores, result.boxes, strict=True):
            (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
            box = int(x0), int(y0), int(x1), int(y1)
            lines.append(Line(text.lstrip(BULLETS + " ").rstrip(), float(score), box))
        return lines


@dataclass(slots=True, eq=False)
class _Standing:
    """A line that is being followed by its edges."""

    line: Line
    strokes: Edges  # persistent edges inside the box when it was read: what must still be there
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
        edges = self._edges(picture)
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

    def _edges(self, picture: Picture) -> Edges:
        import cv2

        height, width = picture.shape[:2]
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        if width > self.settings.width:
            size = (self.settings.width, max(8, round(height * self.settings.width / width)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3), dtype=np.int16)

    def _persistent(self) -> Edges | None:
        """The strong edges that held, with one sign, through the last `settle_s`, 0 elsewhere; None before that."""
        since_ns = self._frames[-1][0] - to_ns(self.settings.settle_s)
        before = sum(t_ns <= since_ns for t_ns, _ in self._frames)
        if before == 0:
            return None
        frames = [edges for _, edges in self._frames][before - 1 :]
        held = np.maximum(np.minimum.reduce(frames), 0) + np.minimum(np.maximum.reduce(frames), 0)
        held[np.abs(held) < self.settings.edge] = 0
        return np.asarray(held, dtype=np.int16)

    def _follow(self, t_ns: int, edges: Edges, held: Edges | None) -> None:
        for standing in [s for s in self._standing if not s.replaced]:
            whole, weakest = _presence(standing, edges, held)
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
        strokes = _stroke_cells(np.where(self._known == 0, held, 0))
        ripe = strokes if self._waiting is None else strokes & self._waiting
        self._waiting = strokes
        height, width = edges.shape
        boxes = [s.line.box for s in self._standing if s.due(t_ns - to_ns(self.settings.settle_s), t_ns)]
        boxes += _regions(strokes, ripe, [standing.line.box for standing in self._standing])
        for box in _joined([_padded(box, width, height) for box in boxes]):
            if self._credit >= _area(box):
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
        self.pixels += _area(box)
        self._credit -= _area(box)
        by = (x1 - x0) / max(part.shape[1], 1)
        found = []
        for line in self._reader(np.ascontiguousarray(part)):
            a, b, c, d = (by * corner for corner in line.box)
            found.append(Line(line.text, line.score, _clipped((x0 + a, y0 + b, x0 + c, y0 + d), width, height)))
        small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        for line in _worth_keeping(_rows(found), self.settings.score):
            self._stand(t_ns, line, held, small)
        for standing in self._standing:
            if standing.doubt_ns is not None and _overlap(standing.line.box, box) > 0.5:  # nothing else was read there
                standing.settle(t_ns)

    def _stand(self, t_ns: int, line: Line, held: Edges, picture: Picture) -> None:
        edges = self._frames[-1][1]
        x0, y0, x1, y1 = line.box
        strokes = held[y0:y1, x0:x1].copy()
        if np.count_nonzero(strokes) < 0.4 * np.count_nonzero(np.abs(edges[y0:y1, x0:x1]) >= self.settings.edge):
            return  # it moves with the scene
        new = _Standing(line, strokes, t_ns, picture)
        overlapping = [s for s in self._standing if not s.replaced and _overlap(s.line.box, line.box) > 0.5]
        now = _plain(line.text)
        same = [s for s in overlapping if _same_text(s.line.text, line.text) or _plain(s.line.text) in now]
        if same:  # read again, or read whole: it goes on, in its better reading
            old = min(same, key=lambda s: s.t0_ns)
            better = len(now) > len(_plain(old.line.text)) or line.score >= old.line.score
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
            if _presence(new, frame)[0] >= 0.5 and all(_closer(new, old, frame) for old in overlapping):
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
            cut_ns = first.t0_ns + to_ns(settings.max_hold_s)
            if first.gone_ns is None and t_ns >= cut_ns:
                together = [s for s in self._standing if _near(s.t0_ns, first.t0_ns) and s.gone_ns is None]
                done += self._give(together, first.t0_ns, cut_ns)
                for standing in together:
                    standing.t0_ns = cut_ns
        return done

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


def _presence(standing: _Standing, edges: Edges, held: Edges | None = None) -> tuple[float, float]:
    """How much of a line's strokes a frame shows: in all, and in its weakest part of about a letter's width.

    With `held`, standing edges that are not the line's count against a part: another letter in place of the old one.
    """
    import cv2

    x0, y0, x1, y1 = standing.line.box
    frame, strokes = edges[y0:y1, x0:x1], standing.strokes
    mask = strokes != 0
    there = mask & (np.sign(frame) == np.sign(strokes)) & (2 * np.abs(frame) >= np.abs(strokes.astype(np.int32)))
    wanted, shown = mask.sum(axis=0), there.sum(axis=0)  # by column
    whole = float(shown.sum() / max(wanted.sum(), 1))
    if held is None:
        return whole, whole
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    wanted = wanted + ((held[y0:y1, x0:x1] != 0) & ~near).sum(axis=0)
    letter = min(x1 - x0, max(6, round(0.6 * (y1 - y0))))
    wanted, shown = (np.convolve(columns, np.ones(letter), "valid") for columns in (wanted, shown))
    full = wanted >= 0.05 * (y1 - y0) * letter
    return whole, float((shown[full] / wanted[full]).min()) if full.any() else 1.0


def _closer(new: _Standing, old: _Standing, edges: Edges) -> bool:
    """Whether a frame looks more like the new line than like the old one, where their boxes meet."""
    a, b = new.line.box, old.line.box
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    frame = edges[y0:y1, x0:x1].astype(np.int32)
    news = new.strokes[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
    olds = old.strokes[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
    return bool(np.abs(frame - news).sum() < np.abs(frame - olds).sum())


def _stroke_cells(edges: Edges) -> NDArray[np.bool_]:
    """bool[h, w] of cells: where rising and falling edges stand densely side by side, as both sides of strokes do."""
    import cv2

    height, width = edges.shape
    size = (max(1, width // CELL), max(1, height // CELL))
    both = [
        cv2.blur(cv2.resize((sign * edges > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA), (5, 3))
        for sign in (1, -1)
    ]
    return np.asarray(np.minimum(both[0], both[1]) >= 0.03)


def _regions(cells: NDArray[np.bool_], ripe: NDArray[np.bool_], standing: Sequence[Box]) -> list[Box]:
    """Boxes in pixels of the clusters of stroke cells that are ripe, the most text-like first.

    A line that grows, or that wide gaps part, comes whole: with the `standing` lines of its row.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    clusters = [tuple(int(value) for value in row) for row in stats[1:]]  # x, y, width, height, area in cells
    spans: list[Box] = [(CELL * x, CELL * y, CELL * (x + w), CELL * (y + h)) for x, y, w, h, _ in clusters]
    found: list[tuple[float, Box]] = []
    for label, (box, (_, _, wide, high, area)) in enumerate(zip(spans, clusters, strict=True), 1):
        word = wide >= 4 and area >= 8
        whole = _with_row(box, [*standing, *spans] if word else standing)
        if (word or whole != box) and np.count_nonzero(ripe[labels == label]) >= 0.5 * area:
            found.append((area / (wide * high) * min(wide / high, 8.0), whole))
    return [box for _, box in sorted(found, key=lambda item: (-item[0], item[1]))]


def _padded(box: Box, width: int, height: int) -> Box:
    """The box with a margin of a cell or two, inside the frame: the detector wants air around text."""
    x0, y0, x1, y1 = box
    return max(0, x0 - 3 * CELL), max(0, y0 - 2 * CELL), min(width, x1 + 3 * CELL), min(height, y1 + 2 * CELL)


def _with_row(box: Box, lines: Sequence[Box]) -> Box:
    """The box together with the lines beside which it stands, on the same row and within two letters or so."""
    for line in lines:
        tall, high = line[3] - line[1], box[3] - box[1]
        level = min(box[3], line[3]) - max(box[1], line[1]) > 0.5 * min(tall, high)
        gap = max(box[0] - line[2], line[0] - box[2])
        if level and high < 2 * tall and gap < min(1.5 * tall, 12 * CELL):
            box = _union(box, line)
    return box


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _joined(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that overlap become one."""
    joined: list[Box] = []
    for box in boxes:
        while (touching := next((other for other in joined if _overlap(box, other) > 0), None)) is not None:
            joined.remove(touching)
            box = _union(box, touching)
        joined.append(box)
    return joined


def _clipped(box: Sequence[float], width: int, height: int) -> Box:
    x0, y0, x1, y1 = (round(corner) for corner in box)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, max(x0 + 1, min(x1, width)), max(y0 + 1, min(y1, height))


def _overlap(a: Box, b: Box) -> float:
    """Area in common over the smaller area."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, wide) * max(0, high) / max(min(_area(a), _area(b)), 1)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _rows(lines: Sequence[Line]) -> list[Line]:
    """Pieces of one printed line, which the detector may part at wide gaps, put together."""
    rows: list[Line] = []
    for line in sorted(lines, key=lambda piece: (piece.box[0], piece.box[1])):
        for i, row in enumerate(rows):
            a, b = row.box, line.box
            tall = min(a[3] - a[1], b[3] - b[1])
            level = min(a[3], b[3]) - max(a[1], b[1]) > 0.6 * max(a[3] - a[1], b[3] - b[1])
            if level and -0.5 * tall < b[0] - a[2] < 1.5 * tall:
                rows[i] = Line(f"{row.text} {line.text}", min(row.score, line.score), _union(a, b))
                break
        else:
            rows.append(line)
    return sorted(rows, key=lambda row: (row.box[1], row.box[0]))


def _worth_keeping(rows: Sequence[Line], score: float) -> list[Line]:
    """Lines that are words, and the short ones beside them: alone, such are seen in fur, grids and toys."""
    level = [r for r in rows if r.score >= score and r.box[2] - r.box[0] > 0.8 * (r.box[3] - r.box[1])]
    if not any(len(_plain(row.text)) >= 4 for row in level):
        return []
    return [row for row in level if len(_plain(row.text)) >= (2 if row.score >= 0.9 else 4)]


def _plain(text: str) -> str:
    """Letters and digits only, without case."""
    return re.sub(r"[\W_]+", "", text.casefold())


def _same_text(a: str, b: str) -> bool:
    """Two readings of one text: the same digits, and four fifths of the letters."""
    alike = SequenceMatcher(None, _plain(a), _plain(b), autojunk=False).ratio() >= 0.8
    return alike and re.findall(r"\d", a) == re.findall(r"\d", b)


def _letters(standing: Iterable[_Standing]) -> int:
    return sum(len(_plain(s.line.text)) for s in standing)


def _near(a_ns: int, b_ns: int) -> bool:
    """Together, as sampled frames see it: within half a second."""
    return abs(a_ns - b_ns) <= NS_PER_S // 2
