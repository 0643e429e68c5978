"""The page itself, in Gradio: player, storyboard, chat, and the corner where a video is added.

What is shown of the memory is read anew whenever it has a new commit, whoever wrote it. A chat lives in its browser
tab and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MnemeError
from ..memory.memory import Memory
from ..pipeline.mneme import Mneme
from ..pipeline.opening import exists
from . import conversation, storyboard
from .watching import Watching

if TYPE_CHECKING:
    import gradio as gr

    from ..memory.store import StoredSnapshot

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two looks for a new commit."""
EVENTS = 24
"""Events of a stream that the storyboard shows at first."""
TURNS = 200
"""Messages of a chat that are kept on the page."""
ALL = ""
"""The choice of all streams."""
SPINNER = "hidden"

PLAYER = """
<div id="mn-stage">
  <video id="mn-video" controls playsinline preload="metadata" tabindex="0" hidden></video>
  <img id="mn-still" alt="" hidden>
  <p id="mn-idle">Choose an event, or a time that an answer cites: it plays here.</p>
</div>
<p id="mn-now" aria-live="polite"></p>
<p id="mn-note" role="status" hidden></p>
"""
DROP = """
<label id="mn-drop"><input id="mn-file" type="file" accept="video/*,audio/*,.mkv" multiple>
<span><b>Drop a video here</b>, or choose one</span>
<small>It is kept inside the memory's folder. A path below is watched where it lies.</small></label>
<div id="mn-upload" role="status"></div>
"""
WELCOME = (
    "**Ask what was said, shown or seen, and when.**\n\n"
    "Answers cite the times they rest on; a click plays that moment. What the memory holds no evidence for, it says so."
)


