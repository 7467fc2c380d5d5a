"""Pictures of every kind that people bring, and digits photographed on paper."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile

from course_lib import datasets, images, strokes
from course_lib.images import digit_from_photo, example_photo, open_picture
from course_lib.settings import ROOT, CourseError
from tests.photos_of_digits import synthesise


def scene(width=40, height=24):
    """A picture whose corner, sides and colours tell how it was turned or mixed up."""
    picture = Image.new("RGB", (width, height), (200, 120, 40))
    ImageDraw.Draw(picture).rectangle((0, 0, 9, 5), fill=(10, 40, 250))
    return picture


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(picture):
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG", "WEBP"])
def test_every_usual_kind_from_a_path_and_from_bytes(kind, tmp_path):
    options = {"JPEG": dict(quality=95, subsampling=0), "WEBP": dict(lossless=True)}
    content = saved(scene(), kind, **options.get(kind, {}))
    path = tmp_path / "ein Bild é"  # no suffix: what is inside counts
    path.write_bytes(content)
    expected, tolerance = pixels(scene()).int(), 16 if kind == "JPEG" else 0
    for source in (path, str(path), content, bytearray(content), memoryview(content)):
        picture = open_picture(source)
        assert picture.dtype == torch.uint8 and picture.shape == (3, 24, 40)
        assert picture.is_contiguous()
        assert (picture.int() - expected).abs().max() <= tolerance
    path.unlink()  # on Windows this fails if the file is still open


TURNS = {  # EXIF orientation -> what was done to the upright picture before it was stored
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_a_turned_photograph_stands_upright(orientation):
    exif, turn = Image.Exif(), TURNS[orientation]
    exif[0x0112] = orientation
    stored = scene() if turn is None else scene().transpose(turn)
    picture = open_picture(saved(stored, "PNG", exif=exif))
    assert torch.equal(picture, pixels(scene()))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "P"])
def test_every_colour_mode_becomes_rgb(mode):
    stored = scene().quantize() if mode == "P" else scene().convert(mode)
    picture = open_picture(saved(stored, "PNG" if mode in ("RGB", "P") else "TIFF"))
    assert (picture.int() - pixels(scene()).int()).abs().max() <= 3


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white_and_grey_become_rgb(mode):
    stored = scene().convert("L").convert(mode)
    picture = open_picture(saved(stored, "PNG"))
    assert torch.equal(picture, pixels(stored)) and torch.equal(picture[0], picture[2])


def test_a_cmyk_jpeg_keeps_its_colours():
    picture = open_picture(saved(scene().convert("CMYK"), "JPEG", quality=95))
    assert (picture[:, 20, 30].int() - torch.tensor([200, 120, 40])).abs().max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode):
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert open_picture(saved(clear.convert(mode), "PNG")).min() == 255
    assert open_picture(saved(half.convert(mode), "PNG")).unique().tolist() == [127]


def test_a_transparent_colour_of_a_palette_is_white():
    stored = scene().quantize()
    picture = open_picture(saved(stored, "PNG", transparency=stored.getpixel((20, 20))))
    assert picture[:, 20, 20].tolist() == [255, 255, 255]
    assert picture[:, 2, 2].tolist() == [10, 40, 250]


def test_16_bit_grey_is_scaled_and_not_clipped():
    values = np.linspace(0, 65535, 24 * 40).round().astype(np.uint16).reshape(24, 40)
    for kind in ("PNG", "TIFF"):
        picture = open_picture(saved(Image.fromarray(values), kind))
        assert torch.equal(picture[0], picture[2]) and picture.unique().numel() == 256
        assert (picture[0].double() - torch.from_numpy(values / 257.0)).abs().max() <= 0.5


def test_values_without_a_known_range_are_refused():
    unit = Image.fromarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    assert open_picture(saved(unit, "TIFF"))[0].flatten()[[0, -1]].tolist() == [0, 255]
    for wrong in (np.float32([[0, 7]]), np.float32([[0, np.nan]]), np.int32([[0, 70_000]])):
        with pytest.raises(CourseError, match="grey values from"):
            open_picture(saved(Image.fromarray(wrong), "TIFF"))


def test_of_an_animation_the_first_frame_is_used_and_said(capsys):
    frames = [scene(), Image.new("RGB", (40, 24), "black"), Image.new("RGB", (40, 24), "white")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert torch.equal(open_picture(content), pixels(scene()))
    assert capsys.readouterr().out == "The picture holds 3 frames; the first one is used.\n"
    open_picture(saved(scene(), "GIF"))
    assert capsys.readouterr().out == ""


def huge_png(width, height):
    """The header of a PNG of that size and no pixels: it can be refused, never decoded."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("width, height", [(20_000, 10_000), (10_000, 10_000), (6325, 6325)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(width, height):
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(CourseError, match="more than 40 million pixels"):
        open_picture(huge_png(width, height))
    assert limit == Image.MAX_IMAGE_PIXELS and not ImageFile.LOAD_TRUNCATED_IMAGES


