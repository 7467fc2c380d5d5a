"""Views to play with: controls above a picture that follows them.

In a notebook without a kernel the picture itself is seen. Nothing depends on stored widget state.
"""

import base64
import html

import ipywidgets as widgets
from matplotlib.figure import Figure

from course_lib import display, images, plots
from course_lib.settings import CourseError

WIDE = {"style": {"description_width": "110px"}, "layout": {"width": "440px"}}


def slider(name: str, lo, hi, value, step=None):
    """Return a slider called `name` from lo to hi; of whole numbers if all of them are."""
    whole = all(isinstance(number, int) for number in (lo, hi, value, step or 1))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    step = step or (1 if whole else (hi - lo) / 100)
    ends = {"min": lo, "max": hi, "step": step, "value": value}
    return kind(description=name, continuous_update=False, **ends, **WIDE)


def choice(name: str, options, value=None):
    """Return a drop-down list called `name`; it starts at `value`, or at the first option."""
    options = list(options)
    start = options[0] if value is None else value
    return widgets.Dropdown(description=name, options=options, value=start, **WIDE)


class Picture(widgets.VBox):
    """Controls above a picture. png: its file as bytes; alt: its text."""

    def __init__(self, controls, alt: str | None = None):
        self._frame = widgets.HTML()
        self._given_alt = alt
        self.png, self.alt = b"", alt or ""
        super().__init__([*controls, self._frame])

    def put(self, make):
        """Show what make() returns: a figure, PNG bytes, or images (uint8, or floats in 0..1).

        An exception is shown as one sentence in the picture's place, and raised.
        """
        try:
            with display.held():
                picture = make()
                if not isinstance(picture, Figure | bytes):
                    whole = str(picture.dtype).endswith("uint8")
                    picture = plots.show_images(picture, value_range=(0, 255 if whole else 1))
            self.png = display.as_png(picture)
        except Exception as error:
            name = "" if isinstance(error, CourseError) else f"{type(error).__name__}: "
            self._frame.value = f"<p>✗ {html.escape(name + str(error))}</p>"
            raise
        label = "" if isinstance(picture, bytes) else picture.get_label()
        self.alt = self._given_alt or label or "Picture made by the controls above it."
        file = base64.b64encode(self.png).decode()
        look = f'alt="{html.escape(self.alt)}" style="max-width: 100%"'
        self._frame.value = f'<img {look} src="data:image/png;base64,{file}">'

    def _repr_mimebundle_(self, **settings):
        data, metadata = super()._repr_mimebundle_(**settings), {}
        if self.png:
            twin, metadata = display.bundle(self.png, self.alt)
            data |= twin
        return data, metadata


class View(Picture):
    """A picture made by draw(**values), one value per control, anew when one of them changes.

    draw: returns a figure, PNG bytes or images, as in Picture.put. controls: made by slider() and
    choice(). alt: text of the picture; without it the figure's own.
    """

    def __init__(self, draw, controls, alt: str | None = None):
        super().__init__(controls, alt)
        self._draw = draw
        self._controls = {control.description: control for control in controls}
        self.redraw()
        for control in controls:
            control.observe(self.redraw, "value")

    @property
    def values(self) -> dict:
        """What the controls stand at: name -> value."""
        return {name: control.value for name, control in self._controls.items()}

    def set(self, **values):
        """Move controls by name; the picture follows each of them."""
        for name, value in values.items():
            self._controls[name].value = value

    def redraw(self, _change=None):
        """Draw the picture anew for the present values."""
        self.put(lambda: self._draw(**self.values))


class Upload(Picture):
    """A button for the reader's own picture, above what on_picture makes of it.

    on_picture(uint8 (3, H, W)) -> a figure, PNG bytes or images, as in Picture.put. example: a
    picture whose result is seen first, and by readers without a kernel.
    """

    def __init__(self, on_picture, example=None, alt: str | None = None):
        self._on_picture = on_picture
        look = {"description": "Choose a picture", "layout": WIDE["layout"]}
        self._button = widgets.FileUpload(accept="image/*", multiple=False, **look)
        super().__init__([self._button], alt)
        if example is not None:
            self.read(example)
        self._button.observe(self._chosen, "value")

    def read(self, picture):
        """Show what on_picture makes of a picture: a path, a file's bytes, or uint8 (3, H, W).

        Raises CourseError, shown as a sentence too, if it is no picture that can be read.
        """
        is_open = hasattr(picture, "shape")
        self.put(lambda: self._on_picture(picture if is_open else images.open_picture(picture)))

    def _chosen(self, change):
        if change.new:
            self.read(bytes(change.new[0]["content"]))


upload = Upload  # reads like slider() and choice()
