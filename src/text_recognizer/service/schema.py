"""The answers as OpenAPI tells of them. Places are [x, y] in pixels of the upright image, y down."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

Place = list[float]


class WordAnswer(BaseModel):
    text: str
    confidence: float = Field(ge=0, le=1)
    polygon: list[Place]


class LineAnswer(BaseModel):
    text: str
    confidence: float = Field(ge=0, le=1)
    polygon: list[Place]
    baseline: list[Place]
    alternatives: list[str]
    words: list[WordAnswer]


class Timings(BaseModel):
    """Seconds: waiting for a thread, decoding and finding lines, reading them, and all together."""

    queued: float
    layout: float
    recognition: float
    total: float


class PageAnswer(BaseModel):
    """A page, as `text-recognizer read --format json` writes it, with how it was read."""

    format: int
    source: str
    model: str = Field(description="name@version")
    width: int
    height: int
    text: str
    lines: list[LineAnswer]
    request_id: str
    timings: Timings


class Prediction(BaseModel):
    pred: str = Field(description="The text of the page, its lines separated by line feeds")


class ModelAnswer(BaseModel):
    name: str
    version: str
    alphabet: str = Field(description="The characters that it can write")
    modes: list[str]
    data: list[str] = Field(description="What it was trained on")


class KeptAnswer(BaseModel):
    """What is kept of readings that nobody gives feedback on, so that people can be told."""

    share: float = Field(ge=0, le=1, description="Of all readings; 0: nothing is kept")
    what: Literal["numbers", "pages", "images"] = Field(description="The image comes with its page")
    days: float = Field(description="Until it is deleted; 0: never")


class Models(BaseModel):
    models: list[ModelAnswer] = Field(description="The first one reads")
    formats: list[str]
    feedback: bool = Field(description="Whether POST /v1/feedback is taken")
    kept: KeptAnswer


class FeedbackRequest(BaseModel, strict=True):
    """What a person says of a reading; at least one of flag, comment, lines, text and checked."""

    request_id: str = Field(description="Of the reading, as /v1/read answered it")
    id: str | None = Field(None, description="Made by the client, so that sending it twice keeps it once")
    flag: Literal["incorrect", "offensive", "other"] | None = None
    comment: str = Field("", description="At most 2,000 characters")
    lines: list[str] | None = Field(
        None, description="A text for each line of the page, in its order; empty where there is no line on the paper"
    )
    text: str | None = Field(None, description="The whole text, where it does not go by the lines of the page")
    checked: bool = Field(False, description="All lines were looked at: those that stayed as they were are right")
    page: dict[str, Any] | None = Field(None, description="The page as it was answered, where it may be forgotten here")
    mode: Literal["fast", "accurate"] | None = Field(None, description="In which that page was read")


class FeedbackAnswer(BaseModel):
    id: str
    request_id: str
    image_kept: bool
    page_kept: bool
    outside_alphabet: list[str] = Field(description="Characters in it that the model cannot write")


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
