"""Models in Hugging Face repositories: `hf://owner/name`, with a tag for each version and a model card.

To push, or to read private repositories, set HF_TOKEN or run `hf auth login`. HF_ENDPOINT names a server other than
huggingface.co.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from text_recognizer.bundle import Bundle
from text_recognizer.description import DESCRIPTION, Description
from text_recognizer.errors import (
    BundleInvalid,
    ExtraMissing,
    OutputFailed,
    TextRecognizerError,
    UsageError,
    in_short,
    install_hint,
)
from text_recognizer.promotion.ancestry import Node, ancestry, text
from text_recognizer.registry import Registry

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+?)(@(?P<version>[\w.-]+))?/?", re.ASCII)
_THEIRS = (".gitattributes",)  # made by the server
CARD = "README.md"
_ADVICE = "check the name, HF_TOKEN and HF_ENDPOINT"


def push(bundle: Bundle, target: str, registry: Registry) -> str:
    """Copy a bundle to the repository `target`, `hf://owner/name`, as one commit tagged with its version.

    A missing repository is created as private; its owner may publish it. Raises UsageError if the tag has another
    bundle, OutputFailed if the server refuses.
    """
    repository, version = _parsed(target)
    if version:
        raise UsageError(f"{target}: the version is that of the model; give {SCHEME}{repository}")
    hub, api = _hub()
    with one_line(target, OutputFailed, _ADVICE):
        api.create_repo(repository, private=True, exist_ok=True)
        tags = [tag.name for tag in api.list_repo_refs(repository).tags]
        if bundle.version in tags:
            with TemporaryDirectory() as scratch:
                there = api.hf_hub_download(repository, DESCRIPTION, revision=bundle.version, local_dir=scratch)
                if Path(there).read_bytes() != (bundle.path / DESCRIPTION).read_bytes():
                    raise UsageError(f"{target} holds another {bundle}: stage with another --version")
            return f"{SCHEME}{repository}@{bundle.version}"
        names = [DESCRIPTION, *bundle.description.files]
        operations = [hub.CommitOperationAdd(name, str(bundle.path / name)) for name in names]
        operations.append(hub.CommitOperationAdd(CARD, model_card(bundle, registry, repository).encode()))
        old = set(api.list_repo_files(repository)) - {*names, CARD, *_THEIRS}
        operations += [hub.CommitOperationDelete(name) for name in sorted(old)]
        done = api.create_commit(repository, operations, commit_message=f"{bundle}")
        api.create_tag(repository, tag=bundle.version, revision=done.oid)
    return f"{SCHEME}{repository}@{bundle.version}"


def pull(source: str, name: str | None, fresh: Path) -> None:
    """Copy the files of a bundle from `source`, `hf://owner/name[@VERSION]`, to the folder `fresh`.

    `name`: NAME or NAME@VERSION, to choose a version other than the newest or to check the name. Raises BundleInvalid.
    """
    repository, version = _parsed(source)
    wanted, _, other = (name or "").partition("@")
    _, api = _hub()
    revision = version or other or None
    with one_line(source, BundleInvalid, _ADVICE):
        # Pin one commit for all files, in case somebody pushes meanwhile.
        revision = api.model_info(repository, revision=revision).sha
        api.hf_hub_download(repository, DESCRIPTION, revision=revision, local_dir=fresh)
        description = Description.read(fresh)
        if wanted and description.name != wanted:
            raise BundleInvalid(f"{source} holds {description.name}@{description.version}, not {name}.")
        for file in description.files:
            api.hf_hub_download(repository, file, revision=revision, local_dir=fresh)
    shutil.rmtree(fresh / ".cache", ignore_errors=True)  # left by the client


def model_card(bundle: Bundle, registry: Registry, repository: str) -> str:
    """README.md of a repository: metadata for the Hub's search, how to use the model, and its lineage."""
    hub, _ = _hub()
    description = bundle.description
    own = description.run.base is not None  # fine-tuned on data whose licence only its owner knows
    languages = [language for language in description.languages if language != "und"]
    data = hub.ModelCardData(
        language=languages or None,
        license="other" if own else "apache-2.0",
        license_name="see-licences" if own else None,
        library_name="text-recognizer",
        pipeline_tag="image-to-text",
        tags=["handwriting", "htr", "ocr", "onnx"],
        model_name=description.name,
    )
    licences = "\n".join(f"- {entry.data}: {entry.licence}" for entry in description.licences) or "- unknown"
    metrics = "\n".join(f"- {name}: {value}" for name, value in description.metrics.items()) or "- none"
    return f"""---
{data.to_yaml()}
---

# {bundle}

Reads lines and pages of handwriting with text-recognizer. The files are ONNX graphs, weights as safetensors, and
`{DESCRIPTION}` with the sha256 of each; nothing in them is unpickled.

```sh
text-recognizer models pull {SCHEME}{repository}@{bundle.version}
text-recognizer read --model {bundle} page.jpg
```

It writes {len(description.alphabet)} characters:

```
{description.alphabet}
```

## Measured

{metrics}

## Licences of what it was trained on

{licences}

## Lineage

```
{text(_public(ancestry(bundle, registry)))}```
"""


def _public(node: Node) -> Node:
    """A lineage without the paths of the machine that pushes."""
    facts = tuple(fact for fact in node.facts if fact[0] != "folder")
    return replace(node, facts=facts, sources=tuple(map(_public, node.sources)))


def _parsed(address: str) -> tuple[str, str | None]:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(f"'{address}' is not a repository; give hf://OWNER/NAME, to pull optionally with @VERSION")
    return found["repository"], found["version"]


def _hub() -> tuple[Any, Any]:
    """The package, and a client of the server at HF_ENDPOINT."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        hub = import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise ExtraMissing(f"{SCHEME} needs the package 'huggingface_hub'; {install_hint('hf')}") from None
    return hub, hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="text-recognizer")


@contextmanager
def one_line(address: str, kind: type[TextRecognizerError], advice: str) -> Iterator[None]:
    """Turn the errors of another package, which has its own classes for them, into `kind` with `advice`."""
    try:
        yield
    except TextRecognizerError:
        raise
    except Exception as error:
        reason = in_short(str(error)) or type(error).__name__
        raise kind(f"{address}: {reason}; {advice}") from error
