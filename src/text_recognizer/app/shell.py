"""The frame that Gradio draws. It is empty; the modules of `browser/` put the page into it.

Gradio's own HTML component compiles functions from strings; a frame and modules do not need `unsafe-eval`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from text_recognizer import formats

BROWSER = Path(__file__).parent / "browser"
FRAME = "tr-frame"
TITLE = "Text Recognizer"


def gradio_application(options: dict[str, Any]) -> ASGIApp:
    """Gradio with the page at its root. The scripts receive `options`. Importing Gradio takes seconds."""
    # Set before the import: Gradio would otherwise contact its makers.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import gradio
    from fastapi import FastAPI

    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.Column(elem_id=FRAME)
    fonts = ["system-ui", "sans-serif"]
    application: ASGIApp = gradio.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        path="/",
        theme=gradio.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"]),
        head=_head(options),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )
    return application


def written_formats() -> dict[str, Any]:
    """The export formats with their file suffixes, and those that show the picture."""
    known = [formats.get_format(name) for name in formats.NAMES]
    shared = Counter(one.suffix for one in known)
    return {
        # ALTO and PAGE are both .xml, so their names tell them apart.
        "suffixes": {one.name: one.suffix if shared[one.suffix] == 1 else f".{one.name}{one.suffix}" for one in known},
        "illustrated": [one.name for one in known if one.needs_picture],
    }


def _head(options: dict[str, Any]) -> str:
    # "<" is escaped in JSON, so no value can end the element.
    written = json.dumps(options).replace("<", "\\u003c")
    return (
        '<meta name="description" content="Reads pages of handwriting.">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="stylesheet" href="page/browser/page.css">'
        f'<script type="application/json" id="tr-options">{written}</script>'
        '<script type="module" src="page/browser/main.js"></script>'
    )
