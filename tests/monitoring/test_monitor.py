"""What monitoring finds in a window of readings: drift, errors, flags; and the report that people and programs read."""

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.cli import main
from text_recognizer.errors import BundleInvalid, UsageError
from text_recognizer.feedback.record import Feedback, Reading, Record
from text_recognizer.feedback.statistics import FEATURES
from text_recognizer.feedback.store import Store
from text_recognizer.monitoring import report, rules
from text_recognizer.monitoring.cli import moment
from text_recognizer.monitoring.drift import compare, stability_index
from text_recognizer.monitoring.monitor import Findings, is_sampled, look
from text_recognizer.monitoring.quality import corrected_pages, quality, worst_lines
from text_recognizer.monitoring.reference import REFERENCE, Window, bundle_reference, window_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
CENTRES = {
    "width": (1400.0, 300.0),
    "height": (1800.0, 400.0),
    "brightness": (0.8, 0.1),
    "contrast": (0.5, 0.1),
    "sharpness": (0.7, 0.15),
    "ink_share": (0.05, 0.02),
    "lines": (18.0, 6.0),
    "characters": (500.0, 200.0),
    "line_height": (60.0, 12.0),
    "confidence": (0.85, 0.05),
    "confidence_least": (0.65, 0.06),
    "doubtful_words": (0.2, 0.08),
    "dictionary_words": (0.85, 0.06),
    "bits_per_character": (2.5, 0.25),
    "repetition": (0.02, 0.02),
    "other_characters": (0.04, 0.02),
}
BOX = [[20.0, 30.0], [430.0, 30.0], [430.0, 75.0], [20.0, 75.0]]


def page(*texts: str) -> dict[str, object]:
    lines = [
        {
            "text": text,
            "confidence": 0.9,
            "polygon": [[x, y + 70 * i] for x, y in BOX],
            "baseline": [[20.0, 60.0 + 70 * i], [430.0, 60.0 + 70 * i]],
            "words": [],
            "alternatives": [],
        }
        for i, text in enumerate(texts)
    ]
    return {"format": 1, "width": 480, "height": 240, "model": "pen@1", "lines": lines, "text": "\n".join(texts)}


