"""Copy models between registries: a folder, S3 or another object store, Hugging Face, Weights & Biases.

Every file is verified by its SHA-256 before a model is registered.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from text_recognizer.bundle import Bundle
from text_recognizer.description import DESCRIPTION
from text_recognizer.errors import (
    BundleInvalid,
    ExtraMissing,
    OutputFailed,
    UsageError,
    in_short,
    install_hint,
)
from text_recognizer.promotion import hub
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.registry import Model

WANDB = "wandb:"
# Retry a broken connection, but fail within a minute if nothing listens.
_S3 = {"config_kwargs": {"connect_timeout": 10, "retries": {"max_attempts": 2}}}
_ADVICE = "check the bucket, the keys (AWS_ACCESS_KEY_ID, …) and AWS_ENDPOINT_URL"


def push(model: Model, target: str, registry: Registrar | None = None) -> str:
    """Copy `model` to `target` and return its address there. An existing model is never replaced.

    `target` is a folder (another registry), an fsspec address such as `s3://bucket/prefix`, `hf://owner/name`, or
    `wandb:ENTITY/PROJECT/NAME[:ALIAS]`. `registry` has the base models that a model card names. An interrupted push
    leaves nothing that `pull` would accept. Raises UsageError if another model has the same name there, OutputFailed if
    the target cannot be written.
    """
    bundle = Bundle.open(model.path, whole=True)
    if target.startswith(WANDB):
        return _push_wandb(bundle, target)
    if target.startswith(hub.SCHEME):
        return hub.push(bundle, target, registry or Registrar())
    if "://" in target:
        return _push_store(bundle, target)
    return str(Registrar(target).add(bundle.path).path)


def pull(source: str, name: str | None, registry: Registrar) -> Model:
    """Copy the model `name` (NAME@VERSION, or NAME if there is one version) from `source` into `registry`.

    Nothing is registered until all files have arrived and every SHA-256 matches. Raises BundleInvalid.
    """
    if source.startswith(WANDB):
        with registry.incoming() as fresh:
            _pull_wandb(source, fresh)
            return registry.admit(fresh)
    if source.startswith(hub.SCHEME):
        with registry.incoming() as fresh:
            hub.pull(source, name, fresh)
            return registry.admit(fresh)
    if not name:
        raise UsageError("name the model to pull: text-recognizer models pull SOURCE NAME@VERSION")
    if "://" in source:
        with registry.incoming() as fresh:
            _pull_store(source, name, fresh)
            return registry.admit(fresh)
    return registry.add(Registrar(source).find(name).path)


# ---------------------------------------------------------------------------------------------- object stores


def open_store(address: str) -> tuple[Any, str]:
    """The fsspec file system of `address`, and the path of its prefix there.

    Credentials and endpoint of S3 come from AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL and the like.
    """
    if find_spec("fsspec") is None:
        raise ExtraMissing(f"object stores need the package 'fsspec'; {install_hint('s3')}")
    import fsspec
    from fsspec.core import split_protocol
    from fsspec.registry import known_implementations

    protocol, path = split_protocol(address)
    if protocol not in fsspec.available_protocols():
        raise UsageError(
            f"'{address}' is not a place for models; give a folder, s3://bucket/prefix, hf://owner/name or wandb:…"
        )
    if not path.strip("/"):
        raise UsageError(f"'{address}' names no bucket; give {protocol}://bucket/prefix")
    package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
    if package and find_spec(package) is None:
        advice = install_hint("s3") if package == "s3fs" else f"run: pip install {package}"
        raise ExtraMissing(f"{protocol}:// needs the package '{package}'; {advice}")
    options: dict[str, Any] = _S3 if package == "s3fs" else {}
    fs = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)
    return fs, fs._strip_protocol(address).rstrip("/")  # noqa: SLF001  fsspec has no public one


def _push_store(bundle: Bundle, target: str) -> str:
    with hub.one_line(target, OutputFailed, _ADVICE):
        fs, root = open_store(target)
        place = f"{root}/{bundle.name}/{bundle.version}"
        try:
            existing = fs.cat_file(f"{place}/{DESCRIPTION}")
        except FileNotFoundError:
            existing = None
        if existing is None:
            # The description goes last, because a model only exists once its description does.
            for name in (*bundle.description.files, DESCRIPTION):
                fs.put_file(str(bundle.path / name), f"{place}/{name}")
        elif existing != (bundle.path / DESCRIPTION).read_bytes():
            raise UsageError(f"{target} holds another {bundle.name}@{bundle.version}: stage with another --version")
    return f"{target.rstrip('/')}/{bundle.name}/{bundle.version}/"


def _pull_store(source: str, name: str, fresh: Path) -> None:
    wanted, _, version = name.partition("@")
    with hub.one_line(source, OutputFailed, _ADVICE):
        fs, root = open_store(source)
        files = [str(path) for path in fs.find(f"{root}/{wanted}")]
        versions = sorted({file.split("/")[-2] for file in files if file.endswith(f"/{DESCRIPTION}")})
        chosen = [v for v in versions if version in ("", v)]
        if len(chosen) != 1:
            known = ", ".join(f"{wanted}@{v}" for v in versions) or "none"
            raise BundleInvalid(f"{source} holds no model '{name}', or several (complete models there: {known}).")
        for file in files:
            *_, folder, base = file.split("/")
            if folder == chosen[0]:
                fs.get_file(file, str(fresh / base))


# ----------------------------------------------------------------------------------------------- Weights & Biases


def _wandb() -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        raise ExtraMissing(f"W&B needs the package 'wandb'; {install_hint('wandb')}") from None
    return wandb


def _push_wandb(bundle: Bundle, target: str) -> str:
    """Log the bundle as an artifact with its lineage as metadata; `wandb sync` uploads an offline run later."""
    wandb = _wandb()
    path, _, alias = target.removeprefix(WANDB).partition(":")
    parts = path.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"'{target}' is not an artifact; give wandb:ENTITY/PROJECT/NAME, optionally with :ALIAS")
    entity, project, name = parts
    try:
        with wandb.init(entity=entity, project=project, job_type="push") as run:
            artifact = wandb.Artifact(name, type="model", metadata=bundle.description.provenance())
            artifact.add_dir(str(bundle.path))
            aliases = dict.fromkeys(a for a in ("latest", bundle.version, alias) if a)
            logged = run.log_artifact(artifact, aliases=list(aliases))
            if not run.settings.mode.startswith("offline") and os.environ.get("WANDB_MODE") != "offline":
                logged.wait()
    except wandb.errors.Error as error:
        raise OutputFailed(f"{target}: {in_short(str(error))}; check WANDB_API_KEY") from error
    return target


def _pull_wandb(source: str, fresh: Path) -> None:
    wandb = _wandb()
    path = source.removeprefix(WANDB)
    try:
        wandb.Api().artifact(path if ":" in path else f"{path}:latest", type="model").download(root=str(fresh))
    except (wandb.errors.Error, ValueError) as error:
        raise BundleInvalid(
            f"{source} cannot be pulled ({in_short(str(error))}); check its name and WANDB_API_KEY."
        ) from error
