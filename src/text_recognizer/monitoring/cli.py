"""`text-recognizer monitor`: report on the readings of a period and check them against rules."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from text_recognizer.bundle import Bundle
from text_recognizer.errors import Alert, BundleInvalid, DataInvalid, OutputFailed, TextRecognizerError, UsageError
from text_recognizer.feedback.cli import add_command, count, open_store
from text_recognizer.feedback.record import Check, Record
from text_recognizer.feedback.store import Store
from text_recognizer.feedback.times import TIMES, moment
from text_recognizer.monitoring.monitor import Findings, look
from text_recognizer.monitoring.reference import Window, bundle_reference, window_of
from text_recognizer.monitoring.rules import check, read_rules
from text_recognizer.registry import resolve

LOGGED = "TEXT_RECOGNIZER_LOG_READINGS"
WEBHOOK = "TEXT_RECOGNIZER_WEBHOOK"


def main(argv: Sequence[str]) -> int:
    """Command line of `text-recognizer monitor`. Raises `Alert` if a rule of `check` fires."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace, datetime], int] = options.run
    return run(options, datetime.now(UTC))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="text-recognizer monitor",
        description="Monitor the readings of a service: docs/review/monitoring.md.",
        epilog=TIMES,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    report = add_command(
        commands, "report", _report, "report drift, errors, flags, latency and volume of a period", epilog=TIMES
    )
    report.add_argument("--html", type=Path, metavar="FILE", help="write the report as a web page")
    report.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    report.add_argument(
        "--gallery", type=count, default=300, metavar="N", help="flagged readings in the report, newest first (300)"
    )
    _add_window(report, "7d")
    checking = add_command(
        commands, "check", _check, "check a period against rules; exit status 10 if a rule fires", epilog=TIMES
    )
    checking.add_argument(
        "--webhook", metavar="URL", help=f"POST fired rules to this URL as JSON with a `text`; default: {WEBHOOK}"
    )
    _add_window(checking, "1d")
    return parser


def _add_window(parser: argparse.ArgumentParser, since: str) -> None:
    parser.add_argument("--since", default=since, metavar="TIME", help="start of the period (%(default)s)")
    parser.add_argument("--until", metavar="TIME", help="end of the period; default: now")
    parser.add_argument(
        "--reference",
        metavar="WINDOW|BUNDLE",
        help="compare with an earlier period, FROM..TO, or with the reference in a bundle (a folder or a registered "
        "model); default: the bundle of the model that read",
    )
    parser.add_argument("--rules", type=Path, metavar="FILE", help="TOML; default: those of the package")
    parser.add_argument(
        "--logged", type=float, metavar="SHARE", help=f"share of readings that are stored without feedback ({LOGGED})"
    )


def _report(options: argparse.Namespace, now: datetime) -> int:
    from text_recognizer.monitoring.report import to_dict, to_html, verdict

    store = open_store(options)
    found, checks = _look(options, store, now)
    if options.html:
        _write(options.html, to_html(found, store.image, now, options.gallery))
    if options.json:
        _write(options.json, json.dumps(to_dict(found), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    print(verdict(found)[1])
    for outcome in checks:
        if outcome.fired:
            print(_line(outcome))
    return 0


def _check(options: argparse.Namespace, now: datetime) -> int:
    webhook = options.webhook or os.environ.get(WEBHOOK, "").strip()
    if webhook and urlsplit(webhook).scheme not in ("http", "https"):
        raise UsageError("the webhook is not an http(s) address; check it")
    store = open_store(options)
    found, checks = _look(options, store, now)
    for outcome in checks:
        print(_line(outcome))
    sys.stdout.flush()
    fired = [outcome for outcome in checks if outcome.fired]
    # A failure to store or report the results must not hide that a rule fired.
    try:
        store.save_checks(checks)
    except TextRecognizerError as error:
        if not fired:
            raise
        _complain(f"the outcome was not stored for /metrics: {error}")
    if fired and webhook:
        from text_recognizer.monitoring.webhook import notify

        try:
            notify(webhook, found, fired)
        except OutputFailed as error:
            _complain(str(error))
    if fired:
        names = ", ".join(outcome.rule for outcome in fired)
        raise Alert(f"{len(fired)} of {len(checks)} rules fired ({names}); see 'text-recognizer monitor report --html'")
    return 0


def _line(outcome: Check) -> str:
    state = "ALERT" if outcome.fired else "-" if outcome.value is None else "ok"
    return f"{state:5} {outcome.rule:12} {outcome.message}"


def _complain(what: str) -> None:
    print(f"text-recognizer: {what}", file=sys.stderr, flush=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputFailed(f"cannot write {path} ({error.strerror}); choose another file") from None


def _look(options: argparse.Namespace, store: Store, now: datetime) -> tuple[Findings, list[Check]]:
    rules = read_rules(options.rules)
    logged = _logged(options)
    since, until = _times(options.since, options.until or "0m", now)
    # Pages are large, and are only needed for readings with feedback.
    records = [
        *store.records(since, until, with_feedback=False, pages=False),
        *store.records(since, until, with_feedback=True),
    ]
    found = look(records, since, until, _reference(options, store, records, now), logged)
    checks = check(rules, found)
    return replace(found, checks=checks), checks


def _logged(options: argparse.Namespace) -> float | None:
    given = options.logged if options.logged is not None else os.environ.get(LOGGED, "").strip() or None
    if given is None:
        return None
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"the share of stored readings is {given}; give a number from 0 to 1")
    return share


def _reference(options: argparse.Namespace, store: Store, records: Sequence[Record], now: datetime) -> Window | None:
    if options.reference and ".." in options.reference and not Path(options.reference).exists():
        first, _, last = options.reference.partition("..")
        since, until = _times(first, last, now)
        shown = f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
        window = window_of(store.records(since, until, pages=False), f"readings from {shown}")
        if not window.pages:
            raise DataInvalid(f"no readings from {shown} are stored: give another --reference")
        return window
    if options.reference:
        bundle = Bundle.open(resolve(options.reference))
        carried = bundle_reference(bundle)
        if carried is None:
            raise DataInvalid(f"the model in {bundle.path} has no reference; give another --reference")
        return carried
    models = Counter(record.reading.model for record in records)
    if not models:
        return None
    there = _bundle_of(models.most_common(1)[0][0])
    return bundle_reference(there) if there is not None else None


def _bundle_of(model: str) -> Bundle | None:
    """The bundle NAME@VERSION: the shipped one or a registered one."""
    for place in (None, model):
        try:
            bundle = Bundle.open(resolve(place))
        except BundleInvalid:
            continue
        if f"{bundle.name}@{bundle.version}" == model:
            return bundle
    return None


def _times(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    begin, end = moment(since, now), moment(until, now)
    if begin >= end:
        raise UsageError(f"{since} is not before {'now' if until == '0m' else until}; give an earlier time")
    return begin, end
