"""Checks of lesson 22: colour, directions, classes; networks and training stand beside."""

import math

import torch

from course_lib.checks import check, require
from course_lib.checks.conditional_gan_nets import discriminator, generator, plan, projection
from course_lib.checks.conditional_gan_training import gradient_penalty, train_conditional
from course_lib.checks.probes import differs, normal
from course_lib.settings import CourseError

__all__ = [
    "channels_first",
    "class_loss",
    "direction",
    "discriminator",
    "generator",
    "gradient_penalty",
    "heard",
    "one_hot",
    "plan",
    "projection",
    "train_conditional",
]


@check("conditional_gan.channels_first")
def channels_first(function):
    """Follow single pixels of a picture that is not square to their new places."""
    array = torch.arange(4 * 6 * 3, dtype=torch.uint8).view(4, 6, 3).numpy()
    planes = function(array.copy())
    shape = tuple(getattr(planes, "shape", ()))
    require(
        shape != (3, 6, 4),
        "rows and columns have changed places: (4, 6, 3) became (3, 6, 4). On a square picture "
        "nobody would complain (D10); the axes are 2, 0, 1.",
    )
    require(
        shape == (3, 4, 6),
        f"a picture (4, 6, 3), of 4 rows, should become (3, 4, 6); yours is {shape}.",
    )
    require(
        isinstance(planes, torch.Tensor) and planes.dtype == torch.uint8,
        "the answer should be a tensor of bytes, as the array is.",
    )
    right = torch.as_tensor(array).permute(2, 0, 1)
    require(
        not torch.equal(planes, right.flip(0)),
        "red and blue have changed places: keep the channels' order.",
    )
    require(
        not torch.equal(planes, torch.as_tensor(array).reshape(3, 4, 6)),
        "the shape is right and every number stands in a wrong place: reshape cuts the row of "
        "numbers anew, it moves no axis. Use permute (D10).",
    )
    require(
        torch.equal(planes, right),
        f"pixel (1, 2) has the colour {array[1, 2].tolist()}, yours {planes[:, 1, 2].tolist()}: "
        "change neither places nor values.",
    )
    return "(H, W, 3) becomes (3, H, W), every pixel keeps its place and colour; H and W differ"


@check("conditional_gan.direction")
def direction(function):
    """Compare with two means worked out row by row, and ask for an impossible one."""
    z, has = normal(30, 4, seed=1), normal(30, seed=2) > 0.4
    way = function(z, has)
    with_it = sum(row for row, yes in zip(z, has, strict=True) if yes) / int(has.sum())
    without = sum(row for row, yes in zip(z, has, strict=True) if not yes) / int((~has).sum())
    require(
        way.shape == (4,),
        f"noise (30, 4) has directions of shape (4,); yours is {tuple(way.shape)}: means over "
        "samples, dim=0.",
    )
    require(
        differs(way, without - with_it) > 1e-9,
        "this way leads away from the attribute: with minus without.",
    )
    require(
        differs(way, with_it - z.mean(dim=0)) > 1e-9,
        "you subtract the mean of all samples; those without the attribute are meant.",
    )
    require(
        differs(way, with_it) > 1e-9,
        "the mean with the attribute alone is not the difference to those without it.",
    )
    require(
        differs(way, with_it - without) < 1e-9,
        "the direction is mean(z with) - mean(z without), each over its own number of samples.",
    )
    for mask in (torch.ones(30, dtype=torch.bool), torch.zeros(30, dtype=torch.bool)):
        try:
            found = function(z, mask)
        except CourseError:
            continue
        require(
            False,
            f"where {'all' if mask.all() else 'none'} of the samples have the attribute your "
            f"answer is {found[0].item():.2g}: raise CourseError, a mean of nothing is nan.",
        )
    return "mean with minus mean without, (latent,); all or none is refused"


