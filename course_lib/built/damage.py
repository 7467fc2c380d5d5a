# Generated from notebooks/src/50_damage.py by `python3 -m course_lib build 50`.
# Edit the lesson, not this file.
"""Lesson 50, "Damage a photograph and repair it": what it builds, for later lessons to import."""

import torch
from torch.nn import functional as F

from course_lib import datasets, images
from course_lib.settings import CourseError

TUNING = {
    "cup": ("coffee", 200, 300),
    "tower": ("rocket", 213, 320),
    "wall": ("brick", 256, 256),
    "saddle": ("motorcycle_left", 250, 300),
    "dial": ("clock", 150, 200),
}  # rows, columns
TEST = {
    "head": ("camera", 128, 214),
    "coat": ("camera", 384, 128),
    "grass": ("camera", 384, 384),
    "face": ("astronaut", 128, 214),
    "sleeve": ("astronaut", 384, 128),
    "helmet": ("astronaut", 384, 384),
    "eye": ("chelsea", 130, 190),
}


def crops(names, side, grey=True):
    """Return name -> crop (1, C, side, side) in [0, 1] of TUNING or TEST, disjoint up to 256."""

    def cut(photograph, row, column):
        x = datasets.photograph(photograph)[None, :, row - side // 2 :, column - side // 2 :]
        return (images.to_grey(x) if grey else x)[..., :side, :side] / 255

    return {name: cut(*place) for name, place in names.items()}


def refuse(wrong, sentence):
    """Raise CourseError with a sentence if something is wrong."""
    if wrong:
        raise CourseError(sentence)


def require_pictures(*pictures, data_range=None, share=0, **knobs):
    """Refuse what is no finite float (B, C, H, W) in range; share is in 0 to 1, knobs above 0."""
    refuse(not 0 <= torch.as_tensor(share).max() <= 1, f"{share} is not in 0 to 1, as 25 / 255 is.")
    refuse(min([1, *knobs.values()]) <= 0, f"This should be above 0: {knobs}.")
    for x in pictures:
        usual = x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() and x.is_floating_point()
        refuse(not usual, f"Pictures are floats (B, 1 or 3, H, W), not {x.dtype} {[*x.shape]}.")
        refuse(x.shape != pictures[0].shape, f"Two shapes: {[*pictures[0].shape]}, {[*x.shape]}.")
        refuse(not x.isfinite().all(), "A picture holds NaN or infinity: look where it began.")
        lo, hi, R = x.min(), x.max(), data_range
        fits = not R or -1e-3 * R <= lo <= hi <= 1.001 * R and not (R > 100 and 0 < hi <= 1)
        refuse(not fits, f"{lo:.3g} to {hi:.3g} does not fit data_range={R}: clamp it first.")


def noisy(x, sigma, rng):
    """Add Gaussian noise of standard deviation sigma to x (B, C, H, W); nothing is clipped."""
    require_pictures(x, share=sigma)
    return x + sigma * torch.randn(x.shape, generator=rng, device=x.device)


def poisson(x, photons, rng):
    """Count photons: x in [0, 1], of which white sends `photons` on average; not clipped."""
    require_pictures(x, data_range=1, photons=photons)
    return torch.poisson(x.clamp(min=0) * photons, generator=rng) / photons


def salt_and_pepper(x, share, rng):
    """Make a share of the pixels black or white, half of them each, in all channels at once."""
    require_pictures(x, share=share)
    u = torch.rand(x[:, :1].shape, generator=rng, device=x.device)
    return torch.where(u < share, (u < share / 2).to(x), x)


def fade(x, contrast=0.6, haze=0.3):
    """Return contrast * x + haze, in [0, 1] as x is, if contrast + haze <= 1."""
    return contrast * x + haze


def marked(x, strength):
    """Move x (B, C, H, W) towards white where strength (B, 1, H, W) is > 0, else to black."""
    require_pictures(x)
    return (1 - strength.abs()) * x + strength.clamp(min=0)


def scratches(shape, rng, number=6):
    """Return a mask, bool (B, 1, H, W), and a strength in [-1, 1] of thin, curved, soft lines."""
    (B, _, *size), side, dev = shape, max(shape[2:]), rng.device

    def between(lo, hi):
        return lo + (hi - lo) * torch.rand(B, number, 1, 1, generator=rng, device=dev)

    row, column = ((torch.arange(n, device=dev) - n / 2) / side for n in size)
    angle, start, length = between(-0.6, 0.6), between(-0.6, 0.3), between(0.2, 1.0)
    along = row[:, None] * angle.cos() + column * angle.sin()  # along a line, in sides
    curve = between(-0.5, 0.5) + between(-0.4, 0.4) * along**2 + (between(8, 25) * along).sin() / 99
    away = side * (column * angle.cos() - row[:, None] * angle.sin() - curve)  # pixels off it
    ends = torch.sigmoid(30 * (along - start)) * torch.sigmoid(30 * (start + length - along))
    depth = between(0.5, 1) * torch.where(between(0, 1) < 0.67, 1.0, -1.0)  # most are light
    each = depth * ends * torch.exp(-((away / between(0.4, 1.1)) ** 2))  # (B, number, H, W)
    strength = each.gather(1, each.abs().argmax(dim=1, keepdim=True))
    return strength.abs() > 0.1, strength


def dust(shape, rng, share=0.001):
    """Return mask and strength, as `scratches`, of specks; share: of pixels that are a middle."""
    (B, _, H, W), at = shape, torch.arange(-6.0, 7.0, device=rng.device)
    away, radii = torch.hypot(at[:, None], at), torch.tensor([0.6, 1.1, 1.8]).to(at)[:, None, None]
    stamps = torch.sigmoid(4 * (radii - away)) - 0.08 * torch.exp(-((away - radii - 1.5) ** 2))
    u = torch.rand(B, 3, H, W, generator=rng, device=rng.device)
    drops = (u < share / 6).float() - (u > 1 - share / 6).float()  # light and dark
    strength = F.conv2d(drops, stamps[None], padding=6).clamp(-1, 1)
    return strength.abs() > 0.1, strength  # the faint halo, 0.08, is not in the mask


def gaussian_matrices(x, sigma):
    """Return (H, H) and (W, W), whose rows are Gaussians of sigma > 0 pixels and sum to 1."""
    require_pictures(x, sigma=sigma)
    places = [torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[2:]]
    return [(-((at[:, None] - at) ** 2) / (2 * sigma**2)).softmax(dim=1) for at in places]


class Blur:
    """Blur x (B, C, H, W) by a Gaussian of sigma > 0 pixels, renormalised at the border."""

    def __init__(self, sigma):
        self.sigma = sigma

    def __call__(self, x):
        rows, columns = gaussian_matrices(x, self.sigma)
        return rows @ x @ columns.T

    def adjoint(self, y):
        rows, columns = gaussian_matrices(y, self.sigma)
        return rows.T @ y @ columns


def psnr(x, y, *, data_range):
    """Return the PSNR (B,) in dB of pictures x, y (B, C, H, W) in [0, data_range]; inf if equal."""
    require_pictures(x, y, data_range=data_range)
    mse = (x.double() - y.double()).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(data_range**2 / mse)


def local_mean(x):
    """Return the Gaussian-weighted means (B, C, H - 10, W - 10) of the 11 x 11 windows that fit."""
    weights = torch.exp(-(torch.arange(-5, 6, dtype=x.dtype, device=x.device) ** 2) / 4.5)
    kernel = weights[:, None] * weights / weights.sum() ** 2
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 11, 11), groups=x.shape[1])


