"""Erasure measured: canaries in picture, sound, subtitle and caption, forgotten, and looked for in every file.

python -m benchmarks.canaries [--seed S] [--json] [--folder DIR]

A video of six scenes is drawn, spoken over by subtitles and sounds, and watched through the real pipeline; one scene
holds the canaries. The control is the same video with another scene in its place, and forgets the same span: what a
memory that never saw the canaries answers. The seed draws words, patterns, sounds, and the scene's place.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mneme.memory.memory import Memory
from mneme.memory.store import StoredSnapshot
from mneme.pipeline.mneme import open_memory
from mneme.records import Percept, to_ns

from .machine import machine
from .scanner import Canaries, scan

FPS, SIZE, SCENE_S, SCENES, RATE = 5, (640, 360), 12.0, 6, 16_000
WORDS = ["osprey", "quartz", "saffron", "marlin", "juniper", "cobalt", "walnut", "ferret", "lantern", "meadow",
         "harbour", "glacier", "thistle", "pepper", "violin", "anchor", "basalt", "magnet"]  # fmt: skip
NEAR = 0.02
"""How much likelier a canary's vector may be found than in the memory that never saw it: H.264 tells frames apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Twelve seconds: a picture with a sign, a sentence, a sound."""

    picture: NDArray[np.uint8]
    sign: str
    sentence: str
    hertz: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it."""

    before: dict[str, int]
    after: dict[str, int]
    verified: bool
    percepts: int
    """Erased."""
    kept: bool
    """Whether all other percepts are as before."""
    nearest_before: float
    nearest_after: float
    """The best cosine of a canary's vector to what is remembered; of all canaries the highest."""
    nearest_never_seen: float
    answers_kept: int
    """Questions about the other scenes that are answered as before."""
    answers: int
    told: bool
    """Whether the question about the canaries is still answered with one."""

    @property
    def passed(self) -> bool:
        """Whether nothing is left, and the rest is."""
        seen = all(self.before[kind] for kind in ("words", "vectors", "index", "thumbnails"))
        gone = not any(self.after.values()) and self.verified and not self.told
        like_never = self.nearest_after <= self.nearest_never_seen + NEAR
        return seen and gone and like_never and self.kept and self.answers_kept == self.answers