@check("conditional_gan.one_hot")
def one_hot(function):
    """Compare the codes with loops, and try labels on both sides of the range."""
    factors = {"wear": torch.tensor([1, 0, 1, 1]), "fur": torch.tensor([0, 5, 3, 1])}
    c = function(factors, ["wear", "fur"])
    require(
        isinstance(c, torch.Tensor) and c.shape == (4, 9),
        f"3 options of wear and 6 of fur make (4, 9) of four cats; yours is "
        f"{tuple(getattr(c, 'shape', ()))}: as many columns as there are options, not as many as "
        "labels occur; side by side, dim=1.",
    )
    require(
        c.is_floating_point(),
        f"the codes are {c.dtype}; networks want floats: noise and codes share a row.",
    )
    wanted = torch.zeros(4, 9)
    for row in range(4):
        wanted[row, factors["wear"][row]] = wanted[row, 3 + factors["fur"][row]] = 1
    require(
        torch.equal(c.float(), wanted),
        f"wear 1 and fur 0 should be {wanted[0].int().tolist()}, yours "
        f"{[round(v, 2) for v in c[0].tolist()]}: one 1 per choice, in the order of the names.",
    )
    swapped = function(factors, ["fur", "wear"])
    require(
        torch.equal(swapped, torch.cat([c[:, 3:], c[:, :3]], dim=1)),
        "the columns do not follow the order of `names`.",
    )
    for label in (3, -1):
        bad = factors | {"wear": torch.tensor([0, label, 1, 1])}
        try:
            function(bad, ["wear"])
        except CourseError as error:
            text = str(error)
            rest = text.replace(str(label), "", 1)
            require(
                "wear" in text and rest != text and ("3" in rest or "2" in rest),
                f"the message {text!r} should name the choice, the label ({label}) and what is "
                "allowed, K = 3 options or 0..2.",
            )
        except (IndexError, RuntimeError) as error:
            require(
                False,
                f"label {label} of wear, which has K = 3 options, raises {type(error).__name__} "
                f"({str(error)[:60]}): say it in words, in a CourseError.",
            )
        else:
            require(
                False,
                f"label {label} of wear passes without a word, though there are K = 3 options. "
                "-1 picks the last row of a matrix: look at the labels first.",
            )
    return "one 1 per choice, columns in the order of the names; labels out of range are named"


@check("conditional_gan.heard")
def heard(function):
    """Ask about a discriminator whose answer to every pair is known."""
    x, c = normal(6, 3, seed=3), torch.eye(6, dtype=torch.float64)[[0, 1, 2, 3, 4, 5]]
    level = torch.arange(6).double()

    def matching(x, c):  # 1 for a picture beside its own c, else 0; and more for later pictures
        return (c.argmax(1) == x[:, 0].long()).double() + x[:, 0]

    x[:, 0] = level
    value = function(matching, x, c)
    require(
        isinstance(value, float), f"one plain number is meant, .item(); yours is {type(value)}."
    )
    require(
        abs(value + 1) > 1e-9,
        "the sign is turned: a D that listens gives more to own conditions, and the answer should "
        "be positive.",
    )
    require(
        abs(value - 1) < 1e-9,
        f"a D that gives 1 more to each picture with its own c should be heard with 1; yours is "
        f"{value:.3g}. The same pictures twice; c moved by a row, c.roll(1, dims=0): a random "
        "order leaves some rows in their places.",
    )
    even = function(lambda x, c: (-1) ** level * (c.argmax(1) == level), x, c)
    require(
        abs(even) < 1e-12,
        f"own conditions raise half the logits by 1 and lower the others by 1, and yours is heard "
        f"with {even:.3g}: the mean of the differences, with their signs, is 0.",
    )
    same = torch.eye(6, dtype=torch.float64)[[2] * 6]
    moved = function(lambda x, c: c[:, 2], x, same)
    require(
        abs(moved) < 1e-12,
        f"all six pictures have one and the same c, so another's is no other; yours is heard with "
        f"{moved:.3g}. dims=0 moves rows; dims=1 moves columns, and nobody has such a c.",
    )
    deaf = function(lambda x, c: x.sum(dim=1), x, c)
    require(abs(deaf) < 1e-12, f"a D that ignores c should be heard with 0; yours: {deaf:.3g}.")
    return "1 for a D that gives 1 more to the right pair, 0 for one that ignores c"


@check("conditional_gan.class_loss")
def class_loss(function):
    """Compare value and slope with the cross-entropy, near and far."""
    logits, labels = normal(6, 5, seed=4).requires_grad_(), torch.tensor([0, 1, 2, 3, 4, 0])
    sure = 30 * torch.eye(5, dtype=torch.float64)[labels]
    least = function(sure, labels).item()
    require(
        abs(least - math.log(1 + 4 / math.e)) > 1e-6,
        f"a sure and right classifier still pays {least:.3f} = ln(1 + 4/e): the softmax is applied "
        "twice, so that the logits it sees lie in 0..1. cross_entropy takes logits (G16).",
    )
    require(
        least > -1e-9,
        f"a sure and right classifier pays {least:.3f}: nll_loss takes the *logarithms* of "
        "probabilities; given probabilities it returns minus their mean, without a word (G16).",
    )
    far = function(-sure, labels).item()
    require(
        math.isfinite(far),
        f"sure and wrong, the loss is {far}: the logarithm of a softmax that is rounded to 0. "
        "Use log_softmax, or cross_entropy on the logits.",
    )
    value = function(logits, labels)
    exact = (logits.logsumexp(1) - logits[torch.arange(6), labels]).mean()
    require(
        value.ndim == 0 and abs(value - exact) < 1e-9,
        f"the loss should be {exact.item():.4f} nats, a mean over the batch; yours is "
        f"{value.detach().mean().item():.4f}.",
    )
    return "the cross-entropy of logits: 0 where sure and right, a full slope where sure and wrong"
