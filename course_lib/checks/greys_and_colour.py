"""Checks of lesson 43: windows, strata and mixtures; the samplers stand in a module beside."""

import torch
from torch.nn import functional as F

from course_lib.checks import causality, check, require
from course_lib.checks.greys_and_colour_sampling import complete, sample
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

__all__ = ["complete", "mixture_log_probs", "near", "sample", "unbiased_mean"]

CURES = {
    "itself": "The offset (0, 0) is the guessed pixel: strictly before, < (0, 0) (A5).",
    "ahead": "Raster order goes row by row: all of the rows above, but in the pixel's own row only "
    "what is to the left (A4, A5).",
    "blind": "All of the window that raster order draws earlier belongs to it, in the pixel's own "
    "row, too.",
}
COLOURED = (
    " With colours side by side, one and two steps to the left of B are its own G and R; a mask "
    "that hides them makes coloured noise (A3)."
)
GREY, COLOUR = ((3, 5), (1, 5, 7)), ((2, 7), (3, 3, 4))  # windows, and pictures to try them on


def _seen(offsets, shape):
    """Return the Jacobian (D, D) of sums over the offsets in pictures (C, H, W), interleaved."""
    C, H, W = shape

    def model(x):
        flat = x[0].permute(1, 2, 0).reshape(H, W * C)
        y = torch.zeros_like(flat)
        for k, (row, column) in enumerate(offsets):
            moved = F.pad(flat, (C * W, C * W, H, H))
            moved = moved[H + row : 2 * H + row, C * W + column : 2 * C * W + column]
            y = y + (k + 1) * moved
        return y.view(H, W, C).permute(2, 0, 1)

    return causality.jacobian(model, shape)


