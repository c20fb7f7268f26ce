"""Build a bundle from checkpoints: export to ONNX, parity with torch, calibration, description.

`stage(StageOptions(...))` in Python, `text-recognizer train stage` on the command line.
"""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from text_recognizer.bundle import SHIPPED, Bundle, sha256
from text_recognizer.description import (
    DESCRIPTION,
    LANGUAGE_TABLE,
    LINE_MARKS,
    NEURAL_LANGUAGE_MODEL,
    PARAGRAPH_LINES,
    PARAGRAPH_ROWS,
    Calibration,
    Decoding,
    Description,
    Licence,
    RecognizerSettings,
    Run,
)
from text_recognizer.errors import BundleInvalid, DataInvalid, OutputFailed
from text_recognizer.evaluation.metrics import errors, words_right
from text_recognizer.monitoring.reference import REFERENCE
from text_recognizer.page import MODES, Mode
from text_recognizer.recognition.identify import write_table
from text_recognizer.recognition.language import LanguageModel
from text_recognizer.recognition.normalise import WIDTH_SCALE, normalise_line
from text_recognizer.recognition.recognizer import Recognizer, width_batches
from text_recognizer.registry import check_names
from text_recognizer.synthesis.sources.text import lines_by_language
from text_recognizer.training.checkpoint import open_checkpoint
from text_recognizer.training.data import Codec, calibration_lines, collate
from text_recognizer.training.export import (
    FORMATS,
    DecoderGraph,
    EncoderGraph,
    Format,
    ParagraphLinesGraph,
    ParagraphRowsGraph,
    write_formats,
)
from text_recognizer.training.language_model import extend
from text_recognizer.training.low_rank import merged
from text_recognizer.training.models import recognizer as model
from text_recognizer.training.models.paragraph import ParagraphRecognizer
from text_recognizer.training.models.recognizer import FIRST_CHARACTER, RecognizerConfig
from text_recognizer.training.record import git_commit
from text_recognizer.training.vocabulary import grow_vocabulary

log = logging.getLogger(__name__)

WEIGHTS = "recognizer.safetensors"
MARKS = f"{LINE_MARKS}.onnx"
FINDER_FILES = ("line_finder.onnx", "line_finder.safetensors")
REFERENCE_PAGES = 200  # about thirteen minutes of CPU time
FIRST_LINES = 64  # to check a checkpoint on before minutes of work

LICENCES = (
    Licence(
        data="UNIPEN train_r01_v07 pen strokes",
        licence="CC-BY-4.0",
        source="doi:10.5281/zenodo.1195803",
        cite="Guyon, Schomaker, Plamondon, Liberman, Janet, ICPR 1994, doi:10.1109/ICPR.1994.576870",
    ),
    Licence(data="handwriting fonts named in synthesis/sources/fonts.lock.json", licence="OFL-1.1 or Apache-2.0"),
    Licence(data="texts named in synthesis/sources/texts.lock.json", licence="public domain or as listed there"),
)


def load_network(checkpoint: Path, averaged: bool = True) -> tuple[model.Recognizer, Run]:
    """The network of a Lightning checkpoint, in evaluation mode, and its run.

    `averaged`: use the moving average of the weights; else the weights of the last step, which are better than the
    average at the end of a short run. Choose by the validation CER. A checkpoint for paragraphs becomes a
    ParagraphRecognizer. Raises DataInvalid if the file is damaged or belongs to another network.
    """
    state = open_checkpoint(checkpoint, "state_dict", "hyper_parameters", "global_step")
    reads_paragraphs = any(name.startswith("network.encoder.rows.") for name in state["state_dict"])
    held = state["state_dict"] if averaged else state.get("current_model_state", state["state_dict"])
    weights = {k.removeprefix("network."): v for k, v in held.items() if k.startswith("network.")}
    try:
        config = RecognizerConfig.of_sizes(state["hyper_parameters"])
        network = ParagraphRecognizer(config) if reads_paragraphs else model.Recognizer(config)
        network.load_state_dict(merged(weights))
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise DataInvalid(
            f"{checkpoint} is not a checkpoint of a recogniser, or belongs to another version: stage line-small, "
            "line-base or paragraph."
        ) from error
    halve_weights(network)
    record = shipped_record(state["run_record"]) if "run_record" in state else {}
    return network.eval(), Run(steps=int(state["global_step"]), config=asdict(config), record=record)


