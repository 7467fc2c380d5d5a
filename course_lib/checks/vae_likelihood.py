"""Check of lesson 31 for the Bernoulli likelihood: its value, its stability, what it refuses."""

import math

import torch
from torch.nn import functional as F

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal
from course_lib.checks.vae_loss import TOO_LONG, require_answer
from course_lib.settings import CourseError


def _require_greys(function, logits):
    greys = torch.linspace(0, 1, logits.numel()).double().view(logits.shape)
    try:
        value = function(logits, greys)
    except Exception as error:  # noqa: BLE001  whatever a wrong answer may raise
        require(
            False, f"x between 0 and 1 was refused: {error} Only what leaves 0..1 is no chance."
        )
    wanted = (greys * F.logsigmoid(logits) + (1 - greys) * F.logsigmoid(-logits)).flatten(1).sum(1)
    off = differs(value, wanted)
    require(
        off < 1e-6,
        f"at grey x, between 0 and 1, you are off by up to {off:.2g} nats: x enters the formula as "
        "it is, without a threshold.",
    )


def _require_refused(function, logits):
    for bad in (1.5, -0.2, math.nan):
        x = torch.zeros(logits.shape).double()
        x[0, 0, 3, 3] = bad
        try:
            function(logits, x)
        except CourseError:
            continue
        except Exception as error:  # noqa: BLE001  whatever a wrong answer may raise
            require(
                False,
                f"x holds {bad} and is refused, but with {type(error).__name__}: raise "
                "CourseError with a sentence, so that a notebook shows only that.",
            )
        require(
            False,
            f"x holds {bad}, which is no chance, and nothing was said: the sum would be no "
            "likelihood, without a bound (V12). Raise CourseError outside 0..1, and at nan.",
        )


@check("vae.bernoulli_log_likelihood")
def bernoulli_log_likelihood(function):
    """Compare with torch.distributions; name the beta that a mean would train; try bad data."""
    logits = normal(5, 1, 28, 28, seed=3)
    x = (normal(5, 1, 28, 28, seed=4) > 0).double()
    value = function(logits, x)
    require_answer(value)
    require(
        value.shape == (5,),
        f"5 pictures should give 5 numbers, (5,); yours are {tuple(value.shape)}: flatten(1), then "
        "sum over the pixels; pictures stay apart.",
    )
    wanted = torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(dim=1)
    ratio = (value / wanted).mean().item()
    require(
        abs(ratio + 1) > 1e-6,
        "the sign is turned: a log-probability of pixels is below 0; cross-entropy is minus it.",
    )
    require(
        abs(ratio - 1 / 784) > 1e-6,
        "the likelihood is averaged over the 784 pixels: beside a summed KL you train beta = 784 "
        f"(V2). {TOO_LONG}",
    )
    require(
        (value / wanted).std() > 1e-6 or abs(ratio - 1) < 1e-6,
        f"your likelihood is {ratio:.4g} times the right one: beside a summed KL you train "
        f"beta = {1 / ratio:.4g}.",
    )
    twice = -F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="none")
    require(
        differs(value, twice.flatten(1).sum(dim=1)) > 1e-6,
        "two sigmoids: binary_cross_entropy_with_logits takes the logits as they are.",
    )
    off = differs(value, wanted)
    require(
        off < 1e-9,
        f"should be {wanted[0]:.3f}, yours is {value[0]:.3f}; off by up to {off:.2g}. Leave logits "
        "and x in their own type.",
    )
    far = torch.full((2, 1, 28, 28), 200.0)
    lost = function(far, torch.zeros(2, 1, 28, 28))[0].item()
    require(
        abs(lost + 784 * 200) < 1,
        f"at logits of 200 for paper the value should be -156800, yours is {lost:.6g}: a logarithm "
        "of a rounded sigmoid. Work on the logits.",
    )
    _require_greys(function, logits)
    _require_refused(function, logits)
    return "summed over the pixels, equal to torch.distributions, stable; refuses x outside 0..1"
