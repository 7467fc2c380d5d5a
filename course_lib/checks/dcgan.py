"""Checks of lesson 21: ranges, first weights, statistics and ways through the noise."""

import math

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.dcgan_networks import discriminator, generator
from course_lib.checks.probes import differs, normal, random_images

__all__ = [
    "discriminator",
    "generator",
    "initialise",
    "recalibrate",
    "signed_batches",
    "signed_to_pixels",
    "slerp",
    "to_maps",
]


@check("dcgan.signed_batches")
def signed_batches(function):
    """Compare one epoch of batches with the bytes that went in, from -1 to 1."""
    images = random_images(24, 5)
    images[0, 0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    batches = function(images, 8, torch.Generator().manual_seed(0))
    require(
        hasattr(batches, "__next__"),
        f"it hands back a {type(batches).__name__}: one batch after the other is meant, so `yield` "
        "it, not `return`.",
    )
    x = torch.cat([next(batches) for _ in range(3)]).double()
    low, high = x.min().item(), x.max().item()
    require(
        low < -0.9,
        f"the batches reach from {low:.3g} to {high:.3g}; tanh makes -1..1. With two ranges the "
        "discriminator tells them apart by brightness alone (G14).",
    )
    require(abs(low + 1) < 1e-6, f"0 should become -1; yours is {low:.4g}.")
    require(abs(high - 1) < 1e-6, f"255 should become 1; yours is {high:.4g}.")
    wanted = images.double().flatten().sort().values / 127.5 - 1
    require(
        differs(x.flatten().sort().values, wanted) < 1e-6,
        "0 and 255 arrive rightly, what lies between does not: a straight line is meant.",
    )
    return "0..255 becomes -1..1 on a straight line, every picture once an epoch"


@check("dcgan.signed_to_pixels")
def signed_to_pixels(function):
    """Check that all 256 bytes come back from -1..1, and that nothing wraps around."""
    bytes_ = torch.arange(256, dtype=torch.uint8)
    back = function(bytes_.double() / 127.5 - 1)
    require(back.dtype == torch.uint8, f"pixels are bytes, torch.uint8; yours are {back.dtype}.")
    require(
        (back.int() - bytes_.int()).abs().max() < 9,
        f"-1, 0 and 1 should become 0, 128 and 255; yours are {back[0]}, {back[128]} and "
        f"{back[255]}. Samples shown in the wrong range look dark, and the model is blamed (G15).",
    )
    require(torch.equal(back, bytes_), "the way back misses some bytes by one: round to_pixels'.")
    outside = function(torch.tensor([-1.2, 1.2])).tolist()
    require(outside == [0, 255], f"-1.2 and 1.2 should become 0 and 255; yours are {outside}.")
    return "all 256 bytes come back, and what lies outside -1..1 is clamped"


class _Nest(nn.Module):
    """Layers of all three kinds, some of them deep inside."""

    def __init__(self):
        super().__init__()
        inner = nn.Sequential(nn.ConvTranspose2d(16, 16, 4), nn.BatchNorm2d(16))
        self.deep = nn.Sequential(nn.Sequential(inner, nn.ReLU()), nn.Conv2d(16, 16, 4))
        self.linear = nn.Linear(64, 64)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 1)


@check("dcgan.initialise")
def initialise(function):
    """Measure mean and spread of every weight of a nested network, norms left alone."""
    for std in (0.02, 0.3):
        net = _Nest()
        try:
            done = function(net, std)
        except AttributeError as error:
            require(
                "'_Nest'" not in str(error),
                f"{error}: any net is meant; net.modules() goes to all.",
            )
            raise
        require(done is net, "hand the same net back: `return net`.")
        norm = net.deep[0][0][1].weight
        require(
            abs(norm.mean() - 1) < 0.1,
            f"the norm's weights have become {norm.mean():.3f} on average: they scale what was "
            "just normalised, and near 0 they switch the layer off. Leave them at 1.",
        )
        layers = (net.linear, net.deep[1], net.deep[0][0][0])
        for name, layer in zip(("Linear", "Conv2d", "ConvTranspose2d"), layers, strict=True):
            found, mean = layer.weight.std().item(), layer.weight.mean().item()
            require(
                found > 0,
                f"the weights of a {name} are what they were: initialise did not reach them (D1). "
                "net.modules() goes down to every layer, net.children() does not, and only "
                "nn.init.normal_(weight, ...) writes in place.",
            )
            require(
                abs(found / std - 1) < 0.1 and abs(mean) < 0.1 * std,
                f"with std={std:g} the weights of a {name} have mean {mean:.3g} and standard "
                f"deviation {found:.3g}: draw from N(0, std).",
            )
            tail = (layer.weight.abs() > 2.5 * std).double().mean()
            require(tail > 0.001, f"the weights of a {name} are not normal: nn.init.normal_.")
    return "every convolution and linear layer, however deep, has the std; norms stay near 1"


