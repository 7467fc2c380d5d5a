"""Checks of lesson 43 for the samplers: draw by draw the plain one's, and weighed answers."""

import math

import torch

from course_lib.checks import check, require
from course_lib.settings import CourseError

SHAPE = (3, 4)


def _net(watch=None):
    """Return the course's PixelNet of 3x4 pictures at 4 levels with random weights."""
    from course_lib.built import greys_and_colour as course  # lessons are built before checks run

    net = course.PixelNet(4, SHAPE, (3, 5), hidden=16)
    rng = torch.Generator().manual_seed(5)
    for weights in net.parameters():
        fan = weights.shape[1] / 2 if weights.dim() > 1 else 4
        weights.data = torch.randn(weights.shape, generator=rng) / math.sqrt(fan)
    if watch is not None:
        net.register_forward_hook(lambda net, given, _: watch.append(len(given[2])))
    return net, course


def _silent(function, *args, **options):
    """Call function; demand that the global random state stays."""
    before = torch.random.get_rng_state()
    found = function(*args, **options)
    require(
        torch.equal(before, torch.random.get_rng_state()),
        "the global random state was used: draw(logits, rng) takes its numbers from rng.",
    )
    return found


def _require_pictures(found, n):
    require(
        isinstance(found, torch.Tensor) and found.shape == (n, *SHAPE),
        f"{n} pictures of 3x4 should have the shape {(n, *SHAPE)}.",
    )


def _explain(found, wanted, course, net, asked, n):
    """Fail with what is known of the mistake."""
    share = (found == wanted).double().mean().item()
    start = f"{share:.0%} of the pixels are those of the plain sampler. "
    require(
        found.any(),
        "all pictures are black: nothing was written. paper[:, row, column] = what was drawn.",
    )
    require(
        len(found.unique(dim=0)) > 1,
        f"{n} pictures, and all the same: the likeliest level was taken (A6), or one draw was "
        "shared. draw(logits, rng) gives one value for each picture.",
    )
    require(
        len(asked) >= math.prod(SHAPE),
        start + f"The net was asked {len(asked)} times for {math.prod(SHAPE)} pixels: each guess "
        "needs the pixels before it, so ask inside the loop (A5).",
    )
    blank = _blank_draws(course, net, n)
    require(
        not torch.equal(found, blank),
        start + "Each pixel is guessed from a black canvas: write what is drawn onto `paper`, "
        "a view, so that the net sees them next.",
    )
    require(
        False,
        start + "Compare the logits first: net(canvas, everyone, q), everyone (n,) the pictures' "
        "numbers, q (n,) the pixel's. If they are right, only draw(logits, rng) may use rng, one "
        "call of draw a pixel; and write on `paper` at [row, column]: the canvas has margins.",
    )


def _blank_draws(course, net, n):
    """Return what is drawn if nothing that was drawn is ever seen."""
    exact, canvas, paper = course.easel(net, n)
    rng, seen = torch.Generator().manual_seed(2), paper.clone()
    for pixel in range(math.prod(SHAPE)):
        with torch.no_grad():
            logits = exact(canvas, torch.arange(n), torch.full((n,), pixel))
        seen.view(n, -1)[:, pixel] = course.draw(logits, rng).byte()
    return seen


@check("greys_and_colour.sample")
def sample(function):
    """Compare with the plain sampler of the course, draw by draw; count the guesses."""
    asked, n = [], 200
    net, course = _net(asked)
    wanted = course.sample_plain(net, n, torch.Generator().manual_seed(2))
    asked.clear()
    try:
        found = _silent(function, net, n, torch.Generator().manual_seed(2))
    except IndexError:
        require(
            False,
            "a picture or a pixel that does not exist was asked for: net(canvas, everyone, q), the "
            "pictures' numbers first, then the pixels', each (n,).",
        )
    _require_pictures(found, n)
    if not torch.equal(found, wanted):
        _explain(found, wanted, course, net, list(asked), n)
    require(
        sum(asked) <= n * math.prod(SHAPE),
        f"{sum(asked):,} guesses were made for {n * math.prod(SHAPE):,} pixels: only this pixel's, "
        "q = torch.full((n,), ...), is needed.",
    )
    given = torch.arange(12).view(SHAPE).remainder(4).byte()
    known = torch.arange(12).view(SHAPE) % 3 > 0
    kept = function(net, n, torch.Generator().manual_seed(2), given=given, known=known)
    require(
        torch.equal(kept[:, known], given[known].expand(n, -1)),
        "known pixels have changed: write only into [row, column] of the loop.",
    )
    return f"{n} pictures, bit for bit those of the plain sampler, with one guess a pixel"