def draw(rng: np.random.Generator, words: Sequence[str]) -> Scene:
    """A scene of a random pattern that says these three words."""
    blocks = rng.integers(30, 226, (6, 10, 3)).astype(np.uint8)
    picture = np.repeat(np.repeat(blocks, SIZE[1] // 6, axis=0), SIZE[0] // 10, axis=1)
    sign = f"{words[0]} {words[1]} {rng.integers(1000, 9999)}".upper()
    cv2.rectangle(picture, (60, 130), (580, 230), (20, 20, 20), -1)
    cv2.putText(picture, sign, (75, 195), cv2.FONT_HERSHEY_DUPLEX, 1.1, (240, 240, 240), 2, cv2.LINE_AA)
    number = rng.integers(100, 999)
    return Scene(picture, sign, f"The {words[2]} box has the number {number}.", float(rng.uniform(300, 3000)))


def write(path: Path, scenes: Sequence[Scene]) -> None:
    """The video, and its subtitles beside it."""
    rng = np.random.default_rng(0)
    sound = (rng.normal(size=round(len(scenes) * SCENE_S * RATE)) * 1e-3).astype(np.float32)
    for k, scene in enumerate(scenes):
        t = np.arange(RATE) / RATE
        first = round((k * SCENE_S + 6.0) * RATE)
        wave = np.sin(2 * np.pi * (scene.hertz * t + 0.3 * scene.hertz * t**2)) * np.exp(-3 * t)
        sound[first : first + RATE] += (0.5 * wave).astype(np.float32)
    with av.open(str(path), "w") as out:
        picture_track = out.add_stream("libx264", rate=FPS, options={"crf": "16", "g": str(FPS), "threads": "1"})
        picture_track.width, picture_track.height, picture_track.pix_fmt = *SIZE, "yuv420p"
        sound_track = out.add_stream("aac", rate=RATE, layout="mono")
        for n in range(round(len(scenes) * SCENE_S * FPS)):
            scene = scenes[int(n / FPS // SCENE_S)]
            frame = av.VideoFrame.from_ndarray(scene.picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            out.mux(picture_track.encode(frame))
            piece = sound[n * RATE // FPS : (n + 1) * RATE // FPS]
            for first in range(0, len(piece), 1024):
                samples = av.AudioFrame.from_ndarray(piece[None, first : first + 1024], format="fltp", layout="mono")
                samples.sample_rate, samples.pts = RATE, n * RATE // FPS + first
                samples.time_base = Fraction(1, RATE)
                out.mux(sound_track.encode(samples))
        out.mux(picture_track.encode(None))
        out.mux(sound_track.encode(None))
    cues = [
        f"{k + 1}\n{_clock(k * SCENE_S + 2)} --> {_clock(k * SCENE_S + 8)}\n{scene.sentence}\n"
        for k, scene in enumerate(scenes)
    ]
    path.with_suffix(".srt").write_text("\n".join(cues), encoding="utf-8")


def measure(folder: Path, seed: int) -> Measured:
    """Watches, forgets, looks; all files under `folder`."""
    rng = np.random.default_rng(seed)
    words = [str(word) for word in rng.permutation(WORDS)]
    scenes = [draw(rng, words[3 * k : 3 * k + 3]) for k in range(SCENES)]
    at = int(rng.integers(1, SCENES - 1))
    canary = scenes[at]
    never = draw(np.random.default_rng(seed + 10_000), ["ledger", "copper", "tunnel"])
    t0_s, t1_s = at * SCENE_S, (at + 1) * SCENE_S
    roots = {}
    for name, shown in (("seen", scenes), ("never", [*scenes[:at], never, *scenes[at + 1 :]])):
        (folder / name).mkdir()
        write(folder / name / "day.mp4", shown)
        roots[name] = folder / name / "m"
        with open_memory(roots[name], "embedded") as memory:
            memory.watch(folder / name / "day.mp4")
        with Memory.open(roots[name], "w") as stored:
            stored.sleep()
    root = roots["seen"]
    snapshot = StoredSnapshot(root)
    erased = snapshot.percepts(t0_ns=to_ns(t0_s), t1_ns=to_ns(t1_s), with_vectors=True)
    canaries = _canaries(canary, erased)
    others = [_question(scene) for scene in scenes if scene is not canary]
    before, kept = scan(root, canaries), _content(snapshot, {p.id for p in erased})
    with open_memory(root) as memory:
        answers = [memory.ask(question).text for question in others]
        memory.ask(_question(canary))  # the recall log knows it too
        nearest_before = _nearest(root, erased)
        receipt = memory.forget("day", t0_s, t1_s)
        after = scan(root, canaries)
        again = [memory.ask(question).text for question in others]
        told = memory.ask(_question(canary))
    with open_memory(roots["never"]) as memory:
        memory.forget("day", t0_s, t1_s)
    return Measured(
        before=before,
        after=after,
        verified=receipt.verified,
        percepts=receipt.percepts,
        kept=_content(StoredSnapshot(root), set()) == kept,
        nearest_before=round(nearest_before, 4),
        nearest_after=round(_nearest(root, erased), 4),
        nearest_never_seen=round(_nearest(roots["never"], erased), 4),
        answers_kept=sum(a == b for a, b in zip(answers, again, strict=True)),
        answers=len(others),
        told=not told.abstained and any(_tells(told.text, words) for words in canaries.words),
    )


def _canaries(scene: Scene, erased: Sequence[Percept]) -> Canaries:
    words = [scene.sign, scene.sentence.removesuffix("."), *(p.text for p in erased if p.text and p.lane == "caption")]
    blobs = [a.astype("<f2").tobytes() for p in erased for a in (p.tokens, p.look) if a is not None]
    vectors = [v for p in erased for v in (p.vector, *p.also.values()) if v is not None]
    return Canaries(words, vectors, frozenset(blobs), [scene.picture], frozenset(p.id for p in erased))


def _question(scene: Scene) -> str:
    return f"Which number does the {scene.sentence.split()[1]} box have?"


def _tells(text: str, words: str) -> bool:
    number = words.split()[-1]
    return words.casefold() in text.casefold() or number in text.split() or f"{number}." in text.split()


def _content(snapshot: StoredSnapshot, without: set[str]) -> list[tuple[Any, ...]]:
    """Ids, spans, words and vectors of percepts, but those."""
    return [
        (p.id, p.t0_ns, p.t1_ns, p.text, p.thumbnail, None if p.vector is None else p.vector.tobytes())
        for p in snapshot.percepts(with_vectors=True)
        if p.id not in without
    ]


def _nearest(root: Path, percepts: Sequence[Percept]) -> float:
    """The best cosine of their vectors to what a memory holds in the same lane; of sights and sounds."""
    snapshot = StoredSnapshot(root)
    best = [0.0]
    for percept in percepts:
        if percept.vector is not None and percept.space is not None and percept.lane in ("vision", "sound"):
            hits = snapshot.nearest(percept.space, percept.vector, limit=1, lanes=(percept.lane,))
            best += [hit.similarity for hit in hits]
    return max(best)


def _clock(seconds: float) -> str:
    return f"00:{int(seconds) // 60:02d}:{int(seconds) % 60:02d},000"


def main() -> int:
    """Prints what came of it; 0 where nothing is left and the rest is."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true")
    options.add_argument("--folder", type=Path, help="where to leave the memories; by default nowhere")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        folder = given.folder or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        measured = measure(folder, given.seed)
    if given.json:
        print(json.dumps({"seed": given.seed, "passed": measured.passed, **asdict(measured), "machine": machine()}))
    else:
        for name, value in asdict(measured).items():
            print(f"{name:20} {value}")
        print("passed" if measured.passed else "NOT passed")
    return 0 if measured.passed else 1


if __name__ == "__main__":
    sys.exit(main())
