"""Checks of lesson 22 for the penalty, and for the loop: against the same steps written by hand."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import display, settings
from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


@check("conditional_gan.gradient_penalty")
def gradient_penalty(function):
    """Compare with the known slopes of a plane and of a parabola, and follow the gradient back."""
    weight = normal(2 * 3 * 3, seed=5).view(2, 3, 3).requires_grad_()

    def plane(x, c=None):
        require(c is not None, "c is missing: ask for disc(x, c), as the loop does.")
        return (x * weight).flatten(1).sum(dim=1) + 10 * c.sum(dim=1)

    x, c = normal(4, 2, 3, 3, seed=6), normal(4, 2, seed=7)
    value, exact = function(plane, x, c), weight.square().sum()
    require(
        isinstance(value, torch.Tensor) and value.ndim == 0,
        f"one number is meant; yours has the shape {tuple(getattr(value, 'shape', ()))}: sum over "
        "a picture, mean over the batch.",
    )
    require(
        value.requires_grad,
        "nothing can be learnt from this penalty: it has no graph. create_graph=True.",
    )
    require(
        weight.grad is None,
        "backward() also writes into the gradients of D's own weights, where the loop's would "
        "pile up: torch.autograd.grad asks for x alone.",
    )
    told = {
        exact.sqrt(): "this is the length of the slope; its square is meant.",
        exact / 18: "you took the mean over pixels; the squares are summed over a picture.",
        4 * exact: "you summed over the batch; the mean over pictures is meant.",
        exact / 16: "the slopes are divided by the batch before they are squared: differentiate "
        "the *sum* of the logits, not their mean.",
        exact / 4: "the slopes are divided by the batch before they are squared: differentiate "
        "the *sum* of the logits, not their mean.",
        exact / 2: "the half belongs to the weight (gamma / 2), which the loop applies.",
    }
    for wrong, message in told.items():
        require(abs(value - wrong) > 1e-9, message)
    require(
        abs(value - exact) < 1e-9,
        f"the slope of a plane is its weight, squared length {exact.item():.4f}; yours is "
        f"{value.item():.4f}.",
    )
    bowl = function(lambda x, c: x.square().flatten(1).sum(1) / 2, x, c)
    require(
        abs(bowl - x.square().sum() / 4) < 1e-9,
        "for the logit |x|²/2 the slope is x itself; yours differs: at the pictures themselves, "
        "each with its own slope.",
    )
    (slope,) = torch.autograd.grad(value, weight)
    require(differs(slope, 2 * weight) < 1e-9, "the penalty's own gradient is wrong.")
    require(not x.requires_grad, "the caller's x was marked for gradients: x.detach() first.")
    leaf = x.clone().requires_grad_()
    require(function(plane, 2 * leaf, c).isfinite(), "x may come with a graph: detach it.")
    return "squared slope, summed over a picture, mean over the batch, itself differentiable"


class Config:
    steps, batch_size, lr_gen, lr_disc, betas = 6, 4, 0.05, 0.03, (0.5, 0.9)
    average, measure_every, r1, r1_every = 0.6, 1000, 0.4, 2


class _Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.asked = nn.Linear(2 + 2, 3).double(), []
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=seed))

    def noise(self, n, rng):
        return torch.randn(n, 2, generator=rng, dtype=torch.float64)

    def forward(self, z, c=None):
        x = self.linear(torch.cat([z, torch.zeros(len(z), 2) if c is None else c], dim=1))
        return x.view(-1, 3, 1, 1)  # pictures of four axes, which a penalty may count on


class _Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=20 + seed))

    def forward(self, x, c=None):
        c = torch.zeros(len(x), 2) if c is None else c
        return self.layers(torch.cat([x.flatten(1), c], dim=1))[:, 0]


def _pairs():
    codes = torch.eye(2, dtype=torch.float64)
    each = [(normal(4, 3, 1, 1, seed=40 + k), codes[[k % 2, 1, 0, 1]]) for k in range(3)]
    return itertools.cycle(each)


def _weights(*nets):
    return torch.cat([p.detach().flatten() for net in nets for p in net.parameters()])


def _oracle(mistake=""):
    """Return both networks' weights after six steps by hand, rightly or with one mistake."""
    cfg, gen, disc, rng = Config, _Generator(), _Discriminator(), torch.Generator().manual_seed(0)
    opt_gen = torch.optim.Adam(gen.parameters(), betas=cfg.betas)
    opt_disc = torch.optim.Adam(disc.parameters(), betas=cfg.betas)
    for step, (x, c) in zip(range(cfg.steps), _pairs(), strict=False):
        for opt, lr in ((opt_gen, cfg.lr_gen), (opt_disc, cfg.lr_disc)):
            opt.param_groups[0]["lr"] = lr * min(1, 2 - 2 * step / cfg.steps)
        given = {name: None if mistake == name else c for name in ("gen", "real", "fake", "turn")}
        given |= {"fake": c.roll(1, 0)} if mistake == "other c" else {}
        given |= dict.fromkeys(("real", "fake", "turn")) if mistake == "no c in D" else {}
        penalty = 0
        if step % cfg.r1_every == 0 and mistake != "no penalty":
            leaf = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(disc(leaf, c).sum(), leaf, create_graph=True)
            penalty = cfg.r1_every * cfg.r1 / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
        fake = gen(gen.noise(len(x), rng), given["gen"])
        logits = disc(x, given["real"]), disc(fake.detach(), given["fake"])
        real, forged = logits[::-1] if mistake == "swapped" else logits
        loss_disc = F.softplus(-real).mean() + F.softplus(forged).mean()
        if "kept disc" not in mistake:
            opt_disc.zero_grad()
        (loss_disc + penalty).backward()
        opt_disc.step()
        disc.requires_grad_(mistake != "kept disc, frozen")
        loss_gen = F.softplus(-disc(fake, given["turn"])).mean()
        if mistake != "kept gen":
            opt_gen.zero_grad()
        loss_gen.backward()
        opt_gen.step()
        disc.requires_grad_(True)
    return _weights(gen, disc)


