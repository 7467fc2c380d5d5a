"""Checks of lesson 40 for the sampler: what it draws is counted."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import normal
from course_lib.settings import CourseError

ORDER = [3, 1, 5, 0, 4, 2]
WORLDS = torch.cartesian_prod(*torch.tensor([0.0, 1.0]).expand(6, 2)).double()
DRAWS = 20_000
OUTSIDE = "a chance lies outside 0 to 1: it is the sigmoid of the logit."
APART = 0.05  # of what is counted; pure luck stays near 0.02


class Model:
    """Logits of 2x3 pictures from the pixels drawn before; remembers what it was shown."""

    def __init__(self):
        self.order, self.mean = torch.tensor(ORDER), torch.full((1, 2, 3), 0.5).double()
        place = self.order.argsort()
        self.weight = 4 * normal(6, 6, seed=3) * (place[None, :] < place[:, None])
        self.bias, self.shown = normal(6, seed=4), []

    def __call__(self, x):
        require(
            x.ndim == 4,
            f"the model takes pictures (n, C, H, W): x, not flat; it got {[*x.shape]}.",
        )
        self.shown.append(x.detach().clone())
        return (x.flatten(1) @ self.weight.T + self.bias).view_as(x)


def _chances(order=ORDER, temperature=1.0, fed=True, known=None):
    """Return the probability (64,) with which each picture is drawn; known: (value, bool) (6,)."""
    model, x = Model(), torch.zeros(64, 6).double()
    value, kept = known or (torch.zeros(6), torch.zeros(6, dtype=torch.bool))
    x[:, kept] = value[kept].double()
    chance = torch.ones(64).double()
    for pixel in order:
        ink = (model(x.view(64, 1, 2, 3)).flatten(1)[:, pixel] / temperature).sigmoid()
        if kept[pixel]:
            ink = value[pixel].double().expand(64)
        chance = chance * torch.where(WORLDS[:, pixel] > 0, ink, 1 - ink)
        if fed:
            x[:, pixel] = WORLDS[:, pixel]
    return chance


def _counted(x):
    """Return how often each of the 64 pictures occurs in x (n, 1, 2, 3), as shares."""
    which = x.flatten(1).long() @ 2 ** torch.arange(5, -1, -1)
    return torch.bincount(which, minlength=64).double() / len(x)


def _apart(counted, chances) -> float:
    return (counted - chances).abs().sum().item() / 2


def _draw(function, seed=0, n=DRAWS, **options):
    """Return pictures and the model that was asked; demand pixels 0 and 1 and the right shape."""
    model = Model()
    before = torch.random.get_rng_state()
    try:
        x = function(model, n, torch.Generator().manual_seed(seed), **options)
    except RuntimeError as error:
        require("p_in >= 0" not in str(error), OUTSIDE)
        raise
    require(
        torch.equal(before, torch.random.get_rng_state()),
        "the global random state was used: pass generator=rng to torch.bernoulli.",
    )
    require(
        isinstance(x, torch.Tensor) and x.shape == (n, 1, 2, 3),
        f"{n} pictures [1, 2, 3] should have the shape {(n, 1, 2, 3)}.",
    )
    shown = torch.cat([x, *model.shown])
    require(
        ((shown == 0) | (shown == 1)).all(),
        f"the model was shown, or you return, pixels from {shown.min():g} to {shown.max():g}; in "
        "training they were 0 and 1 (A7). Write the toss itself into flat.",
    )
    return x, model


def _require_right_draws(x, model, other):
    counted = _counted(x)
    require(
        x.any(),
        "no toss was written down where nothing is known: all pictures are empty. torch.where("
        "kept, old, new): known pixels stay as they are, the toss goes to the others.",
    )
    require(
        len(x.unique(dim=0)) > 1 or torch.equal(x, other),
        f"{DRAWS:,} pictures, and all the same, but others with another seed: one toss was shared "
        "by all. A chance (n,), flatten(1)[:, pixel], and n tosses.",
    )
    require(
        len(x.unique(dim=0)) > 1,
        f"{DRAWS:,} pictures, and all the same: the likelier side was taken, not a toss (A6). Use "
        "torch.bernoulli(chance, generator=rng).",
    )
    require(
        len(model.shown) >= 6,
        f"the model was asked {len(model.shown)} times for 6 pixels: each pixel's logit needs the "
        "tosses before it, so ask inside the loop (A5).",
    )
    require(
        _apart(counted, _chances(fed=False)) > APART or torch.cat(model.shown).any(),
        "each pixel is guessed from an empty canvas: write the toss into flat[:, pixel], a view "
        "of x, so that the model sees it next.",
    )
    for name, order in {"raster": range(6), "the reverse": ORDER[::-1]}.items():
        require(
            _apart(counted, _chances(order)) > APART,
            f"the pixels are drawn in {name} order; this model's order is {ORDER} (A4). Each "
            "logit holds only if all pixels before it, in that order, are there.",
        )
    require(
        _apart(counted, _chances()) < APART,
        f"of {DRAWS:,} pictures, the shares of the 64 possible ones are "
        f"{_apart(counted, _chances()):.2f} (total variation) from their probabilities: the "
        "chance of pixel i is the sigmoid of its logit, [:, pixel], over the temperature.",
    )


def _require_temperature(function):
    counted = _counted(_draw(function, temperature=0.5)[0])
    require(
        _apart(counted, _chances()) > APART, "`temperature` is accepted and ignored: divide by it."
    )
    require(
        _apart(counted, _chances(temperature=2.0)) > APART,
        "at temperature 0.5 the tosses got wilder: divide the logit, do not multiply.",
    )
    require(
        _apart(counted, _chances(temperature=0.5)) < APART,
        "at temperature 0.5 the wrong pictures are drawn: each logit is divided by it, then the "
        "sigmoid.",
    )
    both = torch.tensor([0.5, 2.0]).double().repeat_interleave(DRAWS)
    x, _ = _draw(function, n=2 * DRAWS, temperature=both)
    for part, heat in zip(x.split(DRAWS), (0.5, 2.0), strict=True):
        require(
            _apart(_counted(part), _chances(temperature=heat)) < APART,
            "a temperature (n,) should count for each picture separately.",
        )


def _require_completion(function):
    given = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]]).double()
    mask = torch.tensor([[[False, True, False], [True, False, True]]])
    x, _ = _draw(function, given=given, mask=mask)
    kept = (x[:, mask] == given[mask]).double().mean().item()
    opposite = (x[:, ~mask] == given[~mask]).double().mean().item()
    require(
        opposite < 1 or kept == 1,
        "the known pixels are drawn and the unknown ones kept: torch.where(kept, flat, drawn).",
    )
    require(
        kept == 1,
        f"{kept:.0%} of the known pixels kept their values; all should: torch.where(kept[:, "
        "pixel], flat[:, pixel], drawn).",
    )
    chances = _chances(known=(given.flatten(), mask.flatten()))
    require(
        _apart(_counted(x), chances) < APART,
        "the unknown pixels do not follow from the known ones: keep the known values in flat, "
        "where the model sees them.",
    )
    try:
        function(Model(), 2, torch.Generator(), given=torch.zeros(1, 2, 2), mask=mask)
    except CourseError:
        return
    require(False, "a picture of another size is accepted: keep the call of canvas.")


@check("autoregressive.sample")
def sample(function):
    """Count 20,000 drawn pictures of 64 possible ones; temperature, known pixels, seeds."""
    x, model = _draw(function)
    other, _ = _draw(function, seed=1)
    _require_right_draws(x, model, other)
    _require_temperature(function)
    _require_completion(function)
    again, _ = _draw(function)
    require(
        torch.equal(x, again) and not torch.equal(x, other),
        "one seed should give the same pictures, another seed others: draw from rng.",
    )
    return f"{DRAWS:,} pictures come as often as they should; temperature, known pixels, seed"
