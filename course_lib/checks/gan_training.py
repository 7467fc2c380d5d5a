"""Check of lesson 20 for the loop with two optimisers: against the same steps written by hand."""

import copy
import itertools

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import display, settings
from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


class _Config:
    steps, batch_size, lr_gen, lr_disc, betas = 5, 4, 0.05, 0.03, (0.5, 0.9)
    average, measure_every = 0.6, 1000


class _Generator(nn.Module):
    """A linear generator in float64 that counts how often a gradient comes back to it."""

    def __init__(self):
        super().__init__()
        self.linear, self.arrivals, self.seen = nn.Linear(2, 3).double(), [], []
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=seed))

    def noise(self, n, rng):
        return torch.randn(n, 2, generator=rng, dtype=torch.float64)

    def forward(self, z):
        self.seen.append(z.detach().clone())
        x = self.linear(z)
        if x.requires_grad:
            x.register_hook(self.arrivals.append)
        return x


class _Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=20 + seed))

    def forward(self, x):
        return self.layers(x)[:, 0]


def _data():
    return itertools.cycle([normal(4, 3, seed=40 + k) for k in range(3)])


def _weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def _disc_loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating(logits):
    return F.softplus(-logits).mean()


def _oracle(loss=_non_saturating, mistake=""):
    """Train by hand, rightly or with one classic mistake; return the weights of both networks."""
    cfg, gen, disc, rng = _Config, _Generator(), _Discriminator(), torch.Generator().manual_seed(0)
    rates = (cfg.lr_disc, cfg.lr_gen) if mistake == "rates" else (cfg.lr_gen, cfg.lr_disc)
    both = [*gen.parameters(), *disc.parameters()] if mistake == "both" else gen.parameters()
    usual = (0.9, 0.999)
    opt_gen = torch.optim.Adam(both, betas=usual if mistake == "betas gen" else cfg.betas)
    betas = usual if mistake == "betas disc" else cfg.betas
    opt_disc = torch.optim.Adam(disc.parameters(), betas=betas)
    end_disc = torch.sigmoid if mistake in ("sigmoid disc", "sigmoids") else nn.Identity()
    end_gen = torch.sigmoid if mistake in ("sigmoid gen", "sigmoids") else nn.Identity()
    for step, x in zip(range(cfg.steps), _data(), strict=False):
        falling = 1 if mistake == "flat" else min(1, 4 - 4 * step / cfg.steps)
        for opt, lr in ((opt_gen, rates[0]), (opt_disc, rates[1])):
            opt.param_groups[0]["lr"] = lr * falling
        fake = gen(gen.noise(cfg.batch_size, rng))
        given = fake if mistake == "attached, kept" else fake.detach()
        other = copy.deepcopy(disc) if mistake == "two" else disc
        logits = end_disc(disc(x)), end_disc(other(given))
        if mistake != "kept disc":
            opt_disc.zero_grad()
        _disc_loss(*(logits[::-1] if mistake == "swapped" else logits)).backward(retain_graph=True)
        opt_disc.step()
        if mistake == "fresh":
            fake = gen(gen.noise(cfg.batch_size, rng))
        loss_gen = loss(end_gen(disc(fake)))
        if mistake == "total":
            loss_gen = loss_gen + _disc_loss(disc(x), disc(fake))
        if mistake not in ("kept gen", "attached, kept"):
            opt_gen.zero_grad()
        loss_gen.backward()
        opt_gen.step()
    return torch.cat([_weights(gen), _weights(disc)])


MISTAKES = {
    "kept gen": "the generator's gradients of earlier steps are still there: opt_gen.zero_grad() "
    "before loss_gen.backward().",
    "kept disc": "the discriminator's gradients, among them those that the generator's turn left "
    "there, were not cleared: opt_disc.zero_grad() before loss_disc.backward().",
    "attached, kept": "the discriminator's loss pushes the generator too: detach the forgeries in "
    "its turn, and clear the generator's gradients before its own backward pass (G3).",
    "swapped": "real and forged have changed places in disc_loss(real, forged).",
    "both": "the generator's step moves the discriminator as well: opt_gen may hold only "
    "gen.parameters() (G11).",
    "total": "the generator's loss contains the discriminator's (G8): at logit 2 its slope would "
    "be +0.76, where it should be -0.12. Use loss(disc(fake)) alone.",
    "two": "real and forged are judged by two networks (G20): ask one and the same disc.",
    "rates": "the learning rates have changed places: cfg.lr_gen belongs to gen.",
    "flat": "the learning rates do not fall in the last quarter: set both in every step.",
}
MISTAKES |= dict.fromkeys(
    ("sigmoid disc", "sigmoid gen", "sigmoids"),
    "the losses are given probabilities: pass the logits as they are (G13).",
)
MISTAKES |= dict.fromkeys(
    ("betas gen", "betas disc"),
    "cfg.betas is accepted and ignored: pass it to both optimisers.",
)


