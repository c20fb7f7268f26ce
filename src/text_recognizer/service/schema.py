"""The OpenAPI document: answers, bodies and problems. Points are [x, y] in pixels of the upright image, y down."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from text_recognizer import formats
from text_recognizer.feedback.record import Flag
from text_recognizer.page import BlockKind, Mode, Script
from text_recognizer.service.problems import MEDIA_TYPE
from text_recognizer.service.settings import LogContent

Place = list[float]


class WordAnswer(BaseModel):
    text: str
    confidence: float = Field(ge=0, le=1)
    polygon: list[Place]


class LineAnswer(BaseModel):
    text: str = Field(description="Without the words that are struck out")
    confidence: float = Field(ge=0, le=1)
    polygon: list[Place]
    baseline: list[Place]
    alternatives: list[str]
    words: list[WordAnswer]
    script: Script | None = Field(description="null if the model does not distinguish scripts")
    struck: list[WordAnswer] = Field(description="Words that are struck out on the paper")


class Timings(BaseModel):
    """Seconds: in the queue, to decode the image and find lines, to read them, and in total."""

    queued: float
    layout: float
    recognition: float
    total: float


class BlockAnswer(BaseModel):
    """Lines that belong together: from `start` up to but excluding `stop`."""

    kind: BlockKind
    start: int
    stop: int
    blocks: list[BlockAnswer] = Field([], description="Blocks of a column, or rows of a table")


class PageAnswer(BaseModel):
    """A page, as `text-recognizer read --format json` writes it, with its request id and timings."""

    format: int
    source: str
    model: str = Field(description="name@version")
    language: str = Field(description="BCP 47; empty if the model does not distinguish languages")
    width: int
    height: int
    dpi: float | None = Field(None, description="Pixels per inch of paper, if the file states a plausible value")
    embedded: bool = Field(False, description="The text was embedded in the PDF; nothing was recognised")
    text: str
    lines: list[LineAnswer]
    blocks: list[BlockAnswer]
    request_id: str
    timings: Timings


class Prediction(BaseModel):
    pred: str = Field(description="The text of the page, its lines separated by line feeds")


class ModelAnswer(BaseModel):
    name: str
    version: str
    alphabet: str = Field(description="The characters that the model can write")
    modes: list[str]
    languages: list[str] = Field(description="BCP 47 tags; und: a model that names none")
    data: list[str] = Field(description="The training data")


class StorageAnswer(BaseModel):
    """What is stored about readings without feedback, so that a client can inform people."""

    share: float = Field(ge=0, le=1, description="Stored share of all readings; 0: nothing is stored")
    what: LogContent = Field(description="`images`: with their pages")
    days: float = Field(description="Days until it is deleted; 0: never")


class Models(BaseModel):
    models: list[ModelAnswer] = Field(description="The first one is in use")
    formats: list[str]
    feedback: bool = Field(description="Whether POST /v1/feedback is accepted")
    stored: StorageAnswer


class FeedbackRequest(BaseModel, strict=True):
    """A person's feedback on a reading: at least one of flag, comment, lines, text and checked."""

    request_id: str = Field(description="Id of the reading, from the answer of /v1/read")
    id: str | None = Field(None, description="Made by the client: feedback sent twice is stored once")
    flag: Flag | None = None
    comment: str = Field("", description="At most 2,000 characters")
    lines: list[str] | None = Field(
        None, description="A text for each line of the page, in order; empty where the paper has no line"
    )
    text: str | None = Field(None, description="The whole text, if it does not follow the lines of the page")
    checked: bool = Field(False, description="A person checked all lines: unchanged lines are right")
    page: dict[str, Any] | None = Field(None, description="The page as answered, in case the service has forgotten it")
    mode: Mode | None = Field(None, description="The mode in which that page was read")


class FeedbackAnswer(BaseModel):
    id: str
    request_id: str
    image_stored: bool
    page_stored: bool
    outside_alphabet: list[str] = Field(description="Characters in the feedback that are not in the model's alphabet")


class Health(BaseModel):
    status: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


class DataUrl(BaseModel, extra="forbid"):
    image: str = Field(pattern="^data:", description="data:image/png;base64,…")


class ImageUrl(BaseModel, extra="forbid"):
    image_url: str = Field(pattern="^[hH][tT][tT][pP][sS]?://", description="https://…")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents for these statuses."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    headers = {
        401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
        429: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
    }
    words = {
        400: "The request is not understood",
        401: "No API key, or an unknown one",
        403: "A web page of another site sent it",
        404: "The request is not known, or feedback is off",
        408: "The body did not arrive in time",
        413: "The body is too large",
        415: "The media type is not known",
        422: "The image cannot be read or fetched, or the feedback does not fit",
        429: "Too many requests",
        500: "An error in this program",
        503: "The model is not loaded yet, the service is stopping, or feedback cannot be stored",
        504: "The page was not read in time",
        507: "No more feedback can be stored",
    }
    return {
        status: {"description": words[status], "content": content, "headers": headers.get(status, {})}
        for status in statuses
    }


def text_formats() -> dict[str, Any]:
    """The media types of all page formats except JSON."""
    found: dict[str, Any] = {"application/zip": _BYTES, "application/x-ndjson": {"schema": PAGES}}
    for chosen in map(formats.get_format, formats.NAMES):
        binary = {"format": "binary"} if chosen.is_binary else {}
        found[chosen.media_type.partition(";")[0]] = {"schema": {"type": "string", **binary}}
    return {kind: found[kind] for kind in sorted(found) if kind != "application/json"}


EVENT = {
    "type": "object",
    "description": "`data` is JSON: where lines were found, each line with its text, and at the end the page or a "
    "problem",
    "properties": {"event": {"enum": ["layout", "line", "page", "problem"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
PAGES = {
    "type": "object",
    "description": "One line for each page of a document: the page as JSON, or the problem that prevented reading it",
    "properties": {
        "page": {"type": "integer", "description": "Page number, from 1"},
        "count": {"type": "integer", "description": "Number of pages in its document"},
        "picture": {"type": "string", "description": "A data URL of the picture that was read, with `pictures=true`"},
        "problem": {"type": "object", "description": "A problem document"},
    },
    "required": ["page", "count"],
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
READ_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": {"type": "string", "format": "binary"}},
                "required": ["image"],
            }
        },
        "application/json": {"schema": {"oneOf": [DataUrl.model_json_schema(), ImageUrl.model_json_schema()]}},
        "image/*": _BYTES,
        "application/pdf": _BYTES,
        "application/zip": _BYTES,
        "application/octet-stream": _BYTES,
    },
}
LINK_BODY = {"required": True, "content": {"application/json": {"schema": ImageUrl.model_json_schema()}}}
FEEDBACK_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": FeedbackRequest.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "feedback": {"type": "string", "contentMediaType": "application/json"},
                    "image": {"type": "string", "format": "binary"},
                },
                "required": ["feedback"],
            }
        },
    },
}
ORIGINAL_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"image_url": {"type": "string"}, "image": {"type": "string"}},
                "anyOf": [{"required": ["image_url"]}, {"required": ["image"]}],
            }
        }
    },
}
