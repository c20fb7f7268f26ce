"""`text-recognizer batch`: read folders, archives and long documents in several processes, resumable."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from text_recognizer import formats
from text_recognizer.batch.read import Folder, Summary, read_batch, stopping
from text_recognizer.batch.table import check_table, write_table
from text_recognizer.batch.work import Options
from text_recognizer.devices import CPU, DEVICE_HELP
from text_recognizer.documents import PDF_DPI, PageReference, find_pages, no_such_page
from text_recognizer.embedded import EMBEDDED_HELP
from text_recognizer.errors import ExtraMissing, UsageError, install_hint, printable
from text_recognizer.page import MODES, Mode


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer batch`. Returns the exit status of the first page that failed."""
    args = _parser().parse_args(argv)
    names = formats.names_in(args.format)
    for name in names:
        formats.get_format(name)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError("--jobs is a count of processes: give 1 or more")
    options = Options(
        output=Path(args.output), formats=names, mode=cast("Mode", args.mode), bundle=args.model,
        language=args.language, jobs=args.jobs, device=args.device, resume=args.resume or args.watch, retry=args.retry,
        pdf_a=args.pdfa, table=args.table is not None, embedded_text=args.embedded_text,
    )  # fmt: skip
    if "://" in args.output and not args.ray:
        raise UsageError(f"--output {args.output} is not a folder; give one, or read with --ray")
    if args.ray and args.watch:
        raise UsageError("--ray reads what is there; give --watch without it")
    given = {"pages": args.pages, "password": args.password, "dpi": args.dpi, "frames": args.frames}
    if args.table is not None:
        check_table(args.table)
    done: list[dict[str, Any]] = []
    with stopping() as stopped:
        if args.watch:
            found: Iterator[PageReference | None] = _watched(args.sources, stopped, given)
            total = None
        else:
            listed = list(find_pages(args.sources, **given))
            if not listed:
                raise no_such_page(args.pages)
            found, total = iter(listed), len(listed)
        with _progress(total) as report:

            def note(record: dict[str, Any]) -> None:
                if options.table and not record.get("error"):
                    done.append({name: record[name] for name in ("key", "source", "page")})
                report(record)

            if args.ray:
                summary = _read_on_ray((page for page in found if page), options, args.output, args.ray, note, stopped)
            else:
                summary = read_batch(found, options, note, stopped)
    if args.table is not None:
        write_table(_ray().Place(args.output) if args.ray else Folder(options.output), args.table, done)
    print(summary, file=sys.stderr)
    return next(iter(summary.statuses), 0)


def _read_on_ray(found: Iterator[PageReference], options: Options, output: str, address: str, *rest: Any) -> Summary:
    return cast("Summary", _ray().read_ray(found, options, output, address, *rest))


def _ray() -> Any:
    # Imported by name, because no reading path may import Ray.
    try:
        return import_module("text_recognizer.integrations.ray")
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"--ray needs the package '{error.name}'; {install_hint('ray')}") from None


def _watched(sources: list[str], stopped: Callable[[], bool], given: dict[str, Any]) -> Iterator[PageReference | None]:
    """Yield the pages of files that appear in the folders `sources`, until stopped.

    A file is read once it has not changed for a second. A None follows the pages of each scan, since the next file may
    take a long time to come.
    """
    for source in sources:
        if not Path(source).is_dir():
            raise UsageError(f"--watch needs folders, and {source} is not a folder")
    sizes: dict[Path, tuple[int, int]] = {}
    done: dict[Path, tuple[int, int]] = {}
    while not stopped():
        now: dict[Path, tuple[int, int]] = {}
        for page in find_pages(sources, **given):
            file = page.source.path
            if file is None:
                continue
            if file not in now:
                about = file.stat()
                now[file] = (about.st_size, about.st_mtime_ns)
            if done.get(file) != now[file] and sizes.get(file) == now[file]:
                yield page
        done.update({file: state for file, state in now.items() if sizes.get(file) == state})
        sizes = now
        yield None
        time.sleep(1)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress bar on standard error with speed and time left; without a terminal, a line for each failure."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    start, read = time.monotonic(), [0]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, rate="")

        def report(record: dict[str, Any]) -> None:
            read[0] += "skipped" not in record
            rate = read[0] / max(time.monotonic() - start, 1e-3)
            bar.update(task, advance=1, rate=f"{rate:.2f} pages/s")
            if record.get("error"):
                name = record["source"] + (f", page {record['page']}" if record["page"] > 1 else "")
                message = printable(f"text-recognizer: {name}: {record['message']}")
                console.print(message, markup=False, soft_wrap=True)

        yield report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="text-recognizer batch",
        description="Read folders, archives and long documents in several processes. The output folder mirrors the "
        "input; batch.jsonl there records each page, errors.jsonl those that failed.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="images, PDFs, TIFFs, ZIP or CBZ archives, folders, globs in quotes, @FILE with one source a line, URLs, "
        "IIIF manifests",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for the results; with --ray, any fsspec address"
    )
    parser.add_argument(
        "--format", default="text", help=f"one or more, comma separated, of {', '.join(formats.NAMES)} (%(default)s)"
    )
    parser.add_argument("--embedded-text", action="store_true", help=EMBEDDED_HELP)
    parser.add_argument("--pdfa", action="store_true", help="PDFs as PDF/A-2b, if necessary from pictures of the pages")
    parser.add_argument(
        "--table",
        choices=("parquet", "jsonl"),
        help="write all pages into one table too, pages.parquet (needs the 'parquet' extra) or pages.jsonl",
    )
    parser.add_argument("--mode", choices=MODES, default="accurate", help="of reading (%(default)s)")
    parser.add_argument("--language", metavar="TAG", help="of the text, such as fr (default: chosen for each page)")
    parser.add_argument("--model", help="folder of a bundle, or the name of a registered model (default: the shipped)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes of one thread each (default: all cores)")
    parser.add_argument("--device", default=CPU, help=DEVICE_HELP)
    parser.add_argument("--resume", action="store_true", help="skip pages that are already in this output folder")
    parser.add_argument(
        "--retry", type=int, default=1, metavar="N", help="tries after an unexpected error (%(default)s)"
    )
    parser.add_argument("--watch", action="store_true", help="read files as they come into the folders, until stopped")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="read on a Ray cluster, 'local' for one on this machine (needs the 'ray' extra)",
    )
    parser.add_argument("--pages", metavar="RANGES", help="which pages of each document, such as 1-3,7,10-")
    parser.add_argument("--password", help="of encrypted PDFs")
    parser.add_argument("--dpi", type=float, default=PDF_DPI, help="at which PDF pages are drawn (%(default)s)")
    parser.add_argument("--frames", action="store_true", help="each frame of an animation is a page")
    return parser
