#!/usr/bin/env python3
"""Build the image of the service, put a model into it, and push it to a registry. Needs docker, podman or buildah.

    deploy/image.py build                                                  what `make image` does
    deploy/image.py push --model production registry.example.org/text-recognizer:2026-11
    deploy/image.py push --model production --target lambda 1234.dkr.ecr.eu-west-1.amazonaws.com/text-recognizer:2026-11
    deploy/image.py sbom --output sbom.json                                what is inside, as CycloneDX

What comes after -- goes to the engine's build: -- --build-arg BASE=… --secret id=pip,src=pip.conf
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("docker", "podman", "buildah")
ECR = re.compile(r"\d+\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    given = sys.argv[1:] if argv is None else argv
    given, extra = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    options = _parser().parse_args(given)
    engine = shlex.split(options.engine) if options.engine else _engine()
    if options.command == "build":
        build(engine, options.target, options.tag or _tag(options.target), extra)
    elif options.command == "push":
        push(engine, options, extra)
    else:
        sbom(engine, options.image, options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="image.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    engine = argparse.ArgumentParser(add_help=False)
    engine.add_argument(
        "--engine", help="command to use, with its options (default: the first that works of docker, …)"
    )
    built = argparse.ArgumentParser(add_help=False)
    built.add_argument("--target", choices=("service", "lambda", "app"), default="service")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", parents=[engine, built], help="build the image, with the model that ships")
    command.add_argument("--tag", help="default: text-recognizer:latest; of the other targets text-recognizer:TARGET")
    command = commands.add_parser("push", parents=[engine, built], help="build, put a model in, push")
    command.add_argument("name", help="REGISTRY/REPOSITORY:TAG to push to")
    command.add_argument("--model", help="folder, production, staging, NAME or NAME@VERSION (default: the shipped one)")
    command.add_argument("--image", help="put the model into this image instead of building one")
    command.add_argument("--plain-http", action="store_true", help="to a registry without TLS, as on this machine")
    command = commands.add_parser("sbom", parents=[engine], help="list what is installed in an image, as CycloneDX")
    command.add_argument("--image", default="text-recognizer:latest")
    command.add_argument("--output", type=Path, default=Path("sbom.json"))
    return parser


def build(engine: list[str], target: str, tag: str, extra: list[str]) -> None:
    """The image of `target` under the name `tag`."""
    file = ROOT / "deploy" / "Dockerfile"
    _run([*engine, "build", *_as_docker(engine), "--target", target, "-t", tag, *extra, "-f", str(file), str(ROOT)])
    print(f"built {tag}", file=sys.stderr)


def push(engine: list[str], options: argparse.Namespace, extra: list[str]) -> None:
    """Put a model into an image and push it; prints the image by digest, which is what deployments should name."""
    if "/" not in options.name:
        _fail(
            f"{options.name} names no registry; give REGISTRY/REPOSITORY:TAG, such as docker.io/you/text-recognizer:1"
        )
    if options.target == "app" and options.model:
        _fail("the web page has no model, the service reads for it; leave --model out")
    folder = _model(options.model)  # first: a model that is not there should not cost a build
    image = options.image or (_tag(options.target) if folder is None else f"text-recognizer:{options.target}-bare")
    if options.image is None:
        without = [] if folder is None else ["--build-arg", "SHIPPED_MODEL=no"]
        build(engine, options.target, image, [*without, *extra])
    if folder is None:
        _run([*engine, "tag", image, options.name])
    else:
        _put_in(engine, image, folder, options.name)
    _log_in(engine, options.name)
    plain = ["--tls-verify=false"] if options.plain_http and Path(engine[0]).name != "docker" else []
    if Path(engine[0]).name == "docker":
        _run([*engine, "push", options.name])
        print(_output([*engine, "inspect", "--format", "{{index .RepoDigests 0}}", options.name]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        digest = Path(scratch) / "digest"
        _run([*engine, "push", *plain, "--digestfile", str(digest), options.name])
        repository = options.name.rpartition(":")[0] if ":" in options.name.rpartition("/")[2] else options.name
        print(f"{repository}@{digest.read_text().strip()}")


def sbom(engine: list[str], image: str, output: Path) -> None:
    """CycloneDX of the Python packages in `image`, as the image's own metadata tells them. Needs cyclonedx-bom."""
    if shutil.which("cyclonedx-py") is None and not (Path(sys.executable).parent / "cyclonedx-py").exists():
        _fail("cyclonedx-py is not there; run: pip install cyclonedx-bom")
    tool = shutil.which("cyclonedx-py") or str(Path(sys.executable).parent / "cyclonedx-py")
    listing = (
        "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    )
    with tempfile.TemporaryDirectory() as scratch:
        packages = Path(scratch) / "packages.txt"
        packages.write_text(_inside(engine, image, listing), encoding="utf-8")
        _run([tool, "requirements", str(packages), "--of", "JSON", "-o", str(output)])
    print(f"{len(json.loads(output.read_text())['components'])} packages in {output}", file=sys.stderr)


def _inside(engine: list[str], image: str, program: str) -> str:
    """What a Python `program` prints inside `image`."""
    if Path(engine[0]).name != "buildah":
        return _output([*engine, "run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", program])
    container = _output([*engine, "from", image])
    try:
        return _output([*engine, "run", container, "--", "python3", "-c", program])
    finally:
        _output([*engine, "rm", container])


def _put_in(engine: list[str], image: str, folder: Path, name: str) -> None:
    """`image` with the bundle in `folder`, under `name`."""
    described = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        shutil.copytree(folder, context / "bundle", ignore=shutil.ignore_patterns(*described.get("for_training", ())))
        for path in [context / "bundle", *(context / "bundle").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o444)  # whoever reads inside is not who wrote outside
        label = f"{described['name']}@{described['version']}"
        file = ROOT / "deploy" / "model.Dockerfile"
        _run(
            [
                *engine,
                "build",
                *_as_docker(engine),
                *("--build-arg", f"IMAGE={_local(engine, image)}", "--label", f"org.text-recognizer.model={label}"),
                *("-t", name, "-f", str(file), scratch),
            ]
        )
        print(f"{name} reads with {label}", file=sys.stderr)


def _model(model: str | None) -> Path | None:
    """The folder of a verified bundle; None for the one that is in the image anyway."""
    if model is None or model == "default":
        return None
    sys.path.insert(0, str(ROOT / "src"))
    from text_recognizer.bundle import Bundle
    from text_recognizer.errors import TextRecognizerError
    from text_recognizer.registry import resolve

    try:
        return Bundle.open(resolve(model)).path
    except TextRecognizerError as error:
        _fail(str(error))


def _log_in(engine: list[str], name: str) -> None:
    """ECR's passwords last for hours, so a fresh one is fetched; for others, log in once by hand."""
    host = name.partition("/")[0]
    found = ECR.fullmatch(host)
    if found is None:
        return
    if shutil.which("aws") is None:
        _fail("the AWS command line (aws) is not there, and ECR wants a password of it; install it, or log in by hand")
    word = subprocess.run(
        ["aws", "ecr", "get-login-password", "--region", found["region"]], check=False, capture_output=True, text=True
    )
    if word.returncode:
        _fail(f"aws gave no password for ECR: {word.stderr.strip()}")
    _run([*engine, "login", "--username", "AWS", "--password-stdin", host], given=word.stdout)


def _engine() -> list[str]:
    """The first engine that is there and works: a docker command without its daemon is common."""
    for name in ENGINES:
        if shutil.which(name) is None:
            continue
        if subprocess.run([name, "info"], check=False, capture_output=True).returncode == 0:
            return [name]
    _fail("none of docker, podman and buildah works here; install one, or name its command by --engine")


def _as_docker(engine: list[str]) -> list[str]:
    """Podman and buildah leave HEALTHCHECK out of images of their own format."""
    return [] if Path(engine[0]).name == "docker" else ["--format", "docker"]


def _local(engine: list[str], image: str) -> str:
    """The name of an image that was built here: podman and buildah ask registries for names without a host."""
    return image if Path(engine[0]).name == "docker" or "/" in image else f"localhost/{image}"


def _tag(target: str) -> str:
    return "text-recognizer:latest" if target == "service" else f"text-recognizer:{target}"


def _run(command: list[str], given: str | None = None) -> None:
    # What engines say while they work goes to the standard error: the output of `push` is the image by digest alone.
    done = subprocess.run(command, check=False, input=given, text=True, stdout=sys.stderr)
    if done.returncode:
        _fail(f"'{shlex.join(command[:3])} …' ended with status {done.returncode}; its last lines above say why")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        _fail(f"'{shlex.join(command[:3])} …' ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def _fail(message: str) -> NoReturn:
    print(f"image.py: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
