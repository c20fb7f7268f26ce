"""`text-recognizer feedback`: list, show, delete and export people's feedback."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from text_recognizer.errors import DataInvalid, OutputFailed, UsageError
from text_recognizer.feedback.annotation import LOCAL_FILES, TARGETS, annotate
from text_recognizer.feedback.annotation_import import import_annotations
from text_recognizer.feedback.export import LINES, PAGES, Selection, export, reasons
from text_recognizer.feedback.ranking import flagged, ranked
from text_recognizer.feedback.record import Record, to_dict
from text_recognizer.feedback.store import Store
from text_recognizer.feedback.times import TIMES, moment

RETENTION = "TEXT_RECOGNIZER_RETENTION_DAYS"
Add = Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None]  # noqa: SLF001


def main(argv: Sequence[str]) -> int:
    """Command line of `text-recognizer feedback`."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[..., int],
    purpose: str,
    **words: Any,
) -> argparse.ArgumentParser:
    """Add a command that works on a store; `open_store(options)` opens it."""
    parser = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", **words)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--store", metavar="DIR|URL", help="folder or database; default: TEXT_RECOGNIZER_FEEDBACK, else ./feedback"
    )
    parser.add_argument(
        "--images", metavar="PLACE", help="its images; default: TEXT_RECOGNIZER_FEEDBACK_IMAGES, else DIR/images"
    )
    return parser


def open_store(options: argparse.Namespace) -> Store:
    """Open the store named by the arguments or by the environment. Raises `UsageError`."""
    return Store.from_environment(options.store, options.images)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="text-recognizer feedback",
        description="Review what people reported about readings: docs/review/feedback.md.",
        epilog=TIMES,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(commands, "list", _list, "list readings with feedback, newest first", epilog=TIMES)
    parser.add_argument("--since", metavar="TIME", help="readings from this time on")
    parser.add_argument("--model", metavar="NAME", help="readings by NAME or NAME@VERSION")
    parser.add_argument("--limit", type=count, default=20, metavar="N", help="at most N readings (20); 0: all")
    parser.add_argument("--all", action="store_true", help="stored readings without feedback too")
    parser.add_argument("--json", action="store_true", help="one complete JSON object a line")


def _list(options: argparse.Namespace) -> int:
    since = moment(options.since, datetime.now(UTC)) if options.since else None
    records = open_store(options).records(
        since, with_feedback=None if options.all else True, newest_first=True, pages=options.json
    )
    mine = (
        r for r in records if not options.model or options.model in (r.reading.model, r.reading.model.split("@")[0])
    )
    for record in islice(mine, options.limit or None):
        print(json.dumps(to_dict(record), ensure_ascii=True) if options.json else _row(record))
    return 0


def _row(record: Record) -> str:
    states = list(record.flags)
    states += ["corrected"] if record.correction else []
    states += ["checked"] if any(one.checked for one in record.feedback) else []
    comment = next((one.comment for one in reversed(record.feedback) if one.comment), "")
    at = f"{record.reading.at:%Y-%m-%d %H:%M}"
    return _plain(
        f"{at}  {record.reading.request_id:32}  {record.reading.model:12}  {','.join(states):20}  {comment}"
    ).rstrip()


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(commands, "show", _show, "show a reading and the feedback on it")
    parser.add_argument("request_id", metavar="REQUEST_ID", help="of the reading, as 'list' shows it")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _show(options: argparse.Namespace) -> int:
    record = _record(open_store(options), options.request_id)
    if options.json:
        print(json.dumps(to_dict(record), ensure_ascii=True))
        return 0
    reading = record.reading
    print(f"{reading.request_id}  {reading.at:%Y-%m-%d %H:%M:%S} UTC  {_plain(reading.model)}  {reading.mode}")
    print(f"image {reading.image_sha256}{'' if reading.image else ' (not stored)'}")
    for one in record.feedback:
        words = [one.flag or "", "all lines checked" if one.checked else "", one.comment]
        print(f"{one.at:%Y-%m-%d %H:%M:%S}  {_plain('; '.join(filter(None, words)))}".rstrip())
    correction = record.correction
    lines = [] if reading.page is None else [str(line["text"]) for line in reading.page["lines"]]
    corrected = correction.lines if correction is not None and correction.lines is not None else tuple(lines)
    for read, written in zip(lines, corrected, strict=False):
        print(f"  {_plain(read)}" if read == written else f"- {_plain(read)}\n+ {_plain(written)}".rstrip())
    if correction is not None and correction.lines is None:
        print("".join(f"+ {_plain(line)}\n" for line in (correction.text or "").splitlines()), end="")
    return 0


def _add_image(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(commands, "image", _image, "write the image of a reading to a file, as received")
    parser.add_argument("request_id", metavar="REQUEST_ID", help="of the reading, as 'list' shows it")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="- for standard output")


def _image(options: argparse.Namespace) -> int:
    store = open_store(options)
    data = store.image(_record(store, options.request_id).reading)
    if options.output == "-":
        sys.stdout.buffer.write(data)
        return 0
    try:
        Path(options.output).write_bytes(data)
    except OSError as error:
        raise OutputFailed(f"cannot write {options.output} ({error.strerror}); choose another --output") from None
    return 0


