"""Checks of lesson 50: adjoints and masks; rulers and repairs stand in modules beside."""

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.damage_repairs import jpeg, median_filter, total_variation
from course_lib.checks.damage_rulers import psnr, ssim
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

__all__ = ["blur", "downsample", "jpeg", "mask", "median_filter", "psnr", "ssim", "total_variation"]


def _adjoint(A, x, y):
    """Return the adjoint of the linear A at y, by autograd: the gradient of <Ax, y>."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad((A(x) * y).sum(), x)[0]


def _require_adjoint(A, x, y, what):
    """Demand <Ax, y> = <x, A^T y>, and the number itself at each pixel."""
    found, wanted = A.adjoint(y), _adjoint(A, x, y)
    left, right = (A(x) * y).sum().item(), (x * found).sum().item()
    require(
        differs(found, wanted) < TOLERANCE,
        f"<Ax, y> = {left:.4f}, but <x, A^T y> = {right:.4f}: {what}",
    )


def _matrix(A, n):
    """Return the matrix (n, n) by which A blurs columns of n pixels: unit vectors go in."""
    units = torch.eye(n, dtype=torch.float64)[:, None, :, None]
    return A(units)[:, 0, :, 0].T


def _require_shape(found, x, name):
    require(
        isinstance(found, torch.Tensor) and found.shape == x.shape,
        f"the adjoint goes back to pictures {[*x.shape]}; {name} gives "
        f"{[*getattr(found, 'shape', ())]}.",
    )


def _refuses(call) -> bool:
    try:
        call()
    except CourseError:
        return True
    except RuntimeError:  # torch's own, about sizes: no sentence
        return False
    return False


@check("damage.Blur")
def blur(cls):
    """Compare both sides of <Ax, y> = <x, A^T y> on pictures that are not square."""
    A, x, y = cls(1.5), normal(2, 3, 9, 6, seed=1), normal(2, 3, 9, 6, seed=2)
    ones = torch.ones_like(x)
    require(differs(A(ones), ones) < TOLERANCE, "a blurred picture of ones should stay ones.")
    try:
        found = A.adjoint(y)
    except RuntimeError as error:
        require(
            "size" not in str(error),
            "the sizes do not fit: each matrix stays on its own side "
            "of the picture, the one for rows (H x H) on the left, for columns on the right.",
        )
        raise
    _require_shape(found, x, "yours")
    require(
        differs(found, A(y)) > TOLERANCE,
        "this is the blur itself. In the middle of a picture it is its own adjoint, but not near "
        "the border, where its rows were renormalised: transpose both matrices.",
    )
    require(
        differs(A(found), y) > 1e-6 * y.abs().max(),
        "this undoes the blur. An adjoint is no inverse: transpose, do not solve.",
    )
    rows, columns = (_matrix(A, n) for n in x.shape[2:])
    require(
        min(differs(found, rows.T @ y), differs(found, y @ columns)) > TOLERANCE,
        "only one side is done: a matrix from the left and one from the right.",
    )
    half = min(differs(found, rows.T @ y @ columns.T), differs(found, rows @ y @ columns))
    require(half > TOLERANCE, "one of the two matrices is not transposed.")
    _require_adjoint(
        A, x, y, "rows.T from the left, and (columns.T).T, which is columns, from the right."
    )
    return "<Ax, y> = <x, A^T y>, up to the border; constants are kept by A, not by its adjoint"


@check("damage.Downsample")
def downsample(cls):
    """Compare both sides of <Ax, y> = <x, A^T y> for two factors; odd sizes are refused."""
    for factor in (2, 3):
        A, x = cls(factor), normal(2, 3, 6, 12, seed=1)
        y = normal(2, 3, 6 // factor, 12 // factor, seed=2)
        require(
            differs(A(x), F.avg_pool2d(x, factor)) < TOLERANCE,
            f"each small pixel should be the mean of {factor} x {factor} large ones.",
        )
        found, wanted = A.adjoint(y), _adjoint(A, x, y)
        _require_shape(found, x, "yours")
        require(
            differs(found, factor**2 * wanted) > TOLERANCE,
            f"{factor**2} times too much: each of the {factor**2} pixels entered the mean with the "
            f"weight 1/{factor**2}, and gets back just that share.",
        )
        require(
            differs(found, factor * wanted) > TOLERANCE,
            f"{factor} times too much: a block has factor x factor pixels, not factor.",
        )
        tiled = y.repeat(1, 1, factor, factor) / factor**2
        require(
            differs(found, tiled) > TOLERANCE,
            "the small picture is tiled: repeat_interleave repeats each pixel in its place, repeat "
            "the whole picture.",
        )
        _require_adjoint(A, x, y, "copies of each number in its own block, divided by factor**2.")
    require(
        _refuses(lambda: cls(2)(torch.ones(1, 1, 5, 4))),
        "5 rows cannot be cut into pairs: keep the sentence that refuses them, for the adjoint "
        "would return 4 rows.",
    )
    return "<Ax, y> = <x, A^T y> for factors 2 and 3; other sizes are refused"


@check("damage.Mask")
def mask(cls):
    """Known pixels stay bit for bit, holes are 0; masks that are grey or do not fit are refused."""
    x, known = normal(2, 3, 5, 4, seed=1), normal(5, 4, seed=2) > 0
    for given in (known, known.float(), known.expand(1, 1, 5, 4), known.expand(2, 3, 5, 4)):
        y = cls(given)(x)
        require(
            not (torch.equal(y[..., ~known], x[..., ~known]) and (y[..., known] == 0).all()),
            "the hole is kept and the known pixels are gone (R1): here True, or 1, means known.",
        )
        require(
            torch.equal(y[..., known], x[..., known]), "known pixels should come back bit for bit."
        )
        require(
            (y[..., ~known] == 0).all(),
            "something of the hole is left (R4): a repair would see what it should find.",
        )
    A, y = cls(known), normal(2, 3, 5, 4, seed=3)
    _require_adjoint(A, x, y, "a mask is its own adjoint.")
    for grey in (known * 0.5, known + 0.5, 255 * known.int()):
        require(
            _refuses(lambda grey=grey: cls(grey)),
            f"a mask of {grey.min():g} and {grey.max():g} is accepted (R2, R3): resized or saved "
            "as bytes, it would weigh pixels instead of choosing them. Only 0 and 1.",
        )
    for shape in ((4, 5), (1, 5), (4,), (3, 3, 5, 4)):
        require(
            _refuses(lambda shape=shape: cls(torch.ones(shape))(x)),
            f"a mask {[*shape]} is accepted for pictures [2, 3, 5, 4]: keep the sentence.",
        )
    return "known pixels bit for bit, 0 in the hole; only 0 and 1, only of the picture's size"