def ssim(x, y, *, data_range):
    """Return the SSIM (B,) of x, y (B, C, H, W) in [0, data_range], H, W >= 11; 1 if equal."""
    require_pictures(x, y, data_range=data_range)
    refuse(min(x.shape[2:]) < 11, f"SSIM needs pictures of 11 x 11 or more, not {[*x.shape]}.")
    x, y, c1, c2 = x.double(), y.double(), (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = local_mean(x), local_mean(y)
    vx, vy = local_mean(x * x) - mx**2, local_mean(y * y) - my**2
    cov = local_mean(x * y) - mx * my
    light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    structure = (2 * cov + c2) / (vx + vy + c2)
    return (light * structure).flatten(1).mean(dim=1)


def gaussian_filter(y, sigma):
    """Repair y (B, C, H, W) by a Gaussian blur of sigma pixels."""
    return Blur(sigma)(y)


def median_filter(y, size):
    """Replace each number of y (B, C, H, W) by the median of size x size around it, size odd."""
    require_pictures(y)
    refuse(size < 1 or size % 2 == 0, f"A window with a middle has an odd size, not {size}.")
    padded = F.pad(y, (size // 2,) * 4, mode="replicate")
    return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4).median(dim=4).values


def differences(x):
    """Return the steps of x (B, C, H, W) down and right, (2, B, C, H, W); 0 at the far border."""
    return torch.stack([F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1))])


def differences_adjoint(p):
    """Return the adjoint of `differences`: (2, B, C, H, W) -> (B, C, H, W)."""
    return -F.pad(p[0][:, :, :-1], (0, 0, 1, 1)).diff(dim=2) - F.pad(p[1][..., :-1], (1, 1)).diff()


