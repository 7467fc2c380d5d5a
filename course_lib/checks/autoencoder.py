"""Checks of lesson 30: codes and their directions; networks and loop stand beside."""

import torch

from course_lib import settings
from course_lib.checks import check, require
from course_lib.checks.autoencoder_networks import decoder
from course_lib.checks.autoencoder_training import train_autoencoder
from course_lib.checks.probes import TOLERANCE, differs, normal

__all__ = ["auc", "decoder", "flat", "principal_angles", "random_codes", "train_autoencoder"]


def _refused(function, *arguments) -> bool:
    try:
        function(*arguments)
    except settings.CourseError:
        return True
    except torch.linalg.LinAlgError:
        return False
    return False


@check("autoencoder.flat")
def flat(function):
    """Compare with a hand-made flat space far from 0; ask what lies in it, and what beside it."""
    mean = 3 + normal(12, seed=2)
    axes = torch.linalg.qr(normal(12, 3, seed=1)).Q.T
    x = 3 + normal(5, 1, 3, 4)
    answer = function(given := x.clone(), mean, axes)
    require(torch.equal(given, x), "the caller's pictures were changed: work on a copy.")
    require(
        answer.shape == x.shape,
        f"of x {[*x.shape]} pictures of the same shape are meant; yours are {[*answer.shape]}: "
        "codes are (B, k), and .view_as(x) gives the pictures their shape back.",
    )
    away = x.flatten(1)
    shadow = (away - mean) @ axes.T @ axes
    wrong = {
        "the mean is not added at the end: all pictures lie around 0.": shadow,
        "the mean was not taken away first: z = (x - mean) @ components.T.": mean
        + away @ axes.T @ axes,
        "the mean is neither taken away nor added.": away @ axes.T @ axes,
        "this is what the code leaves out, not what it keeps.": away - mean - shadow,
        "these are the pictures themselves: no code of k numbers lies between.": away,
    }
    for message, mistake in wrong.items():
        require(differs(answer.flatten(1), mistake) > 1e-9, message)
    require(
        differs(answer.flatten(1), mean + shadow) < 1e-9,
        "these are not the feet of the perpendiculars: z = (x - mean) @ components.T, all k "
        "of them, then mean + z @ components.",
    )
    return "the foot of the perpendicular in the flat space, in the shape of the pictures"


