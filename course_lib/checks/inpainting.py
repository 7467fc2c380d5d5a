"""Checks of lesson 53: the biharmonic filling and the losses; networks stand in a module beside."""

import torch
from skimage import restoration

from course_lib.checks import check, require
from course_lib.checks.inpainting_networks import PartialConv, refiner
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

__all__ = ["PartialConv", "biharmonic", "context_loss", "picture_loss", "refiner"]


def _refuses(call) -> bool:
    try:
        call()
    except CourseError:
        return True
    except (RuntimeError, TypeError, ValueError, IndexError):  # no sentence
        return False
    return False


def _laplacian_matrix(H, W):
    """Return L (HW, HW): degree on the diagonal, -1 for each neighbour; no neighbour outside."""
    L = torch.zeros(H * W, H * W, dtype=torch.float64)
    for i in range(H):
        for j in range(W):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < H and m < W:
                    a, b = i * W + j, k * W + m
                    L[a, a] += 1
                    L[b, b] += 1
                    L[a, b] = L[b, a] = -1
    return L


def _least(y, known, power):
    """Return y (1, 1, H, W) filled with the least |L^(power / 2) x|^2, solved as a matrix."""
    H, W = y.shape[2:]
    A = torch.linalg.matrix_power(_laplacian_matrix(H, W), power)
    hole, x = ~known.flatten(), torch.where(known, y, 0).flatten()
    x[hole] = torch.linalg.solve(A[hole][:, hole], -(A[hole] @ x))
    return x.view(y.shape)


def _holed(H=9, W=7):
    """Return y (1, 1, H, W), float64, and known, with a hole of 3 x 3 and one at a corner."""
    known = torch.ones(1, 1, H, W, dtype=torch.bool)
    known[..., 3:6, 2:5] = False
    known[..., :2, :1] = False
    return normal(1, 1, H, W, seed=1), known


def _require_scikit_image(function):
    """Demand the answer of scikit-image's peer for a hole away from the border."""
    y, known = normal(1, 1, 13, 13, seed=2), torch.ones(1, 1, 13, 13, dtype=torch.bool)
    known[..., 4:9, 5:8] = False
    peer = restoration.inpaint_biharmonic(y[0, 0].numpy(), ~known[0, 0].numpy())
    apart = differs(function(y, known, 400), torch.from_numpy(peer)[None, None])
    require(
        apart < 1e-4, f"it differs from scikit-image's inpaint_biharmonic by up to {apart:.2g}."
    )


@check("inpainting.biharmonic")
def biharmonic(function):
    """Compare with the matrix solution; known pixels, the hole's content, ramps, sentences."""
    y, known = _holed()
    found = function(y, known, 400)
    require(
        isinstance(found, torch.Tensor) and found.shape == y.shape,
        f"the filled picture should be {[*y.shape]}, not {[*getattr(found, 'shape', ())]}.",
    )
    require(
        not torch.equal(found[~known], y[~known]),
        "the hole comes back and the known pixels are changed: here 1 means known (R1)."
        if not torch.equal(found[known], y[known])
        else "the hole comes back as it was: what stands there is to be replaced.",
    )
    require(
        torch.equal(found[known], y[known]),
        "known pixels should come back bit for bit: choose them with torch.where(known, y, ...).",
    )
    other = function(torch.where(known, y, 7.0), known, 400)
    require(
        differs(found, other) < TOLERANCE,
        "what stands in the hole of y changes the answer (R4): begin from `start`, not from y.",
    )
    wanted, film = _least(y, known, 2), _least(y, known, 1)
    require(
        differs(found, film) > 1e-6,
        "the result is the harmonic filling. bending needs two Laplacians, and the change is 0 "
        "where known: one masked_fill(known, 0), after both.",
    )
    require(
        differs(found, wanted) < 1e-5,
        f"the solution of the equations differs by up to {differs(found, wanted):.2g}. Is `bent` "
        "the Laplacian twice, 0 where known only after both? Is the right side minus bent(start)?",
    )
    rough = function(y, known, 2)
    require(
        differs(rough, found) > 1e-3,
        "2 steps give the same as 400: hand `steps` on to conjugate_gradients.",
    )
    colour = torch.cat([y, 2 * y + 1, y.flip(2)], dim=1)
    require(
        differs(function(colour, known, 400)[:, :2], torch.cat([found, 2 * found + 1], 1)) < 1e-4,
        "a mask (B, 1, H, W) should serve each colour, and 2 y + 1 be filled with 2 fill + 1.",
    )
    _require_scikit_image(function)
    nothing, grey = torch.zeros_like(known), known * 0.5
    require(
        _refuses(lambda: function(y, nothing)) and _refuses(lambda: function(y, grey)),
        "a mask of greys, and one that knows no pixel, should end in a sentence: keep "
        "require_known.",
    )
    return "the solution of the matrix equations, and scikit-image's; the hole's content unseen"


