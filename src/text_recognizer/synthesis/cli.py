"""`text-recognizer train data`: fetch, prepare and preview the sources of rendered lines; manage data set versions."""

import argparse
import tempfile
from pathlib import Path

from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.versions import VERSIONS, Versions, difference, fingerprint


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train data`; returns the exit status."""
    if argv[:1] == ["preview"]:
        from text_recognizer.synthesis.preview import main as preview

        return preview(argv[1:])
    options = _parser().parse_args(argv)
    if options.command in ("version", "versions", "check"):
        return _versions(options)
    try:
        if options.command == "prepare":
            _prepare(options.source, options.download, options.output)
        elif options.command == "texts":
            from text_recognizer.synthesis.sources.text import fetch_texts

            fetch_texts(options.folder)
            print(f"{fingerprint(options.folder)}  {options.folder}")
        else:
            from text_recognizer.synthesis.sources.fonts import fetch_fonts

            fetch_fonts(options.folder)
            # It is the same on every machine, and a model's lineage names it as the SHA-256 of its fonts.
            print(f"{fingerprint(options.folder)}  {options.folder}")
    except (OSError, ValueError) as error:  # raised by the sources for an unknown archive or a failed download
        raise DataInvalid(str(error)) from error
    return 0


def _versions(options: argparse.Namespace) -> int:
    """`version`, `versions` and `check`."""
    versions = Versions(options.versions)
    if options.command == "version":
        version = versions.add(options.name, options.path)
        print(f"{version.sha256}  {version}  {len(version.files)} files")
    elif options.command == "versions":
        for version in versions.entries:
            print(f"{version.sha256}  {version}  {len(version.files)} files, {version.at}")
    else:
        version = versions.find(options.name)
        if found := difference(version, options.path):
            raise DataInvalid(f"{options.path} is not {version}: {found}.")
        print(f"{options.path} is {version}")
    return 0


def _prepare(source: Path | None, download: bool, output: Path) -> None:
    from text_recognizer.synthesis.sources.unipen import fetch_unipen, prepare_unipen

    if source is not None and not source.exists():
        raise DataInvalid(f"{source} does not exist; give the UNIPEN archive or its folder, or --download")
    output.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        kept = prepare_unipen(source, output)
    else:
        assert download
        with tempfile.TemporaryDirectory() as scratch:
            kept = prepare_unipen(fetch_unipen(Path(scratch)), output)
    print(f"{output}: {kept} words and phrases")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="text-recognizer train data", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    prepare = commands.add_parser("prepare", help="convert the UNIPEN pen strokes into one compact file")
    what = prepare.add_mutually_exclusive_group(required=True)
    what.add_argument("source", nargs="?", type=Path, metavar="ARCHIVE|DIR", help="the archive, or its unpacked folder")
    what.add_argument("--download", action="store_true", help="download the archive from its public address")
    prepare.add_argument("--output", type=Path, default=Path("data/unipen.npz"), help="default: %(default)s")
    fonts = commands.add_parser("fonts", help="fetch the openly licensed handwriting fonts of the lock file")
    fonts.add_argument("folder", nargs="?", type=Path, default=Path("data/fonts"), help="default: %(default)s")
    texts = commands.add_parser("texts", help="fetch the public-domain English of the lock file")
    texts.add_argument("folder", nargs="?", type=Path, default=Path("data/texts"), help="default: %(default)s")
    known = argparse.ArgumentParser(add_help=False)
    known.add_argument("--versions", type=Path, default=VERSIONS, metavar="FILE", help="(%(default)s)")
    version = commands.add_parser("version", parents=[known], help="give the content of a data set a name and a number")
    version.add_argument("name", help="the same content keeps its number, other content gets the next")
    version.add_argument("path", type=Path, help="file or folder")
    commands.add_parser("versions", parents=[known], help="list the versions of data sets")
    check = commands.add_parser(
        "check", parents=[known], help="check that a data set still equals a version; list the differences"
    )
    check.add_argument("name", help="NAME@NUMBER, or NAME for the newest")
    check.add_argument("path", type=Path, help="file or folder")
    commands.add_parser("preview", help="write a contact sheet of rendered samples", add_help=False)
    return parser
