"""The steps of lesson 20's loop written by hand, rightly or with one classic mistake."""

import copy
import itertools

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.checks.probes import normal


class Config:
    steps, batch_size, lr_gen, lr_disc, betas = 5, 4, 0.05, 0.03, (0.5, 0.9)
    average, measure_every = 0.6, 1000


class Generator(nn.Module):
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


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=20 + seed))

    def forward(self, x):
        return self.layers(x)[:, 0]


def batches():
    return itertools.cycle([normal(4, 3, seed=40 + k) for k in range(3)])


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def _disc_loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating(logits):
    return F.softplus(-logits).mean()


def _disc_turn(opt_disc, disc, x, fake, mistake):
    end = torch.sigmoid if mistake in ("sigmoid disc", "sigmoids") else nn.Identity()
    given = fake if mistake == "attached, kept" else fake.detach()
    other = copy.deepcopy(disc) if mistake == "two" else disc
    logits = end(disc(x)), end(other(given))
    if mistake != "kept disc":
        opt_disc.zero_grad()
    _disc_loss(*(logits[::-1] if mistake == "swapped" else logits)).backward(retain_graph=True)
    opt_disc.step()


def _gen_turn(opt_gen, disc, x, fake, loss, mistake):
    end = torch.sigmoid if mistake in ("sigmoid gen", "sigmoids") else nn.Identity()
    loss_gen = loss(end(disc(fake)))
    if mistake == "total":
        loss_gen = loss_gen + _disc_loss(disc(x), disc(fake))
    if mistake not in ("kept gen", "attached, kept"):
        opt_gen.zero_grad()
    loss_gen.backward()
    opt_gen.step()


def oracle(loss=_non_saturating, mistake="", fresh=False):
    """Train by hand, rightly or with one classic mistake; return the weights of both networks.

    fresh: the generator's turn draws new noise.
    """
    cfg, gen, disc, rng = Config, Generator(), Discriminator(), torch.Generator().manual_seed(0)
    rates = (cfg.lr_disc, cfg.lr_gen) if mistake == "rates" else (cfg.lr_gen, cfg.lr_disc)
    both = [*gen.parameters(), *disc.parameters()] if mistake == "both" else gen.parameters()
    usual = (0.9, 0.999)
    opt_gen = torch.optim.Adam(both, betas=usual if mistake == "betas gen" else cfg.betas)
    betas = usual if mistake == "betas disc" else cfg.betas
    opt_disc = torch.optim.Adam(disc.parameters(), betas=betas)
    for step, x in zip(range(cfg.steps), batches(), strict=False):
        falling = 1 if mistake == "flat" else min(1, 4 - 4 * step / cfg.steps)
        for opt, lr in ((opt_gen, rates[0]), (opt_disc, rates[1])):
            opt.param_groups[0]["lr"] = lr * falling
        fake = gen(gen.noise(cfg.batch_size, rng))
        again = gen(gen.noise(cfg.batch_size, rng)) if fresh else fake
        for turn in ("gen", "disc") if mistake == "order" else ("disc", "gen"):
            if turn == "disc":
                _disc_turn(opt_disc, disc, x, fake, mistake)
            else:
                _gen_turn(opt_gen, disc, x, again, loss, mistake)
    return torch.cat([weights(gen), weights(disc)])


MISTAKES = {
    "kept gen": "the generator's gradients of earlier steps are still there: opt_gen.zero_grad() "
    "before loss_gen.backward().",
    "kept disc": "the discriminator's gradients, among them those that the generator's turn left "
    "there, were not cleared: opt_disc.zero_grad() before loss_disc.backward().",
    "attached, kept": "the discriminator's loss pushes the generator too: detach the forgeries in "
    "its turn, and clear the generator's gradients before its own backward pass (G3).",
    "swapped": "real and forged have changed places in the discriminator's turn: "
    "disc_loss(disc(x), disc(fake.detach())), the real first.",
    "order": "the generator's turn comes before the discriminator's: D first, then G against the "
    "D that has just learnt (algorithm 1).",
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