def readings(count: int, seed: int = 0, mode: str = "fast", model: str = "pen@1", **shifts: float) -> list[Record]:
    """Readings of a week; `shifts`: by how many standard deviations the numbers of a feature are moved."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        numbers = {name: float(c + s * (rng.normal() + shifts.get(name, 0))) for name, (c, s) in CENTRES.items()}
        reading = Reading(
            request_id=f"{model}-{seed}-{mode}-{i}",
            at=NOW - timedelta(seconds=float(rng.uniform(1, 7 * 86400))),
            model=model,
            mode=mode,
            image_sha256="0" * 64,
            statistics=numbers,
            timings={"queued": 0.1, "layout": 0.2, "recognition": 0.7, "total": 1.0 + 0.1 * float(rng.random())},
        )
        found.append(Record(reading=reading))
    return found


def corrected(record: Record, *lines: str, checked: bool = False, read: tuple[str, ...] = (), **said: object) -> Record:
    reading = replace(record.reading, page=page(*(read or lines)))
    feedback = Feedback(
        id=reading.request_id, request_id=reading.request_id, at=NOW, lines=lines or None, checked=checked, **said
    )
    return Record(reading=reading, feedback=(feedback,))


def flagged(record: Record, flag: str = "incorrect", comment: str = "") -> Record:
    said = Feedback(
        id=record.reading.request_id, request_id=record.reading.request_id, at=NOW, flag=flag, comment=comment
    )
    return Record(reading=replace(record.reading, page=page("one line")), feedback=(said,))


REFERENCE_WINDOW = window_of(readings(200, seed=1000), "two hundred pages")


def found_in(
    records: Iterable[Record], reference: Window | None = REFERENCE_WINDOW, logged: float | None = 1
) -> Findings:
    found = look(records, NOW - WEEK, NOW, reference, logged)
    return replace(found, checks=rules.check(rules.read_rules(), found))


def fired(found: Findings) -> set[str]:
    return {check.rule for check in found.checks if check.fired}


# --------------------------------------------------------------------------------------------------------------- drift


@pytest.mark.parametrize(
    ("shift", "rule"),
    [
        ({"brightness": -2, "contrast": -1.5}, "light"),
        ({"sharpness": -2}, "sharpness"),
        ({"line_height": 1.5}, "size"),
        ({"lines": 1.5}, "layout"),
        ({"bits_per_character": 2, "dictionary_words": -2}, "language"),
        ({"other_characters": 2}, "signs"),
        ({"confidence": 2, "doubtful_words": -2}, "writing"),
    ],
)
def test_shift_fires_its_rule_and_no_other(shift: dict[str, float], rule: str) -> None:
    assert fired(found_in(readings(120, seed=3, **shift))) == {rule}


def test_less_confidence_fires_and_more_is_reported_as_other_writing() -> None:
    """Half of the pages are far harder to read: the mean falls by much, the distributions are half alike."""
    week = [*readings(60, seed=3), *readings(60, seed=8, confidence=-3)]
    assert "confidence" in fired(found_in(week))
    assert "confidence" not in fired(found_in(readings(120, seed=3, confidence=3)))


def test_weeks_of_the_same_kind_are_quiet() -> None:
    alarms = [fired(found_in(readings(200, seed=seed))) for seed in range(40)]
    assert not any(alarms)


def test_small_differences_in_large_windows_are_not_an_alarm() -> None:
    """A tenth of a standard deviation among 20,000 is certain, and of no weight."""
    reference = window_of(readings(5000, seed=1001), "many pages")
    found = found_in(readings(20_000, seed=4, brightness=0.1), reference)
    brightness = next(drift for drift in found.drifts if drift.feature.name == "brightness")
    assert brightness.p is not None and brightness.p < 0.001
    assert not brightness.drifted()
    assert not fired(found)


def test_small_windows_say_nothing_however_odd_they_are() -> None:
    found = found_in(readings(20, seed=5, brightness=-9, confidence=-9))
    assert not fired(found)
    assert all(drift.distance is None for drift in found.drifts)
    assert report.verdict(found)[0] == "unknown"


def test_one_odd_page_changes_nothing() -> None:
    ordinary = readings(60, seed=6)
    odd = readings(1, seed=7, **{feature.name: 50.0 for feature in FEATURES})
    odd[0] = flagged(replace(odd[0], reading=replace(odd[0].reading, timings={"total": 900.0})))
    assert not fired(found_in([*ordinary, *odd]))


def test_each_mode_is_compared_with_the_same_mode() -> None:
    """The accurate mode is surer of itself: a week with more of it is no drift."""
    reference = window_of([*readings(200, 11, "fast"), *readings(200, 12, "accurate", confidence=4)], "both modes")
    week = [*readings(40, 13, "fast"), *readings(160, 14, "accurate", confidence=4)]
    assert not fired(found_in(week, reference))
    assert "confidence" in fired(found_in(readings(200, 15, "accurate"), reference))


def test_readings_of_another_model_are_left_out_and_reported() -> None:
    found = found_in([*readings(100, 16), *readings(30, 17, model="pen@2", confidence=-8)])
    assert not fired(found)
    assert found.compared.pages == 100
    assert any("30 by pen@2" in note for note in found.notes)


def test_stability_index_is_nought_for_the_same_and_grows() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=5000)
    assert stability_index(values, values) == pytest.approx(0, abs=1e-9)
    assert stability_index(rng.normal(size=200), rng.normal(size=200)) < 0.25
    assert stability_index(values + 1, values) > 0.5


def test_numbers_that_are_all_the_same_are_compared_too() -> None:
    constant = Window("c", "", 50, {"fast": {"width": np.full(50, 100.0)}})
    same = compare(constant, constant, {"fast": 1.0})[0]
    assert (same.distance, same.drifted()) == (0.0, False)
    other = compare(Window("d", "", 50, {"fast": {"width": np.full(50, 120.0)}}), constant, {"fast": 1.0})[0]
    assert other.distance == 1.0 and other.drifted()


# ------------------------------------------------------------------------------------------------- what was kept of all


def test_readings_with_feedback_count_as_often_as_they_would_be_stored_without() -> None:
    """A tenth is stored at random, and everything with feedback: bad pages must not count for all."""
    ordinary = readings(200, 20)
    bad = [flagged(record) for record in readings(100, 21, confidence=-6)]
    found = found_in([*ordinary, *bad], logged=0.1)
    assert found.all_readings == 2100
    assert 200 <= found.compared.pages <= 225
    assert "confidence" not in fired(found)
    assert "flagged" not in fired(found), "100 of about 2,100"
    assert "flagged" in fired(found_in([*ordinary, *bad], logged=1)), "100 of 300"


def test_where_only_feedback_is_stored_shares_are_reported_as_unknown() -> None:
    found = found_in([flagged(record) for record in readings(80, 22)], logged=0)
    outcome = {check.rule: check for check in found.checks}
    assert outcome["flagged"].value is None and outcome["volume"].value is None
    assert any("Only readings with feedback" in note for note in found.notes)


def test_sample_is_the_same_each_time_and_of_its_size() -> None:
    with_feedback = [flagged(record) for record in readings(2000, 23)]
    picked = [record for record in with_feedback if is_sampled(record, 0.3)]
    assert 500 < len(picked) < 700
    assert picked == [record for record in with_feedback if is_sampled(record, 0.3)]


# ------------------------------------------------------------------------------------------------------------- quality


def test_error_rate_is_of_what_people_say_is_written() -> None:
    base = readings(3, 30)
    pages = corrected_pages(
        [
            corrected(base[0], "the cat", "sat here", read=("the cot", "sat here"), checked=True),
            corrected(base[1], "“quoted” — text", read=('"quoted" - text',)),
            base[2],
        ]
    )
    assert [page.edits for page in pages] == [1, 0]
    (found,) = quality(pages)
    assert (found.pages, found.checked) == (2, 1)
    assert found.rate == pytest.approx(1 / 30)
    assert found.low <= found.rate <= found.high


def test_correction_of_the_whole_text_counts_too() -> None:
    record = readings(1, 31)[0]
    said = corrected(record, read=("one two", "three"), text="one two three four")
    assert corrected_pages([said])[0].edits == 5


def test_line_that_is_not_there_is_wrong_in_full_and_comes_first() -> None:
    record = corrected(readings(1, 32)[0], "", "almost rihgt", read=("noise", "almost right"))
    worst = worst_lines(corrected_pages([record]), 5)
    assert (worst[0].read, worst[0].rate) == ("noise", 1.0)
    assert worst[1].rate == pytest.approx(2 / 12)


def test_interval_is_over_pages_and_models_are_apart() -> None:
    base = readings(40, 33)
    mixed = [corrected(r, "abcdefghij", read=("abcdefghij" if i % 2 else "xxxxxxxxij",)) for i, r in enumerate(base)]
    other = [corrected(r, "abc", read=("abd",)) for r in readings(5, 34, model="pen@2")]
    found = quality(corrected_pages([*mixed, *other]))
    assert [q.model for q in found] == ["pen@1", "pen@2"]
    assert found[0].rate == pytest.approx(0.4)
    assert found[0].low < 0.33 and found[0].high > 0.47


# -------------------------------------------------------------------------------------------------------------- report


@pytest.fixture(scope="module")
def picture() -> bytes:
    drawn = np.full((240, 480), 235, np.uint8)
    for row, words in enumerate(("the quick brown fox", "jumps over the lazy", "dog near the bank")):
        cv2.putText(drawn, words, (30, 60 + 70 * row), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.3, 40, 2, cv2.LINE_AA)
    return cv2.imencode(".png", drawn)[1].tobytes()


NASTY = "<script>alert(1)</script> \"x\" onerror='y' {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def busy() -> Findings:
    base = readings(120, 40, brightness=-3)
    records = [
        flagged(base[0], "incorrect", NASTY),
        flagged(base[1], "offensive"),
        *(corrected(r, NASTY, "right", read=("<b>nonsense</b>", "right"), flag="other") for r in base[2:14]),
        *base[14:],
    ]
    return found_in(records)


@pytest.fixture(scope="module")
def shown(busy: Findings, picture: bytes) -> str:
    return report.to_html(busy, lambda _: picture, NOW)


def test_verdict_stands_at_the_top_and_says_what_to_do(busy: Findings, shown: str) -> None:
    assert report.verdict(busy)[0] == "alert"
    text = html.unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", shown, flags=re.DOTALL))
    assert text.index("rules fired: light") < text.index("Look at the darkest pages") < text.index("By day")


def test_page_asks_for_nothing_and_runs_nothing(shown: str) -> None:
    assert not re.search(r"""(?:src|href|action)\s*=\s*(?!["']?data:)|@import|url\(""", shown)
    assert "<script" not in shown
    assert "default-src 'none'" in shown


def test_what_strangers_wrote_is_text_and_nothing_else(shown: str) -> None:
    assert html.escape(NASTY, quote=False).split(" ")[0] in shown
    assert "<b>nonsense" not in shown
    assert "{{ 7 * 7 }}" in shown


def test_pictures_of_flagged_pages_and_worst_lines_are_embedded(shown: str) -> None:
    assert shown.count('alt="The page as received"') == 14
    assert shown.count("as written") == 12
    assert shown.count("data:image/jpeg;base64,") == 26


def test_images_that_are_gone_or_damaged_leave_a_gap(busy: Findings) -> None:
    def gone(_: Reading) -> bytes:
        raise UsageError("gone")

    assert report.to_html(busy, gone, NOW).count("its image was not stored") == 26
    assert report.to_html(busy, lambda _: b"no image", NOW).count("its image was not stored") == 26


def test_report_of_nothing_is_a_report(picture: bytes) -> None:
    found = found_in([])
    assert fired(found) == {"volume"}
    assert "No readings of this period are stored" in report.to_html(found, lambda _: picture, NOW)
    assert json.loads(json.dumps(report.to_dict(found), allow_nan=False))["window"]["readings"] == 0


def test_json_has_the_fields_that_the_guide_names(busy: Findings) -> None:
    told = json.loads(json.dumps(report.to_dict(busy), allow_nan=False))
    guide = (Path(__file__).parents[2] / "docs" / "review" / "monitoring.md").read_text(encoding="utf-8")
    table = guide.partition("### The JSON")[2].partition("\n## ")[0]
    assert set(told) == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert told["drift"][0]["feature"] == "width"
    assert told["flags"] == {"incorrect": 1, "offensive": 1, "other": 12}
    assert sum(day["readings"] for day in told["days"]) == 120
    assert told["latency"]["fast"]["total"]["p50"] == pytest.approx(1.05, abs=0.05)


def test_page_reads_well_in_a_browser(shown: str, tmp_path: Path) -> None:
    """It fits a phone's width, in both colours, without a request."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    (tmp_path / "r.html").write_text(shown, encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        grounds = set()
        for scheme in ("light", "dark"):
            tab = browser.new_page(color_scheme=scheme, viewport={"width": 400, "height": 800})
            asked: list[str] = []
            complaints: list[str] = []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.on("console", lambda message, complaints=complaints: complaints.append(message.text))
            tab.goto((tmp_path / "r.html").as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            assert complaints == []
            grounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert tab.get_by_role("region", name="Verdict").inner_text().startswith("⚠")
        browser.close()
    assert len(grounds) == 2


# -------------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("TEXT_RECOGNIZER_LOG_READINGS", raising=False)
    monkeypatch.delenv("TEXT_RECOGNIZER_WEBHOOK", raising=False)
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", str(tmp_path / "feedback"))
    return Store.open(tmp_path / "feedback")


def keep(store: Store, records: Iterable[Record], age: timedelta = timedelta(0), image: bytes | None = None) -> None:
    now = datetime.now(UTC)
    for record in records:
        at = now - (NOW - record.reading.at) - age
        store.log([(replace(record.reading, at=at), image)])
        for said in record.feedback:
            store.flag(said)


def test_report_command_writes_both_forms(
    store: Store, picture: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, readings(80, 50), timedelta(days=7))
    keep(store, readings(80, 51, sharpness=-3))
    keep(store, [flagged(readings(1, 52)[0], comment="half is missing")], image=picture)
    page, told = tmp_path / "r.html", tmp_path / "r.json"
    status = main(["monitor", "report", "--reference", "2w..7d", "--html", str(page), "--json", str(told)])
    assert status == 0
    assert "rules fired: sharpness" in capsys.readouterr().out
    assert "half is missing" in page.read_text(encoding="utf-8")
    assert json.loads(told.read_text(encoding="utf-8"))["window"]["readings"] == 81


def test_reference_of_a_bundle_is_used_for_the_readings_of_its_model(
    store: Store, bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    bundle = Bundle.open(bundle_dir)
    info = json.loads((tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    info["files"].pop(REFERENCE, None)
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(info), encoding="utf-8")
    keep(store, readings(60, 53, model=f"{bundle.name}@{bundle.version}"))
    assert main(["monitor", "report", "--reference", str(tmp_path / "bundle")]) == 7
    assert "has no reference; give another --reference" in capsys.readouterr().err


def test_bundle_whose_reference_is_damaged_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    (tmp_path / REFERENCE).write_text('{"format": 1, "modes": []}', encoding="utf-8")
    description = replace(Bundle.open(bundle_dir).description, files={REFERENCE: ""})
    with pytest.raises(BundleInvalid, match="get the bundle again"):
        bundle_reference(Bundle(tmp_path, description))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--since", "yesterday"], "is not a valid time"),
        (["--since", "0m"], "is not before now"),
        (["--since", "2d", "--until", "3d"], "is not before"),
        (["--logged", "7"], "from 0 to 1"),
        (["--reference", "2020-01-01..2020-01-08"], "no readings from"),
        (["--html", "/nowhere/r.html"], "cannot write"),
    ],
)
def test_what_cannot_be_done_is_reported_in_a_line(
    store: Store, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["monitor", "report", *arguments]) != 0
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_times_are_understood() -> None:
    assert moment("90m", NOW) == NOW - timedelta(minutes=90)
    assert moment("2w", NOW) == NOW - timedelta(days=14)
    assert moment("2026-11-20", NOW) == datetime(2026, 11, 20, tzinfo=UTC)
    assert moment("2026-11-20T12:00+02:00", NOW) == datetime(2026, 11, 20, 10, tzinfo=UTC)
    for nonsense in ("", "7", "d", "99999w", "0001-01-01T00:00+14:00"):
        with pytest.raises(UsageError):
            moment(nonsense, NOW)


def test_reading_path_is_not_paid_for_by_monitoring() -> None:
    code = (
        "import sys, text_recognizer.feedback.statistics; print([m for m in ('scipy', 'jinja2') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
