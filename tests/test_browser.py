"""The course as a learner meets it: JupyterLab, started as the README says, in a real browser."""

import json
import re
import shutil
import urllib.error
import urllib.request

import nbformat
import pytest

from course_lib import editions, lessons
from course_lib.settings import ROOT
from tests.running_lab import SECONDS, own_environment, running_lab, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
NAMES = "chromium", "chromium-browser", "google-chrome"
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]

LESSON = "13_shrink_and_grow"
IDLE = """path => {
    const panel = window.jupyterapp?.shell.currentWidget, context = panel?.context;
    return context?.path === path && context.isReady
        && panel.sessionContext.session?.kernel?.status === 'idle';
}"""
CELLS = "[...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.toJSON())"
ACTIVATE = """async number => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = number;
    await notebook.scrollToItem(number);
}"""
UNSAVED = "jupyterapp.shell.currentWidget.context.model.dirty"
TRAINING = [
    """\
import os, time
os.environ["COURSE_PROFILE"] = "standard"  # the smoke profile shows no bar
from course_lib import training""",
    """\
with training.progress(100_000) as run:
    for step in run:
        run.log(loss=1 / (step + 1))
        time.sleep(0.01)""",
    """\
kept = len(run.history["loss"][0]) >= run.step > 0
print(f"interrupted {run.interrupted}, history kept {kept}")""",
    """\
run.steps = run.step + 3
with run:
    for step in run:
        run.log(loss=0)""",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """COURSE_HOME, in a path with a space and an umlaut."""
    folder = tmp_path_factory.mktemp("browser") / "mein Kürs"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def server(home):
    """The address and the token of a running JupyterLab."""
    environ, log = own_environment(home), home / "lab.log"
    with running_lab(ROOT, environ, log, "--expose-app-in-browser") as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        except playwright.Error as error:  # such as Ubuntu's, which only says: install the snap
            pytest.skip(f"{CHROMIUM} does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


class Notebook:
    """A notebook that is open in JupyterLab, its kernel ready."""

    def __init__(self, chromium, server, name: str):
        address, token = server
        self.page, self.asked = chromium.new_page(), []
        self.page.set_default_timeout(1000 * SECONDS)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{address}lab/workspaces/{name}/tree/{name}.ipynb?token={token}")
        self.path = f"{name}.ipynb"
        self.wait_until_idle()

    def wait_until_idle(self):
        self.page.wait_for_function(IDLE, arg=self.path)

    def cells(self) -> list[dict]:
        return self.page.evaluate(CELLS)

    def find(self, words: str) -> int:
        """Return the number of the first code cell with these words in its source."""
        cells = enumerate(self.cells())
        return next(n for n, cell in cells if is_code(cell) and words in cell["source"])

    def activate(self, number: int):
        """Make a cell the active one and bring it into sight; return its place on the page."""
        self.page.evaluate(ACTIVATE, number)
        return self.page.locator(".jp-Notebook-cell.jp-mod-active")

    def press(self, title: str):
        """Press a button of the notebook's toolbar."""
        self.page.get_by_title(title).click()

    def run_all(self):
        """Choose Run All Cells in the menu."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()

    def wait_for_the_end(self):
        """Wait until every code cell has run, or one has failed."""
        wait_until(lambda: self.errors() or all(map(has_run, self.cells())), "the last cell")

    def errors(self) -> list[dict]:
        return [each for cell in self.cells() for each in outputs(cell) if "traceback" in each]

    def answer(self, name: str, code: str) -> list[dict]:
        """Type the answer to an exercise, run it and its check; return the check's outputs."""
        exercise, check = self.find(f"def {name}("), self.find(f"checks.shrink_and_grow.{name}(")
        before = self.cells()[check]["execution_count"]
        self.activate(exercise).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)
        self.press("Run this cell and advance")
        self.activate(check)
        self.press("Run this cell and advance")
        wait_until(lambda: self.cells()[check]["execution_count"] not in (before, None), "a check")
        self.wait_until_idle()
        return outputs(self.cells()[check])


def is_code(cell: dict) -> bool:
    return cell["cell_type"] == "code"


def has_run(cell: dict) -> bool:
    return not is_code(cell) or cell["execution_count"] is not None


def outputs(cell: dict) -> list[dict]:
    return cell.get("outputs", [])


def text_of(cell: dict) -> str:
    """Return what a cell has written, and the text of what it shows."""
    return "\n".join(
        each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs(cell)
    )


@pytest.fixture(scope="module")
def lesson(chromium, server):
    """A lesson of the learner's edition, untouched, after Run All Cells."""
    notebook = Notebook(chromium, server, LESSON)
    notebook.run_all()
    notebook.wait_for_the_end()
    yield notebook
    notebook.page.close()


def test_an_untouched_lesson_runs_to_its_end_and_names_every_open_exercise(lesson):
    cells = lesson.cells()
    assert lesson.errors() == [] and all(map(has_run, cells))
    still_open = sum(cell["source"].count("raise NotImplementedError(") for cell in cells)
    reported = [line for cell in cells for line in text_of(cell).splitlines() if line[:1] == "○"]
    assert len(reported) == still_open > 5


def test_the_page_asks_no_other_computer(lesson, server):
    asked = [url for url in lesson.asked if url.startswith("http")]
    assert asked and all(url.startswith(server[0]) for url in asked)


def test_moving_a_slider_changes_the_picture(lesson):
    view = lesson.activate(lesson.find("explore.View("))
    picture, reading = view.locator("img"), view.locator(".widget-readout").first
    before, value = picture.get_attribute("src"), reading.inner_text()
    view.locator(".noUi-handle").first.press("ArrowRight")
    wait_until(lambda: picture.get_attribute("src") != before, "another picture")
    assert int(reading.inner_text()) == int(value) + 1
    assert picture.get_attribute("src").startswith("data:image/png;base64,")
    assert picture.get_attribute("alt")


RIGHT = """\
def output_size(n, kernel, stride=1, padding=0):
    free = n + 2 * padding - kernel
    return 1 + free // stride"""


def test_a_wrong_answer_gets_the_words_of_the_check_and_no_traceback(lesson):
    (error,) = lesson.answer("output_size", RIGHT.replace("1 + free", "free"))
    said = "\n".join(error["traceback"])
    assert said.startswith("✗ output_size: ") and "add 1" in said
    seen = lesson.page.locator(".jp-Notebook-cell").filter(has_text="✗ output_size").inner_text()
    assert not re.search("Traceback|CheckFailed|File ", seen)


def test_a_right_answer_gets_the_line_of_its_check(lesson):
    first, *_ = lesson.answer("output_size", RIGHT)
    assert first["text"].startswith("✓ output_size: ")


def test_a_notebook_that_was_only_run_and_saved_is_still_the_courses(chromium, server, home):
    path = home / "work" / "12_convolution.ipynb"
    handed_out = path.read_text(encoding="utf-8")
    notebook = Notebook(chromium, server, path.stem)
    first = next(n for n, cell in enumerate(notebook.cells()) if is_code(cell))
    notebook.activate(first)
    notebook.press("Run this cell and advance")
    wait_until(lambda: has_run(notebook.cells()[first]), "the first cell")
    notebook.press("Save and create checkpoint")
    wait_until(lambda: not notebook.page.evaluate(UNSAVED), "the saved notebook")
    saved = path.read_text(encoding="utf-8")
    assert saved != handed_out
    assert editions.fingerprint(json.loads(saved)) == editions.fingerprint(json.loads(handed_out))
    notebook.page.close()


def test_the_stop_button_ends_a_training_and_the_notebook_goes_on(chromium, server, home):
    cells = [nbformat.v4.new_code_cell(source) for source in TRAINING]
    made = nbformat.v4.new_notebook(cells=cells, metadata=lessons.METADATA)
    nbformat.write(made, home / "work" / "training.ipynb")
    notebook = Notebook(chromium, server, "training")
    notebook.run_all()
    wait_until(lambda: ", step " in text_of(notebook.cells()[1]), "the progress of the training")
    notebook.press("Interrupt the kernel")
    notebook.wait_for_the_end()
    assert notebook.errors() == []
    _, training, look, more = map(text_of, notebook.cells())
    assert re.search(
        r"stopped at step \d+ of 100,000.* Model, optimiser and history are kept", training
    )
    assert look.strip() == "interrupted True, history kept True"
    steps = int(re.search(r"step (\d+)", training)[1])
    assert more.startswith(f"training: {steps + 3} steps")
    notebook.page.close()


def test_without_its_token_the_page_is_refused(server):
    address, token = server
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}api/contents?token={token}", timeout=SECONDS) as answer:
        assert LESSON in answer.read().decode()
    for no_token in ("", "?token=", f"?token={token[::-1]}"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            direct.open(f"{address}api/contents{no_token}", timeout=SECONDS)
        assert refused.value.code == 403
    with direct.open(f"{address}lab", timeout=SECONDS) as answer:
        assert "/login" in answer.url