class _Small(nn.Module):
    """One linear layer and a norm on 2x2 maps, with statistics of another life."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 8), nn.BatchNorm2d(2)
        self.asked = []
        for seed, parameter in enumerate(self.linear.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=seed))
        self.norm.running_mean.fill_(50)
        self.norm.running_var.fill_(50)
        self.norm.num_batches_tracked.fill_(100)

    def noise(self, n, rng):
        self.asked.append(torch.randn(n, 3, generator=rng))
        return self.asked[-1]

    def forward(self, z):
        return self.norm(self.linear(z).view(-1, 2, 2, 2))


@check("dcgan.recalibrate")
def recalibrate(function):
    """Compare the statistics with the means over the batches that were drawn."""
    net, rng = _Small().eval(), torch.Generator().manual_seed(0)
    before = [p.detach().clone() for p in net.parameters()]
    done = function(net, rng, batches=7, batch_size=5)
    require(done is net, "hand the same net back.")
    require(
        not net.norm.training,
        "the net is still in training mode: the next sample would be normalised by its own batch, "
        "not by what you have just measured (D3). `return net.eval()`.",
    )
    require(
        [len(z) for z in net.asked] == [5] * 7,
        f"7 batches of 5 were ordered; yours were {[len(z) for z in net.asked]}.",
    )
    maps = [net.linear(z).detach().view(-1, 2, 2, 2) for z in net.asked]
    mean = torch.stack([x.mean((0, 2, 3)) for x in maps]).mean(0)
    var = torch.stack([x.var((0, 2, 3)) for x in maps]).mean(0)
    require(
        min((net.norm.running_mean - old).abs().max() for old in (0, 50)) > 1e-3,
        "the statistics have not moved: only a pass in training mode writes them. net.train().",
    )
    require(
        differs(net.norm.running_mean, mean) < 1e-3 and differs(net.norm.running_var, var) < 1e-2,
        f"the mean should be {mean[0]:.3f}, the mean of the batches' means; yours is "
        f"{net.norm.running_mean[0]:.3f}. Forget the old statistics (reset_running_stats), and set "
        "momentum = None: with 0.1 the last batches count most, and the first not at all.",
    )
    same = all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    require(same, "the weights were changed: only the statistics are to be measured.")
    return "old statistics forgotten, new ones the mean over all batches; in evaluation mode"


def _require_lengths(function, a, b):
    """Where a and b are longer than 1, the ends must be a and b themselves."""
    ends = torch.stack([function(3 * a, 5 * b, 0.0), function(3 * a, 5 * b, 1.0)])
    require(
        differs(ends, torch.stack([3 * a, 5 * b])) < 1e-6,
        f"for a and b of the lengths 3 and 5 the ends have {ends[0].norm():.3g} and "
        f"{ends[1].norm():.3g}: divide by the lengths for the angle only.",
    )


@check("dcgan.slerp")
def slerp(function):
    """Check ends, lengths and speed on an arc, and the two cases without one."""
    a, b = torch.eye(3).double()[:2]
    middle = function(a, b, 0.5)
    require(
        differs(function(a, b, 0.0), a) < 1e-6 and differs(function(a, b, 1.0), b) < 1e-6,
        "t = 0 should be a and t = 1 be b.",
    )
    require(
        abs(middle.norm() - 1) < 1e-6,
        f"halfway between two points at distance 1 from 0 the distance is {middle.norm():.3f}: "
        "this is the straight line, through the inside. On the arc it stays 1.",
    )
    turned = [math.degrees(math.acos(function(a, b, t) @ a)) for t in (0.25, 0.5, 0.75)]
    require(
        max(abs(angle - want) for angle, want in zip(turned, (22.5, 45, 67.5), strict=True)) < 1e-3,
        f"at t = 1/4, 1/2 and 3/4 of a right angle you have turned by {turned[0]:.1f}, "
        f"{turned[1]:.1f} and {turned[2]:.1f} degrees: equal steps are meant, sin(t angle).",
    )
    c, d = normal(4, 6, seed=1), normal(4, 6, seed=2)
    alone = torch.stack([function(p, q, 0.3) for p, q in zip(c, d, strict=True)])
    require(
        differs(function(c, d, 0.3), alone) < 1e-6,
        "a batch of pairs gives other points than the pairs alone: one angle for each row, dim=-1.",
    )
    _require_lengths(function, a, b)
    p = torch.stack([a, a, a, a, 3 * a])
    q = torch.stack([2 * a, -2 * a, a + 1e-9, b, 5 * b])
    mixed, line = function(p, q, 0.25), 0.75 * p + 0.25 * q
    require(
        differs(mixed[:3], line[:3]) < 1e-6,
        "where a and b point the same way, or opposite ways, the sine is 0: take the straight "
        f"line there, (1 - t) a + t b. From {p[0].tolist()} to {q[0].tolist()} and {q[1].tolist()} "
        f"at t = 1/4 yours are {mixed[0].tolist()} and {mixed[1].tolist()}.",
    )
    require(
        differs(mixed[3:], torch.stack([function(p[k], q[k], 0.25) for k in (3, 4)])) < 1e-6,
        "one pair without an arc in the batch, and the others get the line too: choose row by row.",
    )
    return "ends, length and speed are right, row by row; a line where there is no arc"


@check("dcgan.to_maps")
def to_maps(function):
    """Compare with (channel, row, column) where a map is not square."""
    h = torch.arange(48.0).view(2, 24)
    maps = function(h, 2, 3)
    require(
        maps.shape == (2, 4, 2, 3),
        f"(2, 24) with 2 rows and 3 columns should make (2, 4, 2, 3); yours {tuple(maps.shape)}. "
        "On square maps the shape would not tell (D10).",
    )
    require(
        torch.equal(maps, h.view(2, 4, 2, 3)),
        "the numbers are in another order than (channel, row, column) (D10): what lies side by "
        "side in h is a row of one map.",
    )
    return "(channel, row, column), on maps of any size"
