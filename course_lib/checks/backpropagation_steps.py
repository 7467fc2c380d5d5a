"""Checks of lesson 11, the optimisers: step by step against torch.optim, in float64."""

import torch

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal

STEPS = 6
CLOSE = 1e-12


def _gradients(step: int, parameters) -> list[torch.Tensor]:
    """Return gradients of very different sizes that depend on the place and on the step."""
    return [
        10.0 ** (3 * i - 3) * (normal(*p.shape, seed=7 * step + i) + p.detach())
        for i, p in enumerate(parameters)
    ]


def _places(make, step) -> list[list[torch.Tensor]]:
    """Return the parameters after each step of the optimiser that `make` builds for them."""
    parameters = [normal(3, 2, seed=1), normal(4, seed=2)]
    opt, places = make(parameters), []
    for number in range(STEPS):
        gradients = _gradients(number, parameters)
        step(opt, parameters, gradients)
        places.append([p.detach().clone() for p in parameters])
    return places


def _own(cls, **settings):
    return _places(
        lambda parameters: cls(parameters, **settings),
        lambda opt, _, gradients: opt.step([g.clone() for g in gradients]),
    )


def _torchs(cls, **settings):
    def step(opt, parameters, gradients):
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        opt.step()

    return _places(lambda parameters: cls(parameters, **settings), step)


def _by_formula(rule):
    """Return the places when rule(p, g, state, t) -> p makes the steps."""

    def step(opt, parameters, gradients):
        opt["t"] += 1
        for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            p.copy_(rule(p, g, opt.setdefault(i, {}), opt["t"]))

    return _places(lambda _: {"t": 0}, step)


def _apart(places, others) -> float:
    """Return the largest difference between two lists of places."""
    pairs = zip(places, others, strict=True)
    return max(differs(p, q) for one, two in pairs for p, q in zip(one, two, strict=True))


def _require_equal(found, right, mistakes, what):
    """Raise CheckFailed with the first mistake whose places these are, or with the first step."""
    _require_numbers(found)
    _require_moved(found)
    if _apart(found, right) < CLOSE * max(1, max(p.abs().max().item() for p in right[-1])):
        return
    for message, places in mistakes.items():
        require(_apart(found, places) > 1e-9, message)
    for step, (mine, theirs) in enumerate(zip(found, right, strict=True), 1):
        gap = _apart([mine], [theirs])
        require(gap < 1e-9, f"at step {step} you are {gap:.2g} away from {what}.")


def _require_numbers(found):
    """Raise CheckFailed for nan: all of them at once come from t = 0, some from a root."""
    bad = torch.cat([p.isnan().flatten() for p in found[0]])
    require(
        not bad.all(),
        "the parameters are nan. With t = 0 the correction divides by 0: count the step first.",
    )
    require(
        not any(p.isnan().any() for place in found for p in place),
        "some parameters are nan: the root of a negative number? v is the running mean of g**2, "
        "not of g.",
    )


def _require_moved(found):
    """Raise CheckFailed if nothing moves, or if nothing moves in the first step."""
    start = [normal(3, 2, seed=1), normal(4, seed=2)]
    require(
        _apart(found, [start] * STEPS) > 0,
        "the parameters have not moved: change the tensors themselves, p -= ..., not p = p - ...",
    )
    require(
        _apart([found[0]], [start]) > 0,
        "after one step p has not moved, later it does: p takes what the step before left. Update "
        "the velocity, or m and v, BEFORE p.",
    )


def _velocity(scale=1.0, keep=0.8, nesterov=False, sign=1):
    def rule(p, g, state, t):
        state["v"] = keep * state.get("v", 0) + scale * g
        return p - sign * 0.1 * (g + keep * state["v"] if nesterov else state["v"])

    return rule


@check("backpropagation.Momentum")
def momentum(cls):
    """Compare with torch.optim.SGD at a momentum other than the default, and at 0."""
    right = _torchs(torch.optim.SGD, lr=0.1, momentum=0.8)
    mistakes = {
        "the velocity forgets: this is plain descent. v must be changed in place (v *= ..., "
        "v += ...) to last until the next step.": _by_formula(_velocity(keep=0)),
        "momentum is accepted and ignored: this is 0.9, the default.": _by_formula(
            _velocity(keep=0.9)
        ),
        "this moves uphill: p -= lr * v.": _by_formula(_velocity(sign=-1)),
        "this puts 1 - momentum before g: a right idea, but with another meaning of lr. Here "
        "v <- momentum v + g.": _by_formula(_velocity(scale=0.2)),
        "this is Nesterov's momentum, which looks one step ahead; here p -= lr * v.": _by_formula(
            _velocity(nesterov=True)
        ),
    }
    what = "torch.optim.SGD(lr=0.1, momentum=0.8): first v, then p with the new v; lr once"
    _require_equal(_own(cls, lr=0.1, momentum=0.8), right, mistakes, what)
    plain = _torchs(torch.optim.SGD, lr=0.05)
    _require_equal(_own(cls, lr=0.05, momentum=0.0), plain, {}, "plain descent, at momentum 0")
    return f"{STEPS} steps equal torch.optim.SGD's, with momentum 0.8 and with none"


