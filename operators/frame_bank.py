"""The frame bank of SAM 2 (Ravi et al. 2024, section 4) and SAM2Act+ (Fang et al. 2025): which frames a frame attends.

SAM 2 attends the maps of all conditioning frames (those that were prompted) and of `num_maskmem` - 1 others: the one
before, then the frames of a grid of `stride`; and the object pointers of more. It keeps all it ever made; `FrameBank`
keeps what `retained` says can still be attended, and reads the same.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .positions import sine_encoding
from .shapes import sizes_of


@dataclass(frozen=True, slots=True)
class FrameBankSettings:
    """As SAM 2 names them."""

    num_maskmem: int = 7
    """Rows of the temporal embedding: the last for conditioning frames, the others for the past, newest first."""
    stride: int = 1
    max_obj_ptrs: int = 16

    def __post_init__(self) -> None:
        if self.num_maskmem < 1 or self.stride < 1 or self.max_obj_ptrs < 1:
            raise ValueError(f"num_maskmem, stride and max_obj_ptrs are at least 1: {self}")


class Selection(NamedTuple):
    """What a frame attends."""

    frames: list[int]
    """Whose maps, in order."""
    rows: list[int]
    """Of the temporal embedding, one a map."""
    pointers: list[int]
    """Whose object pointers, in order."""
    offsets: list[int]
    """How many frames ago each pointer was made; SAM 2 encodes offset / (max_obj_ptrs - 1)."""


def attended(
    t: int,
    conditioning: Collection[int],
    settings: FrameBankSettings | None = None,
    maps: Container[int] | None = None,
    pointers: Container[int] | None = None,
) -> Selection:
    """What frame `t` attends (SAM 2, released code of the memory encoder; forward in time).

    Maps: every conditioning frame, the future's too, at row M - 1, in the order given; then for t_pos = 1 .. M - 1 the
    frame t_rel = M - t_pos steps back, at row t_rel - 1: t - 1 for t_rel = 1, else ((t - 2) // r - (t_rel - 2)) r. So
    the grid's frames come oldest first and t - 1 last. Pointers: conditioning frames up to t, then t - 1, t - 2, ..
    down to t - (max_obj_ptrs - 1). Of the others, frames before 0, conditioning frames, and frames not among `maps` or
    `pointers` (None: all are) are passed over, and nothing takes their place; no frame comes twice.
    O(conditioning + M + max_obj_ptrs). `t` < 0 raises `ValueError`.
    """
    s = settings or FrameBankSettings()
    if t < 0:
        raise ValueError(f"frames count from 0, not {t}")
    prompted = list(dict.fromkeys(conditioning))

    def past(frame: int, held: Container[int] | None) -> bool:
        return 0 <= frame < t and frame not in prompted and (held is None or frame in held)

    steps_back = range(s.num_maskmem - 1, 0, -1)
    others = [(t - 1 if d == 1 else ((t - 2) // s.stride - (d - 2)) * s.stride, d - 1) for d in steps_back]
    others = [(frame, row) for frame, row in others if past(frame, maps)]
    pointed = [c for c in prompted if c <= t] + [p for p in range(t - 1, t - s.max_obj_ptrs, -1) if past(p, pointers)]
    return Selection(
        prompted + [frame for frame, _ in others],
        [s.num_maskmem - 1] * len(prompted) + [row for _, row in others],
        pointed,
        [t - p for p in pointed],
    )


def recent(step: int, capacity: int = 9) -> Selection:
    """What `step` of an episode attends in SAM2Act+: the last min(step, capacity) steps, newest first, d ago at row
    d - 1, and no pointers; one bank a view, emptied with the episode. O(capacity). `step` < 0 raises `ValueError`.
    """
    if step < 0 or capacity < 1:
        raise ValueError(f"steps count from 0 and a capacity from 1, not {step} and {capacity}")
    frames = list(range(step - 1, max(step - capacity, 0) - 1, -1))
    return Selection(frames, list(range(len(frames))), [], [])


class Retained(NamedTuple):
    """Which of the frames 0 .. t some frame after t can attend, conditioning frames aside, ascending."""

    frames: list[int]
    """Whose maps: at most num_maskmem - 1."""
    pointers: list[int]
    """Whose pointers: at most max_obj_ptrs - 1."""


def retained(t: int, settings: FrameBankSettings | None = None) -> Retained:
    """The frames up to `t` that `attended(t')` can name for some t' > t, and no other. O(num_maskmem + max_obj_ptrs).

    Maps: t itself, and the frames of the grid from ((t - 1) // r - (M - 3)) r on. Pointers: after t - (max_obj_ptrs -
    1). Conditioning frames are attended for good and stand outside these bounds.
    """
    s = settings or FrameBankSettings()
    newest, oldest = t // s.stride, (t - 1) // s.stride - (s.num_maskmem - 3)
    frames = {i * s.stride for i in range(max(oldest, 0), newest + 1)}
    if s.num_maskmem > 1 and t >= 0:
        frames.add(t)
    return Retained(sorted(frames), list(range(max(0, t - s.max_obj_ptrs + 2), t + 1)))


class Held(NamedTuple):
    """What the bank gives a frame to attend."""

    selection: Selection
    maps: list[Tensor]
    """[HW, C] each, in the order of `selection.frames`."""
    pointers: list[Tensor]
    """[P] each, in the order of `selection.pointers`."""


class FrameBank:
    """The maps and pointers of one object's past (SAM 2), bounded by what can still be attended.

    Frames come in ascending order, with gaps where a live stream dropped some; a prompted frame may be written at any
    time, before its turn too. A second pass or one backwards would attend what has been dropped: reset first. It holds
    at most num_maskmem - 1 maps and max_obj_ptrs - 1 pointers beside those of the prompted frames.

    SAM2Act+'s bank of one view is this one with num_maskmem = capacity + 1, stride 1 and nothing prompted: the frames
    and rows of `recent`, in the other order.
    """

    def __init__(self, settings: FrameBankSettings | None = None) -> None:
        self.settings = settings or FrameBankSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything: another video or episode begins."""
        self.conditioning: list[int] = []
        self.maps: dict[int, Tensor] = {}
        self.pointers: dict[int, Tensor] = {}
        self._newest = -1

    def write(self, t: int, features: Tensor, pointer: Tensor, conditioning: bool = False) -> None:
        """Keep the map [HW, C] and the pointer [P] of frame `t`, and drop what no later frame can attend.

        A frame that is prompted after all takes the place of what it was. Raises `ValueError` on shapes that differ
        from those held, and on a frame that is not after those written (unless prompted). O(frames held).
        """
        known = next(iter(self.maps.values()), features), next(iter(self.pointers.values()), pointer)
        sizes_of("held[HW,C] map[HW,C] held[P] pointer[P]", known[0], features, known[1], pointer)
        if t < 0 or (t <= self._newest and not conditioning):
            raise ValueError(f"frame {t} is written after frame {self._newest}")
        if conditioning and t not in self.conditioning:
            self.conditioning.append(t)
        self.maps[t], self.pointers[t] = features, pointer
        self._newest = self._newest if conditioning else t
        frames, pointers = retained(self._newest, self.settings)
        self.maps = {f: kept for f, kept in self.maps.items() if f in frames or f in self.conditioning}
        self.pointers = {f: kept for f, kept in self.pointers.items() if f in pointers or f in self.conditioning}

    def read(self, t: int) -> Held:
        """What frame `t` attends of what was written. Raises `ValueError` unless `t` comes after it. O(frames held)."""
        if t <= self._newest:
            raise ValueError(f"frame {t} is read after frame {self._newest} was written")
        chosen = attended(t, self.conditioning, self.settings, self.maps, self.pointers)
        return Held(chosen, [self.maps[f] for f in chosen.frames], [self.pointers[f] for f in chosen.pointers])


def memory_tokens(
    held: Held, temporal: Tensor, map_position: Tensor, pointer_position: Tensor
) -> tuple[Tensor, Tensor, int]:
    """What memory attention is given: (memory [M, C], its positions [M, C], how many of the last are pointers).

    Each map's tokens have position `map_position` [HW, C] + its row of `temporal` [rows, C]. A pointer [P] becomes
    P / C tokens, all at its row of `pointer_position` [pointers, C]. Nothing held: empty. O(M C).
    """
    sizes = sizes_of("temporal[M,C] map_position[HW,C] pointer_position[P,C]", temporal, map_position, pointer_position)
    c = sizes["C"]
    if sizes["P"] != len(held.pointers) or any(p.numel() % c for p in held.pointers):
        raise ValueError(f"{len(held.pointers)} pointers in tokens of {c} at positions {list(pointer_position.shape)}")
    split = [pointer.reshape(-1, c) for pointer in held.pointers]  # [P / C, C] each
    placed = [map_position + temporal[row] for row in held.selection.rows]
    placed += [place.expand_as(tokens) for place, tokens in zip(pointer_position, split, strict=True)]
    empty = temporal[:0]
    memory = torch.cat([empty, *held.maps, *split])
    return memory, torch.cat([empty, *placed]), sum(map(len, split))


def pointer_encoding(
    offsets: Sequence[int],
    dim: int,
    settings: FrameBankSettings | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Sine encoding float32[P, dim] of how long ago pointers were made, in units of max_obj_ptrs - 1 frames.

    The published form, in which each frequency stands twice; SAM 2 projects it to the channels of the memory.
    """
    s = settings or FrameBankSettings()
    share = torch.tensor(offsets, dtype=torch.float32, device=device) / max(s.max_obj_ptrs - 1, 1)
    return sine_encoding(share, dim, paired=True)
