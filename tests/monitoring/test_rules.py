"""`monitor check`: rules that can be trusted, errors that name the line, and alerts that reach somebody."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy.stats import binom

from text_recognizer.cli import main
from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.feedback.record import Feedback, Reading, Record
from text_recognizer.feedback.store import Store
from text_recognizer.monitoring.monitor import Findings, look
from text_recognizer.monitoring.rules import check, read_rules
from text_recognizer.monitoring.webhook import notify

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def record(i: int, seconds: float = 1.0, **said: object) -> Record:
    """A reading of the day, with feedback where something is said."""
    reading = Reading(
        request_id=f"r{i}",
        at=NOW - timedelta(seconds=60 + i),
        model="pen@1",
        mode="fast",
        image_sha256="0" * 64,
        page={"lines": [{"text": "abcdefghij"}], "width": 9, "height": 9, "model": "pen@1"},
        statistics={"brightness": 0.8, "confidence": 0.9},
        timings={"total": seconds, "queued": 0.0, "layout": 0.5, "recognition": 0.5},
    )
    feedback = (Feedback(id=f"f{i}", request_id=f"r{i}", at=NOW, **said),) if said else ()  # type: ignore[arg-type]
    return Record(reading=reading, feedback=feedback)


def outcome(rule: str, records: list[Record], tmp_path: Path) -> tuple[float | None, bool, str]:
    """(value, fired, message) of one rule, given as TOML without its head."""
    (tmp_path / "rules.toml").write_text(f"[it]\n{rule}\n", encoding="utf-8")
    found = look(records, NOW - DAY, NOW, None, 1)
    (made,) = check(read_rules(tmp_path / "rules.toml"), found)
    return made.value, made.fired, made.message


# --------------------------------------------------------------------------------------------------------------- rules


def test_share_flagged_fires_when_it_is_surely_over_the_limit(tmp_path: Path) -> None:
    rule = 'kind = "flagged"\nlimit = 0.1\ndo = "Read them."'

    def flagged(count: int, of: int) -> list[Record]:
        return [record(i, **({"flag": "incorrect"} if i < count else {})) for i in range(of)]

    assert outcome(rule, flagged(40, 200), tmp_path)[:2] == (0.2, True)
    assert outcome(rule, flagged(12, 100), tmp_path)[:2] == (0.12, False), "12 of 100 may be chance"
    assert outcome(rule, flagged(30, 30), tmp_path)[:2] == (None, False), "too few to say"
    assert outcome(rule, flagged(40, 200), tmp_path)[2].endswith("Read them.")
    assert outcome(f'{rule}\nflag = "offensive"', flagged(40, 200), tmp_path)[:2] == (0.0, False)


def test_errors_on_corrections_fire_and_one_hopeless_page_does_not(tmp_path: Path) -> None:
    rule = 'kind = "cer"\nlimit = 0.2'
    bad = [record(i, lines=("abcdeXXXXX",)) for i in range(20)]
    good = [record(i, lines=("abcdefghij",)) for i in range(20)]
    hopeless = record(99, lines=("something else entirely " * 2,))
    assert outcome(rule, bad, tmp_path)[:2] == (0.5, True)
    assert not outcome(rule, [*good, hopeless], tmp_path)[1]
    assert outcome(rule, bad[:9], tmp_path)[:2] == (None, False)


def test_latency_fires_for_many_slow_pages_and_not_for_a_few(tmp_path: Path) -> None:
    rule = 'kind = "latency"\nlimit = 5.0\npercentile = 95'
    assert outcome(rule, [record(i, 60.0 if i < 20 else 1.0) for i in range(100)], tmp_path)[1]
    assert not outcome(rule, [record(i, 600.0 if i < 6 else 1.0) for i in range(100)], tmp_path)[1]
    assert not outcome(rule, [record(i, 60.0) for i in range(10)], tmp_path)[1]
    assert not outcome(f'{rule}\nstage = "queued"', [record(i, 60.0) for i in range(100)], tmp_path)[1]


def test_silence_is_an_alert(tmp_path: Path) -> None:
    rule = 'kind = "volume"\nlimit = 1'
    assert outcome(rule, [], tmp_path)[:2] == (0.0, True)
    assert outcome(rule, [record(0)], tmp_path)[:2] == (1.0, False)


def test_fall_needs_a_reference_and_says_so(tmp_path: Path) -> None:
    value, fired, words = outcome('kind = "fall"\nfeature = "confidence"\nlimit = 0.05', [record(0)], tmp_path)
    assert (value, fired) == (None, False)
    assert "--reference" in words


def test_rules_of_the_package_say_what_to_do() -> None:
    rules = read_rules()
    assert {type(rule).kind for rule in rules} == {"drift", "fall", "flagged", "cer", "latency", "volume"}
    assert all(rule.do for rule in rules)
    guide = (Path(__file__).parents[2] / "docs" / "review" / "monitoring.md").read_text(encoding="utf-8")
    assert all(f"`{rule.name}`" in guide for rule in rules)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[light\nkind = 1", "line 1"),
        ('[a]\nkind = "drift"\nlimit = 1\nfeatures = ["width"]\n[a]\n', "not TOML"),
        ("limit = 3", "'limit' in rules.toml is outside a rule"),
        ("", "contain no rule"),
        ("[a]\nlimit = 1", "rule 'a' in rules.toml has the kind None; give one of drift"),
        ('[a]\nkind = "drift"\nfeatures = ["width"]', "rule 'a' in rules.toml lacks 'limit'"),
        ('[a]\nkind = "drift"\nlimit = 1\nfeatures = ["widht"]', "features = ['widht']; give a list of width"),
        ('[a]\nkind = "volume"\nlimit = "1"', "limit = '1'; give a number"),
        ('[a]\nkind = "volume"\nlimit = nan', "limit = nan; give a number"),
        ('[a]\nkind = "volume"\nlimit = true', "limit = True; give a number"),
        ('[a]\nkind = "volume"\nlimt = 1', "has 'limt', which a volume rule does not know; it knows limit"),
        ('[a]\nkind = "flagged"\nlimit = 1\nflag = "bad"', "flag = 'bad'; give one of incorrect"),
        ('[a]\nkind = "latency"\nlimit = 1\npercentile = 100', "percentile = 100; give a number between"),
        ('[a]\nkind = "cer"\nlimit = 1\nleast = 0', "least = 0; give a whole number"),
    ],
)
def test_bad_rules_are_refused_with_the_place(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read_rules(Path("rules.toml"))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rules_that_are_missing_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_rules(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="can't be read"):
        read_rules(tmp_path / "b.toml")


# ------------------------------------------------------------------------------------------------------------- webhook


@pytest.fixture
def receiver() -> Iterator[SimpleNamespace]:
    """A server on loopback that answers with `statuses` in turn, then 200, and keeps what it was told."""
    told: list[dict[str, object]] = []
    statuses: list[int] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_address[1]}/hook/s3cret", told=told, statuses=statuses)
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_day() -> Findings:
    found = look([], NOW - DAY, NOW, None, 1)
    return replace(found, checks=check(read_rules(), found))


def tell_all(url: str, found: Findings) -> None:
    notify(url, found, [outcome for outcome in found.checks if outcome.fired], waits=(0.01, 0.01))


def test_webhook_gets_words_and_figures(receiver: SimpleNamespace, silent_day: Findings) -> None:
    tell_all(receiver.url, silent_day)
    (body,) = receiver.told
    assert body["text"].startswith("Text Recognizer: 1 of 13 rules fired\n• volume: 0 readings")
    assert body["alerts"] == [{"rule": "volume", "value": 0.0, "limit": 1, "message": silent_day.checks[-1].message}]
    assert body["since"] == "2026-11-23T12:00:00+00:00"


def test_webhook_that_is_busy_is_asked_again(receiver: SimpleNamespace, silent_day: Findings) -> None:
    receiver.statuses += [503, 429]
    tell_all(receiver.url, silent_day)
    assert len(receiver.told) == 3


@pytest.mark.parametrize(("statuses", "asked"), [([404], 1), ([500, 500, 500], 3), ([302], 1)])
def test_webhook_that_refuses_is_named_without_its_secret(
    statuses: list[int], asked: int, receiver: SimpleNamespace, silent_day: Findings
) -> None:
    receiver.statuses += statuses
    with pytest.raises(OutputFailed) as raised:
        tell_all(receiver.url, silent_day)
    assert f"status {statuses[0]}" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert len(receiver.told) == asked


# -------------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TEXT_RECOGNIZER_WEBHOOK", raising=False)
    monkeypatch.setenv("TEXT_RECOGNIZER_LOG_READINGS", "1")
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", str(tmp_path / "feedback"))
    return tmp_path / "feedback"


def fill(place: Path, count: int, **said: object) -> None:
    store = Store.open(place)
    now = datetime.now(UTC)
    for i in range(count):
        made = record(i, **said)
        store.log([(replace(made.reading, at=now - timedelta(minutes=1 + i)), None)])
        for feedback in made.feedback:
            store.flag(feedback)


def test_check_of_a_good_day_is_silent(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(place, 60)
    assert main(["monitor", "check"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert len(said.out.splitlines()) == len(read_rules())
    assert "ok    volume       60 readings" in said.out
    assert not any(outcome.fired for outcome in Store.open(place).latest_checks())


def test_check_that_fires_ends_with_its_status_calls_the_webhook_and_is_stored(
    place: Path, receiver: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place, 60, flag="incorrect")
    assert main(["monitor", "check", "--webhook", receiver.url]) == 10
    said = capsys.readouterr()
    assert "ALERT flagged      60 of 60 readings flagged" in said.out
    assert "1 of 13 rules fired (flagged)" in said.err
    assert [alert["rule"] for alert in receiver.told[0]["alerts"]] == ["flagged"]
    kept = {outcome.rule: outcome.fired for outcome in Store.open(place).latest_checks()}
    assert kept == {rule.name: rule.name == "flagged" for rule in read_rules()}


def test_webhook_that_is_down_is_reported_and_hides_nothing(
    place: Path, receiver: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.statuses += [403]
    monkeypatch.setenv("TEXT_RECOGNIZER_WEBHOOK", receiver.url)
    assert main(["monitor", "check"]) == 10
    said = capsys.readouterr()
    assert "ALERT volume" in said.out
    assert "the webhook at 127.0.0.1 could not be notified (status 403)" in said.err
    assert "1 of 13 rules fired (volume)" in said.err


def test_webhook_of_a_foreign_kind_is_refused_before_anything(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "check", "--webhook", "ftp://example.org/"]) == 2
    assert "not an http(s) address" in capsys.readouterr().err


def test_store_that_is_out_of_reach_is_an_error_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "feedback.db").write_bytes(b"no database at all" * 100)
    assert main(["monitor", "check", "--store", str(tmp_path)]) == 9
    assert capsys.readouterr().err.count("\n") == 1


def test_alert_stands_although_its_outcome_cannot_be_stored(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing was ever kept, and where it should be there is a file."""
    place.write_text("in the way", encoding="utf-8")
    status = main(["monitor", "check"])
    said = capsys.readouterr()
    if "ALERT" in said.out:
        assert status == 10
        assert "was not stored for /metrics" in said.err
    else:
        assert status == 9


