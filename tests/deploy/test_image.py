"""The image: what its recipe promises, and the script that builds and pushes it, with engines that only write down."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
DIGEST = "sha256:" + "0" * 64


def stages():
    """Each stage's instructions, by name, in order; continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    found, name = {}, ""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if match := re.match(r"FROM \S+ AS (\S+)", line):
            name = match[1]
        if line.strip():
            found.setdefault(name, []).append(line.strip())
    return found


def instruction(lines, word):
    return [line.partition(" ")[2] for line in lines if line.startswith(word + " ")]


# ---------------------------------------------------------------------------------------------------------- the recipe


def test_service_is_what_is_built_unless_a_target_is_named():
    assert list(stages())[-1] == "service"


def test_what_runs_is_nobody_in_particular_and_needs_no_shell():
    runtime = stages()["runtime"]
    (user,) = instruction(runtime, "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "a number: Kubernetes' runAsNonRoot cannot look names up"
    for lines in (stages()[name] for name in ("service", "lambda", "app")):
        assert instruction(lines, "FROM") == [f"runtime AS {lines[0].split()[-1]}"]
        for word in ("RUN", "CMD", "ENTRYPOINT"):
            assert all(isinstance(json.loads(form), list) for form in instruction(lines, word))
        assert not instruction(lines, "USER")


def test_build_sees_all_that_it_copies_and_nothing_else(tmp_path):
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")
    }
    copied = {name for line in instruction(stages()["sources"], "COPY") for name in line.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_recipe_names_public_bases_and_no_index_of_packages():
    assert all(
        base.count("/") >= 1 and "localhost" not in base for base in re.findall(r"^ARG \w*BASE=(\S+)", DOCKERFILE, re.M)
    )
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|PIP_|https?_proxy", DOCKERFILE, re.I)


def test_page_is_asked_for_its_health_where_it_listens():
    page = stages()["app"]
    arguments = json.loads(instruction(page, "ENTRYPOINT")[0])
    (port,) = instruction(page, "EXPOSE")
    assert arguments[arguments.index("app") :] == ["app", "--host", "0.0.0.0", "--port", port]
    assert f"http://127.0.0.1:{port}/healthz" in instruction(page, "HEALTHCHECK")[0]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_health_check_tells_a_service_that_works_from_one_that_does_not(status, healthy):
    (check,) = instruction(stages()["service"], "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    port = str(server.server_port)
    if status is None:
        server.server_close()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "TEXT_RECOGNIZER_PORT": port}
    done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)
    assert command[0] == "python3"
    assert (done.returncode == 0) is healthy
    if status is not None:
        server.shutdown()
        server.server_close()


def test_feedback_has_a_folder_that_the_service_may_write_and_a_function_keeps_none():
    service, user = stages()["service"], instruction(stages()["runtime"], "USER")[0]
    (folder,) = instruction(service, "VOLUME")
    assert f"TEXT_RECOGNIZER_FEEDBACK={folder}" in instruction(service, "ENV")[-1]
    assert any(line.split()[-1] == folder and f"--chown={user}" in line for line in instruction(service, "COPY"))
    assert "TEXT_RECOGNIZER_FEEDBACK=off" in instruction(stages()["lambda"], "ENV")


def needs(package, extras=()):
    """The names of distributions that `package` needs here, itself too."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found, waiting = set(), [(package, frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found}


@pytest.fixture
def installed(tmp_path):
    """A folder with what `pip install --target` would put there, as links to the files of this environment."""

    def put(source, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            shutil.copy2(source, target)

    def install(*extras):
        for name in needs("text-recognizer", extras) - {"text-recognizer"}:
            for file in importlib.metadata.files(name):
                if file.suffix != ".pyc" and ".." not in file.parts:
                    put(file.locate(), tmp_path / file)
        for source in (ROOT / "src").rglob("*"):
            if source.is_file() and source.suffix != ".pyc":
                put(source, tmp_path / source.relative_to(ROOT / "src"))
        return tmp_path

    return install


def slim(root, *arguments):
    command = [sys.executable, "-I", str(ROOT / "deploy" / "slim.py"), str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def size(root):
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def test_slimmed_packages_read_and_are_smaller(installed):
    root = installed("serve")
    before = size(root)
    done = slim(root)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "reads" in done.stdout
    assert size(root) < before - 40e6
    assert not [name for pattern in ("**/tests", "**/*.pyi", "bin") for name in root.glob(pattern)]
    # What only training needs is gone, all else of the model is there.
    bundle = root / "text_recognizer" / "bundles" / "default"
    files = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    assert {file.name for file in bundle.iterdir()} == {"bundle.json", *files["files"]} - set(files["for_training"])
    # What serving imports is compiled, and what it does not is not.
    assert list((root / "fastapi" / "__pycache__").glob("routing.*.pyc"))
    assert list((root / "text_recognizer" / "feedback" / "__pycache__").glob("store.*.pyc"))
    assert not list((root / "text_recognizer" / "training").rglob("*.pyc"))
    done = slim(root, "--shipped-model", "no")
    assert done.returncode == 0, done.stderr[-3000:]
    assert not bundle.exists()
    # Where something that serving needs is taken out one day, here the model, the build ends.
    done = slim(root)
    assert done.returncode != 0
    assert "cannot serve" in done.stderr


def test_slimmed_packages_show_the_page_without_a_model(installed):
    root = installed("app")
    done = slim(root, "--program", "app")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "shows the page" in done.stdout
    assert not list(root.glob("onnxruntime*"))
    assert not (root / "text_recognizer" / "bundles" / "default").exists()


# ---------------------------------------------------------------------------------------------------------- the script

ENGINE = f"""#!{sys.executable}
import json, os, pathlib, sys
arguments = sys.argv[1:]
name = pathlib.Path(sys.argv[0]).name
if arguments == ["info"]:
    sys.exit(name in os.environ.get("BROKEN", "").split())