def test_the_limit_is_the_callers():
    content = saved(scene(), "PNG")
    assert open_picture(content, max_pixels=960).shape == (3, 24, 40)
    with pytest.raises(CourseError, match=r"0.000959 million pixels \(40 x 24\)"):
        open_picture(content, max_pixels=959)


def test_what_is_no_picture_is_said(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("not a picture", encoding="utf-8")
    heic = struct.pack(">I", 24) + b"ftypheic" + bytes(100)
    vector = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    for source, told in (
        (text, "notes.png cannot be opened as a picture"),
        (tmp_path / "nowhere.png", "nowhere.png cannot be opened.*No such file"),
        (tmp_path, "cannot be"),
        (heic, "save it as JPEG or PNG.*HEIC"),
        (vector, "save it as JPEG or PNG"),
        (postscript, "cannot be opened as a picture"),
        (b"", "cannot be opened as a picture"),
    ):
        with pytest.raises(CourseError, match=told):
            open_picture(source)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_cut_off_picture_is_refused(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), kind)
    path = tmp_path / "half"
    for length in (len(content) // 3, 2 * len(content) // 3):
        path.write_bytes(content[:length])
        with pytest.raises(CourseError, match="half cannot be opened as a picture"):
            open_picture(path)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]), st.data())
@pytest.mark.filterwarnings("error")
@examples(deadline=None, derandomize=True, max_examples=150)
def test_whatever_happens_to_a_file_it_opens_or_says_why(kind, data):
    content = bytearray(saved(scene(), kind))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        picture = open_picture(bytes(content))
        assert picture.dtype == torch.uint8 and picture.ndim == 3 and len(picture) == 3
    except CourseError as error:
        assert str(error).startswith("The picture ")


def test_fit_takes_the_middle_and_resizes():
    picture = torch.zeros(3, 30, 50, dtype=torch.uint8)
    picture[:, :, 10:40] = torch.arange(30, dtype=torch.uint8)
    assert torch.equal(images.fit(picture, 30), picture[:, :, 10:40])
    assert images.fit(picture, 10)[0, 4].tolist() == pytest.approx(range(1, 30, 3), abs=1)
    assert images.fit(picture.transpose(1, 2), 64).shape == (3, 64, 64)


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten().double(), b.flatten().double()]))[0, 1].item()


@pytest.fixture(scope="module")
def digits():
    """Ten digits of the course's own, float (10, 28, 28) in [0, 1]."""
    return strokes.draw({"digit": torch.arange(10)})[:, 0] / 255


@pytest.mark.parametrize(
    "options",
    [{}, {"fill": 0.25}, {"fill": 0.9}, {"light_on_dark": True}, {"side": 900}, {"angle": 0.0}],
    ids=str,
)
def test_digits_are_read_back_from_photographs(options, digits):
    rng = np.random.default_rng(0)
    found = [digit_from_photo(synthesise(digit, rng, **options)) for digit in digits]
    for image in found:
        assert image.shape == (1, 28, 28) and image.dtype == torch.float32
        assert image.min() == 0 and image.max() == 1 and image.isfinite().all()
        ink = (image[0] > 0.1).nonzero()
        assert 19 <= (ink.max(0).values - ink.min(0).values + 1).max() <= 20
    scores = [correlation(a, b) for a, b in zip(found, centred(digits), strict=True)]
    assert np.mean(scores) > 0.9 and min(scores) > 0.6, scores


def centred(digits):
    """The digits as MNIST places them: 20 pixels large, centre of mass at pixel (14, 14)."""
    placed = [images._centre(images._scale(digit.numpy(), digit.numpy() > 0.4)) for digit in digits]
    return [torch.from_numpy(digit) for digit in placed]


def test_real_digits_are_read_back(monkeypatch):
    folder = ROOT.parent / "shared" / "datasets"
    if not (folder / "mnist").is_dir():
        pytest.skip("the real MNIST files are not in ../shared/datasets")
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(folder))
    real, rng = datasets.load("mnist", "test", size=25).float()[:, 0], np.random.default_rng(0)
    scores = [correlation(digit_from_photo(synthesise(digit, rng)), digit) for digit in real]
    assert np.mean(scores) > 0.9, np.mean(scores)  # 0.93 over 300: the original's pixel is lost