MISTAKES = {
    "gen": "the generator was not told c: gen(z, c).",
    "no c in D": "the discriminator is never told c: nothing then asks the generator to obey, and "
    "nobody complains. disc(x, c), disc(fake.detach(), c), disc(fake, c).",
    "real": "c is missing where D looks at the real pictures: disc(x, c).",
    "fake": "c is missing where D looks at the forgeries: disc(fake.detach(), c). It could tell "
    "them by that alone.",
    "turn": "c is missing in the generator's turn: disc(fake, c).",
    "other c": "the forgeries come with another c than they were made for.",
    "no penalty": "the penalty is not used: (loss_disc + penalty).backward().",
    "swapped": "real and forged have changed places: disc_loss takes the real logits first.",
    "kept gen": "the generator's gradients of earlier steps were not cleared.",
}
MISTAKES |= dict.fromkeys(
    ("kept disc", "kept disc, frozen"),
    "the discriminator's gradients of earlier turns were not cleared: opt_disc.zero_grad() before "
    "its backward pass.",
)


def _run(function, data=None, **options):
    gen, disc, rng = _Generator(), _Discriminator(), torch.Generator().manual_seed(0)
    cfg = options.pop("cfg", Config)
    with display.held():
        history = function(cfg, gen, disc, data or _pairs(), rng, **options)
    return gen, disc, history


@check("conditional_gan.train_conditional")
def train_conditional(function):
    """Compare six float64 steps with the same written by hand, and try what may go wrong."""
    averaged = _Generator()
    try:
        gen, disc, history = _run(function, averaged=averaged)
    except RuntimeError as error:
        require(
            "second time" not in str(error),
            "the discriminator's turn used up the forgeries' graph: disc(fake.detach(), c) (G3).",
        )
        require(
            "does not require grad" not in str(error),
            "a loss has no graph: D stays frozen (G12), or G's turn detaches its forgeries.",
        )
        raise
    for name, net, fresh in (("generator", gen, _Generator()), ("D", disc, _Discriminator())):
        require(
            differs(_weights(net), _weights(fresh)) > 0,
            f"the {name} has not moved: its loss, zero_grad, backward, step.",
        )
    found = _weights(gen, disc)
    if differs(found, _oracle()) > TOLERANCE:
        for mistake, message in MISTAKES.items():
            require(differs(found, _oracle(mistake)) > TOLERANCE, message)
        require(
            False,
            "the weights after six steps are not those of the two turns: D on disc(x, c) and "
            "disc(fake.detach(), c) plus the penalty, then G on disc(fake, c), with the z given.",
        )
    for name in ("loss_disc", "loss_gen"):
        require(
            name in history and list(history[name][0]) == list(range(6)),
            f"{name} should be logged once for each of the six steps.",
        )
    require(
        0 < differs(_weights(averaged), _weights(_Generator())) != 0
        and differs(_weights(averaged), _weights(gen)) > 0,
        "`averaged` should follow gen at a distance, in every step.",
    )
    stopped, _, _ = _run(function, should_stop=lambda: 1.0)
    require(
        differs(_weights(stopped), _weights(_Generator())) == 0,
        "should_stop says that the budget is spent, and training goes on.",
    )
    _require_stops_at_nan(function)
    return "six steps equal those written by hand: c in all four questions, penalty in D's turn"


def _require_stops_at_nan(function):
    class Watchful(Config):
        measure_every = 1

    broken = [(torch.full((4, 3, 1, 1), torch.nan).double(), torch.eye(2).double()[[0, 1, 0, 1]])]
    data = itertools.chain(itertools.islice(_pairs(), 2), broken, _pairs())
    try:
        _run(function, data, cfg=Watchful)
    except settings.CourseError:
        return
    require(False, "the data held nan, and training went on: or_stop must be asked.")
