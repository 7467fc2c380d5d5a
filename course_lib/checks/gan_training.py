"""Check of lesson 20 for the loop with two optimisers: against the same steps written by hand."""

import itertools

import torch
from torch.nn import functional as F

from course_lib import display, settings
from course_lib.checks import check, require
from course_lib.checks.gan_by_hand import (
    MISTAKES,
    Config,
    Discriminator,
    Generator,
    batches,
    oracle,
    weights,
)
from course_lib.checks.probes import TOLERANCE, differs

GRAPHS = {
    "second time": "the discriminator's turn walked back into the forgeries and used up their "
    "graph, which the generator's turn needs: detach them, disc(fake.detach()) (G3).",
    "does not require grad": "a loss has no graph: something is frozen for good (G12), or detached "
    "in the generator's own turn.",
}


def _run(function, cfg=Config, data=None, **options):
    """Train fresh small networks; return both, and the history."""
    gen, disc, rng = Generator(), Discriminator(), torch.Generator().manual_seed(0)
    try:
        with display.held():
            history = function(cfg, gen, disc, data or batches(), rng, **options)
    except RuntimeError as error:
        for words, message in GRAPHS.items():
            require(words not in str(error), message)
        raise
    return gen, disc, history


def _require_both_moved(gen, disc):
    require(
        differs(weights(disc), weights(Discriminator())) > 0,
        "the discriminator has not moved: its optimiser must hold disc.parameters() (G11), its "
        "loss needs a backward pass and a step (G7), and nothing may be frozen for good (G12).",
    )
    require(
        differs(weights(gen), weights(Generator())) > 0,
        "the generator has not moved: in its turn the loss is built on disc(fake), forgeries that "
        "are attached to it (G4), not on real pictures (G5); then backward and a step.",
    )


def _require_right_steps(gen, disc):
    found = torch.cat([weights(gen), weights(disc)])
    right = [oracle(), oracle(fresh=True)]
    if min(differs(found, wanted) for wanted in right) < TOLERANCE:
        return
    for mistake, message in MISTAKES.items():
        for fresh in (False, True):
            require(differs(found, oracle(mistake=mistake, fresh=fresh)) > TOLERANCE, message)
    noise = [z for z in gen.seen if len(z) == Config.batch_size]
    require(
        any(differs(noise[0], z) > 0 for z in noise[1:]),
        "every step gets the same noise: draw anew from gen.noise(cfg.batch_size, rng).",
    )
    require(
        False,
        "the weights after five steps are not those of the two turns: D on disc(x) and "
        "disc(fake.detach()), real first, then G on disc(fake), each with zero_grad, backward, "
        "step. (Fresh noise in G's turn is allowed.)",
    )


def _require_detached(function):
    """Demand one gradient a step at the generator's output: that of its own turn."""

    class Short(Config):
        steps = 1

    long, short = (len(_run(function, cfg)[0].arrivals) for cfg in (Config, Short))
    require(
        long - short == 4,
        f"in 4 steps {long - short} gradients walked back into the generator; its own turns are 4. "
        "In the discriminator's turn detach the forgeries: fake.detach() (G3).",
    )


def _require_stops(function):
    gen, disc, _ = _run(function, should_stop=lambda: 1.0)
    require(
        differs(weights(gen), weights(Generator())) == 0,
        "should_stop says that the budget is spent, and training goes on: pass it to progress.",
    )

    class Watchful(Config):
        measure_every, steps = 1, 6

    broken = itertools.chain(
        itertools.islice(batches(), 3), [torch.full((4, 3), torch.nan).double()]
    )
    gen, disc = Generator(), Discriminator()
    try:
        with display.held():
            function(Watchful, gen, disc, itertools.chain(broken, batches()), torch.Generator())
    except settings.CourseError:
        finite = torch.cat([weights(gen), weights(disc)]).isfinite().all()
        require(finite, "after nan in the data the networks are not back at their last good state.")
    else:
        require(False, "the data held nan, and training went on: or_stop must be asked.")


@check("gan.train_gan")
def train_gan(function):
    """Compare five float64 steps with the same written by hand, and try what may go wrong."""
    averaged = Generator()
    gen, disc, history = _run(function, averaged=averaged)
    _require_both_moved(gen, disc)
    _require_right_steps(gen, disc)
    _require_detached(function)
    for name in ("loss_disc", "loss_gen"):
        require(
            name in history and list(history[name][0]) == [0, 1, 2, 3, 4],
            f"{name} should be logged once for each of the steps 0 to 4.",
        )
    minimax = lambda logits: -F.softplus(logits).mean()  # noqa: E731
    other = torch.cat([weights(net) for net in _run(function, loss=minimax)[:2]])
    wanted = [oracle(minimax), oracle(minimax, fresh=True)]
    require(
        min(differs(other, right) for right in wanted) < TOLERANCE,
        "the argument `loss` is accepted and ignored: the generator's turn uses loss(disc(fake)).",
    )
    require(
        differs(weights(averaged), weights(Generator())) > 0
        and differs(weights(averaged), weights(gen)) > 0,
        "`averaged` should follow gen at a distance: follow(averaged, gen, ...) in every step.",
    )
    _require_stops(function)
    return (
        "five steps equal those written by hand; detached, cleared, two optimisers, one D; nan "
        "ends it at the last good state"
    )