GRAPHS = {
    "second time": "the discriminator's turn walked back into the forgeries and used up their "
    "graph, which the generator's turn needs: detach them, disc(fake.detach()) (G3).",
    "does not require grad": "a loss has no graph: something is frozen for good (G12), or detached "
    "in the generator's own turn.",
}


def _run(function, cfg=_Config, data=None, **options):
    """Train fresh small networks; return both, and the history."""
    gen, disc, rng = _Generator(), _Discriminator(), torch.Generator().manual_seed(0)
    try:
        with display.held():
            history = function(cfg, gen, disc, data or _data(), rng, **options)
    except RuntimeError as error:
        for words, message in GRAPHS.items():
            require(words not in str(error), message)
        raise
    return gen, disc, history


def _require_both_moved(gen, disc):
    require(
        differs(_weights(disc), _weights(_Discriminator())) > 0,
        "the discriminator has not moved: its optimiser must hold disc.parameters() (G11), its "
        "loss needs a backward pass and a step (G7), and nothing may be frozen for good (G12).",
    )
    require(
        differs(_weights(gen), _weights(_Generator())) > 0,
        "the generator has not moved: in its turn the loss is built on disc(fake), forgeries that "
        "are attached to it (G4), not on real pictures (G5); then backward and a step.",
    )


def _require_right_steps(gen, disc):
    found = torch.cat([_weights(gen), _weights(disc)])
    right = [_oracle(), _oracle(mistake="fresh")]
    if min(differs(found, wanted) for wanted in right) < TOLERANCE:
        return
    for mistake, message in MISTAKES.items():
        require(differs(found, _oracle(mistake=mistake)) > TOLERANCE, message)
    noise = [z for z in gen.seen if len(z) == _Config.batch_size]
    require(
        any(differs(noise[0], z) > 0 for z in noise[1:]),
        "every step gets the same noise: draw anew from gen.noise(cfg.batch_size, rng).",
    )
    require(
        False,
        "the weights after five steps are not those of the two turns: D on disc(x) and "
        "disc(fake.detach()), then G on disc(fake), each with zero_grad, backward, step.",
    )


def _require_detached(function):
    """Demand one gradient a step at the generator's output: that of its own turn."""

    class Short(_Config):
        steps = 1

    long, short = (len(_run(function, cfg)[0].arrivals) for cfg in (_Config, Short))
    require(
        long - short == 4,
        f"in 4 steps {long - short} gradients walked back into the generator; its own turns are 4. "
        "In the discriminator's turn detach the forgeries: fake.detach() (G3).",
    )


def _require_stops(function):
    gen, disc, _ = _run(function, should_stop=lambda: 1.0)
    require(
        differs(_weights(gen), _weights(_Generator())) == 0,
        "should_stop says that the budget is spent, and training goes on: pass it to progress.",
    )

    class Watchful(_Config):
        measure_every, steps = 1, 6

    broken = itertools.chain(itertools.islice(_data(), 3), [torch.full((4, 3), torch.nan).double()])
    gen, disc = _Generator(), _Discriminator()
    try:
        with display.held():
            function(Watchful, gen, disc, itertools.chain(broken, _data()), torch.Generator())
    except settings.CourseError:
        finite = torch.cat([_weights(gen), _weights(disc)]).isfinite().all()
        require(finite, "after nan in the data the networks are not back at their last good state.")
    else:
        require(False, "the data held nan, and training went on: or_stop must be asked.")


@check("gan.train_gan")
def train_gan(function):
    """Compare five float64 steps with the same written by hand, and try what may go wrong."""
    averaged = _Generator()
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
    other = torch.cat([_weights(net) for net in _run(function, loss=minimax)[:2]])
    wanted = [_oracle(minimax), _oracle(minimax, "fresh")]
    require(
        min(differs(other, right) for right in wanted) < TOLERANCE,
        "the argument `loss` is accepted and ignored: the generator's turn uses loss(disc(fake)).",
    )
    require(
        differs(_weights(averaged), _weights(_Generator())) > 0
        and differs(_weights(averaged), _weights(gen)) > 0,
        "`averaged` should follow gen at a distance: follow(averaged, gen, ...) in every step.",
    )
    _require_stops(function)
    return (
        "five steps equal those written by hand; detached, cleared, two optimisers, one D; nan "
        "ends it at the last good state"
    )