def _spaces(*degrees):
    """Return rows of two spaces in 8 dimensions with these principal angles, in odd bases."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    k = len(degrees)
    turned = torch.linalg.qr(normal(8, 8, seed=3)).Q
    a, away = turned[:k], turned[k : 2 * k]
    b = angles.cos()[:, None] * a + angles.sin()[:, None] * away
    return normal(k, k, seed=4) @ a, normal(k, k, seed=5) @ b


@check("autoencoder.principal_angles")
def principal_angles(function):
    """Compare spaces whose angles are known, given by rows that are no orthonormal basis."""
    found = function(*_spaces(10.0, 35.0, 80.0))
    wanted = torch.tensor([10.0, 35.0, 80.0], dtype=torch.float64)
    require(
        found.shape == (3,), f"three angles are meant, (3,); yours have shape {[*found.shape]}."
    )
    require(
        found.isfinite().all(),
        "some angles are not numbers: singular values above 1 have no arc cosine. Rows of other "
        "lengths need an orthonormal basis first (torch.linalg.qr); then clamp what rounding adds.",
    )
    told = ", ".join(f"{value:.4g}" for value in found.tolist())
    require(
        differs(torch.deg2rad(wanted), found) > 1e-6,
        f"the angles come in radians ({told}): degrees are meant, torch.rad2deg.",
    )
    require(
        differs(wanted.flip(0), found) > 1e-6,
        "the angles fall: the largest cosine, the first singular value, is the smallest angle.",
    )
    require(
        differs(90 - wanted, found) > 1e-6, "these are arc sines: the singular values are cosines."
    )
    require(
        differs(wanted, found) < 1e-5,
        f"two spaces at 10, 35 and 80 degrees give {told}. The rows are in any lengths and at any "
        "angles: make orthonormal bases of both, torch.linalg.qr(a.T).Q, with columns (P, k).",
    )
    a, _ = _spaces(0.0, 0.0)
    same = function(a, normal(2, 2, seed=6) @ a)
    require(
        same.isfinite().all() and same.max() < 1e-4,
        "a space and itself should have angles 0; yours are not, or not numbers. Rounding makes a "
        "cosine 1.0000000000000002: clamp(max=1) before acos.",
    )
    return "angles of known spaces in degrees, rising, in whatever basis they are given"


@check("autoencoder.random_codes")
def random_codes(function):
    """Compare mean and covariance of 40,000 draws with those of correlated codes."""
    mixing = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [-1.0, 0.4, 0.3]]).double()
    codes = normal(3000, 3) @ mixing.T + torch.tensor([5.0, -2.0, 1.0]).double()
    codes = codes.float()
    before = torch.get_rng_state()
    z = function(codes, 40_000, torch.Generator().manual_seed(0))
    require(z.shape == (40_000, 3), f"40,000 codes of 3 numbers are meant; yours are {[*z.shape]}.")
    again = function(codes, 40_000, torch.Generator().manual_seed(0))
    require(
        torch.equal(z, again) and torch.equal(before, torch.get_rng_state()),
        "the same generator gave other codes: draw the noise with generator=rng.",
    )
    require(
        differs(z.mean(dim=0), codes.mean(dim=0)) < 0.1,
        "the mean of the codes drawn is not that of the codes given: add codes.mean(dim=0).",
    )
    require(
        torch.cdist(z[:200], codes).min() > 0,
        "these are codes of the data themselves: draw new ones, m + L eps with normal eps.",
    )
    S, found = torch.cov(codes.T), torch.cov(z.T)
    root = torch.linalg.cholesky(S)
    require(
        differs(found, torch.diag(S.diag())) > 0.1,
        "each number has the right variance, but they are independent: the codes' numbers are "
        "correlated. Multiply the noise by the root of the whole covariance.",
    )
    require(
        differs(found, S @ S) > 0.3, "the noise was multiplied by S itself: a root of S is meant."
    )
    require(
        differs(found, root.T @ root) > 0.1,
        "the covariance is L^T L: for rows of noise the root stands on the right, transposed, "
        "noise @ root.T.",
    )
    require(
        differs(found, S) < 0.15,
        f"the covariance of your codes is off by up to {differs(found, S):.2f}: with L L^T = S, "
        "take normal noise times L (randn, not rand).",
    )
    require(
        _refused(function, codes[:3], 5, torch.Generator()),
        "of 3 codes of 3 numbers no covariance has a root: keep the lines that refuse them.",
    )
    return "mean and covariance are those of the codes, the noise comes from rng"


@check("autoencoder.auc")
def auc(function):
    """Ask for scores that are apart, equal, reversed, and for pairs counted by hand."""
    low, high = torch.arange(5.0), 10 + torch.arange(7.0)
    value = function(low, high)
    require(
        isinstance(value, float),
        f"one plain number is meant, by .item(); yours is a {type(value).__name__}.",
    )
    require(
        value == 1.0,
        f"if every odd score is higher, the AUC is 1; yours is {value:.3g}. Compare each odd one "
        "with each normal one, odd > normal, and take the mean over all pairs.",
    )
    require(function(high, low) == 0.0, "if every odd score is lower, the AUC is 0.")
    ties = function(torch.ones(4), torch.ones(3))
    require(
        abs(ties - 0.5) < TOLERANCE,
        f"if all scores are equal nobody can tell them apart: 0.5. Yours is {ties:.3g}: a tie "
        "counts half.",
    )
    normal_, odd = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([2.0, 4.0, 0.0])
    value = function(normal_, odd)
    require(
        abs(value - 6 / 12) < TOLERANCE,
        f"of the 12 pairs of (3, 1, 2, 2) and (2, 4, 0) the odd one wins 5 and ties 2: 6/12. Yours "
        f"is {value:.4g}.",
    )
    return "1 apart, 0 reversed, 0.5 for equal scores, and pairs counted by hand"
