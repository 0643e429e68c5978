"""`keyframes` and `ChangeGate` beside HippoMM's own steps, and the gate's decisions on a real video."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from mneme.operators.separate import ChangeGate, keyframes
from mneme.pipeline.container import Track, lay_out, open_container
from mneme.pipeline.frames import PictureMaker
from mneme.records import Picture

from ..baselines import hippomm_separate
from ..watching import ROOT
from .timing import Case, threads

SAMPLE = ROOT / "examples" / "sample" / "harbour_day.mp4"
LINES = 720
STEP = 30
"""HippoMM looks at every 30th frame."""
PUBLISHED_MS = 664.0
"""Of the SSIM of a 720p pair in HippoMM's released code, on another machine."""


def features(scenes: int, count: int = 2000, width: int = 1024) -> torch.Tensor:
    """[count, width]: views of so many scenes in random order, each with a tenth of noise."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(scenes, width, generator=draw)
    views = centres[torch.randint(scenes, (count,), generator=draw)]
    return views + 0.1 * torch.randn(count, width, generator=draw)


def pair() -> tuple[Picture, Picture]:
    """Two 720p pictures of one scene, the second moved and noisy."""
    draw = np.random.default_rng(0)
    patches = draw.integers(0, 256, (24, 42, 3), dtype=np.uint8)
    a = np.asarray(cv2.resize(patches, (1280, LINES), interpolation=cv2.INTER_CUBIC), np.uint8)
    noise = draw.integers(-9, 10, a.shape, dtype=np.int16)
    return a, np.clip(np.roll(a, 5, axis=1) + noise, 0, 255).astype(np.uint8)


def cases() -> Iterator[Case]:
    """Stores that grow to half of the features and that stay small, and one look at a 720p picture."""
    for scenes in (1250, 40):
        given = features(scenes)
        ours, plain = partial(keyframes, given), partial(hippomm_separate.keyframes, given)
        yield Case(f"keyframes 2000 x 1024, {len(plain())} kept", ours, plain)
    a, b = pair()
    gate = ChangeGate(threshold=math.inf)
    gate.look(a)
    yield Case("ChangeGate.look 720p", partial(gate.look, b), partial(hippomm_separate.ssim, a, b), at_least=10)


def frames(path: Path) -> Iterator[Picture]:
    """Every 30th frame of a video, 720 lines high."""
    with open_container(path) as container:
        layout = lay_out(container, path)
    if layout.video is None:
        raise ValueError(f"{path} has no pictures")
    track, make = Track(path, layout.video, layout.zero, 1), PictureMaker().make
    try:
        for number, frame in enumerate(track.frames()):
            if number % STEP == 0:
                picture = make(frame)
                width = round(picture.shape[1] * LINES / picture.shape[0])
                yield np.asarray(cv2.resize(picture, (width, LINES), interpolation=cv2.INTER_AREA), np.uint8)
    finally:
        track.close()


def on_video(path: Path) -> str:
    """The gate against the full-resolution SSIM on a video: time a pair, and how often both decide alike.

    Given the same state: both look at the reference and the running sum that the full SSIM's own decisions left.
    Free-running: each goes its own way.
    """
    plain, free = hippomm_separate.ExtractionGate(), ChangeGate()
    given = ChangeGate(threshold=math.inf)  # keeps the reference that it is given
    ours_s: list[float] = []
    plain_s: list[float] = []
    same = alike = looked = passed = 0
    with threads(1):
        for picture in frames(path):
            before = plain.running
            start = time.perf_counter()
            difference = given.look(picture)
            middle = time.perf_counter()
            saved = plain.look(picture)
            end = time.perf_counter()
            free.look(picture)
            if saved:
                given.clear()
                given.look(picture)
            ours_s.append(middle - start)
            plain_s.append(end - middle)
            looked, passed = looked + 1, passed + saved
            same += (before + difference > plain.threshold) == saved
            alike += free.changed == saved
    ours_ms, plain_ms = (1e3 * statistics.median(seconds[1:]) for seconds in (ours_s, plain_s))
    return (
        f"ChangeGate on {path.name} at {LINES} lines, every {STEP}th frame, {looked} looks, {passed} pass, one thread: "
        f"{ours_ms:.2f} ms a pair beside {plain_ms:.1f} ms of the full SSIM ({plain_ms / ours_ms:.0f}x; HippoMM's code "
        f"{PUBLISHED_MS:.0f} ms, {PUBLISHED_MS / ours_ms:.0f}x). Equal decisions: {same / looked:.3f} given the same "
        f"state, {alike / looked:.3f} free-running."
    )
