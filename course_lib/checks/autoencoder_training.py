"""Check of lesson 30 for the loop, against the same steps by hand."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import display, settings
from course_lib.built.cnn import one_cycle
from course_lib.checks import check, require
from course_lib.checks.probes import TOLERANCE, differs, normal


class Config:
    steps, batch_size, lr, measure_every = 5, 4, 0.05, 1


def _nets():
    nets = (
        nn.Sequential(nn.Flatten(), nn.Linear(6, 3)),
        nn.Sequential(nn.Linear(3, 6), nn.Unflatten(1, (1, 2, 3))),
    )
    for k, net in enumerate(nets):
        for seed, parameter in enumerate(net.double().parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=10 * k + seed))
    return nets


def _batches():
    return itertools.cycle([normal(4, 1, 2, 3, seed=40 + k).sigmoid() for k in range(3)])


def _damage(x, rng=None):
    require(rng is not None, "corrupt takes two arguments: corrupt(x, rng).")
    return x + 0.5 * torch.randn(x.shape, generator=rng, dtype=x.dtype)


def _in_nats(logits, x):
    return (F.softplus(logits) - x * logits).flatten(1).sum(dim=1).mean()


def _squared(x_hat, x):
    return (x_hat - x).square().flatten(1).sum(dim=1).mean()


def _weights(nets):
    return torch.cat([p.detach().flatten() for net in nets for p in net.parameters()])


def _by_hand(loss=_in_nats, corrupt=None, mistakes=()):
    """Train rightly or with classic mistakes; return all weights."""
    encoder, decoder_ = nets = _nets()
    rng = torch.Generator().manual_seed(0)
    learning = [*encoder.parameters(), *decoder_.parameters()]
    optimiser = torch.optim.Adam(learning, lr=Config.lr, betas=(0.9, 0.99))
    for step, x in zip(range(Config.steps), _batches(), strict=False):
        optimiser.param_groups[0]["lr"] = Config.lr * one_cycle(step / Config.steps)
        seen = x if corrupt is None or "clean" in mistakes else corrupt(x, rng)
        z = encoder(seen).detach() if "detached" in mistakes else encoder(seen)
        logits = decoder_(z).sigmoid() if "sigmoid" in mistakes else decoder_(z)
        loss_rec = loss(logits, seen if "target" in mistakes else x)
        if "kept" not in mistakes:
            optimiser.zero_grad()
        loss_rec.backward()
        optimiser.step()
    return _weights(nets)


MISTAKES = {
    "target": "the loss compares with what the encoder saw: then the network is asked to draw the "
    "noise as well. The target is the clean x.",
    "clean": "`corrupt` is accepted and ignored: the encoder should see corrupt(x, rng).",
    "detached": "no gradient reaches the encoder: do not detach the code.",
    "sigmoid": "the loss gets a sigmoid of the logits: pixel_loss takes them as they are, it has "
    "its own.",
    "kept": "the gradients of earlier steps are still there: optimiser.zero_grad() before "
    "backward().",
}


def _combinations():
    """Return the mistakes, alone and together, fewest first."""
    counts = range(1, len(MISTAKES) + 1)
    return [names for n in counts for names in itertools.combinations(MISTAKES, n)]


def _run(function, data=None, loss=_in_nats, corrupt=None, **options):
    nets, rng = _nets(), torch.Generator().manual_seed(0)
    with display.held():
        history = function(
            Config, *nets, data or _batches(), rng, loss=loss, corrupt=corrupt, **options
        )
    return nets, history


def _require_right_steps(function):
    nets, history = _run(function)
    found = _weights(nets)
    require(
        differs(found, _weights(_nets())) > 0,
        "nothing has moved: after zero_grad comes loss_rec.backward(), then optimiser.step().",
    )
    noisy = _weights(_run(function, corrupt=_damage)[0])
    for mistakes in _combinations():
        wrong = _by_hand(corrupt=_damage, mistakes=mistakes)
        more = "" if len(mistakes) == 1 else f"{len(mistakes)} faults at once. The first: "
        require(differs(noisy, wrong) > TOLERANCE, more + MISTAKES[mistakes[0]])
    require(
        differs(found, _by_hand()) < TOLERANCE and differs(noisy, _by_hand(corrupt=_damage)) < 1e-9,
        "the weights after five steps are not those of the same steps by hand: seen = x, or "
        "corrupt(x, rng) once; loss(decoder(encoder(seen)), x); zero_grad, backward, step.",
    )
    require(
        list(history.get("loss", [[]])[0]) == [0, 1, 2, 3, 4],
        "the loss should be logged once for each of the steps 0 to 4.",
    )
    other = _weights(_run(function, loss=_squared)[0])
    require(
        differs(other, _by_hand(_squared)) < TOLERANCE,
        "the argument `loss` is accepted and ignored.",
    )
    require(
        not any(net.training for net in nets),
        "both networks should end in eval mode: batch norm computes another thing there.",
    )


def _require_stops(function):
    nets, _ = _run(function, should_stop=lambda: 1.0)
    require(
        differs(_weights(nets), _weights(_nets())) == 0,
        "should_stop says that the budget is spent, and training goes on: pass it to progress.",
    )
    try:
        _run(function, (2 * x - 1 for x in _batches()))
    except settings.CourseError:
        pass
    else:
        require(
            False,
            "pictures in -1..1 went through: for x below 0 the loss falls for ever as the logit "
            "does (V12). Ask require_pictures(x) first.",
        )
    calls, nets = itertools.count(), _nets()

    def breaks(logits, x):
        return _in_nats(logits, x) * (torch.nan if next(calls) == 3 else 1)

    try:
        with display.held():
            function(Config, *nets, _batches(), torch.Generator(), loss=breaks)
    except settings.CourseError:
        finite = _weights(nets).isfinite().all()
        require(finite, "after nan in the loss the networks are not back at their last good state.")
    else:
        require(False, "the loss was nan, and training went on: or_stop must be asked.")


@check("autoencoder.train_autoencoder")
def train_autoencoder(function):
    """Compare five float64 steps with the same by hand, then try what may go wrong."""
    _require_right_steps(function)
    _require_stops(function)
    return (
        "five steps equal those by hand, damaged and not; pictures outside 0..1 and nan end in a "
        "sentence"
    )