def find_checkpoint(path: Path) -> Path:
    """`path` itself; for a run's folder, the checkpoint with the lowest validation CER, or else its last one.

    Raises DataInvalid if there is no checkpoint, or the last one is damaged.
    """
    if not path.is_dir():
        return path
    last = path / "last.ckpt"
    if not last.is_file():
        raise DataInvalid(f"there is no last.ckpt in {path}: give a checkpoint, or the folder of a training run.")
    for name, state in open_checkpoint(last).get("callbacks", {}).items():
        if name.startswith("ModelCheckpoint") and state.get("monitor"):
            best = path / Path(state.get("best_model_path") or "none").name
            return best if best.is_file() else last
    return last


def halve_weights(network: model.Recognizer) -> None:
    """Round matrices and kernels to 16 bits, so that graphs, torch and the half-sized safetensors agree exactly.

    Scales, shifts and statistics of normalisation layers stay as they are: they are few, and their range is wide.
    """
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            parameter.data = parameter.data.half().float()


def save_weights(network: model.Recognizer, file: Path) -> None:
    """Write the weights as safetensors, with matrices and kernels in 16 bits if that is exact."""
    held = {}
    for name, value in network.state_dict().items():
        half = value.half()
        exact = value.ndim >= 2 and torch.equal(half.to(value.dtype), value)
        held[name] = (half if exact else value).contiguous()
    save_file(held, str(file))
    file.chmod(0o644)  # safetensors makes files readable only by their owner, but services of other users read bundles


def shipped_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's record (`training.record`) for the bundle; absolute paths are reduced to their last part."""
    shipped = ("id", "started", "git_commit", "uncommitted_changes", "data", "parents", "trackers", "metrics")
    command = [re.sub(r"(?<![^=:,])/(?:[^/\s]+/)*([^/\s]+)", r"\1", part) for part in record.get("command", [])]
    return {name: record[name] for name in shipped if name in record} | {"command": command}


