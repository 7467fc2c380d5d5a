"""Checks of lesson 50 for the two rulers: scikit-image is the oracle."""

import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal
from course_lib.settings import CourseError

SAMPLE = 121 / 120  # what a sample variance of 11 x 11 numbers has too much


def _pair(data_range):
    """Return three pictures, the last two with a hole in their range, and noisy versions."""
    x = normal(3, 3, 14, 17, seed=1).sigmoid() * torch.tensor([1.0, 0.7, 0.4]).view(3, 1, 1, 1)
    x = F.avg_pool2d(x, 3, 1, 1) + 0.05
    noise = normal(3, 3, 14, 17, seed=2) * torch.tensor([0.02, 0.05, 0.1]).view(3, 1, 1, 1)
    return data_range * x, data_range * (x + noise).clamp(0, 1)


def _require_numbers(found, n=3):
    require(
        isinstance(found, torch.Tensor) and found.shape == (n,),
        f"{n} pictures should give {n} numbers, not {[*getattr(found, 'shape', ())]}: a mean over "
        "all axes but the batch, .flatten(1).mean(dim=1).",
    )


def _require_refusals(function):
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    wrong = {
        "bytes": ((255 * x).byte(), (255 * x).byte(), 255),
        "pictures of bytes, 0 to 255, in a range of 1 (E6)": (255 * x, 255 * x, 1),
        "pictures in [0, 1] in a range of 255 (E6)": (x, x, 255),
        "NaN": (x, x / 0 * 0, 1),
        "pictures of two shapes": (x, x[..., 1:], 1),
    }
    for name, (a, b, width) in wrong.items():
        try:
            function(a, b, data_range=width)
        except CourseError:
            continue
        require(False, f"{name} get a number: keep require_pictures(x, y, data_range=data_range).")


@check("damage.psnr")
def psnr(function):
    """Compare with scikit-image in two ranges; equal pictures; what must be refused."""
    x, _ = _pair(255)
    equal = function(x, x, data_range=255)
    require(equal.isinf().all(), "equal pictures should give inf, so add nothing to the MSE.")
    for width in (1, 255):
        x, y = _pair(width)
        found, mse = function(x, y, data_range=width), (x - y).square().flatten(1).mean(dim=1)
        _require_numbers(found)
        wanted = torch.tensor([peak_signal_noise_ratio(a, b, data_range=width)
                               for a, b in zip(x.numpy(), y.numpy(), strict=True)])  # fmt: skip
        own = [z.flatten(1).amax(1) - z.flatten(1).amin(1) for z in (x, y)]
        tallest = [torch.stack([z.max(), z.max() - z.min()]) for z in (x, y)]
        guesses = [*own, x.flatten(1).amax(1), y.flatten(1).amax(1), *torch.cat(tallest)]
        require(
            min(differs(found, 10 * (R**2 / mse).log10()) for R in guesses) > TOLERANCE,
            "the range is read off the picture (E7): a dark picture would be rated worse for being "
            "dark. It is a property of the format, and given: data_range.",
        )
        mean = 10 * (width**2 / mse.mean()).log10()
        require(differs(found, mean.expand(3)) > TOLERANCE, "each picture has a PSNR of its own.")
        require(
            differs(found, -wanted) > TOLERANCE,
            "the sign is turned: a small error is a high PSNR, R^2 / MSE.",
        )
        require(
            differs(found, 2 * wanted) > TOLERANCE and differs(found, wanted / 2) > TOLERANCE,
            "20 log10 belongs to amplitudes, R / RMSE; to the squares R^2 / MSE belongs 10 log10.",
        )
        require(
            differs(found, 10 * (width**2 / mse).log()) > TOLERANCE,
            "this is the natural logarithm; decibels count powers of ten, log10.",
        )
        require(
            width == 1 or differs(found, 10 * (1 / mse).log10()) > TOLERANCE,
            "data_range is ignored: with bytes, 0 to 255, the PSNR is of R^2 / MSE.",
        )
        require(
            width == 1 or differs(found, 10 * (width / mse).log10()) > TOLERANCE,
            "the range is to be squared, as the error is.",
        )
        early = 10 * (width**2 / (x - y).square()).log10().flatten(1).mean(dim=1)
        require(
            differs(found, early) > TOLERANCE,
            "the logarithm comes last: first the mean of the squares, then its logarithm.",
        )
        low, high = (f(dim=(1, 2, 3), keepdim=True) for f in (x.amin, x.amax))
        own_y = (y - y.amin(dim=(1, 2, 3), keepdim=True)) / (
            y.amax(dim=(1, 2, 3), keepdim=True) - y.amin(dim=(1, 2, 3), keepdim=True)
        )
        stretched = ((x - low) / (high - low) - own_y).square().flatten(1).mean(dim=1)
        require(
            min(differs(found, 10 * (R**2 / stretched).log10()) for R in (1, width)) > TOLERANCE,
            "both pictures are stretched to their own minimum and maximum (E4): fading would cost "
            "nothing.",
        )
        absolute = (x - y).abs().flatten(1).mean(dim=1)
        require(
            differs(found, 10 * (width**2 / absolute.square()).log10()) > TOLERANCE,
            "the error is squared before the mean, not after it.",
        )
        require(
            differs(found, wanted) < TOLERANCE,
            f"the first PSNR in a range of {width} should be {wanted[0]:.4f} dB, yours is "
            f"{found[0]:.4f}.",
        )
    single = x[:1].float(), y[:1].float()
    require(
        differs(function(*single, data_range=255).double(), wanted[:1]) < 1e-6,
        "float32 pictures should be squared in float64: x.double() - y.double().",
    )
    _require_refusals(function)
    return "equal to scikit-image's in two ranges; inf for equal pictures; wrong ranges refused"


