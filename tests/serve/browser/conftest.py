"""A real service, and a real browser that looks at its page and reports whatever goes wrong there."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
import uvicorn

import shoal
from shoal.engines.stream.run import StreamRun
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.service import Service
from shoal.serve.settings import Settings
from shoal.sources.drifting import DriftingStream
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream

HERE = Path(__file__).parent
START = 1_767_225_600.0
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
HERE_ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
ARGUMENTS = ["--no-sandbox", *QUIET.split(), "--disable-component-update", "--disable-sync", HERE_ALONE]
LIGHT, DARK = "light", "dark"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """One browser, and one service of each kind, for all of them."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="module")
def browser():
    """Of a module, not of the session: while it lives, its thread has an event loop, which other tests want."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as p:
        running = p.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@contextmanager
def serving(paths, at=0, **settings):
    """The address of a service of some models, on a free port if none is given."""
    service = Service(Models(paths), Settings(**({"poll_seconds": 0.2} | settings)))
    listening = socket.create_server(("127.0.0.1", at))
    config = uvicorn.Config(app_of(service), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=15)
        listening.close()


@pytest.fixture
def serve():
    """Services of a test: ``serve({"name": path})`` is an address."""
    with contextmanager(_many)() as start:
        yield start


def _many():
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda paths, **settings: stack.enter_context(serving(paths, **settings))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """500 clusters."""
    path = tmp_path_factory.mktemp("models") / "many"
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (500, 8))
    X = centres[rng.integers(0, 500, 20_000)] + rng.normal(0, 0.5, (20_000, 8))
    shoal.fit(pd.DataFrame(X, columns=[f"m{j}" for j in range(8)]), 500).save(path)
    return path


class Stream:
    """A stream of two columns that goes on when it is told to."""

    def __init__(self, folder):
        self.folder, self.state, self._made = (
            folder,
            folder / "clicks",
            DriftingStream(20_000, seconds=2400.0, start=START),
        )
        self._settings = StreamSettings(
            k=(2, 8),
            time="at",
            half_life=Span(seconds=90.0),
            every=Span(seconds=60.0),
            recipe=RecipeSpec(columns=("x", "y"), scale="none"),
            bucket=300.0,
        )

    def go_on(self, start, end):
        """Follow the rows of a file more."""
        X, times, _ = self._made.rows(start, end)
        inbox = self.folder / "rows"
        inbox.mkdir(exist_ok=True)
        pa_csv.write_csv(pa.table({"at": times, "x": X[:, 0], "y": X[:, 1]}), inbox / f"{start:06d}.csv")
        options = ReadOptions(on_error="skip")
        rows = open_stream(str(inbox), follow=False, options=options, state=self.state)
        StreamRun(rows, self._settings, self.state).run()
        return self


@pytest.fixture
def stream(tmp_path):
    """A stream that has seen 12,000 rows."""
    return Stream(tmp_path).go_on(0, 12_000)


@pytest.fixture(scope="module")
def reading(stream_state, houses, many, topic_file):
    """The address of a service that no test writes to."""
    paths = {"clicks": stream_state, "houses": houses[0], "many": many, "tickets": topic_file}
    with serving(paths) as address:
        yield address


class Pages:
    """Pages of a test; whatever goes wrong in one of them is kept."""

    def __init__(self, browser):
        self._browser, self.troubles, self.expected, self._contexts = browser, [], [], []

    def open(self, address, *, theme=LIGHT, size=(1280, 800), wait="#clusters li", **options):
        """Open a page, and wait until something is seen."""
        wide, high = size
        context = self._browser.new_context(
            color_scheme=theme, viewport={"width": wide, "height": high}, **options
        )
        context.set_default_timeout(8000)
        context.add_init_script(HERE.joinpath("drawn.js").read_text())
        self._contexts.append(context)
        host = re.match(r"https?://[^/]+", address)[0]
        page = context.new_page()
        page.on("request", lambda request: self._same_host(request.url, host))
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and self._note(f"{said.text} {said.location}"),
        )
        page.on("pageerror", lambda error: self._note(f"page: {error}"))
        page.on("requestfailed", self._failed)
        page.goto(address)
        if wait:
            page.wait_for_selector(wait)
        return page

    def expect(self, pattern):
        """What the browser is bound to say of an answer that a test asks for."""
        self.expected.append(pattern)

    def close(self):
        for context in self._contexts:
            context.close()

    def check(self):
        """Fail for what the browser said since the last time."""
        told, self.troubles = self.troubles, []
        assert [t for t in told if not any(re.search(p, t) for p in self.expected)] == []

    def _note(self, text):
        self.troubles.append(text)

    def _failed(self, request):
        # what the page gave up itself, and the feed of a page that is left
        if "ERR_ABORTED" not in (request.failure or ""):
            self._note(f"failed: {request.url} {request.failure}")

    def _same_host(self, url, host):
        if not url.startswith((host + "/", "data:", "blob:", "about:")):
            self._note(f"another host: {url}")


@pytest.fixture
def pages(browser, serve):
    """Opens pages; the test fails if the browser complained about any of them.

    They are closed before the services of the test are.
    """
    opened = Pages(browser)
    yield opened
    opened.close()
    opened.check()
