"""The thin client: installed alone, without Mneme beside it, and the commands of docs/robot.md."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mneme
from mneme.records import Observation

pytest.importorskip("websockets", reason="the robot's door: pip install 'mneme[robot]'")

ROOT = Path(mneme.__file__).parent
CLIENT = ROOT / "deploy" / "client"
DOCS = ROOT / "docs" / "robot.md"
ALONE = """
import sys
sys.path[:0] = [{target!r}, {libraries!r}]   # without the .pth files that would make mneme known
import numpy as np
from mneme_client import MnemeClient, MnemeClientError, pack, resize_with_pad, unpack
assert "mneme" not in sys.modules and "torch" not in sys.modules
try:
    import mneme
except ImportError:
    pass
else:
    raise SystemExit("mneme is on the path")
view = resize_with_pad(np.arange(90 * 120 * 3).reshape(90, 120, 3).astype(np.uint8), 64, 64)
host, _, port = {address!r}.rpartition(":")
with MnemeClient(host, int(port), token="secret") as memory:
    assert memory.metadata["memory/dim"] == 352
    reply = memory.observe({{"image": view, "state": np.zeros(3), "prompt": "close the yellow drawer"}})
    assert set(reply) == {{"server_timing"}}
    known = memory.tokens(16)
    assert known.tokens.shape == (16, 352) and known.mask.any() and known.t_ns.dtype == np.int64
    acted = memory.tokens(8, "drawer", {{"image": view[::-1], "memory/t_ns": 5_000_000_000}})
    assert acted.tokens.shape == (8, 352) and "server_timing" in acted.reply
    answer = memory.ask("What should be closed?")
    assert "yellow drawer" in answer.text and not answer.abstained and answer.evidence[0]["stream"] == "robot-1"
    receipt = memory.forget(text="yellow drawer")
    assert receipt["verified"] and receipt["percepts"] and memory.ask("What should be closed?").abstained
    memory.observe({{"image": view[:, ::-1]}})
    memory.reset()
    assert not memory.tokens(4).mask.any() and memory.tokens(4, stream="*").mask.any()
    try:
        memory.tokens(0)
    except MnemeClientError as error:
        assert "budget" in str(error)
    else:
        raise SystemExit("a budget of 0 was taken")
try:
    memory.observe({{}})
except MnemeClientError as error:
    assert "closed" in str(error)
for wrong in (dict(token="wrong"), dict(token=None)):
    try:
        MnemeClient(host, int(port), **wrong)
    except MnemeClientError as error:
        assert "401" in str(error)
    else:
        raise SystemExit("a wrong token was taken")
for value in ({{"a": np.arange(6, dtype=">f4").reshape(2, 3), "b": np.bool_(True)}}, [1, "x", None]):
    assert repr(unpack(pack(value))) == repr(value)
print(pack({{"a": np.float32(1.5), "b": np.arange(3)}}).hex())
"""


@contextmanager
def served(*arguments: object) -> Iterator[str]:
    """The address of `mneme robot serve`, which ends with 0 when it is asked to."""
    command = [sys.executable, "-m", "mneme", "robot", "serve", *map(str, arguments)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        told = server.stderr.readline()
        found = re.search(r"ws://\S+:\d+", told)
        assert found, told + server.stderr.read()
        yield found[0]
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which only mneme-client is installed."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(CLIENT, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    import setuptools

    own = [] if int(setuptools.__version__.split(".")[0]) < 77 else ["--no-build-isolation"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *own, "--target"]
    done = subprocess.run([*install, folder / "target", folder / "source"], capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr:
        pytest.skip("building mneme-client needs setuptools>=77: install it, or let pip reach an index")
    assert done.returncode == 0, done.stderr
    return folder / "target"


def test_the_client_works_where_mneme_is_not_installed(target: Path, tmp_path: Path) -> None:
    from mneme.deploy.openpi import pack

    with served("--memory", tmp_path / "m", "--port", 0, "--token", "secret") as address:
        script = ALONE.format(target=str(target), libraries=sysconfig.get_path("purelib"), address=address)
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert bytes.fromhex(done.stdout.strip()) == pack({"a": np.float32(1.5), "b": np.arange(3)})


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (224, 224), (7, 300), (1, 1)])
def test_pictures_are_resized_as_pillow_does_it_and_padded(target: Path, size: tuple[int, int]) -> None:
    sys.path.insert(0, str(target))
    try:
        from mneme_client import resize_with_pad
    finally:
        sys.path.remove(str(target))
    pictures = np.random.default_rng(0).integers(0, 255, (2, 37, 53, 3), dtype=np.uint8)
    resized = resize_with_pad(pictures, *size)
    assert (resized.shape, resized.dtype) == ((2, *size, 3), np.uint8)
    ratio = max(53 / size[1], 37 / size[0])
    high, wide = max(1, int(37 / ratio)), max(1, int(53 / ratio))
    top, left = (size[0] - high) // 2, (size[1] - wide) // 2
    for picture, ours in zip(pictures, resized, strict=True):
        theirs = np.asarray(Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR), int)
        inner = ours[top : top + high, left : left + wide]
        assert np.abs(inner - theirs).max() <= 1
        assert ours.sum() == inner.sum()
    same = resize_with_pad(pictures, 37, 53)
    np.testing.assert_array_equal(same, pictures)
    with pytest.raises(ValueError, match="uint8"):
        resize_with_pad(pictures.astype(float), *size)


def test_the_commands_of_the_page_work(target: Path, tmp_path: Path) -> None:
    """Each `mneme robot serve` of docs/robot.md starts, at a free port; its Python runs against the first."""
    text = DOCS.read_text(encoding="utf-8")
    commands = re.findall(r"^mneme robot serve (.*)$", text, re.MULTILINE)
    assert len(commands) == 2
    scripts = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(scripts) == 2
    for number, command in enumerate(commands):
        options = command.replace("kitchen.mneme", str(tmp_path / "kitchen.mneme")).replace("8000", "0").split()
        with served(*options) as address:
            for script in scripts if number == 0 else []:
                if "openpi_client" in script:
                    pytest.importorskip("openpi_client", reason="pip install --no-deps openpi-client, and dm-tree")
                here = script.replace("8000", address.rpartition(":")[2])
                code = f"import sys; sys.path.insert(0, {str(target)!r})\n{here}"
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr


def test_what_cannot_be_served_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, mneme.open(tmp_path / "held") as held:
        held.observe(Observation("cam", 0, {"": np.zeros((64, 64, 3), np.uint8)}))
        port = busy.getsockname()[1]
        for arguments, named in (["held"], f"process {os.getpid()}"), (["new", "--port", str(port)], f"port {port}"):
            command = [sys.executable, "-m", "mneme", "robot", "serve", "--memory", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
            assert done.returncode == 2
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert named in done.stderr
