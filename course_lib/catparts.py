"""How a paper cat is cut and laid: its parts in order, from attributes, colours and measures.

The tables are in cats.json. `draw` works on a few pictures at once; cats.py says which.
"""

import json
from pathlib import Path

import torch

from course_lib.papercut import FAR, Frame, cover, only, page, paint, paste, stripes, union

SIDE = 64
NECK, FACE = (slice(26, 64), slice(12, 52)), (slice(12, 57), slice(5, 59))  # rows and columns

_DATA = json.loads(Path(__file__).with_name("cats.json").read_text(encoding="utf-8"))
# The options of each choice (the first is what `draw` takes if the factor is missing), and of each
# range the neutral value, the lowest and the highest; it is drawn evenly.
CHOICES = {name: tuple(options) for name, options in _DATA["choices"].items()}
RANGES = {name: tuple(row["range"]) for name, row in _DATA["ranges"].items()}
COLOURS = _DATA["colours"]  # one for each option of CHOICES
MARKINGS = _DATA["markings"]  # what is told from a fur at a glance: a cat's is one of its fur's
# Measures of the parts, one for each option of CHOICES. Of a pose in pixels, from the middle of
# the base line; of heads and ears in units of the head.
MEASURES = _DATA["measures"]


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
    dots = Frame((sheet.x + 6) % 12 - 6, (sheet.y + 6) % 12 - 6).circle(2.0)
    paint(canvas, cover(only(dots, chosen(f, "motif", "dots"))), light)
    paint(canvas, cover(only(stripes(sheet.x, 12, 6), chosen(f, "motif", "stripes"))), light)
    paste(canvas, only(sheet.at(0, -4).circle(25), chosen(f, "motif", "sun")), light, 0.2)
    paste(canvas, only(sheet.below(19), chosen(f, "motif", "floor")), 0.8 * paper, 0.15)
    return canvas


def _tail(canvas, cat: Frame, f: dict):
    side = 2.0 * f["tail"] - 1
    start = Frame(cat.x * side, cat.y, cat.scale).at(f["tail_x"], f["tail_y"])
    tail = union(start.at(0, -8, -45).arc(8, 50, 5.2), start.at(13, -8, 160).arc(5, 75, 5.2))
    rings = stripes(cat.y - 0.3 * cat.x.abs(), 5, 2.2 * f["extent"])
    paste(canvas, tail, _coat(f, _by_pattern(f, FAR, tabby=rings, colourpoint=tail - 9)))


def _body(canvas, cat: Frame, f: dict):
    y, rx, ry, extent = (f[name] for name in ("body_y", "body_rx", "body_ry", "extent"))
    half, above = cat.mirrored(), -cat.below(0)
    bars = torch.maximum(stripes(cat.y + 0.35 * half.x, 6, 2.4 * extent), 0.5 * rx - half.x)
    shoulder = cat.at(0.7 * rx, y - 0.3 * ry).circle(0.5 * rx * extent)
    spots = union(shoulder, cat.at(-0.6 * rx, y + 0.5 * ry).circle(0.4 * rx * extent))
    bib = cat.at(0, y + 1).ellipse(0.55 * rx * extent, ry)
    coat = _coat(f, _by_pattern(f, bib, tabby=bars, patches=spots))
    paste(canvas, torch.maximum(cat.at(0, y).ellipse(rx, ry), above), coat)
    coat = _coat(f, _by_pattern(f, FAR, tabby=bars, patches=spots))
    haunch = torch.maximum(half.at(8.5, -7).circle(f["haunch"]), above)
    paste(canvas, only(haunch, f["haunch"] > 0), coat, 0.15)
    paw = torch.maximum(half.at(f["paw_x"], f["paw_y"]).ellipse(4.5, 2.9), above - 0.5)
    paste(canvas, paw, _coat(f, _by_pattern(f, -FAR, colourpoint=paw - 9)), 0.2)


def _wear(canvas, neck: Frame, f: dict):
    colour, half = f["wear_colour_rgb"], neck.mirrored()
    bell, bow = chosen(f, "wear", "bell"), chosen(f, "wear", "bow")
    paste(canvas, only(neck.at(0, -7).arc(11, 55, 2.6), bell | bow), colour, 0.2)
    paste(canvas, only(neck.at(0, 5.4).circle(2.5), bell), GOLD)
    paste(canvas, only(half.at(4.2, 4.6, 90).leaf(3.2, 5.0, 1.2), bow), colour)
    paste(canvas, only(neck.at(0, 4.6).circle(1.9), bow), 0.8 * colour, 0.2)


def _spots(head: Frame, extent) -> torch.Tensor:
    """Distance to the patches: one over an eye and its ear, one on the other cheek."""
    eye = head.at(-0.52, -0.5, -20.0).ellipse(0.5 * extent, 0.62 * extent)
    return union(eye, head.at(0.85, 0.35, 20.0).ellipse(0.4 * extent, 0.36 * extent))


def _bars(head: Frame, extent) -> torch.Tensor:
    """Distance to a tabby's stripes: three on the forehead, two on each cheek."""
    half = head.mirrored()
    middle = head.at(0, -0.95).stroke(0.42, 0.09 * extent, 0.02)
    beside = half.at(0.3, -0.9, 12.0).stroke(0.36, 0.08 * extent, 0.02)
    upper = half.at(1.1, 0.1, 84.0).stroke(0.36, 0.09 * extent, 0.02)
    return union(middle, beside, upper, half.at(1.05, 0.4, 98.0).stroke(0.34, 0.09 * extent, 0.02))


