"""Views to play with: what can be moved, what a reader without a kernel sees, what goes wrong."""

import base64
import datetime
import io

import nbclient
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import display, explore, plots
from course_lib.settings import ROOT, CourseError

WIDGET = "application/vnd.jupyter.widget-view+json"


def picture(z, kind="line"):
    """A picture that depends on both values."""
    values = np.full((1, 4, 4), z / 10)
    return plots.show_images(
        values if kind == "line" else 1 - values, value_range=(0, 1), alt=f'z "{z}" <{kind}>'
    )


def view(draw=picture, **more):
    controls = [explore.slider("z", 0, 10, 3), explore.choice("kind", ["line", "field"])]
    return explore.View(draw, controls, **more)


def frame(some) -> str:
    """What stands below the controls."""
    return some.children[-1].value


def test_controls_say_their_name_and_wait_for_the_end_of_a_move():
    whole, real = explore.slider("z", 0, 10, 3), explore.slider("z", -1, 1, 0.5)
    assert type(whole.value) is int and whole.step == 1
    assert type(real.value) is float and real.step == 0.02 and (real.min, real.max) == (-1, 1)
    assert explore.slider("z", 0, 10, 3, 2).step == 2
    assert type(explore.slider("z", 0, 10, 3, 0.5).value) is float
    assert (
        explore.choice("kind", "ab").value == "a" and explore.choice("kind", "ab", "b").value == "b"
    )
    assert not whole.continuous_update and not real.continuous_update
    assert whole.description == "z"


def test_the_first_picture_stands_there_at_once():
    some = view()
    assert some.values == {"z": 3, "kind": "line"}
    assert some.png == display.as_png(picture(3))


def test_moving_a_control_redraws():
    some = view()
    some.children[0].value = 7
    assert some.png == display.as_png(picture(7))
    some.children[1].value = "field"
    assert some.png == display.as_png(picture(7, "field"))
    assert base64.b64encode(some.png).decode() in frame(some)


def test_set_moves_controls_by_name():
    some = view()
    some.set(z=9, kind="field")
    assert some.values == {"z": 9, "kind": "field"}
    assert some.png == display.as_png(picture(9, "field"))


def test_an_error_is_raised_and_shown_as_one_sentence_until_the_next_picture():
    def draw(z, kind):
        if z == 4:
            raise CourseError("Four <is> too many.")
        return picture(z, kind) if z != 5 else 1 / 0

    some = view(draw)
    with pytest.raises(CourseError):
        some.children[0].value = 4
    assert frame(some) == "<p>✗ Four &lt;is&gt; too many.</p>"
    with pytest.raises(ZeroDivisionError):
        some.set(z=5)
    assert frame(some) == "<p>✗ ZeroDivisionError: division by zero</p>"
    some.set(z=6)
    assert some.png == display.as_png(picture(6)) and "✗" not in frame(some)


def test_an_error_in_the_first_picture_fails_the_cell():
    with pytest.raises(ZeroDivisionError):
        view(lambda **values: 1 / 0)


def test_a_reader_without_a_kernel_sees_the_picture_with_its_alt_text():
    some = view()
    some.set(z=8)
    data, metadata = some._repr_mimebundle_()
    assert WIDGET in data
    assert base64.b64decode(data["image/png"]) == some.png
    assert (
        metadata == {"image/png": {"alt": 'z "8" <line>'}} and data["text/plain"] == 'z "8" <line>'
    )


def test_the_picture_in_the_widget_has_its_alt_text():
    assert 'alt="z &quot;3&quot; &lt;line&gt;"' in frame(view())
    assert 'alt="mine"' in frame(view(alt="mine"))
    assert view(lambda **values: display.as_png(picture(1))).alt


@pytest.mark.parametrize(
    "images",
    [np.full((2, 1, 3, 3), 255, np.uint8), torch.ones(2, 1, 3, 3), np.ones((2, 3, 3))],
)
def test_images_can_be_returned_as_they_are(images):
    expected = plots.show_images(np.ones((2, 3, 3)), value_range=(0, 1))
    assert view(lambda **values: images).png == display.as_png(expected)
    with pytest.raises(CourseError, match="value_range"):
        view(lambda **values: images.astype(float) * 3 if hasattr(images, "astype") else images * 3)