def _moments(x, y):
    """Return means, variances and covariance (B, C, h, w) in Gaussian windows, written anew."""
    at = torch.arange(11).double() - 5
    weights = torch.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weights = (weights / weights.sum()).flatten()
    a, b = (z.unfold(2, 11, 1).unfold(3, 11, 1).flatten(4) for z in (x, y))
    mx, my = a @ weights, b @ weights
    da, db = a - mx[..., None], b - my[..., None]
    return mx, my, da.square() @ weights, db.square() @ weights, (da * db) @ weights


def _scores(x, y, width):
    """Return what is right, (3,), and what known mistakes give: sentence -> (3,)."""
    mx, my, vx, vy, cov = _moments(x, y)
    c1, c2 = (0.01 * width) ** 2, (0.03 * width) ** 2

    def value(c1=c1, c2=c2, vx=vx, vy=vy, cov=cov, two=2, light=1, structure=1):
        bright = (two * mx * my + c1) / (mx**2 + my**2 + c1)
        rest = (two * cov + c2) / (vx + vy + c2)
        return (bright**light * rest**structure).flatten(1).mean(dim=1)

    bright, rest = (value(**{part: 0}) for part in ("structure", "light"))
    mistakes = {
        "the structure is missing, only the brightness counts: multiply by it.": bright,
        "the brightness is missing, only the structure counts: multiply by it.": rest,
        "the factors are averaged over the picture before they meet: multiply place by place, "
        "then one mean.": bright * rest,
        "C1 and C2 are exchanged: C1 goes with the means, C2 with the variances.": value(c2, c1),
        "the variances lack - mx**2 and - my**2: the mean of squares is no variance.": value(
            vx=vx + mx**2, vy=vy + my**2
        ),
        "the covariance lacks - mx * my.": value(cov=cov + mx * my),
        "the 2 in both numerators is missing: equal pictures should give 1.": value(two=1),
        "only one variance counts: vx + vy below.": value(vy=vx),
        "the variances are multiplied: below stands their sum.": value(
            vx=vx * vy, vy=torch.zeros_like(vy)
        ),
        "the constants are missing: empty windows would divide 0 by 0.": value(0, 0),
        "the variances are squared: sigma_x^2 is the variance itself, so vx + vy below.": value(
            vx=vx**2, vy=vy**2
        ),
        "the variances are those of a sample, n / (n - 1) times too much: the weights of a window "
        "sum to 1, so a mean of squares minus a squared mean is enough.": value(
            vx=vx * SAMPLE, vy=vy * SAMPLE, cov=cov * SAMPLE
        ),
    }
    return value(), mistakes


@check("damage.ssim")
def ssim(function):
    """Compare with scikit-image in two ranges; equal and flat pictures; what must be refused."""
    options = {"channel_axis": 0, "gaussian_weights": True, "use_sample_covariance": False}
    for width in (1, 255):
        x, y = _pair(width)
        found = function(x, y, data_range=width)
        _require_numbers(found)
        right, mistakes = _scores(x, y, width)
        for sentence, value in mistakes.items():
            require(differs(found, value) > TOLERANCE, sentence)
        others = {R: _scores(x, y, R)[0] for R in {1, 2, 255} - {width}}
        for R, value in others.items():
            require(
                differs(found, value) > TOLERANCE,
                f"this is the SSIM for a range of {R}, but it was said to be {width} (E7): the "
                "constants follow data_range.",
            )
        pairs = zip(x.numpy(), y.numpy(), strict=True)
        wanted = torch.tensor(
            [structural_similarity(a, b, sigma=1.5, data_range=width, **options) for a, b in pairs]
        )
        require(
            differs(found, wanted) < 1e-8,
            f"the first SSIM in a range of {width} should be {wanted[0]:.6f}, yours is "
            f"{found[0]:.6f}: two variances, the covariance, two factors, one mean.",
        )
    require(
        differs(function(x, x, data_range=255), torch.ones(3).double()) < TOLERANCE,
        "a picture and itself should give 1.",
    )
    _require_refusals(function)
    try:
        function(x[..., :9], x[..., :9], data_range=255)
    except CourseError:
        return "equal to scikit-image's in two ranges; 1 for equal pictures; wrong ranges refused"
    require(False, "a picture of 9 columns has no window of 11: keep the sentence.")
