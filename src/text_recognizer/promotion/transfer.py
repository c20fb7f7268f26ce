"""Models to and from other places: a folder, S3, Weights & Biases. What arrives is verified file by file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from text_recognizer.bundle import DESCRIPTION, Bundle
from text_recognizer.errors import BundleInvalid, ExtraMissing, OutputFailed, UsageError
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.registry import Model

WANDB = "wandb:"
S3 = "s3://"


def push(model: Model, target: str) -> str:
    """Copy `model` to `target`; returns where it is. What is there already under its name is never replaced.

    `target` is a folder (of another registry), `s3://bucket/prefix`, or `wandb:ENTITY/PROJECT/NAME[:ALIAS]`. A push
    that is interrupted leaves nothing that could be pulled. Raises UsageError if another model has the same name there.
    """
    bundle = Bundle.open(model.path, whole=True)
    if target.startswith(WANDB):
        return _push_wandb(bundle, target)
    if target.startswith(S3):
        return _push_s3(bundle, target)
    return str(Registrar(_folder(target)).add(bundle.path).path)


def pull(source: str, name: str | None, registry: Registrar) -> Model:
    """Bring the model `name` (NAME@VERSION, or NAME where there is one version) from `source` into `registry`.

    Nothing is registered unless all of it has arrived and every sha256 is right. Raises BundleInvalid.
    """
    if source.startswith(WANDB):
        with registry.incoming() as fresh:
            _pull_wandb(source, fresh)
            return registry.admit(fresh)
    if not name:
        raise UsageError("say which model to pull: text-recognizer models pull SOURCE NAME@VERSION")
    if source.startswith(S3):
        with registry.incoming() as fresh:
            _pull_s3(source, name, fresh)
            return registry.admit(fresh)
    return registry.add(Registrar(_folder(source)).find(name).path)


def _folder(place: str) -> Path:
    if "://" in place:
        raise UsageError(f"'{place}' is no place for models; give a folder, s3://bucket/prefix or wandb:…")
    return Path(place)


# ------------------------------------------------------------------------------------------------------------ S3


class _S3Failed:
    """Turns what boto3 raises into one line."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError | ClientError | Boto3Error):
            reason = " ".join(str(error).split())[:300]
            raise OutputFailed(
                f"{self.place}: {reason}; check the bucket, the keys (AWS_ACCESS_KEY_ID, …) and AWS_ENDPOINT_URL"
            ) from error


def _client() -> Any:
    try:
        import boto3
    except ModuleNotFoundError:
        raise ExtraMissing("S3 needs the package 'boto3'; run: pip install 'text-recognizer[s3]'") from None
    # Any S3: the endpoint and the keys come from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE and the like.
    return boto3.client("s3")


def _parts(place: str) -> tuple[str, str]:
    """(bucket, prefix that is empty or ends with a slash)"""
    url = urlsplit(place)
    prefix = url.path.strip("/")
    if not url.netloc:
        raise UsageError(f"'{place}' names no bucket; give s3://bucket/prefix")
    return url.netloc, f"{prefix}/" if prefix else ""


def _push_s3(bundle: Bundle, target: str) -> str:
    client = _client()
    bucket, prefix = _parts(target)
    place = f"{prefix}{bundle.name}/{bundle.version}/"
    with _S3Failed(target):
        there = _object(client, bucket, place + DESCRIPTION)
        if there is not None:
            if there != (bundle.path / DESCRIPTION).read_bytes():
                raise UsageError(f"{target} holds another {bundle.name}@{bundle.version}: stage with another --version")
            return f"{S3}{bucket}/{place}"
        for name in bundle.info["files"]:
            client.upload_file(str(bundle.path / name), bucket, place + name)
        # Last, because a model without its description is not there.
        client.upload_file(str(bundle.path / DESCRIPTION), bucket, place + DESCRIPTION)
    return f"{S3}{bucket}/{place}"


def _pull_s3(source: str, name: str, fresh: Path) -> None:
    client = _client()
    bucket, prefix = _parts(source)
    wanted, _, version = name.partition("@")
    with _S3Failed(source):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}{wanted}/")
        keys = {item["Key"] for page in pages for item in page.get("Contents", [])}
        versions = sorted({key.split("/")[-2] for key in keys if key.endswith(f"/{DESCRIPTION}")})
        chosen = [v for v in versions if version in ("", v)]
        if len(chosen) != 1:
            known = ", ".join(f"{wanted}@{v}" for v in versions) or "none"
            raise BundleInvalid(f"{source} holds no model '{name}', or several (whole ones there: {known}).")
        place = f"{prefix}{wanted}/{chosen[0]}/"
        for key in sorted(keys):
            if key.startswith(place) and "/" not in key.removeprefix(place):
                client.download_file(bucket, key, str(fresh / key.removeprefix(place)))


def _object(client: Any, bucket: str, key: str) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return content


# ----------------------------------------------------------------------------------------------- Weights & Biases


def _wandb() -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        raise ExtraMissing("W&B needs the package 'wandb'; run: pip install 'text-recognizer[wandb]'") from None
    return wandb


def _push_wandb(bundle: Bundle, target: str) -> str:
    """The bundle as an artifact, with its description as metadata; offline it waits for 'wandb sync'."""
    wandb = _wandb()
    path, _, alias = target.removeprefix(WANDB).partition(":")
    parts = path.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"'{target}' is no artifact; give wandb:ENTITY/PROJECT/NAME, with :ALIAS if you like")
    entity, project, name = parts
    lineage = {k: bundle.info.get(k) for k in ("run", "git_commit", "data", "licences", "metrics", "files")}
    try:
        with wandb.init(entity=entity, project=project, job_type="push") as run:
            artifact = wandb.Artifact(name, type="model", metadata=lineage)
            artifact.add_dir(str(bundle.path))
            aliases = dict.fromkeys(a for a in ("latest", bundle.version, alias) if a)
            logged = run.log_artifact(artifact, aliases=list(aliases))
            if not run.settings.mode.startswith("offline") and os.environ.get("WANDB_MODE") != "offline":
                logged.wait()
    except wandb.errors.Error as error:
        raise OutputFailed(f"{target}: {' '.join(str(error).split())[:300]}; check WANDB_API_KEY") from error
    return target


def _pull_wandb(source: str, fresh: Path) -> None:
    wandb = _wandb()
    path = source.removeprefix(WANDB)
    try:
        wandb.Api().artifact(path if ":" in path else f"{path}:latest", type="model").download(root=str(fresh))
    except (wandb.errors.Error, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleInvalid(f"{source} can't be pulled ({reason}); check its name and WANDB_API_KEY.") from error
