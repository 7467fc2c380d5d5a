"""Check of lesson 31 for the training loop: against the same steps written by hand."""

import copy
import itertools
import math

import torch
from torch import nn

from course_lib import display, settings
from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


class Config:
    steps, batch_size, lr, average, measure_every = 5, 4, 0.05, 0.6, 1000


class Model(nn.Module):
    """Three weights, and two terms that depend on them, on x and on noise; float64."""

    def __init__(self):
        super().__init__()
        self.w, self.noise = nn.Parameter(normal(3, seed=1)), []

    def elbo_terms(self, x, rng):
        eps = torch.randn(len(x), generator=rng, dtype=torch.float64)
        self.noise.append(eps)
        return -((x @ self.w + eps - 1) ** 2), 0.3 * (x @ self.w) ** 2 + self.w.square().sum()


def batches():
    return itertools.cycle([normal(4, 3, seed=40 + k) for k in range(3)])


def elbo(log_lik, kl, fraction):
    return (kl - log_lik).mean()


def growing(log_lik, kl, fraction):
    return (5 * fraction * kl - log_lik).mean()


def by_hand(loss=elbo, mistake=""):
    """Return the weights (3,) after five steps, rightly or with one classic mistake."""
    model, rng = Model(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=Config.lr)
    for step, x in zip(range(Config.steps), batches(), strict=False):
        fraction = 0.0 if mistake == "fraction" else step / Config.steps
        falling = (1 + math.cos(math.pi * step / Config.steps)) / 2
        optimiser.param_groups[0]["lr"] = Config.lr * (1 if mistake == "flat" else falling)
        value = loss(*model.elbo_terms(x, rng), fraction)
        if mistake != "kept":
            optimiser.zero_grad()
        (-value if mistake == "sign" else value).backward()
        optimiser.step()
    return model.w.detach()


MISTAKES = {
    "kept": "the gradients of earlier steps are still there: zero_grad() before backward().",
    "flat": "the learning rate does not fall along half a cosine of run.fraction.",
    "sign": "the loss is maximised: step down the loss as it is.",
}


def _run(function, cfg=Config, data=None, **options):
    model = Model()
    with display.held():
        history = function(
            cfg, model, data or batches(), torch.Generator().manual_seed(0), **options
        )
    return model, history


def _require_right_steps(function):
    model, history = _run(function)
    found = model.w.detach()
    require(differs(found, Model().w.detach()) > 0, "the weights have not moved: backward, step.")
    if differs(found, by_hand()) > TOLERANCE:
        for mistake, message in MISTAKES.items():
            require(differs(found, by_hand(mistake=mistake)) > TOLERANCE, message)
        require(False, "the weights after five steps are not those of Adam on loss(...).")
    other = _run(function, loss=growing)[0].w.detach()
    require(
        differs(other, by_hand()) > TOLERANCE,
        "`loss` is accepted and ignored: whatever beta one asks for, beta is 1 (V10).",
    )
    require(
        differs(other, by_hand(growing, "fraction")) > TOLERANCE,
        "loss(log_lik, kl, fraction) is given a constant: pass run.fraction.",
    )
    require(differs(other, by_hand(growing)) < TOLERANCE, "another loss is trained than asked for.")
    return history


def _require_history(history):
    for name in ("loss", "log_lik", "kl"):
        require(
            name in history and list(history[name][0]) == [0, 1, 2, 3, 4],
            f"{name} should be logged once for each of the steps 0 to 4.",
        )
    log_lik, kl = (
        t.mean().item()
        for t in Model().elbo_terms(next(batches()), torch.Generator().manual_seed(0))
    )
    require(
        min(history["kl"][1]) >= 0,
        f"the logged kl is {min(history['kl'][1]):.3g}: a KL is never negative. Log what is "
        "optimised (V4).",
    )
    for name, wanted in {"log_lik": log_lik, "kl": kl, "loss": kl - log_lik}.items():
        first = history[name][1][0]
        require(
            abs(first - wanted) < 1e-6,
            f"the first logged {name} should be {wanted:.4f} nats, the batch's mean; it is "
            f"{first:.4f}.",
        )


def _require_stops(function):
    model, _ = _run(function, should_stop=lambda: 1.0)
    require(
        differs(model.w, Model().w) == 0,
        "should_stop says that the budget is spent, and training goes on: pass it to progress.",
    )

    class Watchful(Config):
        measure_every, steps = 1, 6

    bad = itertools.chain(itertools.islice(batches(), 3), [torch.full((4, 3), torch.nan).double()])
    model, averaged = Model(), Model()
    try:
        with display.held():
            data = itertools.chain(bad, batches())
            function(Watchful, model, data, torch.Generator(), averaged=averaged)
    except settings.CourseError:
        finite = model.w.isfinite().all() and averaged.w.isfinite().all()
        require(finite, "after nan in the data the weights are not back at their last good state.")
    else:
        require(False, "the data held nan, and training went on: or_stop must be asked.")


@check("vae.train_vae")
def train_vae(function):
    """Compare five float64 steps with the same written by hand, and try what may go wrong."""
    history = _require_right_steps(function)
    _require_history(history)
    averaged = copy.deepcopy(Model())
    model, _ = _run(function, averaged=averaged)
    require(
        differs(averaged.w, Model().w) > 0 and differs(averaged.w, model.w) > 0,
        "`averaged` should follow vae at a distance: follow(averaged, vae, ...) in every step.",
    )
    require(
        differs(model.noise[0], model.noise[1]) > 0,
        "every step gets the same noise: pass rng on.",
    )
    _require_stops(function)
    return "five steps equal those written by hand; loss and fraction are used; nan ends it"
