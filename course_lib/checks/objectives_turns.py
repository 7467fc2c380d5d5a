"""Checks of lesson 23 for the critic's turn and the loop, against the same written by hand."""

from types import SimpleNamespace

import torch

from course_lib import display
from course_lib.built.gan import gen_loss
from course_lib.checks import check, require
from course_lib.checks.gan_by_hand import Config, Discriminator, Generator, batches, weights
from course_lib.checks.probes import TOLERANCE, differs, normal

RATE = 0.1
PLAIN = {"penalty": None, "penalty_every": 1, "disc_steps": 1, "clip": None}


def _objective(**options):
    """Return an objective with easily told losses, as the lesson's class would be."""
    losses = {"disc_loss": lambda real, fake: fake.mean() - real.square().mean() / 5 - real.mean(),
              "gen_loss": lambda fake: -fake.mean() + fake.square().mean() / 3}  # fmt: skip
    return SimpleNamespace(**PLAIN | losses | options)


def _penalty(disc, x, fake, rng):
    """A price on the answers half way; the random number shows whether rng was passed on."""
    share = torch.rand(len(x), 1, generator=rng, dtype=torch.float64)
    return 3 * disc(share * x + (1 - share) * fake).square().mean()


def _by_hand(objective, disc, opt, x, fake, rng, step=0, *, mistake=""):
    """Move disc as critic_step should, rightly or with one classic mistake."""
    logits = disc(x), disc(fake.detach())
    loss = objective.disc_loss(*(logits[::-1] if mistake == "swapped" else logits))
    due = step % objective.penalty_every == 0 or mistake == "always"
    if objective.penalty and due and mistake != "not added":
        times = 1 if mistake == "not scaled" else objective.penalty_every
        penalty = objective.penalty(disc, x, fake.detach(), rng)
        loss = loss + times * penalty
    if mistake != "kept":
        opt.zero_grad()
    loss.backward()
    if objective.clip and mistake == "clipped first":
        _clip(disc, objective.clip)
    opt.step()
    if objective.clip and mistake not in ("not clipped", "clipped first"):
        _clip(disc, objective.clip)
    return loss


def _clip(disc, limit):
    for w in disc.parameters():
        w.data.clamp_(-limit, limit)


def _two_steps(turn, objective, fake=None):
    """Return disc after two steps, the second number 1, and the losses."""
    disc, rng = Discriminator(), torch.Generator().manual_seed(0)
    opt = torch.optim.SGD(disc.parameters(), lr=RATE)
    fakes = fake or [normal(4, 3, seed=60 + k) for k in (0, 1)]
    losses = [
        turn(objective, disc, opt, normal(4, 3, seed=50 + k), fakes[k], rng, k) for k in (0, 1)
    ]
    return weights(disc), losses


STEP_MISTAKES = {
    "swapped": "real and forged have changed places: objective.disc_loss(disc(x), disc(fake)).",
    "not added": "the penalty has no effect on the critic (W6): add it to the loss, as a tensor; a "
    "plain number, after .item() or detach, has no slope.",
    "not scaled": "a penalty at every k-th step only should be k times as strong: penalty_every * "
    "penalty.",
    "always": "penalty_every is accepted and ignored: the penalty belongs to the steps with step % "
    "penalty_every == 0.",
    "kept": "the gradients of the step before are still there: opt_disc.zero_grad() before "
    "backward.",
    "not clipped": "objective.clip is given and the weights are not cut (W7): after the step, "
    "clip_weights(disc, objective.clip).",
    "clipped first": "the weights are clipped before the optimiser's step: what the step adds "
    "sticks out. Clip last.",
}
CASES = {
    "without anything": {},
    "with a penalty": {"penalty": _penalty},
    "with a penalty at every third step": {"penalty": _penalty, "penalty_every": 3},
    "with clipping": {"clip": 0.2},
}


def _require_step(function, name, options):
    objective = _objective(**options)
    found, losses = _two_steps(function, objective)
    wanted, right = _two_steps(_by_hand, objective)
    require(
        differs(found, weights(Discriminator())) > 0,
        "the critic has not moved: backward, then opt_disc.step().",
    )
    if differs(found, wanted) > TOLERANCE:
        for mistake, message in STEP_MISTAKES.items():
            wrong = _two_steps(lambda *a, m=mistake: _by_hand(*a, mistake=m), objective)[0]
            require(differs(found, wrong) > TOLERANCE, message)
        if objective.clip:
            other = _two_steps(function, _objective(**options | {"clip": objective.clip / 2}))[0]
            require(
                differs(found, other) > TOLERANCE,
                "objective.clip makes no difference: a limit of your own is at work (W7)? "
                "clip_weights(disc, objective.clip).",
            )
        left_over = " Nothing may be clipped here (W7)." if objective.clip is None else ""
        require(
            False,
            f"{name}, the critic's weights after two steps are not those of loss (plus penalty), "
            f"zero_grad, backward, step (and clipping).{left_over}",
        )
    require(
        not any(isinstance(loss, float) for loss in losses),
        "return the loss as a tensor, without .item(): the log reads it only when it must.",
    )
    require(
        all(isinstance(loss, torch.Tensor) for loss in losses)
        and all(abs(a - b) < TOLERANCE for a, b in zip(losses, right, strict=True)),
        "critic_step should return its loss, the penalty included, for the log.",
    )


