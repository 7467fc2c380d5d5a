"""Does a model of pixels look ahead? Its Jacobian tells, and words and a drawing say where.

Pixel numbers count the values of a picture (C, H, W) in the order of `flatten`: with colours, all
of the first channel come first. What is drawn first is another matter: see `earlier`.
"""

import copy
import math

import torch
from torch import nn

from course_lib.checks import require

LEGEND = "? the guessed pixel, # rightly seen, ! leaks, o should be seen, . rightly unseen"
CURES = {
    "itself": "The loss will fall to 0 and nothing can be drawn (A5).",
    "ahead": "It looks at pixels that are not drawn yet (A5).",
    "blind": "Nothing leaks, but it guesses without pixels that it may see.",
}


def earlier(shape) -> torch.Tensor:
    """Return bool (D, D): [i, j] says whether pixel j of a picture (C, H, W) is drawn before i.

    Row by row, in each row from left to right, in each place channel by channel.
    """
    channels, height, width = shape
    order = torch.arange(channels * height * width).view(height, width, channels)
    place = order.permute(2, 0, 1).flatten()
    return place[None, :] < place[:, None]


def jacobian(model, shape, *given, draws=2) -> torch.Tensor:
    """Return float64 (D, D): [i, j] is |d output_i / d x_j| for a picture x (1, *shape) in 0..1.

    model(x, *given) has an output for each of the D pixels. The weights of a module are drawn anew
    (on a copy, never in the model itself): those of a net before training may all be 0. Summed
    over `draws` of weights and pictures, so that a unit which sleeps once hides nothing.
    """
    total = 0.0
    for seed in range(draws):
        rng = torch.Generator().manual_seed(seed)
        probe = _drawn_anew(model, rng) if isinstance(model, nn.Module) else model
        x = torch.rand(1, *shape, generator=rng, dtype=torch.float64, requires_grad=True)
        y = probe(x, *given).flatten()
        require(
            len(y) == x.numel(),
            f"{x.numel()} pixels should get {x.numel()} answers, not {len(y)}: logits as x.",
        )
        rows = [torch.autograd.grad(part, x, retain_graph=True, allow_unused=True)[0] for part in y]
        rows = [torch.zeros_like(x) if row is None else row for row in rows]
        total = total + torch.cat(rows).flatten(1).abs()
    return total


def _drawn_anew(model, rng):
    """Return a copy in float64 on the CPU with normal weights, scaled so that no unit saturates."""
    model = copy.deepcopy(model).cpu().double()
    with torch.no_grad():
        for weights in model.parameters():
            fan = max(1, weights[0].numel()) if weights.dim() > 1 else 4
            new = torch.randn(weights.shape, generator=rng, dtype=torch.float64)
            weights.copy_(new / math.sqrt(fan))
    return model


def findings(seen, shape, wanted=None, allowed=None) -> dict[str, torch.Tensor]:
    """Return what is wrong, bool (D, D) each: "itself", "ahead" and "blind".

    seen: (D, D), not 0 where the guess at pixel i depends on pixel j, as a Jacobian is. allowed:
    what it may see, all earlier pixels if left out. wanted: what it should, all that it may.
    """
    seen = seen.abs() > 0 if seen.dtype != torch.bool else seen
    allowed = earlier(shape) if allowed is None else allowed
    wanted = allowed if wanted is None else wanted
    leaks, own = seen & ~allowed, torch.eye(len(seen), dtype=torch.bool)
    return {"itself": leaks & own, "ahead": leaks & ~own, "blind": wanted & ~seen}


def sentences(seen, shape, wanted=None, allowed=None) -> list[str]:
    """Say in words which pixels leak and which earlier ones are blind; [] if all is well."""
    found, said = findings(seen, shape, wanted, allowed), []
    if own := found["itself"].sum().item():
        said.append(f"{own} of {len(seen)} pixels see themselves.")
    words = {"ahead": ("look ahead", "sees"), "blind": ("are blind", "cannot see")}
    for kind, (what, verb) in words.items():
        counts = found[kind].sum(dim=1)
        if not counts.any():
            continue
        worst = counts.argmax().item()
        pixels = [_place(j, shape) for j in found[kind][worst].nonzero().flatten().tolist()]
        named = ", ".join(pixels[:3]) + f" and {len(pixels) - 3} more" * (len(pixels) > 3)
        start = f"{(counts > 0).sum()} of {len(seen)} {what}; the worst, {_place(worst, shape)}"
        said.append(f"{start}, {verb} {named}.")
    return said


def _place(pixel, shape) -> str:
    """Return "(row, column)", with the channel first where there are several."""
    channel, place = divmod(pixel, shape[1] * shape[2])
    name = f"({place // shape[2]}, {place % shape[2]})"
    return name if shape[0] == 1 else f"channel {channel} {name}"


def drawing(seen, shape, pixel, wanted=None, allowed=None) -> str:
    """Return the picture, as lines of text, of what a pixel's guess sees; channels side by side."""
    found = findings(seen, shape, wanted, allowed)
    signs = ["#" if value else "." for value in (seen[pixel] != 0)]
    for kind, sign in (("itself", "!"), ("ahead", "!"), ("blind", "o")):
        signs = [sign if bad else old for bad, old in zip(found[kind][pixel], signs, strict=True)]
    signs[pixel] = "!" if found["itself"][pixel, pixel] else "?"
    channels, height, width = shape
    starts = [[(c * height + r) * width for c in range(channels)] for r in range(height)]
    return "\n".join("   ".join(" ".join(signs[s : s + width]) for s in row) for row in starts)


def require_causal(seen, shape, *, wanted=None, allowed=None, name="", cures=CURES):
    """Fail with sentences and a drawing unless exactly the right pixels are seen.

    seen, wanted, allowed: as in `findings`; shape: (C, H, W); name: what was tried, for the
    message; cures: what to say to a pixel that sees itself, to one that sees ahead, to a blind one.
    """
    found = findings(seen, shape, wanted, allowed)
    if not any(wrong.any() for wrong in found.values()):
        return
    kinds = [kind for kind in ("ahead", "itself", "blind") if found[kind].any()]
    pixel = found[kinds[0]].sum(dim=1).argmax().item()
    picture = drawing(seen, shape, pixel, wanted, allowed).replace("\n", "\n    ")
    said = sentences(seen, shape, wanted, allowed)
    start = f"{name}: " * bool(name) + " ".join(said)
    start += f"\n  What the guess at {_place(pixel, shape)} sees:"
    cure = (CURES | cures)[kinds[0]]
    require(False, f"{start}\n    {picture}\n    ({LEGEND})\n  {cure}")