class Shown:
    """What one page shows of a memory: read by its handlers, from any thread."""

    def __init__(self, mneme: Mneme, watching: Watching) -> None:
        self._mneme = mneme
        self._watching = watching

    def snapshot(self) -> StoredSnapshot | None:
        """The memory at its latest commit; None where there is none yet."""
        path = self._watching.path
        if not exists(path):
            return None
        with closing(Memory.open(path, "r")) as reader:
            return reader.snapshot()

    def look(self, stream: str, limit: int, seen: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """What changed since `seen`: for each output its new value, or a skip; the last one is the new `seen`."""
        import gradio as gr

        try:
            snapshot = self.snapshot()
        except MnemeError as error:
            if seen == (str(error),):
                return (gr.skip(),) * 6
            return conversation.refused(str(error)), *(gr.skip(),) * 4, (str(error),)
        states = snapshot.streams() if snapshot is not None else []
        names = [state.stream.id for state in states]
        chosen = stream if stream in names else ALL
        jobs = storyboard.job_lines(self._watching.jobs(), states)
        commit = snapshot.commit if snapshot is not None else 0
        now = (commit, chosen, limit, jobs)
        was: tuple[Any, ...] = seen if seen is not None and len(seen) == 4 else (None,) * 4
        lines: Any = gr.skip() if was[3] == jobs else jobs
        if was[:3] == now[:3]:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip(), lines, gr.skip() if was[3] == jobs else now
        board, more = ("", False) if snapshot is None else storyboard.storyboard(snapshot, chosen or None, limit)
        choice = (
            gr.skip()
            if was[0] == commit and was[1] == chosen
            else gr.Dropdown(choices=choices(names), value=chosen, visible=len(names) > 1)
        )
        return storyboard.summary(states), choice, board, gr.Button(visible=more), lines, now

    def answer(self, question: str, stream: str, history: list[Any]) -> Iterator[tuple[Any, ...]]:
        """The chat with the question at its end at once, and with the answer as soon as there is one."""
        if not question.strip():
            yield history, ""
            return
        asked = [*history[-TURNS:], {"role": "user", "content": conversation.plain(question.strip())}]
        yield asked, ""
        yield [*asked, {"role": "assistant", "content": self._told(question, stream)}], ""

    def _told(self, question: str, stream: str) -> str:
        try:
            found = self._mneme.ask(question, stream=stream or None)
            return conversation.told(found, several=not stream and len(self._mneme.streams()) > 1)
        except MnemeError as error:
            return conversation.refused(str(error))
        except Exception:
            log.exception("asking %r", question)
            return conversation.refused("That could not be answered; look into the log of mneme page.")

    def add(self, source: str, stream: str) -> tuple[Any, ...]:
        """Watch a path of this machine; the fields are emptied. What is wrong with it shows in its line."""
        import gradio as gr

        path = source.strip().strip("\"'")
        if not path:
            return gr.skip(), gr.skip()
        here = path if "://" in path else str(Path(path).expanduser().absolute())
        self._watching.add(here, stream.strip() or None)
        return "", ""


def choices(names: list[str]) -> list[tuple[str, str]]:
    """The streams to choose from, all of them first."""
    return [("All streams", ALL), *((name, name) for name in names)]


def make_page(mneme: Mneme, watching: Watching) -> gr.Blocks:
    """The page of a memory; theme, style and script are given where it is mounted (`app.py`)."""
    import gradio as gr

    shown = Shown(mneme, watching)
    with gr.Blocks(title=f"{watching.path.name} · Mneme", analytics_enabled=False) as page:
        seen, limit = gr.State(None), gr.State(EVENTS)
        with gr.Row(elem_id="mn-head"):
            gr.HTML(f"<h1>Mneme <bdi>{escape(watching.path.name)}</bdi></h1>")
            summary = gr.HTML("", elem_id="mn-summary")
            stream = gr.Dropdown(
                choices([]), value=ALL, label="Stream", show_label=False, elem_id="mn-choice",
                visible=False, container=False, interactive=True, filterable=True,
            )  # fmt: skip
        with gr.Column(elem_id="mn-house"):
            with gr.Column(elem_id="mn-player"):
                gr.HTML(PLAYER)
            with gr.Column(elem_id="mn-chat"):
                with gr.Row(elem_id="mn-bar"):
                    gr.HTML("<h2>Ask</h2>")
                    clear = gr.Button("Clear", size="sm", scale=0, elem_id="mn-clear")
                chat = gr.Chatbot(
                    show_label=False, container=False, height="100%", layout="bubble", buttons=[], latex_delimiters=[],
                    feedback_options=None, placeholder=WELCOME, elem_id="mn-talk", label="Answers",
                    group_consecutive_messages=False,
                )  # fmt: skip
                with gr.Row(elem_id="mn-ask"):
                    question = gr.Textbox(
                        placeholder="What was said about the keys?", label="Question", show_label=False, lines=1,
                        max_lines=4, container=False, scale=1, max_length=2000, elem_id="mn-question",
                    )  # fmt: skip
                    ask = gr.Button("Ask", variant="primary", scale=0, min_width=72)
            with gr.Column(elem_id="mn-events"):
                board = gr.HTML("", elem_id="mn-storyboard")
                earlier = gr.Button("Earlier events", variant="secondary", size="sm", visible=False)
            with gr.Column(elem_id="mn-add"):
                gr.HTML("<h2>Add a video</h2>")
                gr.HTML(DROP)
                with gr.Row(elem_id="mn-path"):
                    path = gr.Textbox(
                        label="Path on this machine", placeholder="/home/me/day1.mp4", max_lines=1, scale=3,
                        min_width=180, elem_id="mn-source",
                    )  # fmt: skip
                    name = gr.Textbox(
                        label="Name (optional)", placeholder="as the file", max_lines=1, scale=1, min_width=110,
                        elem_id="mn-name",
                    )  # fmt: skip
                    watch = gr.Button("Watch", variant="secondary", scale=0, min_width=84, elem_id="mn-watch")
                jobs = gr.HTML("", elem_id="mn-jobs")

        outputs = [summary, stream, board, earlier, jobs, seen]
        looking: dict[str, Any] = {
            "fn": shown.look, "inputs": [stream, limit, seen], "outputs": outputs,
            "show_progress": SPINNER, "concurrency_limit": 8, "api_visibility": "private",
        }  # fmt: skip
        page.load(**looking)
        gr.Timer(EVERY_S).tick(**looking)
        stream.input(**looking)
        earlier.click(
            lambda n: n * 4, limit, limit, show_progress=SPINNER, api_visibility="private"
        ).then(**looking)  # fmt: skip
        gr.on(
            [question.submit, ask.click], shown.answer, [question, stream, chat], [chat, question],
            show_progress=SPINNER, concurrency_limit=4, api_visibility="private",
        )  # fmt: skip
        clear.click(lambda: [], None, chat, show_progress=SPINNER, api_visibility="private")
        gr.on(
            [path.submit, name.submit, watch.click], shown.add, [path, name], [path, name],
            show_progress=SPINNER, api_visibility="private",
        )  # fmt: skip
    made: gr.Blocks = page
    return made