def _add_delete(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(commands, "delete", _delete, "delete readings with their images and feedback")
    parser.add_argument("request_ids", metavar="REQUEST_ID", nargs="+", help="of the readings, as 'list' shows them")


def _delete(options: argparse.Namespace) -> int:
    store = open_store(options)
    unknown = [request_id for request_id in options.request_ids if not store.delete(request_id)]
    if unknown:
        raise DataInvalid(f"no reading {', '.join(unknown)} is stored; see: text-recognizer feedback list --all")
    return 0


def _add_expire(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands, "expire", _expire, "delete old readings without feedback, and images without a reading"
    )
    parser.add_argument("--days", type=float, help=f"older than that; default: {RETENTION}, else 30")


def _expire(options: argparse.Namespace) -> int:
    try:
        days = float(os.environ.get(RETENTION, "").strip() or 30) if options.days is None else options.days
        before = datetime.now(UTC) - timedelta(days=days)
    except (ValueError, OverflowError):
        raise UsageError("the days are not a usable number; give --days 30") from None
    if options.days is None and not days:
        raise UsageError(f"{RETENTION} is 0, which means never; give --days to delete anyway")
    store = open_store(options)
    print(f"{store.expire(before)} readings without feedback deleted, {store.tidy()} images without a reading removed")
    return 0


def _record(store: Store, request_id: str) -> Record:
    record = store.get(request_id)
    if record is None:
        raise DataInvalid(f"no reading {request_id} is stored; see: text-recognizer feedback list --all")
    return record


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands, "export", _export, "write corrected lines to a folder that finetune and evaluate read", epilog=TIMES
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="new, empty, or an earlier export, which is replaced")
    parser.add_argument("--since", metavar="TIME", help="only readings from this time on")
    parser.add_argument("--model", metavar="NAME", help="only readings by NAME or NAME@VERSION")
    parser.add_argument(
        "--writer", metavar="NAME", help="the writer of all of it; otherwise each image counts as a writer"
    )
    parser.add_argument("--offensive", action="store_true", help="also what was flagged as offensive")


def _export(options: argparse.Namespace) -> int:
    since = moment(options.since, datetime.now(UTC)) if options.since else None
    selection = Selection(since, options.model, options.offensive, options.writer)
    exported = export(open_store(options), options.folder, selection)
    if exported.lines:
        print(
            f"{exported.lines} lines ({exported.corrected} corrected, {exported.unchanged} right as they were read) "
            f"in {options.folder / LINES}: text-recognizer train finetune {options.folder}"
        )
    if exported.transcripts:
        place = options.folder / PAGES
        print(f"{exported.transcripts} pages as transcripts: text-recognizer evaluate --by page {place}")
    for reason, count in sorted(reasons(exported.skipped).items()):
        print(f"left out: {count}: {_plain(reason)}", file=sys.stderr)
    return 0


# --------------------------------------------------------------------------------------------------------- annotation


def _add_annotate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands, "annotate", _annotate, "write flagged pages and their text for people to correct", epilog=TIMES
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="new or empty")
    parser.add_argument(
        "--to", required=True, choices=TARGETS, help="a Label Studio import, or ALTO or PAGE with images"
    )
    parser.add_argument(
        "--least-certain",
        type=count,
        metavar="N",
        help="instead the N stored readings that are least certain and unlike each other",
    )
    parser.add_argument("--since", metavar="TIME", help="only readings from this time on")
    parser.add_argument(
        "--files",
        action="store_true",
        help="for Label Studio: images as files in DIR/images instead of inside the tasks",
    )
    parser.add_argument(
        "--prefix",
        default=LOCAL_FILES,
        metavar="URL",
        help="with --files: the prefix by which Label Studio finds them (%(default)s)",
    )


def _annotate(options: argparse.Namespace) -> int:
    if options.files and options.to != "label-studio":
        raise UsageError("--files is for --to label-studio: ALTO and PAGE always have their images beside them")
    since = moment(options.since, datetime.now(UTC)) if options.since else None
    store = open_store(options)
    chosen: Iterable[Record]
    if options.least_certain is None:
        chosen = ranked(flagged(store.records(since, with_feedback=True)))
    else:
        chosen = ranked(store.records(since), options.least_certain)
    done = annotate(store, chosen, options.folder, options.to, options.prefix if options.files else None)
    print(f"{done.pages} pages in {options.folder}; next steps: docs/review/annotation.md")
    for reason, count in sorted(reasons(done.skipped).items()):
        print(f"left out: {count}: {_plain(reason)}", file=sys.stderr)
    return 0


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(commands, "import", _import, "store annotations as corrections")
    parser.add_argument(
        "path", type=Path, metavar="FILE|DIR", help="Label Studio's JSON, ALTO or PAGE, or a folder of such files"
    )


def _import(options: argparse.Namespace) -> int:
    done = import_annotations(open_store(options), options.path)
    print(f"{done.stored} pages stored, {done.known} were stored before, {done.untouched} without annotation")
    for problem in done.problems:
        print(f"not stored: {_plain(problem)}", file=sys.stderr)
    if done.problems:
        raise DataInvalid(f"{len(done.problems)} annotations could not be stored, see above; the others are stored")
    return 0


def count(text: str) -> int:
    """Parse a number, 0 or more, from an argument."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("give 0 or more")
    return number


def _plain(text: str) -> str:
    """Printable text: what people wrote may contain terminal control characters."""
    return "".join(character if character.isprintable() else "�" for character in text)


COMMANDS: tuple[Add, ...] = (
    _add_list,
    _add_show,
    _add_image,
    _add_delete,
    _add_expire,
    _add_export,
    _add_annotate,
    _add_import,
)
"""Each adds a command to the parser."""
