"""What Gradio draws: one component that holds the whole page, of the files in `browser/`."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from text_recognizer import formats

BROWSER = Path(__file__).parent / "browser"
# One function's body in this order: each file may use what those before it define.
SCRIPTS = ("asking.js", "picture.js", "lines.js", "saying.js", "page.js")
TITLE = "Text Recognizer"


def gradio_application(options: dict[str, Any]) -> ASGIApp:
    """Gradio with the page at its root; `options` are told to the scripts. Importing Gradio takes seconds."""
    # Before it is imported: it would ask its makers for news.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import gradio
    from fastapi import FastAPI

    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.HTML(
            html_template=_read("page.html").replace("$OPTIONS", html.escape(json.dumps(options))),
            js_on_load="\n".join(_read(name) for name in SCRIPTS),
            apply_default_css=False,
        )
    fonts = ["system-ui", "sans-serif"]
    application: ASGIApp = gradio.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        path="/",
        theme=gradio.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"]),
        head=_head(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )
    return application


def written_formats() -> dict[str, Any]:
    """Formats that are written here, each with the ending of its files, and those that show the picture."""
    known = [formats.get_format(name) for name in formats.NAMES]
    return {
        "suffixes": {one.name: one.suffix for one in known},
        "illustrated": [one.name for one in known if one.needs_picture],
    }


def _head() -> str:
    return (
        '<meta name="description" content="Reads pages of handwriting.">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{_read('page.css')}</style>"
    )


def _read(name: str) -> str:
    return (BROWSER / name).read_text(encoding="utf-8")