def test_drawing_shows_nothing_beside_the_widget(monkeypatch):
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: pytest.fail("shown twice"))
    view().set(z=2)


def file_of(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def choose(uploader, content: bytes):
    """Do what the browser does when a file is chosen."""
    modified = datetime.datetime.now(datetime.UTC)
    uploader.children[0].value = (
        {
            "name": "a",
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": modified,
        },
    )


RED = np.full((4, 5, 3), (200, 0, 0), np.uint8)
BLUE = np.full((6, 5, 3), (0, 0, 99), np.uint8)


def turned(pixels):
    """What the uploader below should show for a picture of height x width x 3."""
    return display.as_png(plots.show_images(pixels.transpose(2, 0, 1)[None], value_range=(0, 255)))


def on_picture(picture):
    assert picture.dtype == torch.uint8 and picture.shape[0] == 3
    return plots.show_images(picture[None], value_range=(0, 255))


def test_an_uploaded_picture_takes_the_examples_place():
    uploader = explore.upload(on_picture, example=file_of(RED))
    assert uploader.png == turned(RED)
    choose(uploader, file_of(BLUE))
    assert uploader.png == turned(BLUE)
    assert WIDGET in uploader._repr_mimebundle_()[0]
    assert uploader.children[0].accept == "image/*"


def test_an_example_can_be_a_tensor_or_a_path(tmp_path):
    path = tmp_path / "rot ä.png"
    path.write_bytes(file_of(RED))
    tensor = torch.from_numpy(RED).permute(2, 0, 1)
    assert explore.upload(on_picture, example=tensor).png == turned(RED)
    assert explore.upload(on_picture, example=path).png == turned(RED)


def test_a_file_that_is_no_picture_is_one_sentence():
    uploader = explore.upload(on_picture)
    with pytest.raises(CourseError) as caught:
        choose(uploader, b"no picture")
    assert frame(uploader).startswith("<p>✗ ") and str(caught.value)[:12] in frame(uploader)
    choose(uploader, file_of(BLUE))
    assert uploader.png == turned(BLUE)


def test_without_an_example_there_is_no_picture_yet():
    data, metadata = explore.upload(on_picture)._repr_mimebundle_()
    assert not any(kind.startswith("image/") for kind in data) and not metadata


CELLS = [
    """
import torch
from course_lib import explore, plots, training
x = torch.linspace(0, 1, 2 * 9).view(2, 3, 3)
fig = plots.show_images(x, value_range=(0, 1))
""",
    """
def look(run):
    return plots.curves(run.history, xlabel="step", ylabel="loss")

training.TEXT_EVERY = 0
with training.progress(30, view=look, every=0, label="cnn") as run:
    for step in run:
        run.log(loss=torch.tensor(1.0 / (step + 1)))
""",
    """
def draw(z):
    return plots.show_images(z * x, value_range=(0, 1))

view = explore.View(draw, [explore.slider("z", 0.0, 1.0, 0.5)])
view
""",
    """
view.set(z=0.25)
view.children[0].value = 1.0
assert "mean 0.5 " in view.alt
""",
    """
data = plots.animation(x, value_range=(0, 1))
""",
]


def test_a_real_kernel_stores_final_states_pictures_and_alt_texts_but_no_widgets(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COURSE_PROFILE", "standard")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(notebook, kernel_name="python3", store_widget_state=False).execute()
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    kinds = [
        [sorted(out.get("data", [out.output_type])) for out in c.outputs] for c in notebook.cells
    ]
    image, text = ["image/png", "text/plain"], ["text/plain"]
    assert kinds == [[image], [text, image], [[WIDGET, *image]], [], [image]]
    outputs = [out for cell in notebook.cells for out in cell.outputs]
    assert all(out.metadata["image/png"]["alt"] for out in outputs if "image/png" in out.data)
    assert outputs[1].data["text/plain"].startswith("cnn: 30 steps in ")
    assert "over 30 values" in outputs[2].data["text/plain"]