ADAM = {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05}


def _adam(
    betas=(0.7, 0.9), by=None, eps=0.05, late=True, corrected="mv", written="", forgets="",
    first=1, rooted=True, l2=0.0, sign=1,
):  # fmt: skip
    """Return Adam's rule with one slip: `by` corrects in the betas' place; "m", "v" name means."""

    def rule(p, g, state, t):
        g, t, means = g + l2 * p, t + first - 1, []
        for name, value, beta, other in zip("mv", (g, g**2), betas, by or betas, strict=True):
            old = 0 if name in forgets else state.get(name, 0)
            state[name] = beta * old + (1 - beta) * value
            means.append(state[name] / (1 - other**t if name in corrected else 1))
            if name in written:
                state[name] = means[-1]
        m, v = means
        if not rooted:
            return p - sign * 0.1 * m / (v + eps)
        return p - sign * 0.1 * m / (v.sqrt() + eps if late else (v + eps).sqrt())

    return rule


def _adam_mistakes() -> dict:
    return {
        message: _by_formula(_adam(**slip))
        for message, slip in {
            "the bias correction is missing: m and v start at 0 and are too small at first. "
            "Divide by 1 - beta**t.": {"corrected": ""},
            "only m is corrected: v starts at 0, too. Divide it by 1 - beta2**t.": {
                "corrected": "m"
            },
            "only v is corrected: m starts at 0, too. Divide it by 1 - beta1**t.": {
                "corrected": "v"
            },
            "betas are accepted and ignored: these are the defaults.": {"betas": (0.9, 0.999)},
            "eps is accepted and ignored.": {"eps": 1e-8},
            "the two betas are swapped: beta1 for the mean, beta2 for the squares.": {
                "betas": (0.9, 0.7)
            },
            "the two betas are swapped where m and v are updated: beta1 for m, beta2 for v.": {
                "betas": (0.9, 0.7),
                "by": (0.7, 0.9),
            },
            "the two betas are swapped in the correction: beta1 for m, beta2 for v.": {
                "by": (0.9, 0.7)
            },
            **{
                f"the corrected {' and '.join(which)} is written back, and corrected again in the "
                "next step: correct a copy.": {"written": which}
                for which in ("m", "v", "mv")
            },
            **{
                f"forgotten from step to step: {' and '.join(which)}. That lasts only if changed "
                "in place (*=, +=).": {"forgets": which}
                for which in ("m", "v", "mv")
            },
            "eps stands under the root; add it after the root.": {"late": False},
            "the square root is missing: m / (sqrt(v) + eps).": {"rooted": False},
            "t starts one too late: count the step first, so that t is 1 in the first.": {
                "first": 2
            },
            "this moves uphill: p -= ...": {"sign": -1},
        }.items()
    }


@check("backpropagation.Adam")
def adam(cls):
    """Compare with torch.optim.Adam and AdamW, every setting away from its default."""
    right = _torchs(torch.optim.Adam, **ADAM)
    what = "torch.optim.Adam: compare m, v, their corrections and the step with the formula"
    _require_equal(_own(cls, **ADAM), right, _adam_mistakes(), what)
    decayed = _torchs(torch.optim.AdamW, **ADAM, weight_decay=0.3)
    mistakes = {
        "decay is accepted and ignored: p *= 1 - lr * decay.": right,
        "decay is added to the gradient, so that Adam divides it by sqrt(v): AdamW keeps it "
        "apart, p *= 1 - lr * decay.": _by_formula(_adam(l2=0.3)),
    }
    what = "torch.optim.AdamW(weight_decay=0.3): first p *= 1 - lr * decay, then Adam's step"
    _require_equal(_own(cls, **ADAM, decay=0.3), decayed, mistakes, what)
    return f"{STEPS} steps equal torch.optim.Adam's, and with decay AdamW's, to rounding"