def _wanted(height, width, shape):
    """Return bool (D, D): earlier, and inside the window, counted in interleaved columns."""
    C, H, W = shape
    channel, row, column = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
    row, column = row.flatten(), (column * C + channel).flatten()
    up, aside = row[:, None] - row[None, :], (column[:, None] - column[None, :]).abs()
    return causality.earlier(shape) & (up < height) & (aside <= width // 2)


@check("greys_and_colour.near")
def near(function):
    """Compare the Jacobian of a sum over the offsets with the window, grey and in colours."""
    found = function(2, 7)
    require(
        isinstance(found, list) and all(isinstance(o, tuple) and len(o) == 2 for o in found),
        f"a list of pairs (row, column) is needed, not {found!r:.80}.",
    )
    require(len(found) == len(set(found)), "some offsets occur twice.")
    outside = [o for o in found if not (-2 < o[0] < 2 and -4 < o[1] < 4)]
    require(
        not outside,
        f"with a window of 2 x 7, the offset {outside[:1]} lies outside: first the row, -1 or 0, "
        "then the column, -3 to 3.",
    )
    own_hidden = (0, -3) in found and (0, -1) not in found
    for size, shape in (COLOUR, GREY) if own_hidden else (GREY, ((1, 3), (1, 2, 5)), COLOUR):
        kind = "grey pictures" if shape[0] == 1 else "colours side by side"
        name = f"A window of {size[0]} x {size[1]}, {kind}"
        seen, wanted = _seen(function(*size), shape), _wanted(*size, shape)
        cures = CURES | {"blind": CURES["blind"] + COLOURED * (shape[0] > 1)}
        causality.require_causal(seen, shape, wanted=wanted, name=name, cures=cures)
    squares = [row**2 + column**2 for row, column in function(3, 5)]
    require(squares == sorted(squares), "keep the sorting: the nearest twelve come first.")
    try:
        function(3, 4)
    except CourseError:
        return "exactly the earlier pixels of the window, in greys and in colours (Jacobian)"
    require(False, "an even width is accepted, though it has no middle: keep the CourseError.")


@check("greys_and_colour.unbiased_mean")
def unbiased_mean(function):
    """Average many estimates of a known mean, for several shares; empty strata; gradients."""
    values = [normal(size, seed=seed) + 4 * seed for seed, size in enumerate((50, 200, 750))]
    sizes, truth = [50, 200, 750], torch.cat(values).mean()
    for counts in ((400, 100, 50), (7, 900, 3), (20, 20, 20)):
        rng, found = torch.Generator().manual_seed(1), []
        for _ in range(200):
            draws = [
                torch.randint(len(v), (n,), generator=rng)
                for v, n in zip(values, counts, strict=True)
            ]
            parts = [v[at] for v, at in zip(values, draws, strict=True)]
            found.append(torch.as_tensor(function(parts, sizes)))
        _require_unbiased(torch.stack(found), parts, counts, sizes, truth)
    parts = [torch.ones(4), torch.zeros(0), torch.full((2,), 5.0)]
    found = torch.as_tensor(function(parts, [30, 0, 10]))
    require(
        found.isfinite(),
        "with an empty stratum the estimate is nan: the mean of no draws. Leave out the strata "
        "whose size is 0, as in pictures that are all black.",
    )
    require(
        differs(found.double(), torch.tensor(2.0).double()) < 1e-6,
        f"30 pixels that cost 1, none, and 10 that cost 5 make 2 on average, not {found:.3f}.",
    )
    slopes = torch.ones(3, requires_grad=True)
    require(
        torch.as_tensor(function([slopes], [3])).requires_grad,
        "no gradient reaches the parts, so nothing can be learned: no .item(), no detach.",
    )
    return "the true mean on average, whatever is drawn how often; empty strata; gradients"


def _require_unbiased(found, parts, counts, sizes, truth):
    require(
        found.shape == (200,),
        f"the estimate should be one number, yours has the shape {tuple(found.shape[1:])}: the "
        "mean of each part.",
    )
    middle, share = found.mean(), torch.tensor(sizes).double() / sum(sizes)
    means = torch.stack([part.mean() for part in parts])
    require(
        differs(found[-1], torch.cat(parts).mean()) > TOLERANCE,
        "all draws count alike: a stratum that is studied more often gets more weight. Its weight "
        "is its share of ALL pixels, size / sum(sizes).",
    )
    require(
        differs(found[-1], means.mean()) > TOLERANCE,
        "all strata count alike, however many pixels they have: size / sum(sizes).",
    )
    require(
        differs(found[-1], (means * torch.tensor(sizes)).sum()) > TOLERANCE,
        "the weights must sum to 1: divide by the sum of all sizes.",
    )
    drawn = torch.tensor(counts).double() / sum(counts)
    require(
        differs(found[-1], (means * share * drawn).sum()) > TOLERANCE
        and differs(found[-1], (means * share / drawn).sum()) > TOLERANCE,
        "the number of draws does not matter once the mean of a part is taken: no second weight.",
    )
    sums = torch.stack([part.sum() for part in parts])
    require(
        differs(found[-1], (sums * share).sum()) > TOLERANCE,
        "this sums over the draws: with more draws it grows. Take each part's mean.",
    )
    require(
        abs(middle - truth) < 0.05,
        f"200 estimates of {truth:.2f} are {middle:.2f} on average: each part's mean, times its "
        "size over the sum of all sizes.",
    )


@check("greys_and_colour.mixture_log_probs")
def mixture_log_probs(function):
    """Compare with areas under logistics in float64; sum over all levels; tails; gradients."""
    weight, mean, log_scale = normal(3, 4, seed=1), normal(3, 4, seed=2), normal(3, 4, seed=3) / 3
    for levels in (8, 256):
        found = function(weight, mean, log_scale, torch.arange(levels)[None], levels)
        require(
            found.shape == (3, levels),
            f"3 mixtures at {levels} levels should give (3, {levels}), yours {[*found.shape]}: "
            "logsumexp over the K logistics, dim=1.",
        )
        share, each = weight.softmax(1), _areas(mean, log_scale, levels)
        wanted = (share[..., None] * each).sum(dim=1).log()
        _require_mixture(found, wanted, each, weight, levels)
    v = torch.tensor([[0], [3], [7]])
    found = function(weight, mean, log_scale, v, 8)
    wanted = function(weight, mean, log_scale, torch.arange(8)[None], 8).gather(1, v)
    require(differs(found, wanted) < TOLERANCE, "one level for each row, v (B, 1), goes wrong.")
    far = function(torch.zeros(1, 1), torch.full((1, 1), 9.0), torch.full((1, 1), -6.0),
                   torch.tensor([[0, 128]]), 256)  # fmt: skip
    require(
        far.isfinite().all(),
        "far from the curve ln p is not finite: stay with logarithms, logsumexp, no exp and log.",
    )
    return "areas under the curve, the tails at both ends, a sum of 1; finite far away"


def _areas(mean, log_scale, levels):
    """Return the probability (B, K, levels) of each level under each logistic."""
    edges = (2 * torch.arange(1, levels).double() - 1) / (levels - 1) - 1
    below = ((edges - mean[..., None]) / log_scale.exp()[..., None]).sigmoid()
    ends = torch.zeros_like(below[..., :1]), torch.ones_like(below[..., :1])
    return torch.cat([ends[0], below, ends[1]], dim=2).diff(dim=2)


def _require_mixture(found, wanted, each, weight, levels):
    total = found.exp().sum(dim=1)
    K = weight.shape[1]
    require(
        differs(found, (weight.exp()[..., None] * each).sum(dim=1).log()) > 1e-6,
        "the weights are logits, not yet logarithms of shares: weight.log_softmax(dim=1).",
    )
    require(
        min(differs(found, each.sum(1).log()), differs(found, each.mean(1).log())) > 1e-6,
        f"the {K} logistics count alike: add weight.log_softmax(dim=1)[..., None].",
    )
    product = (weight.log_softmax(dim=1)[..., None] + each.log()).sum(dim=1)
    require(
        differs(found, product) > 1e-6,
        "a sum of logarithms is a product; a mixture adds the probabilities: logsumexp.",
    )
    require(
        differs(found, (weight.softmax(1)[..., None] * each.log()).sum(dim=1)) > 1e-6,
        "this is the mean of the logarithms; a mixture is the logarithm of the mean: logsumexp.",
    )
    inner = (found - wanted).abs()[:, 1:-1].max() < 1e-6
    require(
        not inner or (total - 1).abs().max() < 1e-6,
        f"only the ends are wrong, the {levels} levels sum to {total[0]:.3f}: level 0 takes a "
        f"whole tail, `below`, and level {levels - 1} the other, `above`.",
    )
    require(
        (total - 1).abs().max() < 1e-6,
        f"the {levels} levels should sum to 1, yours to {total[0]:.3f}: `inner` between the ends, "
        "the weights' log_softmax over the logistics, dim=1.",
    )
    require(
        differs(found, wanted) < 1e-6,
        f"ln p of level 1 should be {wanted[0, 1]:.4f}, yours is {found[0, 1]:.4f}.",
    )