def test_own_rules_go_before_those_of_the_package(place: Path, tmp_path: Path) -> None:
    fill(place, 5)
    (tmp_path / "own.toml").write_text('[many]\nkind = "volume"\nlimit = 6\n', encoding="utf-8")
    assert main(["monitor", "check", "--rules", str(tmp_path / "own.toml")]) == 10
    assert [outcome.rule for outcome in Store.open(place).latest_checks()] == ["many"]


def test_rules_and_template_are_in_the_package() -> None:
    package = files("text_recognizer.monitoring")
    assert (package / "rules.toml").is_file()
    assert (package / "templates" / "report.html").is_file()


def test_chance_alone_seldom_makes_a_share_fire(tmp_path: Path) -> None:
    """Of days on which the limit itself is the true share, the rule fires on one in forty at most, or nearly so."""
    rule = 'kind = "flagged"\nlimit = 0.1'
    days = {k: [record(i, **({"flag": "incorrect"} if i < k else {})) for i in range(150)] for k in range(15, 40)}
    fires = [k for k, day in days.items() if outcome(rule, day, tmp_path)[1]]
    assert sum(binom.pmf(k, 150, 0.1) for k in fires) < 0.03
    assert binom.sf(min(fires) - 1, 150, 0.25) > 0.95, "a quarter flagged is seldom missed"
