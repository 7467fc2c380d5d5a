"""Check of lesson 30 for the decoder."""

import torch
from torch.nn import functional as F

from course_lib import settings
from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal


def _fill(net):
    """Give every parameter numbers of a size at which the answers are large."""
    for seed, parameter in enumerate(net.parameters()):
        parameter.data.copy_(normal(*parameter.shape, seed=seed))
    return net


def _require_sizes(cls):
    for latent, channels, size in ((3, 1, 28), (5, 3, 64), (2, 1, 56)):
        found = tuple(cls(latent, 4, channels, size)(normal(6, latent).float()).shape)
        require(
            found == (6, channels, size, size),
            f"Decoder({latent}, width=4, channels={channels}, size={size}) should make (6, "
            f"{channels}, {size}, {size}) of 6 codes; yours makes {found}. The last convolution "
            "has channels * r**2 outputs, which nn.PixelShuffle(r) sorts into blocks.",
        )
    for latent, size, what in ((3, 30, "size 30"), (0, 28, "a code of 0 numbers")):
        try:
            cls(latent, 4, 1, size)
        except settings.CourseError:
            continue
        require(False, f"{what} should end in a sentence: keep the call of plan(latent, size).")


def _require_logits(logits):
    low, high = logits.min().item(), logits.max().item()
    told = f"with large weights the answers lie in {low:.2g}..{high:.2g}"
    require(
        low < 0,
        f"{told}, none below 0: a ReLU or a sigmoid stands at the end. pixel_loss takes logits, "
        "any real numbers; behind a ReLU no pixel can be darker than one half, and a sigmoid comes "
        "twice.",
    )
    require(
        high > 1.5 and low < -1.5,
        f"{told}: something squeezes them, perhaps a tanh. Logits are any real numbers.",
    )


def _require_layers(net, latent, width):
    """Compare the number of parameters with the text's, for grey pictures of 28 x 28."""
    wanted = (
        (latent + 1) * width * 49 + 2 * width + 18 * width**2 + 4 * width + (18 * width + 1) * 16
    )
    found = sum(parameter.numel() for parameter in net.parameters())
    require(
        found == wanted,
        f"Decoder({latent}, width={width}) has {found:,} parameters, the text's {wanted:,}: behind "
        "the given layers stand one 3x3 convolution from 2 * width channels, with its bias, and "
        "nn.PixelShuffle(r), which has none.",
    )


@check("autoencoder.Decoder")
def decoder(cls):
    """Check sizes, that logits come out, and that each code is drawn for itself, by all numbers."""
    _require_sizes(cls)
    torch_state = torch.get_rng_state()
    net = _fill(cls(4, 4))
    torch.set_rng_state(torch_state)
    z = normal(8, 4).float()
    trained = net(z).detach()
    means = trained.mean(dim=(0, 2, 3)) if trained.ndim == 4 else trained
    spread = trained.std().item()
    _require_logits(trained)
    blocks = F.pixel_unshuffle(trained, 4).mean(dim=(0, 2, 3))
    require(
        blocks.abs().max() > 1e-3 * spread or means.abs().max() > 1e-3 * spread,
        "every one of the last channels has the mean of its norm's bias: there is a norm behind "
        "the last convolution, and no picture could be brighter than another.",
    )
    _require_layers(net, 4, 4)
    net.eval()
    together = net(z).detach()
    alone = torch.cat([net(z[k : k + 1]).detach() for k in range(8)])
    require(
        differs(together, alone) < 1e-3 * spread,
        "in eval mode a picture depends on its company in the batch: each code stands alone.",
    )
    codes = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(codes).square().sum(), codes)
    require(
        (slope.abs().amax(dim=0) > 0).all(),
        "some numbers of the code change nothing in the picture.",
    )
    a, b, zero = z[:1], z[1:2], torch.zeros(1, 4)
    bend = net(a + b) + net(zero) - net(a) - net(b)
    require(
        bend.abs().max() > 1e-3 * spread,
        "the decoder is a straight line: without activations it can do no better than PCA.",
    )
    return "pictures of 28, 56 and 64 pixels, grey and colour; logits, each code for itself"
