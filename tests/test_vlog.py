"""The benchmark's scoring, by example: what counts as right, what as a boundary found, which subtitles are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scoring import first_number, judge, score_boundaries, voice_of
from benchmarks.vlog import ask_all, by_category, find_subtitles, find_videos, refusals
from benchmarks.watching import peak_mb
from mneme.errors import QuestionError
from mneme.records import Answer, Evidence, to_ns


def question(category: str = "speech-when", **changes: Any) -> dict[str, Any]:
    asked = {
        "id": "q1", "category": category, "question": "When is the ferry mentioned?", "answer": "0:20-0:24",
        "accept": ["ferry"], "evidence": [[20.0, 24.0]], "unanswerable": False, "needs": ["speech"],
    }  # fmt: skip
    return asked | changes


def answer(text: str = "The ferry leaves.", *spans_s: tuple[float, float], abstained: bool = False) -> Answer:
    cited = tuple(Evidence("v", to_ns(a), to_ns(b), "speech", text, 0.9) for a, b in spans_s)
    return Answer(text, abstained, 0.9, cited)


def test_a_time_question_is_right_when_the_best_evidence_overlaps_within_a_second() -> None:
    assert judge(question(), answer("at 0:25", (24.9, 27.0))).right
    assert not judge(question(), answer("at 0:25", (25.2, 27.0))).right
    assert judge(question(), answer("at 0:18", (17.0, 19.1))).right


def test_only_the_best_evidence_counts() -> None:
    assert not judge(question(), answer("at 1:00", (60.0, 62.0), (20.0, 24.0))).right


def test_evidence_that_covers_half_the_video_supports_nothing() -> None:
    assert judge(question(), answer("", (15.0, 25.0))).right
    assert not judge(question(), answer("", (15.0, 25.1))).right
    long = question(evidence=[[0.0, 20.0]])
    assert judge(long, answer("", (0.0, 30.0))).right


def test_a_what_question_needs_its_words_and_its_moment() -> None:
    asked = question("speech-what")
    assert judge(asked, answer("the FERRY to Oslo", (20.0, 24.0))).right
    assert not judge(asked, answer("the train", (20.0, 24.0))).right
    assert not judge(asked, answer("the ferry", (90.0, 94.0))).right
    assert not judge(asked, answer("the ferry")).right


def test_a_count_is_the_first_number_of_the_answer() -> None:
    asked = question("count", answer="2", accept=["2", "two"])
    assert judge(asked, answer("Two captions, of 12 lines")).right
    assert not judge(asked, answer("12 captions")).right
    assert first_number("twice, then 5") == 2
    assert first_number("nothing to count") is None


def test_an_unanswerable_question_must_be_refused_and_no_other_may_be() -> None:
    never = question("unanswerable", unanswerable=True, evidence=[])
    assert judge(never, answer("It is not there.", abstained=True)).right
    assert not judge(never, answer("It is not there.", (20.0, 24.0))).right
    assert not judge(question(), answer("ferry", (20.0, 24.0), abstained=True)).right


def test_questions_for_eyes_and_ears_stand_apart() -> None:
    seen = [judge(question(needs=["vision", "speech"]), answer()), judge(question(), answer("", abstained=True))]
    assert [v.within for v in seen] == [False, True]
    assert by_category(v for v in seen if v.within) == {"speech-when": (0, 1)}
    assert refusals(seen) == ((0, 0), (1, 1))


def test_each_cut_and_each_find_is_used_once() -> None:
    truth = {"boundaries_s": [10.0, 20.0], "segments": []}
    found = score_boundaries([9.5, 10.5, 21.0, 40.0], truth)
    assert (found.hits, found.found, found.true) == (2, 4, 2)
    assert found.f1 == pytest.approx(2 * 2 / 6)


def test_room_changes_inside_the_house_are_not_false() -> None:
    segments = [{"clip": "house", "start_s": 20.0, "end_s": 40.0}]
    found = score_boundaries([20.2, 30.0, 50.0], {"boundaries_s": [20.0, 40.0], "segments": segments})
    assert (found.hits, found.found) == (1, 2)


def test_a_line_of_a_recorded_voice_is_told_from_a_synthetic_one() -> None:
    human = {"start_s": 19.0, "end_s": 24.0, "synthetic": False}
    truth = {"speech": [human, {"start_s": 30.0, "end_s": 33.0, "synthetic": True}]}
    assert voice_of(question(), truth) == "human"
    assert voice_of(question(evidence=[[20.0, 31.0]]), truth) == "synthetic"


@pytest.mark.parametrize("name", ["vlog_A.srt", "subs_vlog_A.srt", "subs_A.srt"])
def test_subtitles_are_found_by_their_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert find_subtitles(tmp_path / "vlog_A.mp4") == tmp_path / name
    assert find_subtitles(tmp_path / "talk_B.mp4") is None


def test_a_folder_gives_its_videos_with_truth_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.json").write_text(json.dumps({"file": "a.mp4", "questions": []}))
    (tmp_path / "gone.json").write_text(json.dumps({"file": "gone.mp4", "questions": []}))
    (tmp_path / "list.json").write_text("[]")
    assert [video.name for video, _, _ in find_videos(tmp_path)] == ["a.mp4"]


def test_an_error_while_asking_is_a_wrong_answer_and_the_rest_is_asked(tmp_path: Path) -> None:
    pictures: list[Path | None] = []

    def ask(text: str, picture: Path | None) -> Answer:
        pictures.append(picture)
        if picture is not None:
            raise QuestionError("that is not a picture")
        return answer(text, (20.0, 24.0))

    asked = [question("image-query", image="query.jpg"), question()]
    rights = [judge(q, a).right for q, a in zip(asked, ask_all(ask, asked, tmp_path), strict=True)]
    assert rights == [False, True]
    assert pictures == [tmp_path / "query.jpg", None]


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_mb()
    held = bytearray(max(1, int(before * 1.2)) * 2**20)
    assert peak_mb() > before + 0.1 * len(held) / 2**20
