"""How a paper cat is cut and laid: its attributes, colours and measures, and its parts in order.

`draw` works on a few pictures at once; cats.py says which, and keeps them.
"""

import torch

from course_lib.papercut import (
    FAR,
    Frame,
    arc,
    below,
    circle,
    cover,
    ellipse,
    leaf,
    only,
    page,
    paint,
    paste,
    stripes,
    stroke,
    union,
)

SIDE = 64
NECK, FACE = (slice(26, 64), slice(12, 52)), (slice(12, 57), slice(5, 59))  # rows and columns

CHOICES = {  # the first of each is what `draw` takes if the factor is missing
    "pattern": ("plain", "tabby", "patches", "tuxedo", "colourpoint"),
    "fur": ("ginger", "cream", "white", "grey", "brown", "black"),
    "marking": ("snow", "rust", "cocoa", "slate", "ink"),  # colour of the pattern
    "head": ("round", "wide", "narrow"),
    "ears": ("pointed", "rounded", "sideways"),
    "eye_colour": ("green", "gold", "blue", "odd"),  # odd: blue and gold
    "eyes": ("open", "half", "closed", "wink"),
    "mouth": ("smile", "plain", "open", "tongue"),
    "wear": ("nothing", "bell", "bow"),
    "wear_colour": ("red", "teal", "yellow", "violet"),
    "pose": ("portrait", "sitting", "loaf"),
    "tail": ("left", "right"),
    "background": ("sky", "mint", "rose", "lilac", "straw", "sea"),
    "motif": ("plain", "dots", "stripes", "floor", "sun"),
}
RANGES = {  # neutral value, lowest, highest; drawn evenly
    "ear_size": (1.0, 0.8, 1.2),  # factor on the ears' length
    "ear_tilt": (0.0, -14.0, 16.0),  # degrees, outwards
    "eye_size": (1.0, 0.8, 1.15),  # factor on the eyes' size
    "pupil": (0.7, 0.25, 0.95),  # width of the pupils as a share of their height
    "gaze": (0.0, -1.0, 1.0),  # where the pupils look; right is positive
    "turn": (0.0, -1.0, 1.0),  # where the face is turned
    "head_tilt": (0.0, -12.0, 12.0),  # degrees, clockwise
    "whiskers": (0.7, 0.4, 0.95),  # length as a share of half the head's width
    "extent": (1.0, 0.75, 1.3),  # factor on the size of the markings
    "size": (1.0, 0.9, 1.05),  # factor on the whole cat
    "shift_x": (0.0, -4.0, 4.0),  # pixels to the right
    "shift_y": (0.0, -1.5, 1.5),  # pixels down
}
COLOURS = {  # one for each option of CHOICES
    "fur": "ee9346 f6dcae fbf6ec 93a1b5 a9744f 453f4c",
    "marking": "fff8ea c4552d 6b4230 5d6b85 37313f",
    "eye_colour": "8fc25a f2bb35 5cb4e0 5cb4e0",
    "wear_colour": "d8434a 1f9c96 f5c02e 7e57a8",
    "background": "a5d3e3 a9d8bd f2b3ae c4b3e0 ecc86f 4f8a94",
}
# Measures of the parts, one for each option of CHOICES. Of a pose in pixels, from the middle of
# the base line; of heads and ears in units of the head.
MEASURES = {
    "pose": {
        "base_y": (66, 60.5, 59),
        "head_y": (-35, -36, -30),
        "unit": (19, 14.5, 15.5),
        "body_y": (3, -11, -7),
        "body_rx": (20, 12.5, 22),
        "body_ry": (22, 17, 17),
        "haunch": (0, 7.5, 0),
        "paw_x": (4, 4.3, 7),
        "paw_y": (30, -2, -1.6),
        "tail_x": (11, 8, 12),
        "tail_y": (-14, -2, -12),
        "neck_y": (-17, -24, -17.5),
    },
    "head": {"rx": (1, 1.14, 0.94), "ry": (0.86, 0.84, 0.92), "taper": (0, 0.12, -0.16)},
    "ears": {
        "ear_x": (0.56, 0.58, 0.7),
        "ear_y": (-0.56, -0.56, -0.42),
        "ear_turn": (24, 30, 62),
        "ear_width": (0.4, 0.46, 0.34),
        "ear_length": (0.88, 0.68, 0.72),
        "ear_round": (0.03, 0.38, 0.1),
    },
}


