"""The answers as OpenAPI tells of them. Places are [x, y] in pixels of the upright image, y down."""

from __future__ import annotations

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


class Models(BaseModel):
    models: list[ModelAnswer] = Field(description="The first one reads")
    formats: list[str]


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
