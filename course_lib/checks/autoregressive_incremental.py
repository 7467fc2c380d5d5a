"""The check of lesson 40 for the sampler with running sums: toss by toss the plain one's."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.checks import check, require
from course_lib.checks.probes import normal


def _explain_incremental(function, course, model, share):
    """Fail with what is known of the mistake: silence one part of the model after another."""

    def agrees(**silent):
        probe = copy.deepcopy(model)
        for name, value in silent.items():
            part = probe.mean if name == "mean" else getattr(probe, name).weight.data
            part.fill_(value)
        seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
        return torch.equal(function(probe, 500, seeds[0]), course.sample(probe, 500, seeds[1]))

    start = f"{share:.1%} of the pixels are those of the plain sampler. "
    require(
        not agrees(mean=0.0),
        start + "With a mean of 0 all are: it is subtracted once in `seen` (done) and once in the "
        "regression, flat - mean; the value added to `seen` is that of flat alone.",
    )
    require(
        not agrees(direct=0.0),
        start + "Without the regressions all are: their part of the logit is (flat - mean) @ "
        "direct[pixel], a row.",
    )
    require(
        not agrees(last=0.0),
        start + "Without the hidden layer all are: its part of the logit is F.relu(seen) @ "
        "last[pixel], a row; afterwards `seen` grows by the value (n, 1) times first[:, pixel], a "
        "column.",
    )
    require(
        False,
        start + "The logit is F.relu(seen) @ last[pixel] + (flat - mean) @ direct[pixel] "
        "+ bias[pixel], and its sigmoid is tossed once.",
    )


@check("autoregressive.sample_incremental")
def sample_incremental(function):
    """Compare with the plain sampler of the course, in float64, toss by toss."""
    from course_lib.built import autoregressive as course  # lessons are built before checks run

    order, shape = torch.tensor([7, 2, 9, 0, 11, 5, 1, 8, 3, 10, 6, 4]), (1, 3, 4)
    model = course.MADE(torch.rand(shape, generator=torch.Generator().manual_seed(1)), order, (20,))
    model = model.double()
    for seed, weights in enumerate(model.parameters()):
        weights.data = normal(*weights.shape, seed=seed)
    asked = []
    watch = model.register_forward_hook(lambda *_: asked.append(1))
    with FlopCounterMode(display=False) as counter:
        found = function(model, 500, torch.Generator().manual_seed(2))
    watch.remove()
    wanted = course.sample(model, 500, torch.Generator().manual_seed(2))
    require(not asked, "this asks the whole model again: the running sums are the point.")
    require(found.shape == wanted.shape, f"the shape should be {tuple(wanted.shape)}.")
    passes = counter.get_total_flops() / (2 * 500 * 12 * 12 * 20)  # products of sums made anew
    require(
        passes < 1,
        "all sums are made anew for every pixel: only one pixel has changed since, so add its "
        "value times its column to `seen`.",
    )
    share = (found == wanted).double().mean().item()
    if share < 1:
        _explain_incremental(function, course, model, share)
    return "500 pictures, bit for bit those of the plain sampler, without a pass through the model"
