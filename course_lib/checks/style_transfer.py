"""Checks of lesson 55: Gram matrices, their costs and gradients; pictures in a module beside."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.checks.style_transfer_pictures import descend, recolour

__all__ = ["descend", "gram", "gram_gradient", "recolour", "style_loss"]


def _gram(h):
    """Return the mean over the positions of the outer products, one position after the other."""
    outer = [torch.einsum("ba,bc->bac", f, f) for f in h.flatten(2).unbind(2)]
    return torch.stack(outer).mean(dim=0)


def _require_shape(found, shape, what):
    require(
        isinstance(found, torch.Tensor) and found.shape == torch.Size(shape),
        f"{what} should be {[*shape]}, not {[*getattr(found, 'shape', ())]}.",
    )


@check("style_transfer.gram")
def gram(function):
    """Compare with outer products; shuffled and repeated pictures have the same matrix."""
    h = normal(2, 3, 4, 5, seed=1) + 0.5
    found, wanted = function(h), _gram(h)
    require(
        not (isinstance(found, torch.Tensor) and found.shape == (2, 20, 20)),
        "this compares positions with positions: the product of channels with channels, F F^T, "
        "sums over the positions.",
    )
    require(
        not (isinstance(found, torch.Tensor) and found.shape == (3, 3)),
        "the pictures of the batch are mixed: each has a matrix of its own, (B, C, C).",
    )
    _require_shape(found, (2, 3, 3), "the Gram matrices of two pictures with three channels")
    require(
        differs(found, 20 * wanted) > TOLERANCE,
        "this is the sum over the positions (R8): it grows with the picture. Divide by their "
        "number, h * w.",
    )
    require(
        differs(found, 20 / 3 * wanted) > TOLERANCE and differs(found, wanted / 3) > TOLERANCE,
        "the number of channels has no place here: divide by the number of positions, h * w.",
    )
    require(
        min(differs(found, 5 * wanted), differs(found, 4 * wanted)) > TOLERANCE,
        "only rows, or only columns, are counted: the positions are h * w.",
    )
    centred = h - h.mean(dim=(2, 3), keepdim=True)
    require(
        differs(found, _gram(centred)) > TOLERANCE,
        "this is the covariance. A Gram matrix does not subtract the mean: how strong a feature is "
        "on average belongs to the style.",
    )
    scrambled = h.reshape(2, 20, 3).mT
    require(
        differs(found, _gram(scrambled[..., None])) > TOLERANCE,
        "the axes are scrambled: flatten(2) keeps channels and joins positions, a reshape to "
        "(B, h w, C) mixes both.",
    )
    require(
        differs(found, wanted) < TOLERANCE,
        f"the first number should be {wanted[0, 0, 0]:.4f}, yours is {found[0, 0, 0]:.4f}: the "
        "mean over the positions of channel a times channel b.",
    )
    order = torch.tensor([7, 3, 0, 19, 4, 11, 2, 8, 14, 1, 9, 6, 5, 17, 10, 13, 16, 12, 18, 15])
    shuffled = h.flatten(2)[..., order].view_as(h)
    require(differs(function(shuffled), found) < TOLERANCE, "shuffled positions change it.")
    require(differs(function(h.repeat(1, 1, 2, 3)), found) < TOLERANCE, "repeated, it changes.")
    x = h.clone().requires_grad_()
    require(function(x).requires_grad, "no gradient comes back: pixels must be moved through it.")
    return "the mean of outer products; it forgets every place, and how large the picture is"


def _levels():
    levels = [normal(2, 3, 4, 5, seed=1), 7 * normal(2, 4, 2, 3, seed=2)]
    styles = [normal(2, 3, 5, 5, seed=3) + 0.4, 9 * normal(2, 4, 3, 3, seed=4)]
    return levels, [_gram(h) for h in styles]


def _relative(levels, grams, norm=True):
    """Return each level's distances (L, B), relative to the target's size or not."""
    pairs = zip(levels, grams, strict=True)
    off = [((_gram(h) - T).square().sum(dim=(1, 2)), T.square().sum(dim=(1, 2))) for h, T in pairs]
    return torch.stack([far / size if norm else far for far, size in off])


@check("style_transfer.style_loss")
def style_loss(function):
    """Compare with distances level by level; one style for two pictures; known values."""
    levels, grams = _levels()
    each, plain = _relative(levels, grams), _relative(levels, grams, norm=False)
    found = function(levels, grams)
    _require_shape(found, (), "the cost is one number; its shape")

    def off_by(value):
        return abs(found - value).item()

    require(
        min(off_by(plain.mean(dim=0).sum()), off_by(plain.mean())) > TOLERANCE,
        "the levels are not divided by the square of their target: the one with the largest "
        "features then counts alone.",
    )
    require(
        off_by(each.mean()) > TOLERANCE,
        "the pictures are averaged: sum over them, so that each of a batch moves as if alone.",
    )
    require(
        off_by(each.sum()) > TOLERANCE,
        "the levels are summed: take their mean, so that the cost of no features at all is 1.",
    )
    pairs = zip(levels, grams, strict=True)
    batch = torch.stack([(_gram(h) - T).square().sum() / T.square().sum() for h, T in pairs])
    require(
        min(off_by(batch.mean()), off_by(2 * batch.mean())) > TOLERANCE,
        "the pictures of the batch are mixed in the fraction: sum over dim=(1, 2) only, above and "
        "below.",
    )
    require(
        off_by(each.sqrt().mean(dim=0).sum()) > TOLERANCE,
        "a root is taken: the squared distance is wanted, whose slope is 0 at the style itself.",
    )
    wanted = each.mean(dim=0).sum()
    require(
        off_by(wanted) < TOLERANCE,
        f"the cost should be {wanted:.4f}, yours is {found:.4f}: |G - T|^2 / |T|^2 of each picture "
        "and level, mean over levels, sum over pictures.",
    )
    one = function(levels, [T[:1] for T in grams])
    both = _relative(levels, [T[:1] for T in grams]).mean(dim=0).sum()
    require(differs(one, both) < TOLERANCE, "one style (1, C, C) should serve both pictures.")
    nothing = function([0 * h for h in levels], grams).item()
    require(abs(nothing - 2) < TOLERANCE, f"no features should cost 1 each, not {nothing / 2:.3f}.")
    x = [h.clone().requires_grad_() for h in levels]
    require(function(x, grams).requires_grad, "no gradient comes back to the features.")
    return "relative squared distances: 0 for the style itself, 1 a picture for no features"


@check("style_transfer.gram_gradient")
def gram_gradient(function):
    """Compare with autograd, on features that are not square."""
    h, T = normal(2, 3, 4, 5, seed=1), _gram(normal(2, 3, 6, 2, seed=2))
    x = h.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((_gram(x) - T).square().sum(), x)
    found = function(h, T)
    _require_shape(found, h.shape, "the gradient")
    for factor, sentence in (
        (0.5, "half of it: F stands in G twice, so the product rule gives two equal terms."),
        (0.25, "a quarter of it: 2 from the square, and 2 from F, which stands in G twice."),
        (20, "20 times too much: G is a mean over 20 positions, so 1 / n stays."),
        (-1, "turned round: the gradient points uphill, G - T."),
    ):
        require(differs(found, factor * wanted) > TOLERANCE, sentence)
    require(
        differs(found, wanted) < TOLERANCE,
        f"the first number should be {wanted[0, 0, 0, 0]:.4f}, yours is {found[0, 0, 0, 0]:.4f}: "
        "4 / n (G - T) F, in the shape of h.",
    )
    return "autograd finds the same, for every feature"
