"""Pairs of a signal and its text from WebDataset shards, read with the standard library.

A shard is a tar file in which the files of one pair stand together under one key: `key.jpg` (png, webp) or `key.wav`
(flac, ogg, mp3, m4a) and `key.txt`, or `key.json` with a `caption` or `text` (Aizman et al. 2019, "High Performance I/O
for Large Scale Deep Learning", arXiv:2001.01858). Files of other kinds are passed over.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import SourceError
from ..records import SOUND_RATE
from .train import Batch

PICTURES = ("jpg", "jpeg", "png", "webp")
SOUNDS = ("wav", "flac", "ogg", "mp3", "m4a")
TEXTS = ("txt", "json")


class ShardPairs:
    """A `PairSource` of shards of pictures or of sounds: one pass, in an order that the seed gives."""

    def __init__(self, paths: Sequence[Path], *, side: int = 64, seconds: float = 2.0, shuffle: int = 1000) -> None:
        """Pictures become `side` pixels a side (their middle square), sounds `seconds` long (a part of a longer one,
        a shorter one padded); `shuffle`: pairs held to be drawn from. Errors: `SourceError` for no shards."""
        if not paths:
            raise SourceError("there are no shards", "name at least one tar file")
        self._paths, self._side, self._samples = sorted(paths), side, round(seconds * SOUND_RATE)
        self._shuffle = max(1, shuffle)

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        """Errors: `SourceError` for a shard that is no tar file, a pair that lacks a part or cannot be read, or
        pictures and sounds in one source."""
        draw = np.random.default_rng(seed)
        signals, texts = list[NDArray[np.uint8 | np.float32]](), list[str]()
        for key, kind, data, text in self._shuffled(draw):
            signal = self._picture(key, data) if kind in PICTURES else self._sound(key, data, draw)
            if signals and signals[0].dtype != signal.dtype:
                raise SourceError(f"{key} is a {kind} among others", "keep pictures and sounds in sources of their own")
            signals.append(signal)
            texts.append(text)
            if len(texts) == size:
                yield Batch(torch.from_numpy(np.stack(signals)), texts)
                signals, texts = [], []
        if texts:
            yield Batch(torch.from_numpy(np.stack(signals)), texts)

    def _shuffled(self, draw: np.random.Generator) -> Iterator[tuple[str, str, bytes, str]]:
        held: list[tuple[str, str, bytes, str]] = []
        for i in draw.permutation(len(self._paths)):
            for pair in read_pairs(self._paths[i]):
                held.append(pair)
                if len(held) >= self._shuffle:
                    yield held.pop(int(draw.integers(len(held))))
        for i in draw.permutation(len(held)):
            yield held[i]

    def _picture(self, key: str, data: bytes) -> NDArray[np.uint8]:
        """uint8[3, side, side] RGB."""
        from PIL import Image, ImageOps

        try:
            with Image.open(io.BytesIO(data)) as image:
                fitted = ImageOps.fit(image.convert("RGB"), (self._side, self._side), Image.Resampling.BILINEAR)
        except (OSError, ValueError) as error:
            raise SourceError(f"the picture of {key} cannot be read: {error}", "take it out of the shard") from error
        return np.ascontiguousarray(np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1))

    def _sound(self, key: str, data: bytes, draw: np.random.Generator) -> NDArray[np.float32]:
        """float32[samples] at 16 kHz, mono."""
        samples = read_sound(key, data)
        if len(samples) > self._samples:
            start = int(draw.integers(len(samples) - self._samples + 1))
            samples = samples[start : start + self._samples]
        return np.pad(samples, (0, self._samples - len(samples)))


def read_pairs(path: Path) -> Iterator[tuple[str, str, bytes, str]]:
    """(key, kind, signal, text) of each pair of a shard, in its order. Errors as `ShardPairs.batches`."""
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(path) as shard:
            for member in shard:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, kind = name.partition(".")
                found, kind = f"{folder}/{stem}" if folder else stem, kind.lower()
                if found != key and parts:
                    yield _pair(path, key, parts)
                    parts = {}
                key = found
                if kind in PICTURES + SOUNDS + TEXTS:
                    file = shard.extractfile(member)
                    assert file is not None
                    parts[kind] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"the shard {path} cannot be read: {error}", "name a plain or compressed tar file") from error
    if parts:
        yield _pair(path, key, parts)


def _pair(path: Path, key: str, parts: dict[str, bytes]) -> tuple[str, str, bytes, str]:
    signals = [kind for kind in parts if kind in PICTURES + SOUNDS]
    where = f"{key} in {path}"
    if len(signals) != 1:
        raise SourceError(f"{where} has {len(signals)} pictures or sounds", "a pair has one, and a txt or json")
    return where, signals[0], parts[signals[0]], _text(where, parts)


def _text(where: str, parts: dict[str, bytes]) -> str:
    try:
        if "txt" in parts:
            text = parts["txt"].decode("utf-8")
        else:
            told = json.loads(parts["json"])
            text = told.get("caption") or told["text"]
        if text.strip():
            return str(text.strip())
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise SourceError(f"{where} has no text ({error!r})", "add a txt, or a json with a caption") from error
    raise SourceError(f"{where} has an empty text", "take it out of the shard")


def read_sound(where: str, data: bytes) -> NDArray[np.float32]:
    """float32[n] at 16 kHz, mono, of a sound file's bytes. Errors: `SourceError` where they are none."""
    import av

    chunks: list[NDArray[np.float32]] = []
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    try:
        with av.open(io.BytesIO(data), "r") as container:
            for frame in container.decode(audio=0):
                chunks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            chunks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise SourceError(f"the sound of {where} cannot be read: {error}", "take it out of the shard") from error
    if not chunks:
        raise SourceError(f"the sound of {where} is empty", "take it out of the shard")
    return np.concatenate(chunks).astype(np.float32)