def _rgb(codes: str) -> torch.Tensor:
    """Return hexadecimal colours as (number of codes, 3, 1, 1) in [0, 1]."""
    return torch.tensor([[*bytes.fromhex(code)] for code in codes.split()])[..., None, None] / 255


GOLD, INK, CHALK, PINK, ROSE, WINE = _rgb("f2bb35 2d2833 fff8ea f0a0a0 e8747c 8c2f3f").split(1)


def chosen(f: dict, name: str, option: str) -> torch.Tensor:
    """Return for everybody whether a factor of CHOICES is this option."""
    return f[name] == CHOICES[name].index(option)


def _measured(f: dict) -> dict[str, torch.Tensor]:
    """Return the factors and everybody's MEASURES as (n, 1, 1), the COLOURS as (n, 3, 1, 1)."""
    colours = {f"{name}_rgb": _rgb(codes)[f[name]] for name, codes in COLOURS.items()}
    darker = colours["marking_rgb"].mean(1) < colours["fur_rgb"].mean(1)
    numbers = f | {"pale": torch.where(darker, -1.0, 1.0).flatten()}
    for name, rows in MEASURES.items():
        numbers |= {row: torch.tensor(v, dtype=torch.float32)[f[name]] for row, v in rows.items()}
    return {name: value[:, None, None] for name, value in numbers.items()} | colours


def _coat(f: dict, d: torch.Tensor) -> torch.Tensor:
    """Return the fur's colour, (n, 3, H, W), with a marking where the distance d says so."""
    return torch.lerp(f["fur_rgb"], f["marking_rgb"], cover(d)[:, None])


def _by_pattern(f: dict, tuxedo, **shapes: torch.Tensor) -> torch.Tensor:
    """Return the distance to the marking of everybody's pattern.

    tuxedo: what is pale; the marking lies there if it is paler than the fur, else elsewhere.
    """
    shapes["tuxedo"] = tuxedo * f["pale"]
    return union(*(only(d, chosen(f, "pattern", name)) for name, d in shapes.items()))


def _background(f: dict) -> torch.Tensor:
    paper, sheet = f["background_rgb"], page(SIDE).at(SIDE / 2, SIDE / 2)
    canvas = paper.expand(-1, -1, SIDE, SIDE).clone()
    light = paper + 0.42 * (1 - paper)
    dots = circle(Frame((sheet.x + 6) % 12 - 6, (sheet.y + 6) % 12 - 6), 2.0)
    paint(canvas, cover(only(dots, chosen(f, "motif", "dots"))), light)
    paint(canvas, cover(only(stripes(sheet.x, 12, 6), chosen(f, "motif", "stripes"))), light)
    paste(canvas, only(circle(sheet.at(0, -4), 25), chosen(f, "motif", "sun")), light, 0.2)
    paste(canvas, only(below(sheet, 19), chosen(f, "motif", "floor")), 0.8 * paper, 0.15)
    return canvas


def _tail(canvas, cat: Frame, f: dict):
    side = 2.0 * f["tail"] - 1
    start = Frame(cat.x * side, cat.y, cat.scale).at(f["tail_x"], f["tail_y"])
    tail = union(arc(start.at(0, -8, -45), 8, 50, 5.2), arc(start.at(13, -8, 160), 5, 75, 5.2))
    rings = stripes(cat.y - 0.3 * cat.x.abs(), 5, 2.2 * f["extent"])
    paste(canvas, tail, _coat(f, _by_pattern(f, FAR, tabby=rings, colourpoint=tail - 9)))


def _body(canvas, cat: Frame, f: dict):
    y, rx, ry, extent = (f[name] for name in ("body_y", "body_rx", "body_ry", "extent"))
    half, above = cat.mirrored(), -below(cat, 0)
    bars = torch.maximum(stripes(cat.y + 0.35 * half.x, 6, 2.4 * extent), 0.5 * rx - half.x)
    spots = union(
        circle(cat.at(0.7 * rx, y - 0.3 * ry), 0.5 * rx * extent),
        circle(cat.at(-0.6 * rx, y + 0.5 * ry), 0.4 * rx * extent),
    )
    bib = ellipse(cat.at(0, y + 1), 0.55 * rx * extent, ry)
    coat = _coat(f, _by_pattern(f, bib, tabby=bars, patches=spots))
    paste(canvas, torch.maximum(ellipse(cat.at(0, y), rx, ry), above), coat)
    coat = _coat(f, _by_pattern(f, FAR, tabby=bars, patches=spots))
    haunch = torch.maximum(circle(half.at(8.5, -7), f["haunch"]), above)
    paste(canvas, only(haunch, f["haunch"] > 0), coat, 0.15)
    paw = torch.maximum(ellipse(half.at(f["paw_x"], f["paw_y"]), 4.5, 2.9), above - 0.5)
    paste(canvas, paw, _coat(f, _by_pattern(f, -FAR, colourpoint=paw - 9)), 0.2)