def total_variation(y, weight, steps=50):
    """Minimise |x - y|^2 / 2 + weight * sum of |Sx| over x (B, C, H, W), channel by channel."""
    require_pictures(y, weight=weight)
    p = q = torch.zeros_like(differences(y))  # q: where the step starts
    for step in range(steps):
        x = y - weight * differences_adjoint(q)
        new = q + differences(x) / (8 * weight)
        new = new / new.norm(dim=0).clamp(min=1)
        p, q = new, new + step / (step + 3) * (new - p)
    return y - weight * differences_adjoint(p)


def non_local_means(y, h, patch=5, reach=5):
    """Average pixels of y (B, C, H, W) up to `reach` away; weights exp(-d / h^2) by patches."""
    require_pictures(y, h=h)
    (H, W), total, weights, best = y.shape[2:], 0, 0, torch.full_like(y[:, :1], 1e-6)
    padded, shifts = F.pad(y, (reach,) * 4, mode="replicate"), range(2 * reach + 1)
    for i, j in ((i, j) for i in shifts for j in shifts if not i == j == reach):
        other = padded[:, :, i : i + H, j : j + W]
        apart = (y - other).square().mean(dim=1, keepdim=True)
        apart = F.avg_pool2d(apart, patch, 1, patch // 2, count_include_pad=False)
        weight = torch.exp(-apart / h**2)
        total, weights, best = total + weight * other, weights + weight, best.maximum(weight)
    return (total + best * y) / (weights + best)


def tune(method, grid, pairs):
    """Return the value of grid with the best mean PSNR of method(y, value), and value -> PSNR."""
    scores = {
        value: torch.cat([psnr(x, method(y, value).clamp(0, 1), data_range=1) for x, y in pairs])
        .mean()
        .item()
        for value in grid
    }
    return max(scores, key=scores.get), scores


def old_photograph(x, rng):
    """Return x (B, C, H, W) in [0, 1] grown old, and the mask of its dirt, bool (B, 1, H, W)."""
    (a, lines), (b, drops) = scratches(x.shape, rng), dust(x.shape, rng)
    return marked(marked(noisy(fade(Blur(0.7)(x)), 0.02, rng), lines), drops).clamp(0, 1), a | b


class Downsample:
    """Average factor x factor pixels of x (B, C, H, W); H, W must be multiples of factor."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        require_pictures(x)
        refuse(any(n % self.factor for n in x.shape[2:]), f"Crop to multiples of {self.factor}.")
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y):
        require_pictures(y)
        return (
            y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) / self.factor**2
        )


class Mask:
    """Keep known pixels of x (B, C, H, W), else 0. known: bool, or 0 and 1, (H, W) or as x."""

    def __init__(self, known):
        binary = ((known == 0) | (known == 1)).all()
        refuse(not binary, "A mask holds 0 (hole) and 1 (known) only: threshold it first.")
        self.known = known.bool()

    def __call__(self, x):
        require_pictures(x)
        (B, C, *size), known = x.shape, self.known
        fits = [*known.shape] in (size, *([b, c, *size] for b in (1, B) for c in (1, C)))
        refuse(not fits, f"A mask {[*known.shape]} does not fit {[*x.shape]}.")
        return torch.where(known, x, 0)

    adjoint = __call__


JPEG_TABLE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29
    51 87 80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
    72 92 95 98 112 100 103 99"""  # the standard's steps for quality 50


def jpeg(x, quality):
    """Return x (B, C, H, W) in [0, 1] as a JPEG of quality 1 to 100 keeps it, up to rounding."""
    require_pictures(x, data_range=1)
    refuse(not 1 <= quality <= 100, f"quality is 1 to 100, not {quality}.")
    scale, (H, W) = 5000 // quality if quality < 50 else 200 - 2 * quality, x.shape[2:]
    table = torch.tensor([int(q) for q in JPEG_TABLE.split()]).view(8, 8)
    steps, at = ((table * scale + 50) // 100).clamp(1, 255).to(x), torch.arange(8).to(x)
    K = F.normalize(torch.cos(torch.pi * at[:, None] * (2 * at + 1) / 16), dim=1)
    padded = F.pad(255 * x - 128, (0, -W % 8, 0, -H % 8), mode="replicate")
    blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    amounts = K @ blocks @ K.T
    blocks = K.T @ ((amounts / steps).round() * steps) @ K
    return ((blocks.transpose(3, 4).flatten(4).flatten(2, 3)[:, :, :H, :W] + 128) / 255).clamp(0, 1)
