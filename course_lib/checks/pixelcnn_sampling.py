"""Check of lesson 42 for the sampler that passes a few rows: toss by toss the plain one's."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import normal

SHAPE = (1, 8, 6)
START = "{:.1%} of the pixels are those of lesson 40's sample. "


def _model(kind, *sizes):
    """Return a model of 8x6 pictures with random weights, in float64."""
    model = kind(torch.full(SHAPE, 0.5), 6, *sizes).double()
    for seed, weights in enumerate(model.parameters()):
        fan = max(1, weights[0].numel()) if weights.dim() > 1 else 4
        weights.data = normal(*weights.shape, seed=seed) / fan**0.5
    return model


def _both(function, model, seed=2):
    """Return what function and lesson 40's sample draw, and the rows that were passed."""
    from course_lib.built.autoregressive import sample  # lessons are built before checks run

    wanted, heights = sample(model, 60, torch.Generator().manual_seed(seed)), []

    def note(module, given):
        if type(module) is type(model):
            heights.append(given[0].shape[2])

    passed = nn.modules.module.register_module_forward_pre_hook(note)
    before = torch.random.get_rng_state()
    try:
        found = function(model, 60, torch.Generator().manual_seed(seed))
    finally:
        passed.remove()
        own = vars(model).pop("place", None) is None
    require(own, "the model itself has another `place` afterwards: put it on a copy.")
    require(
        torch.equal(before, torch.random.get_rng_state()),
        "the global random state was used: torch.bernoulli(___, generator=rng).",
    )
    require(
        isinstance(found, torch.Tensor) and found.shape == wanted.shape,
        f"60 pictures should have the shape {[*wanted.shape]}: return x.",
    )
    return found, wanted, heights


def _explain(function, model, found, wanted):
    """Fail with what is known of the mistake."""
    start = START.format((found == wanted).double().mean().item())
    require(found.any(), start + "All pictures are empty: write each toss into x.")
    for part in (model.up, model.aside):
        for weights in part.parameters():
            weights.data.zero_()
    found, wanted, _ = _both(function, model)
    require(
        not torch.equal(found, wanted),
        start + "Without the rulers all are: they measure how far the window's edges are, not the "
        "page's. Place is known for the whole page: give the model its rows of the window.",
    )
    require(
        False,
        start + "The window ends with the pixel's row and begins model.reach rows above it, or at "
        "the top of the page; the logit stands in its LAST row, [:, 0, -1, column], and its "
        "sigmoid is tossed once.",
    )


@check("pixelcnn.sample_rows")
def sample_rows(function):
    """Compare with lesson 40's sampler, toss by toss, for three models; count the rows passed."""
    from course_lib.built import pixelcnn as course  # lessons are built before checks run

    share = []
    for kind, *sizes in ((course.PixelMLP, 5), (course.PixelStack, 3), (course.PixelCNN, 2, 3)):
        model = _model(kind, *sizes)
        found, wanted, heights = _both(function, model)
        if not torch.equal(found, wanted):
            _explain(function, model, found, wanted)
        require(
            max(heights) <= model.reach + 1,
            f"{max(heights)} rows are passed where {model.reach + 1} can tell: the pixel's own and "
            "model.reach above it.",
        )
        share.append(sum(heights) / (SHAPE[1] * SHAPE[1] * SHAPE[2]))
    return (
        f"with three kinds of models the pictures of the plain sampler, bit for bit; "
        f"{sum(share) / 3:.0%} of the rows are passed"
    )
