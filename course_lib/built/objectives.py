# Generated from notebooks/src/23_objectives.py by `python3 -m course_lib build 23`.
# Edit the lesson, not this file.
"""Lesson 23, "Compare five GAN objectives": what it builds, for later lessons to import."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import training
from course_lib.built.gan import disc_loss, follow, gen_loss, minimax_gen_loss, or_stop, vital_signs
from course_lib.settings import CourseError, profile


@dataclass
class Config:
    """The numbers of lesson 23; `profile` picks the value for the profile that you run in."""

    seconds: float = profile(smoke=0.4, standard=20, full=600)  # processor time per objective
    steps: int = 1_000_000  # of the generator at most: the seconds end it
    batch_size: int = 64
    lr_gen: float = 2e-3
    lr_disc: float = 2e-3
    betas: tuple = (0.5, 0.99)
    average: float = 0.99
    measure_every: int = 50
    seed: int = 0


def earth_mover(a, b):
    """Return W1, the least mean way that carries samples a (N,) to b (N,), on a line."""
    if a.shape != b.shape or a.ndim != 1:
        raise CourseError(
            f"earth_mover pairs rows of one length, not {[*a.shape]} and {[*b.shape]}."
        )
    return (a.sort().values - b.sort().values).abs().mean()


def lsgan_disc_loss(logits_real, logits_fake):
    """Return the mean squares of real to 1 and of forged to 0, added; any numbers (B,)."""
    return (logits_real - 1).square().mean() + logits_fake.square().mean()


def lsgan_gen_loss(logits_fake):
    """Return the mean square of forged to 1. Mao et al. (2017), eq. 9 without the half."""
    return (logits_fake - 1).square().mean()


def best_critic(p, q, dx):
    """Return f (K,), f[0] = 0, slopes in -1..1, sum of f (p - q) = W1; p, q (K,), grid step dx."""
    slope = (q.cumsum(0) - p.cumsum(0)).sign()[:-1]
    return F.pad(slope.cumsum(0), (1, 0)) * dx


def wgan_disc_loss(logits_real, logits_fake):
    """Return the critic's mean answer to forgeries minus that to real pictures."""
    return logits_fake.mean() - logits_real.mean()


def wgan_gen_loss(logits_fake):
    """Return minus the critic's mean answer to forgeries."""
    return -logits_fake.mean()


@dataclass(frozen=True)
class Objective:
    """What each network minimises; logits (B,) -> a number.

    penalty(disc, x, fake, rng) is added to the discriminator's loss at every `penalty_every`th
    step, that many times as strong; after each of its `disc_steps` steps, weights are clipped to
    -clip..clip.
    """

    disc_loss: Callable
    gen_loss: Callable
    penalty: Callable | None = None
    penalty_every: int = 1
    disc_steps: int = 1
    clip: float | None = None


@torch.no_grad()
def clip_weights(net, limit):
    """Cut every weight of net to -limit..limit, in place."""
    for w in net.parameters():
        w.clamp_(-limit, limit)


def critic_step(objective, disc, opt_disc, x, fake, rng, step=0):
    """Move disc by one step on x and fake (B, ...), detached; return its loss with the penalty."""
    fake = fake.detach()
    loss = objective.disc_loss(disc(x), disc(fake))
    if objective.penalty and step % objective.penalty_every == 0:
        loss = loss + objective.penalty_every * objective.penalty(disc, x, fake, rng)
    opt_disc.zero_grad()
    loss.backward()
    opt_disc.step()
    if objective.clip:
        clip_weights(disc, objective.clip)
    return loss


def require_critic(disc, x, fake):
    """Raise CourseError for what a penalty per picture cannot work with."""
    layers = list(disc.modules())
    if x.shape != fake.shape:
        raise CourseError(
            f"A penalty needs as many real as forged, not {[*x.shape]} and {[*fake.shape]}."
        )
    if isinstance(layers[-1], nn.Sigmoid):
        raise CourseError("The critic ends in a sigmoid, which limits it to 0..1: leave it out.")
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
        raise CourseError("Batch norm makes a picture's slope depend on the batch: use norm=False.")


def slope_norms(disc, x, fake, rng):
    """Return the norms (B,) of the critic's gradient at random points between x and fake (B, ...).

    Differentiable. CourseError for other sizes, a sigmoid, batch norm. Gulrajani et al., alg. 1.
    """
    require_critic(disc, x, fake)
    alpha = torch.rand(len(x), *[1] * (x.ndim - 1), generator=rng, device=x.device)
    mixed = (alpha * x + (1 - alpha) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(disc(mixed).sum(), mixed, create_graph=True)
    return slope.flatten(1).norm(dim=1)


def gradient_penalty(disc, x, fake, rng, strength=10.0):
    """Return strength times the mean of (slope norm - 1)^2. Gulrajani et al. (2017), eq. 3."""
    return strength * (slope_norms(disc, x, fake, rng) - 1).square().mean()


def train_objective(
    cfg,
    objective,
    gen,
    disc,
    data,
    rng,
    *,
    averaged=None,
    should_stop=training.never_stop,
    view=None,
    label="training",
):
    """Train gen and disc by `objective` on endless batches `data`; return the history."""
    opt_gen = torch.optim.Adam(gen.parameters(), lr=cfg.lr_gen, betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)
    good, nets = None, [net for net in (gen, disc, averaged) if net is not None]
    with training.progress(cfg.steps, should_stop, view, label=label) as run:
        for step in run:
            for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
                opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * run.fraction)
            for _ in range(objective.disc_steps):
                x, z = next(data), gen.noise(cfg.batch_size, rng)
                fake = gen(z)
                loss_disc = critic_step(objective, disc, opt_disc, x, fake, rng, step)
            loss_gen = objective.gen_loss(disc(fake))
            opt_gen.zero_grad()
            loss_gen.backward()
            opt_gen.step()
            follow(averaged or gen, gen, min(cfg.average, step / (step + 10)))
            run.log(loss_disc=loss_disc, loss_gen=loss_gen)
            if step % cfg.measure_every == 0:
                run.log(**(signs := vital_signs(gen, disc, x, z)))
                good = or_stop(nets, good, **signs)
    return run.history


LSGAN = Objective(lsgan_disc_loss, lsgan_gen_loss)
WGAN = Objective(wgan_disc_loss, wgan_gen_loss, disc_steps=2, clip=0.03)
WGAN_GP = replace(WGAN, penalty=gradient_penalty, clip=None)
NON_SATURATING = Objective(disc_loss, gen_loss)
SATURATING = Objective(disc_loss, minimax_gen_loss)


def one_sided_penalty(disc, x, fake, rng, strength=10.0):
    """Return strength times the mean of max(0, norm - 1)^2. Petzka et al. (2018)."""
    return strength * F.relu(slope_norms(disc, x, fake, rng) - 1).square().mean()