given = sys.stdin.read() if "--password-stdin" in arguments else ""
bundle = pathlib.Path(arguments[-1]) / "bundle" if arguments[0] == "build" else None
model = sorted(file.name for file in bundle.iterdir()) if bundle and bundle.exists() else None
with open(os.environ["LOG"], "a") as log:
    log.write(json.dumps([name, arguments, given, model]) + "\\n")
if name == "aws":
    print("a-password")
if "--digestfile" in arguments:
    pathlib.Path(arguments[arguments.index("--digestfile") + 1]).write_text("{DIGEST}")
if arguments[0] == "inspect":
    print("registry.example.org/reader@{DIGEST}")
"""


@pytest.fixture
def script(tmp_path):
    """Runs deploy/image.py where only the named programs are there; gives the process and what the engine was told."""
    log, programs = tmp_path / "log", tmp_path / "bin"

    def run(*arguments, there=("docker", "podman", "buildah"), broken=(), **environment):
        shutil.rmtree(programs, ignore_errors=True)
        programs.mkdir()
        log.unlink(missing_ok=True)
        for name in there:
            (programs / name).write_text(ENGINE)
            (programs / name).chmod(0o755)
        environment |= {"PATH": str(programs), "LOG": str(log), "BROKEN": " ".join(broken), "HOME": str(tmp_path)}
        command = [sys.executable, str(ROOT / "deploy" / "image.py"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return done, told

    return run


def test_build_takes_the_first_engine_that_works(script):
    # A docker command whose daemon does not run is common.
    done, ((engine, arguments, _, _),) = script("build", "--", "--build-arg", "BASE=mine", broken=["docker"])
    assert done.returncode == 0
    assert engine == "podman"
    assert arguments[:5] == ["build", "--format", "docker", "--target", "service"]
    assert arguments[arguments.index("--build-arg") + 1] == "BASE=mine"
    assert arguments[-1] == str(ROOT)


def test_without_an_engine_build_says_what_to_install(script):
    done, told = script("build", there=["docker"], broken=["docker"])
    assert (done.returncode, told) == (1, [])
    assert "podman" in done.stderr


def test_push_puts_the_model_of_the_registry_into_an_image_without_the_shipped_one(script, tmp_path, bundle_dir):
    from text_recognizer.promotion.registrar import Registrar

    registry = Registrar(tmp_path / "models")
    registry.promote(registry.add(bundle_dir), "production")
    name = "registry.example.org/reader:1"
    done, told = script(
        "push", "--model", "production", name, there=["podman"], TEXT_RECOGNIZER_MODELS=str(registry.folder)
    )
    assert done.returncode == 0, done.stderr
    (_, base, _, _), (_, with_model, _, model), (_, push, _, _) = told
    assert "SHIPPED_MODEL=no" in base
    described = json.loads((bundle_dir / "bundle.json").read_text(encoding="utf-8"))
    assert model == sorted({"bundle.json", *described["files"]} - set(described["for_training"]))
    assert f"IMAGE=localhost/{base[base.index('-t') + 1]}" in with_model
    assert with_model[with_model.index("-t") + 1] == name
    assert (push[0], push[-1]) == ("push", name)
    assert done.stdout.strip() == f"registry.example.org/reader@{DIGEST}"


def test_push_with_docker_names_the_image_by_digest_too(script):
    done, told = script("push", "registry.example.org/reader:1", there=["docker"])
    assert done.stdout.strip() == f"registry.example.org/reader@{DIGEST}"
    assert [arguments[0] for _, arguments, _, _ in told] == ["build", "tag", "push", "inspect"]


def test_push_to_ecr_logs_in_with_a_password_that_is_never_an_argument(script):
    name = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/reader:1"
    done, told = script("push", "--target", "lambda", name, there=["podman", "aws"])
    assert done.returncode == 0, done.stderr
    assert ["aws", ["ecr", "get-login-password", "--region", "eu-west-1"], "", None] in told
    (login,) = [entry for entry in told if entry[1][0] == "login"]
    assert login[2].strip() == "a-password"
    assert not any("a-password" in argument for _, arguments, _, _ in told for argument in arguments)


def test_damaged_model_is_refused_before_anything_is_built(script, tmp_path, bundle_dir):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle_dir, damaged)
    with (damaged / "encoder.onnx").open("ab") as stream:
        stream.write(b"x")
    done, told = script("push", "--model", str(damaged), "registry.example.org/reader:1")
    assert (done.returncode, told) == (1, [])
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_page_is_pushed_without_a_model(script):
    done, told = script("push", "--target", "app", "--model", "production", "registry.example.org/page:1")
    assert (done.returncode, told) == (1, [])
    assert "no model" in done.stderr
    done, told = script("push", "--target", "app", "registry.example.org/page:1", there=["podman"])
    assert done.returncode == 0, done.stderr
    assert [arguments[0] for _, arguments, _, _ in told] == ["build", "tag", "push"]


def test_push_needs_a_registry(script):
    done, told = script("push", "reader:1")
    assert (done.returncode, told) == (1, [])
    assert "REGISTRY/REPOSITORY:TAG" in done.stderr