def _ears(canvas, head: Frame, f: dict):
    x, y, turn = f["ear_x"] * f["rx"], f["ear_y"], f["ear_turn"] + f["ear_tilt"]
    size = f["ear_width"], f["ear_length"] * f["ear_size"], f["ear_round"]
    ears = head.mirrored().at(x, y, turn).leaf(*size)
    patch = head.at(-0.6, -0.9).circle(0.8)
    paste(canvas, ears, _coat(f, _by_pattern(f, FAR, patches=patch, colourpoint=ears - 9)))
    paint(canvas, cover(ears + 0.14 * head.scale), PINK)


def _head(canvas, head: Frame, f: dict):
    extent = f["extent"]
    blaze = head.at(0, -0.5).stroke(0.8, 0.06, 0.26 * extent)
    muzzle = union(head.at(0, 0.6).ellipse(0.6 * extent, 0.42 * extent), blaze)
    mask = head.at(0, 0.28).ellipse(0.62 * extent, 0.56 * extent) / 3  # a soft edge
    spots, lines = _spots(head, extent), _bars(head, extent)
    d = _by_pattern(f, muzzle, tabby=lines, patches=spots, colourpoint=mask)
    shape = Frame(head.x * (1 - f["taper"] * head.y), head.y, head.scale)
    paste(canvas, shape.ellipse(f["rx"], f["ry"]), _coat(f, d))


def _whiskers(canvas, half: Frame, f: dict):
    length = f["whiskers"]
    upper = half.at(0.55, 0.34, -82.0).stroke(length, 0.035, 0.02)
    lower = half.at(0.53, 0.44, -74.0).stroke(0.9 * length, 0.035, 0.02)
    colour = torch.where(chosen(f, "fur", "black")[:, None], CHALK, INK)
    paint(canvas, 0.75 * cover(union(upper, lower)), colour)


def _eyes(canvas, face: Frame, line, f: dict):
    """Draw the eyes; shut ones are arcs in the colour of `line`."""
    right, size = face.x > 0, f["eye_size"]
    shut = chosen(f, "eyes", "closed") | (chosen(f, "eyes", "wink") & right)
    lid = torch.where(chosen(f, "eyes", "half"), -0.03, -9.0)
    eye = face.mirrored().at(0.43, -0.03)
    rim = eye.ellipse(0.26 * size + 0.06, 0.28 * size + 0.06)
    ball = torch.maximum(eye.ellipse(0.26 * size, 0.28 * size), eye.below(lid))
    look = eye.at(torch.where(right, 0.08, -0.08) * f["gaze"])
    pupil = look.ellipse(0.23 * size * f["pupil"], 0.24 * size)
    glint = look.at(0.06, -0.1).circle(0.075 * size)
    odd = chosen(f, "eye_colour", "odd") & right
    iris = torch.where(odd[:, None], GOLD, f["eye_colour_rgb"])
    paint(canvas, cover(only(torch.maximum(rim, eye.below(lid - 0.08)), ~shut)), INK)
    paint(canvas, cover(only(ball, ~shut)), iris)
    paint(canvas, cover(only(torch.maximum(pupil, ball), ~shut)), INK)
    paint(canvas, cover(only(torch.maximum(glint, ball), ~shut)), CHALK)
    paint(canvas, cover(only(eye.at(0, 0.12, 180.0).arc(0.22 * size, 62, 0.11), shut)), line)


def _mouth(canvas, face: Frame, line, f: dict):
    """Draw nose and mouth, the lips in the colour of `line`."""
    gape = chosen(f, "mouth", "open")
    opened = torch.maximum(face.at(0, 0.48).ellipse(0.2, 0.3), face.below(0.48))
    tongue = face.at(0, torch.where(gape, 0.74, 0.62)).ellipse(0.12, 0.14)
    paint(canvas, cover(only(opened, gape)), WINE)
    inside = torch.where(gape, torch.maximum(tongue, opened), tongue)
    paint(canvas, cover(only(inside, gape | chosen(f, "mouth", "tongue"))), ROSE)
    wide = torch.where(chosen(f, "mouth", "plain"), 0.1, 0.17)
    bend = torch.where(chosen(f, "mouth", "plain"), 55.0, 95.0)
    paint(canvas, cover(face.mirrored().at(wide, 0.52 - wide).arc(wide, bend, 0.075)), line)
    paint(canvas, cover(face.at(0, 0.31, 90.0).leaf(0.09, 0.14, 0.05)), ROSE)


def _window(window: tuple[slice, slice], canvas, frame: Frame):
    """Return the part of pictures and frame in which something is to be drawn, to save time."""
    cut = (slice(None), *window)
    return canvas[(slice(None), *cut)], Frame(frame.x[cut], frame.y[cut], frame.scale)


def _face(canvas, face: Frame, f: dict):
    _whiskers(canvas, face.mirrored(), f)
    canvas, face = _window(FACE, canvas, face)
    line = torch.where(canvas.mean(1, keepdim=True) < 0.42, CHALK, INK)
    cheeks = face.mirrored().at(0.62, 0.38).ellipse(0.2, 0.13)
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
    ground = cover(cat.ellipse(f["body_rx"] + 5, 3), 4.0)
    canvas.mul_((1 - 0.25 * ground)[:, None])
    _tail(canvas, cat, f)
    _body(canvas, cat, f)
    _wear(*_window(NECK, canvas, cat.at(0, f["neck_y"])), f)
    _ears(canvas, head, f)
    _head(canvas, head, f)
    _face(canvas, head.at(0.12 * f["turn"]), f)
    return canvas.clamp_(0, 1)