@check("greys_and_colour.complete")
def complete(function):
    """Compare the weights with the chain rule, and weighed answers with an exact sum."""
    net, course = _net()
    given = torch.tensor([[1, 0, 2, 3], [0, 3, 1, 1], [2, 0, 3, 1]], dtype=torch.uint8)
    known = torch.ones(SHAPE, dtype=torch.bool)
    known[1, 1] = known[1, 3] = False  # and a known pixel between
    found, log_weight = _silent(function, net, 400, torch.Generator().manual_seed(3), given, known)
    _require_pictures(found, 400)
    require(
        torch.equal(found[:, known], given[known].expand(400, -1)),
        "known pixels have changed: keep the call of sample.",
    )
    require(
        isinstance(log_weight, torch.Tensor) and log_weight.shape == (400,),
        f"400 answers need 400 weights, not {[*getattr(log_weight, 'shape', [])]}: sum over the "
        "pixels that count, dim=1.",
    )
    bits = course.bits_per_pixel(course.easel(net, 400)[0], found)  # in float64
    _require_weights(log_weight.double(), bits, known)
    _require_posterior(course, net, found, log_weight.double(), given, known)
    try:
        function(net, 2, torch.Generator(), given[:2], known[:2])
    except CourseError:
        return (
            "ln p of the known pixels after the first unknown one; weighed answers agree with the "
            "exact sum"
        )
    require(False, "a picture of another size is accepted: keep the CourseError.")


def _require_weights(found, bits, known):
    """Demand the right ln weights; recognise wrong ones, whatever constant they are off by."""
    after = known & ((~known).flatten().cumsum(0).view(SHAPE) > 0)
    nats, behind = math.log(2) * bits, torch.zeros(SHAPE, dtype=torch.bool)
    behind.view(-1)[8:] = True  # after the last unknown pixel

    def alike(wanted):
        apart = found - wanted
        return (apart - apart.mean()).abs().max() < 1e-4

    right = -nats[:, after].sum(dim=1)
    require(
        not alike(-right),
        "the sign is turned: bits are -log2 p, and the weight of a LIKELY continuation is large.",
    )
    require(not alike(right / math.log(2)), "these are bits; ln p is in nats: times ln 2.")
    require(
        not alike(-nats[:, ~known].sum(dim=1)) and not alike(-nats.flatten(1).sum(dim=1)),
        "the unknown pixels count, too. They were drawn from the model: their probability is in "
        "the answers already. Only `known` ones.",
    )
    require(
        not alike(torch.zeros_like(found)),
        "all answers weigh alike. Do the pixels AFTER the first unknown one count? Those before "
        "are the same for all: (~known).flatten().cumsum(dim=0) is 0 there.",
    )
    require(
        not alike(-nats[:, after].mean(dim=1)),
        "a mean over the pixels is no probability: the chain rule multiplies, so sum.",
    )
    require(
        not alike(-nats[:, behind].sum(dim=1)),
        "only what follows the LAST unknown pixel counts here. But the known pixel between two "
        "unknown ones depends on the first of them: count from the FIRST unknown one on.",
    )
    require(
        (found + nats[:, known].sum(dim=1)).abs().max() > 1e-4,
        "the known pixels BEFORE the hole count, too. They are the same in all answers, so the "
        "weights are right once they are divided by their sum; but they are not asked for.",
    )
    require(
        alike(right),
        "these are not the probabilities of the known pixels after the first unknown one: "
        "-ln 2 times the sum of bits[:, after], over all of them.",
    )
    require(
        (found - right).abs().max() < 1e-4,
        "all weights are off by the same: log_weight is the sum itself, not yet divided by "
        "anything.",
    )


def _require_posterior(course, net, found, log_weight, given, known):
    """Compare the weighed share of each of the 16 answers with its exact probability."""
    worlds = given.repeat(16, 1, 1)
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4)).byte()
    worlds[:, ~known] = pairs
    exact = (
        -math.log(2) * course.bits_per_pixel(course.easel(net, 1)[0], worlds).flatten(1).sum(dim=1)
    ).softmax(0)
    number = (found[:, ~known].long() * torch.tensor([4, 1])).sum(dim=1)
    share = torch.zeros(16).double().index_add(0, number, log_weight.softmax(0))
    apart = (share - exact).abs().sum().item() / 2
    require(
        apart < 0.2,
        f"the weighed answers are {apart:.2f} (total variation) from the exact probabilities.",
    )
