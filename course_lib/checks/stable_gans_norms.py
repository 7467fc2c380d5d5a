"""Checks of lesson 24's norms: of a kernel's matrix by power iteration, and of a convolution."""

import math

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal


def _iterated(matrix, u):
    """Return v and the next u of one power iteration."""
    v = F.normalize(matrix.T @ u, dim=0)
    return v, F.normalize(matrix @ v, dim=0)


def _require_one_iteration(cls, weight):
    norm, matrix = cls(weight), weight.flatten(1)
    first = norm.u.clone()
    used = norm(weight)
    require(
        used is not None and used.shape == weight.shape,
        f"a weight {tuple(weight.shape)} should come back in its shape.",
    )
    v, u = _iterated(matrix, first)
    require(
        differs(norm.u, first) > 0,
        "u stayed as it was in training: without an iteration a call it never finds sigma.",
    )
    require(
        differs(norm.u, u) < 1e-9,
        "after one call in training u should be one iteration further: v from W^T u, then u from "
        "W v, both of length 1.",
    )
    sigma = (u @ matrix @ v).item()
    factor = (used / weight).median().item()
    require(
        abs(factor - 1 / sigma) < 1e-9,
        f"the weight was multiplied by {factor:.4f}; 1 / sigma is {1 / sigma:.4f}, with sigma = u "
        "W v of the new u. Not the Frobenius norm, and divided.",
    )


def _require_still(cls, weight):
    norm = cls(weight)
    norm(weight)
    norm.eval()
    before, one = norm.u.clone(), norm(weight)
    require(
        differs(norm.u, before) == 0 and differs(one, norm(weight)) == 0,
        "in evaluation u moved: an answer must not depend on how often one has asked. Only `if "
        "self.training`.",
    )
    matrix, sigma = weight.flatten(1), (weight / one).median().item()
    v, _ = _iterated(matrix, before)
    least, most = (before @ matrix @ v).item(), (matrix @ v).norm().item()
    require(
        least - 1e-9 <= sigma <= most + 1e-9,
        f"in evaluation the weight is divided by {sigma:.4f}; with the kept u, u W v is "
        f"{least:.4f}.",
    )


def _require_gradient(cls, weight):
    """Compare the gradient of W / (u W v), u and v constant; two calls before one backward."""
    norm, given, pull = cls(weight), weight.clone().requires_grad_(), normal(*weight.shape, seed=9)
    first, second = norm(given), norm(given)  # the discriminator asks twice a step
    try:
        torch.autograd.grad((pull * (first + second)).sum(), given)
    except RuntimeError as error:
        inplace = "inplace" in str(error)
        require(
            False,
            "two calls, then backward, fails: u was changed in place, and the first call's graph "
            "needs the old one. Give self.u a new tensor."
            if inplace
            else "two calls, then backward, fails: u and v carry a graph from call to call. They "
            "are constants: torch.no_grad().",
        )
    require(
        not norm.u.requires_grad,
        "u carries a graph from call to call. u and v are constants: torch.no_grad().",
    )
    free = weight.clone().requires_grad_()
    v, u = _iterated(weight.flatten(1), norm.u)
    sigma = u @ free.flatten(1) @ v
    (exact,) = torch.autograd.grad((pull * free / sigma).sum(), free, retain_graph=True)
    (constant,) = torch.autograd.grad((pull * free / sigma.detach()).sum(), free)
    (grad,) = torch.autograd.grad((pull * norm(given)).sum(), given)
    require(
        differs(grad, constant) > 1e-9,
        "sigma counts as a constant: its gradient is missing, and steps go into the weight's "
        "length. Only u and v belong under no_grad.",
    )
    require(
        differs(grad, exact) < 1e-9,
        "the gradient is not that of W / (u W v) with constant u and v: put both under no_grad.",
    )


@check("stable_gans.SpectralNorm")
def spectral_norm(cls):
    """Compare one iteration, many, the gradient and evaluation with singular values."""
    kernel = normal(6, 3, 2, 2, seed=1)
    _require_one_iteration(cls, kernel)
    _require_still(cls, kernel)
    _require_gradient(cls, kernel)
    for weight in (kernel, normal(5, 7, seed=2)):
        norm = cls(weight)
        for _ in range(300):
            used = norm(weight)
        largest = torch.linalg.svdvals(used.flatten(1))[0].item()
        require(
            abs(largest - 1) < 1e-6,
            f"after 300 calls the largest singular value should be 1; it is {largest:.4f}.",
        )
    layer = torch.nn.Linear(7, 5, bias=False).double()
    layer.weight.data = weight.clone()
    own = torch.nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=100)
    require(differs(own(torch.eye(7).double()).T, used) < 1e-6, "PyTorch's own differs from yours.")
    return "one iteration a call, none in evaluation; sigma felt, u and v not; equals PyTorch's own"


def _dense(weight, side, stride, padding):
    """Return the largest singular value of a convolution, from its whole matrix."""
    x = torch.zeros(1, weight.shape[1], side, side, dtype=weight.dtype)
    matrix = torch.autograd.functional.jacobian(
        lambda x: F.conv2d(x, weight, stride=stride, padding=padding).flatten(), x
    )
    return torch.linalg.svdvals(matrix.flatten(1))[0].item()


@check("stable_gans.conv_norm")
def conv_norm(function):
    """Compare with the singular values of the convolution's whole matrix, on small pictures."""
    for shape, side, stride, padding in (((3, 2, 3, 3), 6, 1, 1), ((3, 2, 4, 4), 8, 2, 1)):
        weight = normal(*shape, seed=3)
        found, wanted = (norm(weight, side, stride, padding) for norm in (function, _dense))
        found = float(found)
        matrix = torch.linalg.svdvals(weight.flatten(1))[0].item()
        require(
            math.isfinite(found) and found < 100 * wanted,
            "the numbers overflow: bring x to length 1 in every iteration.",
        )
        require(
            abs(found - matrix) > 1e-3,
            f"{found:.3f} is the norm of the reshaped kernel; the convolution maps whole pictures.",
        )
        require(
            abs(found - wanted**2) > 1e-3 * wanted**2,
            f"{found:.3f} is the square of the norm {wanted:.3f}: once there and back. The length "
            "of conv(x) for x of length 1 is meant.",
        )
        require(
            abs(found - wanted) < 1e-3 * wanted,
            f"for a kernel {shape}, stride {stride}, on {side}x{side} the largest singular value "
            f"of the whole matrix is {wanted:.3f}; yours is {found:.3f}. conv2d, then "
            "conv_transpose2d with the same stride and padding, many times.",
        )
    return "equals the largest singular value of the convolution's whole matrix, strides 1 and 2"
