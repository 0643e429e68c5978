"""The page in Chromium: a video is added, a question asked, a cited time clicked, and the player stands at that second.

The page runs as its users run it, in a process of its own. `MNEME_PAGE_PICTURE=docs/page.png` keeps the screenshot.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import pytest
from PIL import Image

from mneme.errors import MnemeError
from mneme.memory.memory import Memory
from mneme.ui.app import listen, run
from tests.waiting import wait_for

SAMPLE = Path(__file__).parents[1] / "examples" / "sample"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPOKEN = [(2.0, 4.0, "The bakery opens at half past six."), (61.0, 64.0, "The ferry leaves from *pier* <b>nine</b>.")]
WAIT_MS = 90_000
PLAYED_ON_S = 4.0
"""How far a player may have played on until it is looked at; what is cited lies farther apart."""

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (make test installs it as root; else: apt-get install chromium)"
)


def documented() -> list[list[str]]:
    """The commands of docs/page.md, as words."""
    text = (Path(__file__).parents[1] / "docs" / "page.md").read_text(encoding="utf-8")
    return [line[2:].split() for line in text.splitlines() if line.startswith("$ mneme page")]


class Page:
    """The page in a process of its own: the first command of docs/page.md, with another folder and any free port."""

    def __init__(self, memory: Path) -> None:
        words = documented()[0]
        words[words.index("--memory") + 1] = str(memory)
        words[words.index("--port") + 1] = "0"
        self.memory = memory
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True, cwd=memory.parent
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("the page is at "):
                break
        else:
            raise AssertionError("".join(self.said))
        self.address = line.split()[4]
        self.hearing = threading.Thread(target=lambda: self.said.extend(self.process.stderr or ()), daemon=True)
        self.hearing.start()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signals it and gives its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.hearing.join()
        return code

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        """Status, headers and body of a request."""
        request = urllib.request.Request(self.address + path, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Page]]:
    """`serve(memory)`: a page that ends with the test."""
    pages: list[Page] = []

    def start(memory: Path) -> Page:
        pages.append(Page(memory))
        return pages[-1]

    yield start
    for page in pages:
        if page.process.poll() is None:
            page.process.kill()
            page.process.wait()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, remember: Any, make_video: Any) -> Iterator[Page]:
    """The page of a memory with three streams: words without a file, a video, and a video in H.265."""
    import mneme

    folder = tmp_path_factory.mktemp("page")
    with mneme.open(folder / "town.mneme", profile="embedded") as memory:
        for name, codec in (("day one", "libx264"), ("new format", "libx265")):
            video = make_video(folder / f"{name}.mp4", seconds=3.0, size=(160, 96), codec=codec)
            memory.watch(video, lanes=("vision",))
    page = Page(remember(folder / "town.mneme", SPOKEN))
    yield page
    page.process.kill()
    page.process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright here (pip install playwright)")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[[Page], Any]]:
    """`visit(page)`: a tab of its own user; at the end no tab has asked another host or met a fault."""
    contexts, hosts, faults = [], set(), []

    def open_tab(page: Page, width: int = 1280) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 860}))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        tab.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(page.address)
        tab.get_by_label("Question").wait_for()
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert hosts <= {"127.0.0.1", "", None}
    assert faults == []


def beginning(folder: Path, seconds: float) -> Path:
    """The first seconds of the sample that ships with the repository, with its subtitles beside it."""
    shutil.copy(SAMPLE / "harbour_day.srt", folder)
    with (
        av.open(str(SAMPLE / "harbour_day.mp4")) as whole,
        av.open(str(folder / "harbour_day.mp4"), "w") as part,
    ):
        tracks = {track.index: part.add_stream_from_template(track) for track in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = tracks[packet.stream.index]
                part.mux(packet)
    return folder / "harbour_day.mp4"


def ask(tab: Any, question: str) -> Any:
    """Types a question and gives the message that answers it."""
    answers = tab.locator(".mn-answer, .mn-abstained, .mn-refused")
    count = answers.count()
    tab.get_by_label("Question").fill(question)
    tab.get_by_label("Question").press("Enter")
    answers.nth(count).wait_for()
    return answers.nth(count)


def stands_at(tab: Any) -> float:
    """The second at which the player stands, as soon as it shows a picture there."""
    tab.wait_for_function(
        "() => { const v = document.getElementById('mn-video'); return v.readyState >= 2 && !v.seeking && !v.hidden; }"
    )
    return float(tab.evaluate("() => document.getElementById('mn-video').currentTime"))


@needs_chromium
def test_a_video_is_added_asked_about_and_plays_at_the_second_that_the_answer_cites(
    tmp_path: Path, serve: Any, visit: Any
) -> None:
    wanted = os.environ.get("MNEME_PAGE_PICTURE")
    page = serve(tmp_path / "town.mneme")
    tab = visit(page)
    tab.get_by_label("Path on this machine").fill(str(beginning(tmp_path, 300.0 if wanted else 48.0)))
    tab.get_by_role("button", name="Watch", exact=True).click()
    tab.locator(".mn-watching progress").wait_for()  # it says how far it is
    tab.locator(".mn-done").wait_for()
    tab.locator("a.mn-card").nth(2).wait_for()  # the storyboard has its three events

    assert "pink box under the stairs" in ask(tab, "Where are the spare keys kept?").inner_text()
    cited = tab.locator("a.mn-cite").last
    assert cited.locator(".mn-time").inner_text() == "0:09–0:14"
    cited.click()
    assert 9.8 < stands_at(tab) < 9.93 + PLAYED_ON_S
    assert tab.locator("#mn-now").inner_text() == "harbour_day · 0:09"

    tab.evaluate("() => document.getElementById('mn-video').pause()")  # so that it cannot get there by playing on
    tab.locator("a.mn-card").nth(1).focus()
    tab.keyboard.press("Enter")  # the storyboard too, and by the keyboard
    tab.wait_for_function("() => document.getElementById('mn-now').textContent.endsWith('0:18')")
    assert 18.7 < stands_at(tab) < 18.8 + PLAYED_ON_S
    tab.wait_for_function("() => !document.getElementById('mn-video').paused")

    assert "no evidence" in ask(tab, "What does Frieda water?").inner_text()
    assert tab.locator(".mn-abstained").count() == 1
    assert not (page.memory / "sources").exists()  # what was given by its path stays where it lies
    if wanted:
        tab.evaluate("() => document.getElementById('mn-video').pause()")
        tab.wait_for_timeout(1500)
        tab.screenshot(path=wanted)
        Image.open(wanted).convert("RGB").quantize(160).save(wanted, optimize=True)


@needs_chromium
def test_what_cannot_be_watched_is_one_line_and_the_page_goes_on(
    tmp_path: Path, serve: Any, visit: Any, make_video: Any
) -> None:
    page = serve(tmp_path / "m.mneme")
    tab = visit(page)
    (tmp_path / "notes.mp4").write_text("no video at all")
    for source, told in ((tmp_path / "notes.mp4", "notes.mp4"), (tmp_path / "away.mp4", "away.mp4 is not there")):
        tab.get_by_label("Path on this machine").fill(str(source))
        tab.get_by_role("button", name="Watch", exact=True).click()
        line = tab.locator(".mn-failed span", has_text=told)
        line.wait_for()
        assert "Traceback" not in line.inner_text()
        assert len(line.inner_text()) < 300
    assert not page.memory.exists()  # what is no video makes no memory
    assert "there is no memory" in ask(tab, "What was said?").inner_text()

    tab.set_input_files("#mn-file", {"name": "fake.mp4", "mimeType": "video/mp4", "buffer": b"no video either"})
    tab.locator(".mn-failed b", has_text="fake").wait_for()
    video = make_video(tmp_path / "dropped.mp4", seconds=3.0, size=(160, 96))
    tab.set_input_files("#mn-file", str(video))
    tab.locator(".mn-done b", has_text="dropped").wait_for()
    tab.locator("a.mn-card").first.click()
    assert stands_at(tab) < 3.0
    tab.close()
    assert page.end(signal.SIGINT) == 130
    assert page.said[-1] == "mneme: stopped; what was acknowledged is remembered\n"
    kept = [path.name for path in (page.memory / "sources").rglob("*") if path.is_file()]
    assert kept == ["dropped.mp4"]  # inside the memory's folder, and nothing of what was no video


@needs_chromium
def test_beside_another_writer_the_page_answers_and_names_it(
    tmp_path: Path, town: Page, visit: Any, remember: Any, make_video: Any
) -> None:
    tab = visit(town)
    tab.locator("a.mn-card").first.wait_for()
    with Memory.open(town.memory, "w"):
        tab.get_by_label("Path on this machine").fill(str(make_video(tmp_path / "more.mp4")))
        tab.get_by_label("Path on this machine").press("Enter")
        assert f"is being written by process {os.getpid()}" in tab.locator(".mn-failed span").inner_text()
        assert "half past six" in ask(tab, "When does the bakery open?").inner_text()

    remember(town.memory, [(1.0, 3.0, "Bring the ladder to the orchard.")], stream="later")
    tab.locator("section[aria-label=later] a.mn-card").first.wait_for()  # a commit by others is seen unasked
    assert "ladder" in ask(tab, "What should be brought to the orchard?").inner_text()


@needs_chromium
def test_words_from_a_video_are_never_markup_a_chat_is_its_tab_s_own_and_a_lost_file_is_told(
    town: Page, visit: Any
) -> None:
    tab, other = visit(town), visit(town, 390)
    assert "*pier* <b>nine</b>" in ask(tab, "Where does the ferry leave from?").inner_text()
    assert tab.locator("#mn-talk b", has_text="nine").count() == 0
    tab.locator("a.mn-cite").first.click()
    note = tab.locator("#mn-note")
    note.wait_for()
    assert "no longer where it was watched" in note.inner_text()

    assert other.locator(".mn-answer").count() == 0
    ask(other, "When does the bakery open?")
    assert tab.locator(".mn-answer").count() == 1
    assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")  # a phone scrolls one way


@needs_chromium
def test_a_file_that_the_browser_cannot_play_is_told_plainly(town: Page, visit: Any) -> None:
    tab = visit(town)
    tab.locator("section[aria-label='new format'] a.mn-card").click()
    tab.locator("#mn-note", has_text="This browser cannot play the file of new format").wait_for()
    assert tab.locator("#mn-still").is_visible()  # what it looked like is shown instead
    tab.locator("section[aria-label='day one'] a.mn-card").first.click()
    assert stands_at(tab) < 3.0  # and the next one plays


def test_only_videos_of_the_memory_are_served_from_where_they_lie_and_by_ranges(town: Page) -> None:
    status, _, body = town.get("moment?stream=day%20one&t_ns=1000000000")
    moment = json.loads(body)
    assert (status, moment["kind"], moment["stamp"]) == (200, "file", "0:01")
    video = town.memory.parent / "day one.mp4"
    status, headers, body = town.get(moment["clip"], Range="bytes=0-99")
    assert (status, headers["Content-Type"], body) == (206, "video/mp4", video.read_bytes()[:100])
    assert town.get(moment["thumbnail"])[2][:2] == b"\xff\xd8"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")

    secret = town.memory.parent / "secret.mp4"
    secret.write_bytes(b"top secret bytes")
    for path in (
        "clip?stream=film",
        "clip?stream=../secret",
        "moment?stream=nobody&t_ns=0",
        "thumbnail/..%2F..%2F/secret.mp4",
        "thumbnail/../manifest.json",
        f"gradio_api/file={secret}",
        f"gradio_api/file={town.memory}/manifest.json",
    ):
        status, _, body = town.get(path)
        assert 400 <= status < 500, path
        assert b"top secret" not in body
        assert b"minilm" not in body
    for path in ("moment", "moment?stream=film&t_ns=soon", "moment?stream=film&t_ns=" + "9" * 30, "clip"):
        status, _, body = town.get(path)
        assert 400 <= status < 500, path
        assert b"Traceback" not in body


def test_what_arrives_is_kept_inside_the_memory_s_folder_or_not_at_all(town: Page) -> None:
    assert town.get("sources/empty.mp4", "PUT", b"")[0] == 409
    assert town.get(f"sources/{'n' * 300}.mp4", "PUT", b"x")[0] == 409
    assert town.get("sources/..%2F..%2Fup.mp4", "PUT", b"x")[0] >= 400
    assert not (town.memory.parent / "up.mp4").exists()
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        + bytes(9999)
        + b"\r\n--x--\r\n"
    )
    status, _, _ = town.get("gradio_api/upload", "POST", form, **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 413  # Gradio's own door would keep it in a folder that no erasure reaches
    left = list((town.memory / "sources").rglob("*"))
    assert not [path for path in left if path.is_file()]


def test_sigterm_ends_the_page_and_what_was_acknowledged_while_it_watched_is_stored(tmp_path: Path, serve: Any) -> None:
    page = serve(tmp_path / "m.mneme")
    assert page.get("sources/harbour.mp4", "PUT", (SAMPLE / "harbour_day.mp4").read_bytes())[0] == 202

    def seen_ns() -> int:
        with Memory.open(page.memory, "r") as reader:
            return max((state.seen_ns for state in reader.snapshot().streams()), default=0)

    wait_for(lambda: seen_ns() > 0, 60)  # until the first commit of what is watched
    acked = seen_ns()
    assert page.end(signal.SIGTERM) == 0
    with Memory.open(page.memory, "w") as memory:  # the lock is free
        assert memory.check().ok
        [state] = memory.snapshot().streams()
        assert state.seen_ns >= acked
        assert not state.done
    assert "Traceback" not in "".join(page.said)


def test_its_help_reads_as_documented() -> None:
    assert documented()[1][-1] == "--help"
    done = subprocess.run([sys.executable, "-m", *documented()[1]], capture_output=True, text=True, check=True)
    assert "--port" in done.stdout


def test_a_busy_port_and_a_folder_that_is_no_memory_are_refused_in_one_line(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(MnemeError, match=r"cannot listen on 127\.0\.0\.1 port \d+: .*; give another"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(MnemeError, match="cannot listen"):
        listen("127.0.0.1", 99_999)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(MnemeError, match="is not a memory"):
        run(tmp_path / "other")