def test_the_centre_of_mass_is_where_mnist_has_it(digits):
    rng, y = np.random.default_rng(5), torch.arange(28.0)
    for digit in digits:
        image = digit_from_photo(synthesise(digit, rng))[0]
        for axis in (0, 1):
            assert (image.sum(axis) * y).sum() / image.sum() == pytest.approx(14, abs=0.51)


def test_a_thin_pen_is_made_readable():
    photo = Image.new("RGB", (600, 800), (230, 225, 215))
    pen = ImageDraw.Draw(photo)
    pen.line([(150, 200), (450, 200), (250, 650)], fill=(20, 20, 60), width=5)
    image = digit_from_photo(pixels(photo))[0]
    middle = image[14] / image.max()
    assert 1.3 <= middle.sum() <= 3.0, "a stroke of 0.2 pixels would have faded away"


def table(photo):
    paper = photo[:, 40:-40, 40:-40].clone()
    photo[:] = 30  # around the paper: more of it than of the digit, cut off by the edge
    photo[:, 40:-40, 40:-40] = paper


def blot(photo):
    y, x = torch.meshgrid(torch.arange(480), torch.arange(360), indexing="ij")
    photo[:, (y - 410).square() + (x - 290).square() < 48**2] = 20  # larger, but in the corner


def specks(photo):
    for y, x in ((138, 150), (325, 180), (250, 236)):  # small, but close to the digit
        photo[:, y : y + 4, x : x + 4] = 20


@pytest.mark.parametrize("mark", [table, blot, specks])
def test_what_is_not_the_digit_is_left_out(mark, digits):
    photo = example_photo((255 * digits[3:4]).to(torch.uint8))
    alone = digit_from_photo(photo)
    mark(photo)
    assert correlation(digit_from_photo(photo), alone) > 0.97


def test_a_digit_of_two_strokes_stays_together():
    photo = Image.new("L", (400, 400), 220)
    pen = ImageDraw.Draw(photo)
    pen.line([(150, 120), (150, 200), (250, 200)], fill=30, width=14)
    pen.line([(250, 215), (250, 300)], fill=30, width=14)  # a 4 whose parts do not touch
    image = digit_from_photo(pixels(photo))[0]
    ink = (image > 0.2).nonzero()
    assert (ink.max(0).values - ink.min(0).values + 1).tolist()[0] == 20


@pytest.mark.parametrize("shape", [(1, 480, 360), (3, 31, 500), (3, 28, 28), (1, 5, 5)])
@pytest.mark.parametrize("level", [3, 120, 250])
def test_paper_without_a_digit_is_said(shape, level):
    noise = torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(1))
    photo = (level + noise).clamp(0, 255).to(torch.uint8)
    with pytest.raises(CourseError, match="almost black" if level == 3 else "No digit found"):
        digit_from_photo(photo)


def test_the_wrong_kind_of_tensor_is_said():
    for wrong in (torch.zeros(3, 28, 28), torch.zeros(28, 28, dtype=torch.uint8)):
        with pytest.raises(CourseError, match="needs uint8"):
            digit_from_photo(wrong)


def test_uneven_light_alone_is_no_digit():
    empty = torch.zeros(28, 28)
    for seed in range(5):
        with pytest.raises(CourseError, match="No digit found"):
            digit_from_photo(synthesise(empty, np.random.default_rng(seed)))


def test_a_digit_in_its_final_form_is_kept(digits):
    final = centred(digits)
    found = [digit_from_photo((255 * digit[None]).round().to(torch.uint8)) for digit in final]
    scores = [correlation(a, b) for a, b in zip(found, final, strict=True)]
    assert np.mean(scores) > 0.9 and min(scores) > 0.75, scores


def test_a_file_is_opened_and_read(tmp_path, digits):
    photo = example_photo((255 * digits[7:8]).to(torch.uint8))
    path = tmp_path / "seven.png"
    Image.fromarray(photo.permute(1, 2, 0).numpy()).save(path)
    assert torch.equal(digit_from_photo(path), digit_from_photo(photo))


def test_the_example_photograph_can_be_read(digits):
    state = torch.random.get_rng_state()
    for digit, upright in zip(digits, centred(digits), strict=True):
        photo = example_photo((255 * digit[None]).to(torch.uint8))
        assert photo.shape == (3, 480, 360) and photo.dtype == torch.uint8
        assert photo.float().mean(0).std() > 20, "badly lit"
        assert correlation(digit_from_photo(photo), upright) > 0.8
    assert torch.equal(photo, example_photo((255 * digit[None]).to(torch.uint8)))
    assert torch.equal(state, torch.random.get_rng_state())
