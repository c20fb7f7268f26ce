"""The description of a bundle, `bundle.json`, as one typed object that reads, validates and writes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from text_recognizer.errors import BundleInvalid, cannot_read

FORMAT = 1
DESCRIPTION = "bundle.json"
NEEDED = ("encoder.onnx", "decoder.onnx", "line_finder.onnx")
LANGUAGE_MODEL = "language_model.npz"  # of a bundle that names no languages
LINE_MARKS = "line_marks"  # optional graph of recognition.marks
# Graphs of recognition.paragraph, of a model that reads paragraphs without its line finder.
PARAGRAPH_ROWS, PARAGRAPH_LINES = "paragraph_rows", "paragraph_lines"
LANGUAGE_TABLE = "languages.npz"  # identifies the language of a page
NEURAL_LANGUAGE_MODEL = "neural_language_model"  # optional graph, one for all languages
UNDETERMINED = "und"  # BCP 47: the language is not specified

_T = TypeVar("_T")
_INLINE = {"inline": True}  # the fields of this object are written among those of the enclosing object


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How texts are searched and ranked. The only set of defaults, for staging, reading and benchmarks."""

    ctc_weight: float = 0.5  #: of the CTC head's log-probability; the decoder's has the rest
    beam: int = 16  #: prefixes that the CTC search keeps
    language_weight: float = 0.5  #: of the language model's log-probability; 0 reads without it
    neural_share: float = 0.5  #: share of that weight for the neural language model if readings are close
    length_bonus: float = 2.0  #: log-probability added for each character, since language models prefer short texts
    least_confidence: float = 0.36  # mean, in the characters of a long detected line; with less, it is not writing
    views: tuple[float, ...] = (1.2, 0.85)  #: further widths of a line, as factors, for the accurate mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Isotonic table of word confidences: of the words with confidence `raw`, 0…1, the share `right` is correct.

    `raw` is ascending.
    """

    raw: tuple[float, ...]
    right: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerSettings:
    """Sizes of the recognition network, its decoding and its calibration."""

    width_scale: float  #: factor for the width of a line image
    stride: int  #: pixels of width for each step of the CTC head
    cache: tuple[int, int, int]  #: decoder layers, attention heads, width of a head
    max_tokens: int  #: of a line, including its end
    decoding: Decoding = field(default_factory=Decoding, metadata=_INLINE)
    calibration: Mapping[str, Calibration] = field(default_factory=dict)  #: by mode; without it, confidences are raw


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderSettings:
    """How the line finder scales a page. Pixels are those of the page that the network sees."""

    side: int = 1024  #: longer side in the first pass
    max_side: int = 2048  #: longer side in any pass
    max_enlarge: float = 2.0  #: largest factor by which small images are enlarged
    step: int = 128  #: sides are padded to multiples of it, since few shapes keep the memory small
    x_height: float = 11.0  #: at which the network is most accurate
    low: float = 6.5  #: if the median x-height is below `low` or above `high`, another scale is tried
    high: float = 22.0
    level: float = 2.0  #: degrees; a page whose lines are skewed by more is deskewed first


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """The model from which another one was fine-tuned."""

    name: str
    version: str
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The training run behind a bundle."""

    checkpoint_sha256: str = ""
    finder_sha256: str = ""
    steps: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)  #: sizes of the network, training.models.RecognizerConfig
    record: Mapping[str, Any] = field(default_factory=dict)  #: training.tracking.RunRecord, without absolute paths
    # Of a fine-tuned model:
    base: BaseModel | None = None
    lines: Mapping[str, int] = field(default_factory=dict)  #: lines of training and of validation
    recipe: Mapping[str, Any] = field(default_factory=dict)  #: training.finetune.Recipe
    corrections_sha256: str = ""  # of the manifest of exported feedback
    kept: float | None = None  #: share of the change of the weights that was kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The licence of data that a model was trained on."""

    data: str
    licence: str
    source: str = ""
    cite: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything that a bundle states about itself."""

    name: str
    version: str
    files: Mapping[str, str]  #: sha256 of each, by name
    for_training: tuple[str, ...] = ()  #: files that reading never opens; a copy for reading may lack them
    alphabet: str  #: characters of the token ids from recognition.decoding.FIRST_CHARACTER on
    language_models: Mapping[str, str] = field(default_factory=dict)  #: file per language (BCP 47), the default first
    line_height: int  #: pixels
    recognizer: RecognizerSettings
    line_finder: FinderSettings = field(default_factory=FinderSettings)
    run: Run = field(default_factory=Run)
    git_commit: str = ""
    data: tuple[str, ...] = ()
    licences: tuple[Licence, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] | None = None  #: how the pages of monitoring.reference were made

    @property
    def languages(self) -> dict[str, str | None]:
        """The languages (BCP 47) that pages can be read in, the default first, each with the file of its model.

        A bundle that names no languages has one, UNDETERMINED.
        """
        return dict(self.language_models) or {UNDETERMINED: LANGUAGE_MODEL if LANGUAGE_MODEL in self.files else None}

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read and validate the description in `folder`. Raises BundleInvalid; the message states what to do."""
        file = folder / DESCRIPTION
        try:
            info = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BundleInvalid(
                f"{folder} contains no {DESCRIPTION}: give the folder of a bundle made by 'stage'."
            ) from None
        except OSError as error:
            raise BundleInvalid(cannot_read(file, error, "get the bundle again")) from None
        except ValueError as error:
            raise BundleInvalid(f"{file} can't be read ({type(error).__name__}): get the bundle again.") from None
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise BundleInvalid(f"{file} is not of bundle format {FORMAT}: get a bundle for this version.")
        try:
            description = _build(cls, info)
        except _Missing as missing:
            raise BundleInvalid(f"{file} lacks '{missing}': it was not made by this project's 'stage'.") from None
        except _Wrong as wrong:
            raise BundleInvalid(f"{file} is damaged ({wrong}): get the bundle again.") from None
        for needed in NEEDED:
            if needed not in description.files or needed in description.for_training:
                raise BundleInvalid(f"{file} does not list {needed} for reading: get the bundle again.")
        for language, name in description.language_models.items():
            if name not in description.files:
                raise BundleInvalid(f"{file} lacks the language model of '{language}': get the bundle again.")
        for name in description.files:
            if Path(name).name != name:
                raise BundleInvalid(f"{file} names a file outside the bundle ({name!r}): do not use it.")
        return description

    def write(self, folder: Path) -> None:
        """Write the description to `folder`."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")

    def provenance(self) -> dict[str, Any]:
        """How the model was made, as `to_dict` writes it: run, commit, data, licences, metrics, files."""
        made = {"run": self.run, "git_commit": self.git_commit, "data": self.data, "licences": self.licences}
        return {name: _plain(part) for name, part in (made | {"metrics": self.metrics, "files": self.files}).items()}

    def to_dict(self) -> dict[str, Any]:
        """The content of `bundle.json`: plain dicts, lists, strings and numbers."""
        return {"format": FORMAT, **_plain(self)}


class _Missing(Exception):
    """A field without a default is missing; the message is its name."""


class _Wrong(Exception):
    """A value has the wrong type; the message names it and the type it must have."""


_NAMES = {int: "a whole number", float: "a number", str: "a string", tuple: "a list", Mapping: "an object"}


def _build(kind: type[_T], info: Mapping[str, Any], place: str = "") -> _T:
    """Build the dataclass `kind` from a JSON object. Unknown keys are ignored: a later version may have added them."""
    hints = get_type_hints(kind)
    found: dict[str, Any] = {}
    for f in fields(kind):  # type: ignore[arg-type]
        name = f"{place}{f.name}"
        if f.metadata == _INLINE:
            found[f.name] = _build(hints[f.name], info, place)
        elif f.name in info:
            found[f.name] = _value(hints[f.name], info[f.name], name)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise _Missing(name)
    return kind(**found)


def _value(kind: Any, value: Any, place: str) -> Any:
    """Convert a JSON `value` to the annotation `kind` of a field of the dataclasses above."""
    if kind is Any:
        return value
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:  # only `… | None`
        return None if value is None else _value(next(a for a in arguments if a is not NoneType), value, place)
    expects: Any = {int: int, float: int | float, str: str, tuple: list}.get(origin, dict)
    if not isinstance(value, expects) or isinstance(value, bool):
        raise _Wrong(f"'{place}' is not {_NAMES.get(origin, 'an object')}")
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise _Wrong(f"'{place}' is not a list of {len(kinds)} values")
        return tuple(_value(k, v, f"{place}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is Mapping:
        return {k: _value(arguments[1], v, f"{place}.{k}") for k, v in value.items()}
    return _build(origin, value, f"{place}.") if expects is dict else origin(value)


def _plain(value: Any) -> Any:
    """The JSON form of a value. Empty optional fields are omitted."""
    if is_dataclass(value):
        written: dict[str, Any] = {}
        for f in fields(value):
            part = getattr(value, f.name)
            if f.metadata == _INLINE:
                written |= _plain(part)
            elif part or part != _default(f):
                written[f.name] = _plain(part)
        return written
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _default(f: Field[Any]) -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()
