"""The OpenAPI document as a page for people: one HTML file without scripts, which loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = (Path(__file__).parent / "api_page.css").read_text(encoding="utf-8")
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
METHODS = ("get", "put", "post", "delete", "patch")

Schema = dict[str, Any]


def render(document: dict[str, Any]) -> str:
    """Render an OpenAPI 3.1 document as HTML. Its content is escaped, so it reaches the page only as text."""
    info = document["info"]
    operations = [
        (method, path, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item
    ]
    schemas = document.get("components", {}).get("schemas", {})
    title = escape(f"{info['title']} {info['version']}")
    links = "".join(f"<li><a href='#{_anchor(m, p)}'>{_address(m, p)}</a></li>" for m, p, _ in operations)
    sections = "".join(_operation(*operation) for operation in operations)
    shapes = "".join(
        f"<section id='{_shape(name)}'><h3>{escape(name)}</h3>{_described(schema)}{_properties(schema)}</section>"
        for name, schema in schemas.items()
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>{title}: API</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{title}</h1>{_described(info)}"
        "<p>For programs: <a href='openapi.json'>openapi.json</a></p></header>"
        f"<nav aria-label='Addresses'><ul>{links}</ul></nav>"
        f"<main>{sections}<h2>Schemas</h2>{shapes}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        (f"<code>{escape(one['name'])}</code>", escape(one["in"]), _type(one["schema"]), _text(one.get("description")))
        for one in operation.get("parameters", ())
    ]
    parts = [
        f"<section id='{_anchor(method, path)}'><h2>{_address(method, path)}</h2>",
        f"<p class='summary'>{_text(operation.get('summary'))}</p>{_described(operation)}",
        _table("Parameters", ("Name", "In", "Type", "Meaning"), rows),
    ]
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        parts.append("<h3>Body</h3><dl>")
        for kind, one in content.items():
            parts.append(f"<dt><code>{escape(kind)}</code></dt><dd>{_shown(one['schema'])}</dd>")
        parts.append("</dl>")
        parts.append(_example(method, path, content))
    answers = [
        (f"<code>{escape(status)}</code>", _text(answer.get("description")), _contents(answer.get("content", {})))
        for status, answer in operation.get("responses", {}).items()
    ]
    parts.append(_table("Answers", ("Status", "Meaning", "Content"), answers))
    return "".join(parts) + "</section>"


def _example(method: str, path: str, content: dict[str, Any]) -> str:
    """An example call with curl, if the body is a form with a file."""
    fields = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
    files = [name for name, schema in fields.items() if schema.get("format") == "binary"]
    if len(fields) != 1 or not files:
        return ""
    called = escape(f"curl -X {method.upper()} -F {files[0]}=@page.jpg http://127.0.0.1:8000{path}")
    return f"<pre tabindex='0' role='group' aria-label='Example'>{called}</pre>"


def _contents(content: dict[str, Any]) -> str:
    return "<br>".join(f"<code>{escape(kind)}</code> {_type(one.get('schema', {}))}" for kind, one in content.items())


def _shown(schema: Schema) -> str:
    """An inline schema: its type and, if they are defined here rather than in the named schemas, its properties."""
    parts = [_shown(one) for one in schema.get("oneOf", ())]
    if parts:
        return "<p>or</p>".join(parts)
    return f"<p>{_type(schema)}</p>{_properties(schema)}"


def _properties(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(name)}</code>" + (" <em>required</em>" if name in required else ""),
            _type(one),
            _text(one.get("description")),
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return _table("", ("Name", "Type", "Meaning"), rows)


def _type(schema: Schema) -> str:
    """A short name of what `schema` allows, with links to named schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{_shape(name)}'>{escape(name)}</a>"
    if "enum" in schema:
        found = " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
        found = " or ".join(dict.fromkeys(map(_type, alternatives)))
    elif schema.get("type") == "array":
        found = f"array of {_type(schema.get('items', {}))}"
    else:
        found = escape(" ".join(filter(None, (schema.get("type", "any"), schema.get("format")))))
    return found + "".join(_bounds(schema))


def _bounds(schema: Schema) -> Iterator[str]:
    for key, words in (("minimum", "at least"), ("maximum", "at most"), ("default", "default")):
        if schema.get(key) is not None:
            value = schema[key]
            yield f", {words} <code>{escape(str(value).lower() if isinstance(value, bool) else str(value))}</code>"


def _table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    title = f"<h3>{caption}</h3>" if caption else ""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    # The table scrolls sideways on a phone, so it must be focusable.
    return (
        f"{title}<div class='table' tabindex='0' role='group' aria-label='{caption or 'Properties'}'>"
        f"<table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def _described(one: dict[str, Any]) -> str:
    return f"<p>{_text(one['description'])}</p>" if one.get("description") else ""


def _text(words: str | None) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words or ""))


def _address(method: str, path: str) -> str:
    return f"<span class='method'>{method.upper()}</span> <code>{escape(path)}</code>"


def _anchor(method: str, path: str) -> str:
    return f"{method}-{re.sub(r'[^a-z0-9]+', '-', path.lower()).strip('-')}"


def _shape(name: str) -> str:
    return f"schema-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"
