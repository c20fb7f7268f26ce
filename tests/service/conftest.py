"""A real service on loopback, in a thread; `process` of the tests above has it as a process."""

import contextlib
import io
import re
import resource
from types import SimpleNamespace

import httpx
import pytest
from PIL import Image

from text_recognizer.bundle import Bundle
from text_recognizer.service.app import create_app
from text_recognizer.service.settings import Settings


@pytest.fixture(scope="session")
def running(serving, wait_until):
    """Context manager: a service with these settings."""

    @contextlib.contextmanager
    def run(wait_until_ready=True, **settings):
        app = create_app(Settings(**{"threads": 2, **settings}))
        with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
            if wait_until_ready:
                wait_until(lambda: http.get("/readyz").status_code == 200)
            yield SimpleNamespace(url=url, http=http, app=app, engine=app.state.context.engine)

    return run


@pytest.fixture(scope="session")
def service(running, tmp_path_factory):
    """One service for all tests that only ask."""
    with running(feedback=str(tmp_path_factory.mktemp("service") / "feedback")) as served:
        yield served


@pytest.fixture(scope="session")
def picture(drawn):
    """A small page as PNG, with three lines."""
    stored = io.BytesIO()
    Image.fromarray(drawn).save(stored, "PNG")
    return stored.getvalue()


@pytest.fixture(scope="session")
def heavy(letter):
    """A page that takes its time: 26 lines on 38 million pixels."""
    with Image.open(letter) as image:
        large = Image.new("RGB", (image.width, 2 * image.height))
        large.paste(image, (0, 0))
        large.paste(image, (0, image.height))
    large = large.resize((3 * large.width, 3 * large.height), Image.Resampling.BILINEAR)
    stored = io.BytesIO()
    large.save(stored, "JPEG", quality=60)
    return stored.getvalue()


@pytest.fixture(scope="session")
def figure():
    """A figure of /metrics, 0 where it was not counted yet."""

    def look(http, metric, /, **labels):
        total = 0.0
        for line in http.get("/metrics").text.splitlines():
            found = re.fullmatch(rf"text_recognizer_{metric}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
                total += float(found[2])
        return total

    return look


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="session")
def blank():
    """A white page as PNG."""
    stored = io.BytesIO()
    Image.new("L", (300, 200), 255).save(stored, "PNG")
    return stored.getvalue()


@pytest.fixture(scope="session")
def model(bundle_dir):
    """The bundle that ships."""
    return Bundle.open(bundle_dir)