def _wear(canvas, neck: Frame, f: dict):
    colour, half = f["wear_colour_rgb"], neck.mirrored()
    bell, bow = chosen(f, "wear", "bell"), chosen(f, "wear", "bow")
    paste(canvas, only(arc(neck.at(0, -7), 11, 55, 2.6), bell | bow), colour, 0.2)
    paste(canvas, only(circle(neck.at(0, 5.4), 2.5), bell), GOLD)
    paste(canvas, only(leaf(half.at(4.2, 4.6, 90), 3.2, 5.0, 1.2), bow), colour)
    paste(canvas, only(circle(neck.at(0, 4.6), 1.9), bow), 0.8 * colour, 0.2)


def _spots(head: Frame, extent) -> torch.Tensor:
    """Distance to the patches: one over an eye and its ear, one on the other cheek."""
    return union(
        ellipse(head.at(-0.52, -0.5, -20.0), 0.5 * extent, 0.62 * extent),
        ellipse(head.at(0.85, 0.35, 20.0), 0.4 * extent, 0.36 * extent),
    )


def _bars(head: Frame, extent) -> torch.Tensor:
    """Distance to a tabby's stripes: three on the forehead, two on each cheek."""
    half = head.mirrored()
    return union(
        stroke(head.at(0, -0.95), 0.42, 0.09 * extent, 0.02),
        stroke(half.at(0.3, -0.9, 12.0), 0.36, 0.08 * extent, 0.02),
        stroke(half.at(1.1, 0.1, 84.0), 0.36, 0.09 * extent, 0.02),
        stroke(half.at(1.05, 0.4, 98.0), 0.34, 0.09 * extent, 0.02),
    )


def _ears(canvas, head: Frame, f: dict):
    x, y, turn = f["ear_x"] * f["rx"], f["ear_y"], f["ear_turn"] + f["ear_tilt"]
    size = f["ear_width"], f["ear_length"] * f["ear_size"], f["ear_round"]
    ears = leaf(head.mirrored().at(x, y, turn), *size)
    patch = circle(head.at(-0.6, -0.9), 0.8)
    paste(canvas, ears, _coat(f, _by_pattern(f, FAR, patches=patch, colourpoint=ears - 9)))
    paint(canvas, cover(ears + 0.14 * head.scale), PINK)


def _head(canvas, head: Frame, f: dict):
    extent = f["extent"]
    blaze = stroke(head.at(0, -0.5), 0.8, 0.06, 0.26 * extent)
    muzzle = union(ellipse(head.at(0, 0.6), 0.6 * extent, 0.42 * extent), blaze)
    mask = ellipse(head.at(0, 0.28), 0.62 * extent, 0.56 * extent) / 3  # a soft edge
    spots, lines = _spots(head, extent), _bars(head, extent)
    d = _by_pattern(f, muzzle, tabby=lines, patches=spots, colourpoint=mask)
    shape = Frame(head.x * (1 - f["taper"] * head.y), head.y, head.scale)
    paste(canvas, ellipse(shape, f["rx"], f["ry"]), _coat(f, d))


def _whiskers(canvas, half: Frame, f: dict):
    length = f["whiskers"]
    upper = stroke(half.at(0.55, 0.34, -82.0), length, 0.035, 0.02)
    lower = stroke(half.at(0.53, 0.44, -74.0), 0.9 * length, 0.035, 0.02)
    colour = torch.where(chosen(f, "fur", "black")[:, None], CHALK, INK)
    paint(canvas, 0.75 * cover(union(upper, lower)), colour)