def _loss_case():
    """Return found, target (2, 2, 4, 4): they differ by 4 pixels and by 1; the mean squares."""
    target = normal(2, 2, 4, 4, seed=4)
    off = torch.zeros_like(target)
    off[0, 0, :2, :2] = torch.tensor([[0.5, -1.0], [0.3, 0.8]])
    off[1, 0, 3, 3] = 0.7
    return target + off, target, off.square().mean(dim=(1, 2, 3))


@check("inpainting.picture_loss")
def picture_loss(function):
    """Compare with roots by hand; size of the picture; the gradient where nothing is wrong."""
    found, target, squares = _loss_case()
    loss = function(found, target)
    require(
        isinstance(loss, torch.Tensor) and loss.ndim == 0,
        "a loss is one number: average over the batch, too.",
    )
    wanted = (squares + 1e-6).sqrt().mean()
    mistakes = {
        "this is the mean squared error, without the root.": squares.mean(),
        "one root is taken of all pictures together: first each picture's root, then the mean.": (
            (squares.mean() + 1e-6).sqrt()
        ),
        "the squares are summed over the picture, not averaged: it grows with the size (R8).": (
            (32 * squares + 1e-6).sqrt().mean()
        ),
        "the batch is summed, not averaged.": 2 * wanted,
        "a root is taken of each colour: one of each picture.": (
            ((found - target).square().mean(dim=(2, 3)) + 1e-6).sqrt().mean()
        ),
        "the error is not squared: this is the mean absolute one.": (found - target).abs().mean(),
        "1e-6 stands beside the root: it belongs under it.": squares.sqrt().mean() + 1e-6,
    }
    for sentence, value in mistakes.items():
        require(abs(loss.item() - value.item()) > 1e-9, sentence)
    perfect = target.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(perfect, target), perfect, allow_unused=True)
    require(slope is not None, "no gradient reaches what was found: no detach, no item.")
    require(
        slope.isfinite().all().item(),
        "where nothing is wrong the gradient is nan: the slope of a root at 0 is infinite. Add "
        "1e-6 under the root.",
    )
    require(
        abs(loss.item() - wanted.item()) < 1e-9,
        f"it should be {wanted.item():.6f}, not {loss.item():.6f}: each picture's mean of squares, "
        "plus 1e-6, its root, and the mean over the batch.",
    )
    return "each picture's root, whatever its hole; no nan where nothing is wrong"


@check("inpainting.context_loss")
def context_loss(function):
    """Compare with both parts by hand, for two weights."""
    found, target, squares = _loss_case()
    logits = normal(2, seed=5) * 2
    fooled = torch.log1p(torch.exp(-logits)).mean()
    squared = squares.mean()
    for weight in (0.5, 3.0):
        loss = function(found, target, logits, weight)
        require(
            isinstance(loss, torch.Tensor) and loss.ndim == 0,
            "a loss is one number, a tensor without axes.",
        )
        mistakes = {
            "D's own loss is used: the network wants its filling to pass for true, "
            "gen_loss(logits).": torch.log1p(torch.exp(logits)).mean() + weight * squared,
            "the weight stands at the adversarial part: it belongs to the squared error.": (
                weight * fooled + squared
            ),
            "the squared error is subtracted.": fooled - weight * squared,
            "the adversarial part is missing.": weight * squared,
            "weight has no effect.": fooled + squared,
            "the squares are summed, so the weight is 64 times too large here (R8).": (
                fooled + 64 * weight * squared
            ),
        }
        for sentence, value in mistakes.items():
            require(abs(loss.item() - value.item()) > 1e-9, sentence)
        wanted = fooled + weight * squared
        require(
            abs(loss.item() - wanted.item()) < 1e-9,
            f"with weight {weight} it should be {wanted.item():.4f}, not {loss.item():.4f}: "
            "the mean of −ln D (lesson 20, not the saturating one) and weight times mean squares.",
        )
    guess, judged = found.clone().requires_grad_(), logits.clone().requires_grad_()
    slopes = torch.autograd.grad(
        function(guess, target, judged, 2.0), (guess, judged), allow_unused=True
    )
    require(
        all(slope is not None for slope in slopes)
        and differs(slopes[0], 4 * (found - target) / found.numel()) < TOLERANCE,
        "no gradient reaches what was found by both parts: no detach, no item.",
    )
    return "−ln D on average, and the squared error with its weight"