def bundle_network(bundle: Bundle, alphabet: str | None = None) -> model.Recognizer:
    """The network of a bundle as a torch module, in evaluation mode.

    `alphabet`: a longer alphabet that begins with the bundle's; the further characters have yet to be learned. Raises
    BundleInvalid if the bundle has no weights, or weights with other sizes than in its description.
    """
    try:
        config = RecognizerConfig.of_sizes(bundle.description.run.config)
        held = load_file(bundle.path / WEIGHTS)
        if bundle.has(PARAGRAPH_ROWS):
            raise BundleInvalid(
                f"{bundle} reads whole paragraphs, and its weights are trained on by 'train fit --config paragraph "
                "--model.weights FILE' only: give a bundle that reads lines."
            )
        if alphabet is not None:
            grow_vocabulary(held, bundle.description.alphabet, alphabet)
            config = replace(config, vocabulary=FIRST_CHARACTER + len(alphabet))
        network = model.Recognizer(config)
        network.load_state_dict(held)
    except (KeyError, TypeError, OSError, SafetensorError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BundleInvalid(f"{bundle.path} holds no weights that fit ({reason}): get the bundle again.") from error
    return network.eval()


def export_recognizer(network: model.Recognizer, folder: Path) -> None:
    """Write encoder.onnx, decoder.onnx and recognizer.safetensors."""
    c = network.config
    d_head = c.d_model // c.heads
    images = torch.zeros(2, 1, c.height, 256, dtype=torch.uint8)
    widths = torch.tensor([256, 200])
    batch, tokens, past = torch.export.Dim("batch"), torch.export.Dim("tokens"), torch.export.Dim("past")
    blocks = torch.export.Dim("blocks", min=1, max=256)
    torch.onnx.export(
        EncoderGraph(network), (images, widths), str(folder / "encoder.onnx"), dynamo=True, external_data=False,
        input_names=["images", "widths"], output_names=["log_probs", "line", "mask"],
        dynamic_shapes={"images": {0: batch, 3: 64 * blocks}, "widths": {0: batch}}, verbose=False,
    )  # fmt: skip
    t = 64
    example = (
        torch.randint(4, c.vocabulary, (2, 3)),
        torch.randn(c.decoder_layers, 2, 2, c.heads, t, d_head),
        torch.zeros(2, 1, 1, t),
        torch.randn(c.decoder_layers, 2, 2, c.heads, 5, d_head),
    )
    steps = torch.export.Dim("steps", min=2)
    torch.onnx.export(
        DecoderGraph(network), example, str(folder / "decoder.onnx"), dynamo=True, external_data=False,
        input_names=["tokens", "line", "mask", "past"], output_names=["log_probs", "cache"],
        dynamic_shapes={
            "tokens": {0: batch, 1: tokens}, "line": {2: batch, 4: steps}, "mask": {0: batch, 3: steps},
            "past": {2: batch, 4: past},
        }, verbose=False,
    )  # fmt: skip
    save_weights(network, folder / WEIGHTS)


def as_line_recognizer(network: model.Recognizer) -> model.Recognizer:
    """The line recogniser inside a ParagraphRecognizer; any other network as it is."""
    if not isinstance(network, ParagraphRecognizer):
        return network
    lines = model.Recognizer(network.config)
    held = network.state_dict()
    lines.load_state_dict({name: held[name] for name in lines.state_dict()})
    return lines.eval()


def export_paragraphs(network: ParagraphRecognizer, folder: Path) -> None:
    """Write the graphs that read a paragraph without a line finder, in addition to `export_recognizer`'s."""
    images, widths = torch.zeros(1, 1, 144, 256, dtype=torch.uint8), torch.tensor([200])
    down, across = torch.export.Dim("down", min=1, max=64), torch.export.Dim("across", min=1, max=256)
    torch.onnx.export(
        ParagraphRowsGraph(network), (images, widths), str(folder / f"{PARAGRAPH_ROWS}.onnx"), dynamo=True,
        external_data=False, input_names=["images", "widths"], output_names=["rows", "shares"],
        dynamic_shapes={"images": {2: 48 * down, 3: 64 * across}, "widths": {}}, verbose=False,
    )  # fmt: skip
    rows, weights = torch.randn(1, network.config.d_model, 9, 64), torch.rand(3, 9)
    count, high, steps = torch.export.Dim("count"), torch.export.Dim("high", min=2), torch.export.Dim("steps", min=2)
    torch.onnx.export(
        ParagraphLinesGraph(network), (rows, weights, widths), str(folder / f"{PARAGRAPH_LINES}.onnx"), dynamo=True,
        external_data=False, input_names=["rows", "weights", "widths"], output_names=["log_probs", "line", "mask"],
        dynamic_shapes={"rows": {2: high, 3: steps}, "weights": {0: count, 1: high}, "widths": {}}, verbose=False,
    )  # fmt: skip
    save_weights(network, folder / WEIGHTS)


def strip_graph(file: Path) -> None:
    """Remove documentation and metadata from an ONNX file, because exporters write local paths into its nodes."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(file)
    except DecodeError as error:
        raise DataInvalid(f"{file} is damaged, or not a graph of ONNX: make it anew.") from error
    parts: list[Any] = [graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output]
    parts += [*graph.graph.value_info, *graph.graph.initializer, *graph.functions]
    parts += [node for function in graph.functions for node in function.node]
    for part in parts:
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    onnx.save(graph, file)


def parity(network: model.Recognizer, recognizer: Recognizer, crops: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
    """(number of lines with the same cached greedy tokens in torch and ONNX Runtime, number of lines compared)."""
    images = recognizer.normalise(crops)
    same = 0
    for rows in width_batches([image.shape[1] for image in images]):
        encoded = recognizer.encode([images[row] for row in rows])
        for row, tokens in zip(rows, recognizer.decode_greedy(encoded, stop_repeats=False), strict=True):
            batch = collate([(normalise_line(crops[row], network.config.height), [])])
            limit = recognizer.max_length(int(batch.widths[0]))
            same += network.greedy(batch.images.to(torch.float32) / 255, batch.widths, limit)[0] == tokens
    return same, len(images)


def calibrate(
    recognizer: Recognizer, crops: Sequence[NDArray[np.uint8]], texts: Sequence[str], mode: Mode
) -> Calibration:
    """An isotonic table from raw to true word confidence, for a `recognizer` that returns raw confidences.

    A word is right if the truth has the same word at its place, by the minimum-edit alignment of the two word
    sequences. Method: pool adjacent violators (Ayer et al. 1955).
    """
    from scipy.optimize import isotonic_regression

    raw: list[float] = []
    right: list[float] = []
    for reading, text in zip(recognizer.read_lines(crops, mode), texts, strict=True):
        raw.extend(word.confidence for word in reading.words)
        right.extend(words_right(text, [word.text for word in reading.words]))
    if len(raw) < 50:
        raise DataInvalid(f"only {len(raw)} words to calibrate on: give more held-out lines.")
    order = np.argsort(raw)
    x, y = np.asarray(raw)[order], np.asarray(right)[order]
    # First form bins of equal size: single words would give a staircase of noise.
    bins = np.array_split(np.arange(len(x)), min(40, len(x) // 15))
    centres = [float(x[b].mean()) for b in bins]
    fitted = isotonic_regression([float(y[b].mean()) for b in bins], weights=[len(b) for b in bins]).x
    return Calibration(raw=tuple(round(c, 5) for c in centres), right=tuple(round(float(v), 4) for v in fitted))


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """How to build a bundle from a checkpoint.

    Args:
        checkpoint: of `train fit`, or the folder of its run for the one with the lowest validation CER.
        out: folder of the bundle; an older bundle there is replaced when the new one is complete.
        unipen: pen strokes (`train data prepare`) of the held-out writers, for parity and calibration.
        finder: checkpoint of the line finder, or a bundle to copy the line finder from.
        marks: graph of `train marks`, or a bundle to copy the graph from if it has one.
        name, version: of the bundle.
        fonts, texts: folders of `train data`, for the pages of the reference.
        averaged: use the moving average of the weights, else the weights of the last step.
        language_models: files of `train language-model` by BCP 47 tag, the default language first. With more than one,
            `texts` must have texts in each language, from which language identification is built.
        neural_language_model: graph of `train neural-language-model`, for all of these languages; None for none.
        decoding: default weights of the search.
        formats: of `training.export`, in addition to ONNX, which reading needs.
        reference_pages: number of rendered pages for the monitoring reference; 0 for none.
        licences: of further training data, in addition to pen strokes, fonts and texts.
        worst_cer: refuse the checkpoint at once if its error rate on the first held-out lines is higher.
    """

    checkpoint: Path
    out: Path
    unipen: Path
    finder: Path = SHIPPED
    marks: Path = SHIPPED
    name: str = "pen"
    version: str = "0.1"
    fonts: Path | None = None
    texts: Path | None = None
    averaged: bool = True
    language_models: Mapping[str, Path] = field(default_factory=dict)
    neural_language_model: Path | None = None
    decoding: Decoding = field(default_factory=Decoding)
    formats: Sequence[Format] = ("onnx",)
    reference_pages: int = REFERENCE_PAGES
    licences: Sequence[Licence] = ()
    worst_cer: float = 0.5

    def __post_init__(self) -> None:
        check_names(self.name, self.version)


def stage(options: StageOptions, report: Callable[[str], None] = log.info) -> Bundle:
    """Write a verified bundle: export, parity with torch, calibration, reference for monitoring.

    `report` receives a line at each step. Raises DataInvalid for missing files, for a checkpoint that reads too badly
    or does not belong to a line model, and for failed parity; OutputFailed if `out` contains anything but a bundle.
    """
    from text_recognizer.training.models.line_finder import export_line_finder

    checkpoint = find_checkpoint(options.checkpoint)
    given = (checkpoint, options.finder, options.marks, options.unipen, options.fonts, options.texts)
    for path in (*given, *options.language_models.values(), options.neural_language_model):
        if path is not None and not path.exists():
            raise DataInvalid(f"{path} does not exist: give the file that training or 'train data' wrote.")
    check_replaceable(options.out)
    whole, run = load_network(checkpoint, options.averaged)
    network = as_line_recognizer(whole)
    _check_parts(options)
    codec = Codec()
    c = network.config
    report(f"rendering held-out lines to check {checkpoint}")
    lines = calibration_lines(options.unipen, options.texts, c.height)
    crops, truths = [image for image, _ in lines], [text for _, text in lines]
    cer = greedy_cer(network, lines[:FIRST_LINES], codec)
    report(f"{checkpoint.name}, step {run.steps}: CER {100 * cer:.1f} % on {FIRST_LINES} held-out lines")
    if cer > options.worst_cer:
        raise DataInvalid(
            f"{checkpoint} reads {100 * cer:.0f} % of the characters of {FIRST_LINES} held-out lines wrong, more than "
            f"{100 * options.worst_cer:.0f} %: train longer, or allow it with --worst-cer."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        report("exporting the network to ONNX")
        export_recognizer(network, folder)
        if isinstance(whole, ParagraphRecognizer):
            export_paragraphs(whole, folder)
        if options.finder.is_dir():
            other = Bundle.open(options.finder, whole=True)
            finder_settings = other.description.line_finder
            for file in FINDER_FILES:
                shutil.copyfile(other.path / file, folder / file)
            finder_source = other.description.run.finder_sha256
        else:
            finder_settings = export_line_finder(options.finder, folder / FINDER_FILES[0])
            finder_source = sha256(options.finder)
        marks = options.marks / MARKS if options.marks.is_dir() else options.marks
        if marks.is_file():
            shutil.copyfile(marks, folder / MARKS)
        languages = _add_languages(options.language_models, options.texts, folder)
        if options.neural_language_model is not None:
            shutil.copyfile(options.neural_language_model, folder / f"{NEURAL_LANGUAGE_MODEL}.onnx")
        for graph in sorted(folder.glob("*.onnx")):
            strip_graph(graph)
        fonts = ("handwriting fonts",) if options.fonts else ()
        licences = _further_licences(run, options.licences)
        description = describe(
            folder,
            Description(
                name=options.name,
                version=options.version,
                files={},
                alphabet=codec.alphabet,
                language_models=languages,
                line_height=c.height,
                recognizer=RecognizerSettings(
                    width_scale=WIDTH_SCALE,
                    stride=c.stride,
                    cache=(c.decoder_layers, c.heads, c.d_model // c.heads),
                    max_tokens=c.max_tokens,
                    decoding=options.decoding,
                ),
                line_finder=finder_settings,
                run=replace(run, checkpoint_sha256=sha256(checkpoint), finder_sha256=finder_source),
                git_commit=git_commit()[0],
                data=("UNIPEN train_r01_v07, training writers", *fonts, *(more.data for more in licences)),
                licences=(*LICENCES, *licences),
            ),
        )
        recognizer = Recognizer(Bundle.open(folder))
        if recognizer.neural is not None and recognizer.neural.vocabulary != c.vocabulary:
            raise DataInvalid(
                f"{options.neural_language_model} has another alphabet: train it again with this version."
            )
        report("comparing ONNX Runtime with torch")
        metrics: dict[str, Any] = {"parity": _checked_parity(network, recognizer, crops[:240])}
        for kind, same in write_formats(network, folder, options.formats, crops[:240]).items():
            metrics[f"parity_{kind}"] = same
        description = replace(description, metrics=metrics)
        report(f"calibrating confidences on {len(lines)} lines")
        description = describe(folder, _calibrated(description, recognizer, crops, truths))
        data = (options.unipen, options.fonts, options.texts)
        _refer(folder, description, *data, options.reference_pages, report)
        install(folder, options.out)
    return Bundle.open(options.out)


def _check_parts(options: StageOptions) -> None:
    """Refuse a damaged part of the bundle before minutes of work."""
    from text_recognizer.training.models.line_finder import load_line_finder

    if options.finder.is_dir():
        Bundle.open(options.finder, whole=True)
    else:
        load_line_finder(options.finder)
    with tempfile.TemporaryDirectory() as scratch:
        for graph in (options.marks, options.neural_language_model):
            if graph is not None and graph.is_file():
                try:
                    strip_graph(Path(shutil.copy(graph, scratch)))
                except DataInvalid as error:
                    raise DataInvalid(f"{graph} is damaged, or not a graph of ONNX: make it anew.") from error
    for file in options.language_models.values():
        LanguageModel(file)  # raises for any other file


def _further_licences(run: Run, given: Sequence[Licence]) -> list[Licence]:
    """Licences beyond LICENCES: the given ones, and the shipped bundle's if the run started from its weights."""
    shipped = Description.read(SHIPPED)
    began_with_shipped = run.record.get("parents", {}).get("weights") == shipped.files.get(WEIGHTS)
    known = {licence.data for licence in (*LICENCES, *given)}
    inherited = [licence for licence in shipped.licences if licence.data not in known]
    return [*given, *(inherited if began_with_shipped else ())]


def _add_languages(models: Mapping[str, Path], texts: Path | None, folder: Path) -> dict[str, str]:
    """Copy the language models to the bundle in `folder`, and write the table for language identification.

    Returns each model's file name by language. Raises DataInvalid for a language without texts.
    """
    files = {language: f"language_model.{language}.npz" for language in models}
    for language, file in files.items():
        shutil.copyfile(models[language], folder / file)
    if len(files) > 1:
        lines = lines_by_language(texts) if texts is not None else {}
        if missing := files.keys() - lines.keys():
            raise DataInvalid(
                f"there is no text in '{min(missing)}' to tell it from other languages by: add --texts with a file "
                f"{min(missing)}.txt, or leave that language model out."
            )
        write_table({language: lines[language] for language in files}, folder / LANGUAGE_TABLE)
    return files


def greedy_cer(network: model.Recognizer, lines: Sequence[tuple[NDArray[np.uint8], str]], codec: Codec) -> float:
    """CER of greedy decoding on grey line images (H, W) with their texts."""
    edits = characters = 0
    samples = sorted(
        ((normalise_line(image, network.config.height), codec.encode(text)) for image, text in lines),
        key=lambda sample: sample[0].shape[1],
    )
    for start in range(0, len(samples), 16):
        batch = collate(samples[start : start + 16])
        limit = int(batch.lengths.max()) + 12
        with torch.no_grad():
            read = network.greedy(batch.images.to(torch.float32) / 255, batch.widths, limit)
        for row, ids in zip(batch.tokens.tolist(), read, strict=True):
            found = errors(codec.decode(row), codec.decode(ids))
            edits, characters = edits + found.character_edits, characters + found.characters
    return edits / max(1, characters)


def _calibrated(
    description: Description, recognizer: Recognizer, crops: Sequence[NDArray[np.uint8]], texts: Sequence[str]
) -> Description:
    tables: dict[str, Calibration] = {mode: calibrate(recognizer, crops, texts, mode) for mode in MODES}
    return replace(description, recognizer=replace(description.recognizer, calibration=tables))


def _refer(
    folder: Path, description: Description, unipen: Path, fonts: Path | None, texts: Path | None, pages: int,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    """Add the frequent words, and a monitoring reference from this many pages, to the bundle in `folder`."""
    from text_recognizer.reader import Reader
    from text_recognizer.training.reference import frequent_words, make_reference, write_reference, write_words

    words = frequent_words(texts)
    write_words(folder, words)
    (folder / REFERENCE).unlink(missing_ok=True)
    description = describe(folder, replace(description, reference=None))
    if pages:
        report(f"reading {pages} pages for the reference of monitoring")
        reader = Reader(Bundle.open(folder))
        reference = make_reference(reader, unipen, fonts, texts, pages, frozenset(words), report)
        write_reference(folder, reference)
        describe(folder, replace(description, reference=reference["made"]))


def add_reference(
    bundle: Path,
    unipen: Path,
    fonts: Path | None = None,
    texts: Path | None = None,
    pages: int = REFERENCE_PAGES,
    version: str | None = None,
    report: Callable[[str], None] = log.info,
) -> Bundle:
    """Add the monitoring reference to an existing bundle; its graphs and weights stay as they are.

    `version`: new version of the bundle, None for the same. Copy a registered bundle first, because it must not change.
    Raises BundleInvalid if there is no bundle, DataInvalid if there are no pen strokes.
    """
    if not unipen.exists():
        raise DataInvalid(f"{unipen} does not exist: give the file that 'train data prepare' wrote.")
    description = Bundle.open(bundle, whole=True).description
    if version is not None:
        description = replace(description, version=version)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        shutil.copytree(bundle, folder)
        _refer(folder, description, unipen, fonts, texts, pages, report)
        install(folder, bundle)
    return Bundle.open(bundle)


def add_marks(bundle: Path, graph: Path) -> Bundle:
    """Put the graph of `train marks` into an existing bundle; everything else stays as it is.

    Copy a registered bundle first, because it must not change. Raises BundleInvalid if there is no bundle.
    """
    description = Bundle.open(bundle, whole=True).description
    shutil.copyfile(graph, bundle / MARKS)
    describe(bundle, description)
    return Bundle.open(bundle)


def stage_tuned(
    network: model.Recognizer,
    base: Bundle,
    folder: Path,
    about: Description,
    crops: Sequence[NDArray[np.uint8]],
    calibration: Sequence[tuple[NDArray[np.uint8], str]] = (),
    shares: Sequence[float] = (),
) -> Bundle:
    """Write a bundle to the empty folder `folder`: `base` with `network` as its recogniser.

    `about` is the new description without files, sizes, commit and metrics. `crops` are line images (H, W) uint8 that
    ONNX Runtime must read as torch does. The calibration of `about` stays unless `calibration` has lines (image, text)
    that the network was neither trained on nor selected by. If the alphabet of `about` extends the alphabet of `base`,
    `shares` has the frequency of each further character, and the language models are extended; with any other alphabet
    the language models are left out. Raises DataInvalid if parity fails.
    """
    # The reference has statistics of the base model's readings, so leave it out.
    left_out = {REFERENCE}
    models = [file for file in base.description.languages.values() if file is not None]
    if about.alphabet != base.description.alphabet:
        left_out.add(f"{NEURAL_LANGUAGE_MODEL}.onnx")  # it does not know the new characters
    if shares and about.alphabet[: -len(shares)] == base.description.alphabet:
        for file in models:
            extend(base.path / file, folder / file, shares)
    elif about.alphabet != base.description.alphabet:
        left_out |= {LANGUAGE_TABLE, *models}
        about = replace(about, language_models={})
    halve_weights(network)
    export_recognizer(network, folder)
    for graph in sorted(folder.glob("*.onnx")):
        strip_graph(graph)
    for name in base.description.files:
        if not (folder / name).exists() and name not in left_out:
            shutil.copyfile(base.path / name, folder / name)
    c = network.config
    sizes = replace(about.recognizer, cache=(c.decoder_layers, c.heads, c.d_model // c.heads), max_tokens=c.max_tokens)
    about = replace(about, recognizer=sizes, git_commit=git_commit()[0], metrics={}, reference=None)
    about = describe(folder, about)
    recognizer = Recognizer(Bundle.open(folder), calibration={})
    about = replace(about, metrics={"parity": _checked_parity(network, recognizer, crops)})
    if calibration:
        images, texts = [image for image, _ in calibration], [text for _, text in calibration]
        about = _calibrated(about, recognizer, images, texts)
    describe(folder, about)
    return Bundle.open(folder)


def install(folder: Path, out: Path) -> None:
    """Verify the complete bundle in `folder` and copy it to `out`; an older bundle there is replaced."""
    Bundle.open(folder, whole=True)
    check_replaceable(out)
    whole = out.with_name(f".{out.name}.unfinished")  # an interruption leaves no half bundle at `out`
    try:
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(folder, whole)
        if out.exists():
            shutil.rmtree(out)
        whole.rename(out)
    except OSError as error:  # also raised for many files at once
        shutil.rmtree(whole, ignore_errors=True)
        reasons = [str(each[-1]) for each in error.args[0]] if isinstance(error, shutil.Error) else [error.strerror]
        raise OutputFailed(f"cannot write {out} ({reasons[0]}): make room, or give another --out.") from error


def check_replaceable(out: Path) -> None:
    """Raise OutputFailed if `out` contains anything but a bundle, because it would be lost."""
    if out.exists() and not (out / DESCRIPTION).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise OutputFailed(f"{out} holds something that is not a bundle; give --out a new or empty folder.")


def _checked_parity(
    network: model.Recognizer, recognizer: Recognizer, crops: Sequence[NDArray[np.uint8]]
) -> dict[str, int]:
    same, compared = parity(network, recognizer, crops)
    log.info("parity: %d of %d lines token for token", same, compared)
    if same < compared:
        raise DataInvalid(
            f"ONNX Runtime and torch read {compared - same} of {compared} lines differently: nothing was staged."
        )
    return {"lines": compared, "same": same}


def describe(folder: Path, description: Description) -> Description:
    """Write `description` to `folder` with the digests of its files, and return it."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != DESCRIPTION}
    for_training = tuple(name for name in files if name.endswith(".safetensors"))
    described = replace(description, files=files, for_training=for_training)
    described.write(folder)
    return described


def _language_model(text: str) -> tuple[str, Path]:
    """Parse an argument TAG=FILE into TAG and FILE."""
    tag, _, file = text.rpartition("=")
    return tag or "en", Path(file)


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train stage`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train stage", description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="checkpoint of 'text-recognizer train', or its run's folder"
    )
    parser.add_argument(
        "--finder", type=Path, default=SHIPPED,
        help="checkpoint of the line finder, or a bundle whose line finder is taken over (default: the shipped one)",
    )  # fmt: skip
    parser.add_argument(
        "--marks", type=Path, default=SHIPPED,
        help="graph of 'train marks', or a bundle whose graph is taken over if it has one (default: the shipped one)",
    )  # fmt: skip
    parser.add_argument("--unipen", type=Path, required=True, help="cache made by 'text-recognizer train data prepare'")
    parser.add_argument("--fonts", type=Path, help="folder of 'train data fonts', for the pages of the reference")
    parser.add_argument("--texts", type=Path, help="folder of 'train data texts': texts to render")
    parser.add_argument("--out", type=Path, help="folder of the bundle to write")
    parser.add_argument("--name", default="pen", help="of the model (%(default)s)")
    parser.add_argument("--version", help="default: 0.1; with --reference-only the bundle's own")
    parser.add_argument(
        "--reference-pages", type=int, default=REFERENCE_PAGES, metavar="N",
        help="rendered pages whose statistics monitoring compares with; 0: none (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--reference-only", type=Path, metavar="BUNDLE",
        help="stage nothing: add the monitoring reference to this bundle; its weights stay as they are",
    )  # fmt: skip
    decoding = Decoding()
    parser.add_argument(
        "--ctc-weight", type=float, default=decoding.ctc_weight, help="of the CTC head; the decoder has the rest"
    )
    parser.add_argument("--beam", type=int, default=decoding.beam, help="prefixes that the search follows")
    parser.add_argument(
        "--language-model", action="append", default=[], metavar="[TAG=]FILE", type=_language_model,
        help="made by 'text-recognizer train language-model', with the language (BCP 47, default en); give it once for "
        "each language, the usual one first",
    )  # fmt: skip
    parser.add_argument(
        "--neural-language-model", type=Path, metavar="FILE", help="made by 'train neural-language-model'"
    )
    parser.add_argument(
        "--language-weight", type=float, default=decoding.language_weight,
        help="of the language models relative to the ink (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--neural-share", type=float, default=decoding.neural_share,
        help="of the language weight, what the neural language model has where readings are close (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--length-bonus", type=float, default=decoding.length_bonus, help="log-probability that each character adds"
    )
    parser.add_argument(
        "--formats", default="onnx", help=f"comma separated, of {','.join(FORMATS)}; ONNX is always there (%(default)s)"
    )
    parser.add_argument(
        "--views", type=float, nargs="*", default=decoding.views, help="further widths of a line, as factors"
    )
    parser.add_argument(
        "--licence", action="append", default=[], nargs=3, metavar=("DATA", "LICENCE", "SOURCE"),
        help="of further data that the weights were trained on; may be given several times",
    )  # fmt: skip
    parser.add_argument("--last-weights", action="store_true", help="the last step's weights, not their average")
    parser.add_argument(
        "--worst-cer", type=float, default=StageOptions.worst_cer, metavar="SHARE",
        help="refuse a checkpoint that reads the first held-out lines worse than this (%(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    formats = tuple(args.formats.split(","))
    if unknown := set(formats) - set(FORMATS):
        parser.error(f"there is no format {', '.join(sorted(unknown))}; give some of {','.join(FORMATS)}")
    if args.reference_only is not None:
        made = add_reference(
            args.reference_only, args.unipen, args.fonts, args.texts, args.reference_pages, args.version
        )
        print(made.path)
        return 0
    if args.checkpoint is None or args.out is None:
        parser.error("give a checkpoint and --out, or --reference-only BUNDLE")
    options = StageOptions(
        checkpoint=args.checkpoint, out=args.out, finder=args.finder, marks=args.marks, unipen=args.unipen,
        fonts=args.fonts, texts=args.texts, reference_pages=args.reference_pages, name=args.name,
        version=args.version or StageOptions.version, averaged=not args.last_weights,
        language_models=dict(args.language_model), neural_language_model=args.neural_language_model,
        formats=formats, worst_cer=args.worst_cer,
        licences=[Licence(data=data, licence=licence, source=source) for data, licence, source in args.licence],
        decoding=Decoding(
            ctc_weight=args.ctc_weight, beam=args.beam, language_weight=args.language_weight,
            neural_share=args.neural_share, length_bonus=args.length_bonus, views=tuple(args.views),
        ),
    )  # fmt: skip
    print(stage(options).path)
    return 0