@check("objectives.critic_step")
def critic_step(function):
    """Compare two steps with those written by hand: plain, with a penalty, with clipping."""
    for name, options in CASES.items():
        _require_step(function, name, options)
    gen = Generator()
    fakes = [gen(normal(4, 2, seed=k)) for k in (0, 1)]
    _two_steps(function, _objective(penalty=_penalty), fakes)
    require(
        not gen.arrivals,
        "gradients of the critic's turn walked back into the generator: detach the forgeries (G3).",
    )
    return "two steps equal those by hand: plain, penalised, at every third step, clipped last"


def _loop_by_hand(objective, mistake=""):
    """Train for Config.steps as train_objective should; return the weights of both networks."""
    cfg, gen, disc, rng = Config, Generator(), Discriminator(), torch.Generator().manual_seed(0)
    opt_gen = torch.optim.Adam(gen.parameters(), lr=cfg.lr_gen, betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), lr=cfg.lr_disc, betas=cfg.betas)
    data, turns = batches(), 1 if mistake == "one turn" else objective.disc_steps
    for step in range(cfg.steps):
        for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
            opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * step / cfg.steps)
        for turn in range(turns):
            if turn == 0 or mistake != "one batch":
                x, fake = next(data), gen(gen.noise(cfg.batch_size, rng))
            number = 0 if mistake == "no step" else step
            _by_hand(objective, disc, opt_disc, x, fake, rng, number)
            if turn == turns - 1 or mistake == "inside":
                if mistake == "anew":
                    fake = gen(gen.noise(cfg.batch_size, rng))
                wants = gen_loss if mistake == "built in" else objective.gen_loss
                loss_gen = wants(disc(x if mistake == "real" else fake))
                loss_gen = -loss_gen if mistake == "sign" else loss_gen
                if mistake != "kept":
                    opt_gen.zero_grad()
                if loss_gen.requires_grad:
                    loss_gen.backward(retain_graph=True)
                opt_gen.step()
    return torch.cat([weights(gen), weights(disc)])


LOOP_MISTAKES = {
    "one turn": "the critic gets one turn for each of the generator's: objective.disc_steps is "
    "accepted and ignored.",
    "one batch": "all turns of the critic see the same pictures and noise: draw both anew, inside "
    "the inner loop.",
    "inside": "the generator moves after every turn of the critic: its turn stands outside of the "
    "inner loop.",
    "no step": "critic_step does not know the step, so a rare penalty comes always: pass step.",
    "anew": "the generator's turn draws new noise. That is a fair variant (Arjovsky et al. 2017 do "
    "so), but this loop takes the last forgeries, as lesson 20's does.",
    "built in": "objective.gen_loss is ignored: this is the non-saturating loss of lesson 20.",
    "sign": "the generator climbs its loss: no minus in front of objective.gen_loss (W5).",
    "real": "the generator's loss is built on real pictures (G5): disc(fake).",
    "kept": "the generator's gradients are not cleared: opt_gen.zero_grad() before backward.",
}


def _run(function, objective):
    gen, disc, rng = Generator(), Discriminator(), torch.Generator().manual_seed(0)
    with display.held():
        history = function(Config, objective, gen, disc, batches(), rng)
    return torch.cat([weights(gen), weights(disc)]), history


@check("objectives.train_objective")
def train_objective(function):
    """Compare five steps, three critic's turns each, with the same written by hand."""
    objective = _objective(disc_steps=3, penalty=_penalty, penalty_every=2, clip=0.6)
    found, history = _run(function, objective)
    wanted = _loop_by_hand(objective)
    if differs(found, wanted) > TOLERANCE:
        split = sum(p.numel() for p in Generator().parameters())
        require(
            differs(found[:split], weights(Generator())) > 0,
            "the generator has not moved: its loss is built on disc(fake), attached (G4); then "
            "clear, backward, step.",
        )
        for mistake, message in LOOP_MISTAKES.items():
            require(differs(found, _loop_by_hand(objective, mistake)) > TOLERANCE, message)
        require(
            False,
            "the weights after five steps are not those of three turns of the critic, each with "
            "its own x, z and fake, and one of the generator on the last forgeries.",
        )
    require(
        {"loss_disc", "loss_gen"} <= set(history),
        "loss_disc and loss_gen should be logged: leave both as tensors under these names.",
    )
    return "five steps, three turns of the critic in each, equal those written by hand"