def _eyes(canvas, face: Frame, line, f: dict):
    """Draw the eyes; shut ones are arcs in the colour of `line`."""
    right, size = face.x > 0, f["eye_size"]
    shut = chosen(f, "eyes", "closed") | (chosen(f, "eyes", "wink") & right)
    lid = torch.where(chosen(f, "eyes", "half"), -0.03, -9.0)
    eye = face.mirrored().at(0.43, -0.03)
    rim = ellipse(eye, 0.26 * size + 0.06, 0.28 * size + 0.06)
    ball = torch.maximum(ellipse(eye, 0.26 * size, 0.28 * size), below(eye, lid))
    look = eye.at(torch.where(right, 0.08, -0.08) * f["gaze"])
    pupil = ellipse(look, 0.23 * size * f["pupil"], 0.24 * size)
    glint = circle(look.at(0.06, -0.1), 0.075 * size)
    odd = chosen(f, "eye_colour", "odd") & right
    iris = torch.where(odd[:, None], GOLD, f["eye_colour_rgb"])
    paint(canvas, cover(only(torch.maximum(rim, below(eye, lid - 0.08)), ~shut)), INK)
    paint(canvas, cover(only(ball, ~shut)), iris)
    paint(canvas, cover(only(torch.maximum(pupil, ball), ~shut)), INK)
    paint(canvas, cover(only(torch.maximum(glint, ball), ~shut)), CHALK)
    paint(canvas, cover(only(arc(eye.at(0, 0.12, 180.0), 0.22 * size, 62, 0.11), shut)), line)


def _mouth(canvas, face: Frame, line, f: dict):
    """Draw nose and mouth, the lips in the colour of `line`."""
    gape = chosen(f, "mouth", "open")
    opened = torch.maximum(ellipse(face.at(0, 0.48), 0.2, 0.3), below(face, 0.48))
    tongue = ellipse(face.at(0, torch.where(gape, 0.74, 0.62)), 0.12, 0.14)
    paint(canvas, cover(only(opened, gape)), WINE)
    inside = torch.where(gape, torch.maximum(tongue, opened), tongue)
    paint(canvas, cover(only(inside, gape | chosen(f, "mouth", "tongue"))), ROSE)
    wide = torch.where(chosen(f, "mouth", "plain"), 0.1, 0.17)
    bend = torch.where(chosen(f, "mouth", "plain"), 55.0, 95.0)
    paint(canvas, cover(arc(face.mirrored().at(wide, 0.52 - wide), wide, bend, 0.075)), line)
    paint(canvas, cover(leaf(face.at(0, 0.31, 90.0), 0.09, 0.14, 0.05)), ROSE)


def _window(window: tuple[slice, slice], canvas, frame: Frame):
    """Return the part of pictures and frame in which something is to be drawn, to save time."""
    cut = (slice(None), *window)
    return canvas[(slice(None), *cut)], Frame(frame.x[cut], frame.y[cut], frame.scale)


def _face(canvas, face: Frame, f: dict):
    _whiskers(canvas, face.mirrored(), f)
    canvas, face = _window(FACE, canvas, face)
    line = torch.where(canvas.mean(1, keepdim=True) < 0.42, CHALK, INK)
    cheeks = ellipse(face.mirrored().at(0.62, 0.38), 0.2, 0.13)
    paint(canvas, 0.35 * cover(cheeks, 3.0), ROSE)
    _eyes(canvas, face, line, f)
    _mouth(canvas, face, line, f)


def draw(f: dict[str, torch.Tensor]) -> torch.Tensor:
    """Draw cats, float32 (n, 3, 64, 64) in [0, 1], from all of their factors, each (n,)."""
    f = _measured(f)
    canvas = _background(f)
    place = SIDE / 2 + f["shift_x"], f["base_y"] + f["shift_y"]
    cat = page(SIDE).at(*place, scale=f["size"])
    head = cat.at(0, f["head_y"], f["head_tilt"], f["unit"])
    ground = cover(ellipse(cat, f["body_rx"] + 5, 3), 4.0)
    canvas.mul_((1 - 0.25 * ground)[:, None])
    _tail(canvas, cat, f)
    _body(canvas, cat, f)
    _wear(*_window(NECK, canvas, cat.at(0, f["neck_y"])), f)
    _ears(canvas, head, f)
    _head(canvas, head, f)
    _face(canvas, head.at(0.12 * f["turn"]), f)
    return canvas.clamp_(0, 1)
