"""Pictures that people bring: opened safely, and a photographed digit turned into MNIST's form."""

import io
import warnings
from pathlib import Path

import numpy as np
import scipy
import torch
from PIL import Image, ImageOps
from skimage import filters, morphology
from torch.nn.functional import avg_pool2d, interpolate

from course_lib.settings import CourseError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def open_picture(source, *, max_pixels: int = 40_000_000) -> torch.Tensor:
    """Return a picture file (its path, or its bytes) as uint8 (3, H, W).

    Turned upright as its EXIF data say; transparency on white; 16-bit grey scaled to 8; of several
    frames the first, and a line says so. The size is checked before anything is decoded.
    Raises CourseError for no file, no picture, a damaged one, or one of more than max_pixels.
    """
    in_memory = isinstance(source, bytes | bytearray | memoryview)
    name = "The picture" if in_memory else str(source)
    too_large = f"{name} has more than {max_pixels / 1e6:g} million pixels"
    file = io.BytesIO(source) if in_memory else Path(source).expanduser()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of every oddity; what matters is raised
            with Image.open(file, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise CourseError(f"{too_large} ({width} x {height}); make it smaller first.")
                return _decode(picture, name)
    except CourseError:
        raise
    except Image.DecompressionBombError as error:
        raise CourseError(f"{too_large}; make it smaller first.") from error
    except Exception as error:  # a damaged file can make a decoder fail in any way
        advice = "copy it again, or save it as JPEG or PNG"
        phone = "HEIC of an iPhone: Settings, Camera, Formats, Most Compatible"
        reason = f"{name} cannot be opened as a picture ({error})"
        raise CourseError(f"{reason}: {advice} ({phone}).") from error


def _decode(picture: Image.Image, name: str) -> torch.Tensor:
    if getattr(picture, "is_animated", False):
        print(f"{name} holds {picture.n_frames} frames; the first one is used.")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        upright = _to_8_bits(upright, name)
    if upright.has_transparency_data:
        page = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(page, upright.convert("RGBA"))
    return torch.from_numpy(np.array(upright.convert("RGB"))).permute(2, 0, 1).contiguous()


def _to_8_bits(picture: Image.Image, name: str) -> Image.Image:
    values = np.asarray(picture).astype(np.float32)
    top = 1 if picture.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= top):
        found = f"grey values from {values.min():g} to {values.max():g}, not 0 to {top}"
        raise CourseError(f"{name} holds {found}; save it with 8 or 16 bits per pixel first.")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def to_grey(pictures: torch.Tensor) -> torch.Tensor:
    """Return the brightness (luma, BT.601) of uint8 (..., 3, H, W) as uint8 (..., 1, H, W)."""
    red, green, blue = (pictures.select(-3, k).to(torch.float32) for k in range(3))
    grey = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    return grey.round_().to(torch.uint8).unsqueeze(-3)


def fit(picture: torch.Tensor, side: int) -> torch.Tensor:
    """Return the largest centred square of uint8 (C, H, W), resized to uint8 (C, side, side)."""
    height, width = picture.shape[-2:]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return resize(picture[:, top : top + edge, left : left + edge], side, side)


