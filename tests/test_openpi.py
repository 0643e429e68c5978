"""openpi's wire, and what an observation of it holds for a memory."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from mneme.deploy.openpi import pack, read_request, unpack
from mneme.errors import MnemeError
from mneme.pipeline.state import State
from mneme.records import NS_PER_S, Observation

VALUES = [
    {"observation/state": np.array([0.5, -1.25]), "prompt": "pick up", "n": 3},
    {"observation/image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3)},
    {"flag": np.bool_(True), "t": np.float32(1.5), "long": np.int64(-7), "wide": np.float64(2.5)},
    {"empty": np.zeros((0, 7), np.float32), "big_endian": np.arange(3, dtype=">i2"), "one": np.array(4.0)},
    {"turned": np.arange(6, dtype=np.int32).reshape(2, 3).T, "nested": {"list": [1, None, b"bytes", 2.5]}},
]


def test_an_array_stands_in_a_frame_as_openpi_writes_it() -> None:
    entry = msgpack.unpackb(pack({"a": np.array([[1, 2]], np.uint8), "b": np.float32(0.5)}))
    assert entry["a"] == {b"__ndarray__": True, b"data": b"\x01\x02", b"dtype": "|u1", b"shape": [1, 2]}
    assert entry["b"] == {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f4"}


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_frames_are_those_of_the_real_openpi_client(value: dict[str, Any]) -> None:
    reason = "the real openpi-client: pip install --no-deps openpi-client (it pins numpy<2) and dm-tree"
    theirs = pytest.importorskip("openpi_client.msgpack_numpy", reason=reason)
    assert pack(value) == theirs.packb(value)
    back, expected = unpack(pack(value)), theirs.unpackb(pack(value))
    for key in value:
        assert type(back[key]) is type(expected[key])
        np.testing.assert_equal(back[key], expected[key])


def test_a_received_array_is_read_only() -> None:
    array = unpack(pack(np.ones(3)))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2.0


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), np.complex64(1j), np.zeros(1, "i4,f4"), {1, 2}],
    ids=["an object", "a complex number", "a record", "a set"],
)
def test_what_the_wire_does_not_carry_is_not_sent(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="cannot be sent"):
        pack(value)


def array(dtype: Any, shape: Any, data: Any = b"12345678") -> bytes:
    return msgpack.packb({b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"garbage",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        pack({"a": 1})[:-1],
        pack({"a": 1}) + b"\x00",
        msgpack.packb({1: "a number as a key"}),
        array("|O", [1]),
        array("i4,f4", [1]),
        array("<f4", [3]),
        array("<f4", [-1, 2]),
        array("<f4", [1 << 62, 1 << 62]),
        array("V0", [1 << 40], b""),
        array("no type", [1]),
        array(7, [1]),
        array("<f4", "ab"),
        array("<f4", [2], "text"),
        msgpack.packb({b"__ndarray__": True}),
        msgpack.packb({b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}),
        msgpack.packb({b"__npgeneric__": True, b"data": 1 << 60, b"dtype": "|u1"}),
        msgpack.packb(msgpack.ExtType(5, b"x")),
    ],
    ids=range(22),
)
def test_a_frame_that_is_none_is_refused_in_one_line(frame: bytes) -> None:
    with pytest.raises(MnemeError, match="not openpi's msgpack") as refusal:
        unpack(frame)
    assert "\n" not in str(refusal.value)


def picture(seed: int = 0, size: tuple[int, int] = (40, 60)) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("observation", "cameras", "numbers"),
    [
        (
            {"observation/image": picture(), "observation/wrist_image": picture(), "observation/state": np.arange(8)},
            {"image", "wrist_image"},
            list(range(8)),
        ),
        (
            {
                "observation/exterior_image_1_left": picture(),
                "observation/wrist_image_left": picture(),
                "observation/joint_position": np.arange(7),
                "observation/gripper_position": np.array([9.0]),
            },
            {"exterior_image_1_left", "wrist_image_left"},
            [9, 0, 1, 2, 3, 4, 5, 6],
        ),
        (
            {"state": np.arange(14), "images": {"cam_high": picture().transpose(2, 0, 1)}},
            {"cam_high"},
            list(range(14)),
        ),
        ({"observation.images.top": picture(), "observation.state": [1, 2.5]}, {"top"}, [1, 2.5]),
    ],
    ids=["libero", "droid", "aloha", "lerobot"],
)
def test_the_observations_of_openpi_are_understood(observation: Any, cameras: set[str], numbers: list[float]) -> None:
    request = read_request(unpack(pack(observation)))
    assert set(request.images) == cameras
    for image in request.images.values():
        np.testing.assert_array_equal(image, picture())
    assert request.state is not None
    assert request.state.tolist() == numbers


def test_a_picture_of_floats_becomes_bytes_and_a_depth_map_is_no_picture() -> None:
    request = read_request(
        {
            "image": np.full((40, 60, 3), 0.5, np.float32),
            "depth_image": np.ones((40, 60)),
            "image_mask": np.bool_(True),
            "images": {"front": np.zeros((40, 60, 1), np.uint8)},
        }
    )
    assert set(request.images) == {"image"}
    assert (request.images["image"] == 127).all()


def test_what_is_for_the_memory_is_taken_out_of_what_goes_to_a_policy() -> None:
    request = read_request({"prompt": "go", "memory/budget": np.int64(8), "memory/query": "mug", "memory/t_ns": 5})
    assert request.observation == {"prompt": "go"}
    assert (request.budget, request.query, request.t_ns, request.plain) == (8, "mug", 5, False)
    assert read_request({"prompt": "go"}).plain


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ([1, 2], "a map"),
        ({b"bytes": 1}, "a map"),
        ({"observation/image": "a path"}, "observation/image"),
        ({"observation/image": b"jpeg"}, "observation/image"),
        ({"observation/image": np.zeros((4, 40, 40), np.uint8)}, r"uint8\[4, 40, 40\]"),
        ({"observation/image": np.zeros((40, 40, 3), np.int64)}, "int64"),
        ({"observation/image": np.full((40, 40, 3), 2.0)}, "outside 0 to 1"),
        ({"observation/image": np.full((40, 40, 3), np.nan)}, "outside 0 to 1"),
        ({"observation/state": "home"}, "observation/state"),
        ({"observation/state": np.array([1.0, np.nan])}, "finite"),
        ({"observation/state": [[1], [2, 3]]}, "finite"),
        ({"state": np.zeros(5000)}, "5000 numbers"),
        ({"prompt": 7}, "prompt"),
        ({"memory/budget": 2.5}, "memory/budget"),
        ({"memory/budget": True}, "memory/budget"),
        ({"memory/budget": 8, "memory/query": 3}, "memory/query"),
        ({"memory/query": "mug"}, "memory/budget"),
        ({"memory/reset": "yes"}, "memory/reset"),
        ({"memory/ask": 1}, "memory/ask"),
        ({"memory/t_ns": 0.5}, "memory/t_ns"),
        ({"memory/t_ns": 1 << 63}, "memory/t_ns"),
        ({"memory/bugdet": 8}, "memory/bugdet"),
    ],
    ids=str,
)
def test_a_message_that_is_wrong_is_refused_by_the_key_that_is(message: Any, named: str) -> None:
    with pytest.raises(MnemeError, match=named):
        read_request(message)


def test_a_state_is_perceived_when_it_moves_and_at_most_once_an_interval() -> None:
    sense = State("robot-1", NS_PER_S // 5)

    def kept(t_ns: int, *numbers: float) -> list[Any]:
        percepts = sense.take(Observation("robot-1", t_ns, state=np.array(numbers, np.float32)))
        return [percept.tokens.tolist() for percept in percepts if percept.tokens is not None]

    assert kept(0, 0.0, 1.0) == [[[0.0, 1.0]]]
    moving = [kept(i * NS_PER_S // 30, i / 100, 1.0) for i in range(1, 31)]
    assert sum(map(len, moving)) == 5
    assert all(not kept(i * NS_PER_S // 30, 0.30, 1.0) for i in range(37, 60))
    assert kept(2 * NS_PER_S, 1e6, 1.0) == [[[65504.0, 1.0]]]
    assert kept(3 * NS_PER_S, 0.5) == [[[0.5]]]
