"""All pages of a batch in one table, for data engineers: Parquet or JSON Lines, with a row for each page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from text_recognizer.batch.work import TABLE, Place, kept_page
from text_recognizer.errors import ExtraMissing, OutputFailed, install_hint

TableKind = Literal["parquet", "jsonl"]
ROWS = 256  # in a row group, which is what is held in memory


def check_table(kind: TableKind) -> None:
    """Raises `ExtraMissing` if the package for this kind of table is not installed."""
    if kind == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError:
            raise ExtraMissing(f"Parquet needs the package 'pyarrow'; {install_hint('parquet')}") from None


def write_table(place: Place, kind: TableKind, records: Iterable[Mapping[str, Any]]) -> None:
    """Write `pages.parquet` or `pages.jsonl` to `place`, completely or not at all.

    `records`: the journal's records of pages that were read with `Options.table`. Raises `OutputFailed`.
    """
    name = f"{TABLE}.{kind}"
    target = place.folder(name) / name
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        (_write_parquet if kind == "parquet" else _write_lines)(fresh, _rows(place, records))
        fresh.replace(target)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise OutputFailed(f"cannot write {target} ({error.strerror}); make room and give --resume") from None
    place.collect()


def _rows(place: Place, records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each page, with its number in its document, ordered by document and page."""
    for record in sorted(records, key=lambda record: (record["source"], record["page"])):
        page = json.loads(place.read(kept_page(record["key"])) or b"{}")
        yield {"format": page.pop("format"), "source": page.pop("source"), "page": record["page"], **page}


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    points = pa.list_(pa.list_(pa.float32()))
    word = pa.struct([("text", pa.string()), ("confidence", pa.float32()), ("polygon", points)])
    line = pa.struct(
        [
            ("text", pa.string()), ("confidence", pa.float32()), ("polygon", points), ("baseline", points),
            ("alternatives", pa.list_(pa.string())), ("words", pa.list_(word)),
            ("script", pa.string()), ("struck", pa.list_(word)),
        ]
    )  # fmt: skip
    schema = pa.schema(
        [
            ("source", pa.string()), ("page", pa.int32()), ("model", pa.string()), ("language", pa.string()),
            ("width", pa.int32()), ("height", pa.int32()), ("dpi", pa.float32()), ("embedded", pa.bool_()),
            ("text", pa.string()), ("lines", pa.list_(line)),
        ]
    )  # fmt: skip
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        # Bytes of file names that are not UTF-8 are escaped.
        named = ({**row, "source": row["source"].encode(errors="backslashreplace").decode()} for row in rows)
        while group := list(islice(named, ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema))