def resize(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return (C, H, W) of any type resized to (C, height, width), smoothed when it shrinks."""
    size = (height, width)
    return interpolate(picture[None], size, mode="bilinear", antialias=True)[0]


WORK_SIDE = 400  # pixels of the longest side while the ink is looked for
BOX, FIELD = 20, 28  # MNIST: the digit in 20x20 pixels, its centre of mass centred in 28x28
THIN = 1.5  # pixels; thinner strokes would fade away


def digit_from_photo(picture) -> torch.Tensor:
    """Return a photographed pen-on-paper digit in MNIST's form: float32 (1, 28, 28) in [0, 1].

    picture: uint8 (C, H, W), or what open_picture takes. Dark ink on light paper or the reverse;
    light may be uneven. The ink nearest the middle is scaled to 20x20 and centred by its mass.
    Raises CourseError if the picture is too dark or holds no ink. Form: LeCun et al. (1998).
    """
    if not isinstance(picture, torch.Tensor):
        picture = open_picture(picture)
    if picture.dtype != torch.uint8 or picture.ndim != 3:
        found = f"{picture.dtype} {tuple(picture.shape)}"
        raise CourseError(f"digit_from_photo needs uint8 (C, H, W), not {found}.")
    ink = _ink(_small_grey(picture))
    mask = _strokes(ink, _threshold(ink))
    return torch.from_numpy(_centre(_scale(ink, mask))).unsqueeze(0)


def _small_grey(picture: torch.Tensor) -> np.ndarray:
    """Return brightness in [0, 1], float64, the longest side WORK_SIDE pixels."""
    scale = WORK_SIDE / max(picture.shape[-2:])
    height, width = (max(1, round(side * scale)) for side in picture.shape[-2:])
    small = resize(picture, height, width)
    grey = to_grey(small) if len(small) == 3 else small[:1]
    return grey[0].numpy() / 255


def _ink(grey: np.ndarray) -> np.ndarray:
    """Return how much of the paper's light the ink takes (or adds), in [0, 1].

    The paper's brightness is estimated locally by a grey closing: the brightest within a window
    wider than any stroke, then the darkest of those, which keeps the edges of shadows.
    """
    grey = scipy.ndimage.gaussian_filter(grey, 1)
    if grey.max() < 0.1:
        raise CourseError("The picture is almost black: take it again with more light.")
    if _is_light_on_dark(grey):
        grey = 1 - grey
    window = max(grey.shape) // 4
    paper = scipy.ndimage.grey_closing(grey, (window, window), mode="reflect")
    ink = (paper - grey) / np.maximum(paper, 0.05)
    return np.clip(ink - np.median(ink), 0, 1)


def _is_light_on_dark(grey: np.ndarray) -> bool:
    """Compare with the median around each place: are the exceptions, the ink, brighter?"""
    coarse = grey[::8, ::8]
    excess = coarse - scipy.ndimage.median_filter(coarse, max(coarse.shape) // 2)
    return bool((excess**3).sum() > 0)


def _threshold(ink: np.ndarray) -> float:
    threshold = filters.threshold_otsu(ink)
    strong = ink > threshold
    contrast = ink[strong].mean() - ink[~strong].mean() if strong.any() else 0
    if contrast < 0.1:
        advice = "write one with a dark pen on plain paper, fill the picture, and use no flash"
        raise CourseError(f"No digit found: {advice}.")
    return threshold


def _strokes(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mask of the strokes that belong together: specks and other marks are dropped."""
    mask = ink > threshold
    parts, count = scipy.ndimage.label(mask, np.ones((3, 3)))
    mass = scipy.ndimage.sum_labels(ink, parts, np.arange(count + 1))
    mass[0] = 0
    mask = (mass > 0.02 * mass.max())[parts]
    first = _main_group(ink, mask, WORK_SIDE // 50)
    rows, columns = _bounds(first)
    reach = max(rows.stop - rows.start, columns.stop - columns.start) // 8
    return _main_group(ink, mask, max(reach, 1))


def _main_group(ink: np.ndarray, mask: np.ndarray, reach: int) -> np.ndarray:
    """Return the heaviest group near the middle; parts up to 2 * reach pixels apart make a group.

    A group that the edge of the picture cuts off hardly counts: a table, a finger, a shadow.
    """
    near = scipy.ndimage.binary_dilation(mask, iterations=reach)
    groups, count = scipy.ndimage.label(near, np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    mass = scipy.ndimage.sum_labels(ink * mask, groups, numbers)
    centres = np.array(scipy.ndimage.center_of_mass(ink * mask, groups, numbers))
    distance = np.linalg.norm(centres / ink.shape - 0.5, axis=1)
    edge = np.concatenate([groups[0], groups[-1], groups[:, 0], groups[:, -1]])
    weight = np.exp(-4 * distance) * np.where(np.isin(numbers, edge), 0.03, 1)
    return mask & (groups == numbers[np.argmax(mass * weight)])


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    return scipy.ndimage.find_objects(mask.astype(int))[0]


def _scale(ink: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the masked ink with its soft edges, its longest side BOX pixels, its peak 1."""
    reach = scipy.ndimage.binary_dilation(mask, iterations=WORK_SIDE // 100)
    ink = np.where(reach, np.clip(ink / np.percentile(ink[mask], 60), 0, 1), 0)
    ink = _thicken(ink, mask)
    box = ink[_bounds(ink > 0.2)]
    height, width = (max(1, round(side * BOX / max(box.shape))) for side in box.shape)
    digit = resize(torch.from_numpy(box)[None], height, width)[0].numpy()
    return np.clip(digit / digit.max(), 0, 1).astype(np.float32)


def _thicken(ink: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the ink, spread so far that scaled strokes are THIN pixels wide if they were less."""
    scale = BOX / max(bound.stop - bound.start for bound in _bounds(mask))
    radii = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    lacking = THIN / scale / 2 - np.median(radii[morphology.skeletonize(mask)])
    if lacking < 1:
        return ink
    return scipy.ndimage.grey_dilation(ink, footprint=morphology.disk(round(lacking)))


def _centre(digit: np.ndarray) -> np.ndarray:
    """Return the digit in FIELD x FIELD pixels, the centre of mass at pixel (14, 14): MNIST."""
    field, mass = np.zeros((FIELD, FIELD), np.float32), scipy.ndimage.center_of_mass(digit)
    (height, width), centre = digit.shape, (round(FIELD / 2 - at) for at in mass)
    top, left = np.clip([*centre], 0, [FIELD - height, FIELD - width])
    field[top : top + height, left : left + width] = digit
    return field


def example_photo(digit: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
    """Return a made-up photograph of a digit, uint8 (3, 480, 360): a pen on badly lit paper.

    digit: uint8 (1, 28, 28), light on dark like MNIST. For trying digit_from_photo without a pen.
    """
    ink = torch.zeros(480, 360)
    large = avg_pool2d(resize(digit.to(torch.float32) / 255, 224, 224), 9, 1, 4)
    ink[130:354, 70:294] = torch.sigmoid(12 * (large[0] - 0.5))
    y, x = torch.linspace(0, 1, 480)[:, None], torch.linspace(0, 1, 360)
    light = (0.95 - 0.25 * x - 0.15 * y) * (1 - 0.3 * torch.sigmoid(30 * (y - 0.4 - 0.3 * x)))
    pen = torch.tensor([0.9, 0.85, 0.6])[:, None, None]
    noise = torch.randn(3, 480, 360, generator=torch.Generator().manual_seed(seed))
    photo = light * (1 - pen * ink) + 0.01 * noise
    return (255 * photo.clamp(0, 1)).round().to(torch.uint8)
