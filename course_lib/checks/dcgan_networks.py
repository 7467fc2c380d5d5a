"""Checks of lesson 21 for the two networks: sizes, ranges, and where a norm may stand."""

import torch
from torch import nn

from course_lib.checks import check, require
from course_lib.checks.probes import differs, normal

SIDES = "the sides should go {wanted}; yours go {found}."


def _kind(layer) -> str:
    return type(layer).__name__


def _leaves(net) -> list:
    return [layer for layer in net.modules() if not list(layer.children())]


def _is_norm(layer) -> bool:
    return "Norm" in _kind(layer)


def _has_weight(layer) -> bool:
    return not _is_norm(layer) and getattr(layer, "weight", None) is not None


def _order(net, x) -> list:
    """Return the layers without parts in the order of their calls, each with its output."""
    calls = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: calls.append((layer, out.detach())))
        for layer in _leaves(net)
    ]
    try:
        net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [call for call in calls if not isinstance(call[0], nn.Identity)]


def _between(calls) -> list[list]:
    """Return the layers after each layer with weights, up to the next."""
    groups = []
    for layer, _ in calls:
        if _has_weight(layer):
            groups.append([])
        elif groups:
            groups[-1].append(layer)
    return groups


def _fill(net, scale):
    for seed, parameter in enumerate(net.parameters()):
        parameter.data.copy_(scale * normal(*parameter.shape, seed=seed))


def _require_no_pooling(net, instead):
    pools = [_kind(layer) for layer in _leaves(net) if "Pool" in _kind(layer)]
    require(not pools, f"there is a {pools[0]} in it{instead}" if pools else "")


def _require_sane_norms(net):
    for layer in filter(_is_norm, net.modules()):
        require(
            layer.eps < 0.01,
            f"a norm has eps = {layer.eps:g}: it is added to the variance, and damps the "
            "normalisation without a word (D2). The second argument of torch's BatchNorm2d is eps, "
            "not the momentum: BatchNorm2d(channels).",
        )


def _require_kernels(net):
    for layer in _leaves(net):
        if isinstance(layer, nn.ConvTranspose2d):
            (k, _), (s, _) = layer.kernel_size, layer.stride
            require(
                k % s == 0,
                f"kernel {k} is no multiple of the stride {s}: some pixels lie under more stamps "
                "than their neighbours, a built-in checkerboard (D7, lesson 13). Take 4 and 2.",
            )


def _at_32(cls, given, **options):
    """Return what a network for 32 pixels answers; numbers written in for 28 are named."""
    try:
        return cls(width=4, size=32, **options)(given)
    except (RuntimeError, ValueError) as error:
        require(False, f"with size=32: {error}. `side` is 8 there: write side, not 7.")


def _with_spare(told: str, calls) -> str:
    """Add to `told` how many biases a norm right behind takes out again."""
    weighted = [layer for layer, _ in calls if _has_weight(layer)]
    spare = 0
    for layer, group in zip(weighted, _between(calls), strict=True):
        behind = [part for part in group if not isinstance(part, nn.Unflatten)]
        if behind and _is_norm(behind[0]) and layer.bias is not None:
            spare += layer.bias.numel()
    return told + f". (Biases before a norm do nothing, here {spare}: bias=False.)" * bool(spare)


def _require_made(x, n, side):
    growing = "" if x.shape[-1] > 14 else " Double twice, by transposed convolutions (D9)."
    require(
        x.shape == (n, 1, side, side),
        f"{n} noises should make ({n}, 1, {side}, {side}); yours make {tuple(x.shape)}.{growing}",
    )


def _require_generator_norms(calls):
    *hidden, last = _between(calls)
    require(
        not any(map(_is_norm, last)),
        "there is a norm behind the last convolution: every batch of pictures would get one mean "
        "and one spread, whatever it shows. No norm in G's output (paper: section 3).",
    )
    for number, group in enumerate(hidden, 1):
        kinds = [_kind(layer) for layer in group]
        norms = [n for n, layer in enumerate(group) if _is_norm(layer)]
        require(
            norms,
            f"there is no norm behind layer {number} with weights: all of G but its output is "
            "normalised (paper: section 3).",
        )
        require(
            kinds[norms[0]] == "BatchNorm2d",
            f"behind layer {number} stands {kinds[norms[0]]}: normalise each map, with one mean "
            "over the batch and all its places, BatchNorm2d, once the maps are unflattened.",
        )
        require(
            "ReLU" in kinds[norms[0] :],
            f"behind layer {number} stand {', '.join(kinds)}: first the norm, then a ReLU (in G; "
            "the leaky one is D's).",
        )


def _require_channel_order(gen):
    """Send a ramp out of the linear layer, and see where each number arrives."""
    weighted = [layer for layer in _leaves(gen) if _has_weight(layer)]
    if not isinstance(weighted[0], nn.Linear):
        return
    norm, seen = next(filter(_is_norm, gen.modules())), []
    ramp = torch.arange(1.0, weighted[0].out_features + 1)[None]
    hooks = [
        weighted[0].register_forward_hook(lambda *_: ramp),
        norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])),
    ]
    gen(torch.zeros(1, gen.latent))
    for hook in hooks:
        hook.remove()
    require(
        differs(seen[0] / ramp.view(seen[0].shape), torch.ones_like(seen[0])) < 0.01,
        "the numbers of the linear layer arrive in another order than (channel, row, column): a "
        "network trained so works, but its weights fit nobody else's (D10). nn.Unflatten(1, "
        "(2 * width, side, side)) is torch's order.",
    )


@check("dcgan.Generator")
def generator(cls):
    """Check sizes, range, order of the channels, and the paper's rules for G."""
    gen, z = cls(latent=6, width=4), normal(5, 6).float()
    _require_no_pooling(gen, ": pooling shrinks, and a generator has to grow (D8).")
    _require_kernels(gen)
    _require_made(gen(z), 5, 28)
    _require_made(_at_32(cls, z, latent=6), 5, 32)
    _require_sane_norms(gen)
    calls = _order(gen, z)
    _require_generator_norms(calls)
    _require_channel_order(gen.eval())
    _fill(gen, 30)
    x = gen(z).detach()
    require(
        x.min() < -0.99 and x.max() > 0.99,
        f"with large weights the pictures reach from {x.min():.2f} to {x.max():.2f}, not from -1 "
        "to 1: `forward` applies tanh already, so self.layers ends with a convolution.",
    )
    require(
        differs(x, torch.cat([gen(z[k : k + 1]).detach() for k in range(5)])) < 1e-3,
        "in evaluation mode a picture still depends on its company in the batch.",
    )
    told = "7, 14, 28; a norm and a ReLU behind all but the output; (C, 7, 7) in torch's order"
    return _with_spare(told, calls)


def _require_halved(calls):
    sides = [out.shape[-1] for layer, out in calls if "Conv" in _kind(layer)]
    require(
        sides == [14, 7],
        SIDES.format(wanted="28, 14, 7", found=", ".join(map(str, [28, *sides])))
        + " Two convolutions with kernel 4, stride 2, padding 1 (D9).",
    )


def _require_disc_norms(calls):
    groups = _between(calls)
    first, *inner, last = [any(map(_is_norm, group)) for group in groups]
    require(
        not first,
        "there is a norm behind the first convolution: how bright and how sharp the pictures are "
        "is then lost at once. No norm at D's input (paper: section 3).",
    )
    require(not last, "there is a norm behind the logit: it would have mean 0 in every batch.")
    require(all(inner), "with norm=True the second convolution should be followed by a norm.")
    for group in groups[:-1]:
        kinds = [_kind(layer) for layer in group]
        require(
            "LeakyReLU" in kinds,
            f"behind a convolution stand {', '.join(kinds) or 'no layers'}: a leaky ReLU is meant, "
            "which lets some gradient through everywhere, for it is G's only teacher.",
        )
        slope = group[kinds.index("LeakyReLU")].negative_slope
        require(slope == 0.2, f"the leaky ReLU's slope is {slope:g}; the paper's is 0.2.")


@check("dcgan.Discriminator")
def discriminator(cls):
    """Check sizes, that logits come out, and the paper's rules for D, with a norm and without."""
    disc, plain = cls(width=4), cls(width=4, norm=False)
    x = normal(6, 1, 28, 28).float().clamp(-1, 1)
    _require_no_pooling(disc, ": D shrinks by strides, which learn what to keep.")
    calls = _order(disc, x)
    _require_halved(calls)
    _require_sane_norms(disc)
    _require_disc_norms(calls)
    require(
        calls[-1][1].shape == (6, 1),
        f"self.layers should end with one logit a picture, (6, 1); yours {[*calls[-1][1].shape]}.",
    )
    require(
        not any(map(_is_norm, plain.modules())),
        "with norm=False there is still a norm in it: put nn.Identity() in its place.",
    )
    _fill(plain, 1)
    logits = plain(x).detach()
    require(
        logits.min() < 0 or logits.max() > 1,
        "even with large weights no answer is below 0 or above 1: these are probabilities, and "
        "lesson 20's losses expect logits (G13). No sigmoid.",
    )
    alone = torch.cat([plain(x[k : k + 1]).detach() for k in range(6)])
    require(
        differs(logits, alone) < 1e-2 * logits.abs().max(),
        "without a norm a picture's logit should not depend on its company.",
    )
    _at_32(cls, normal(2, 1, 32, 32).float())
    told = "28, 14, 7 by strides, leaky, a norm inside only and only if asked; logits, no sigmoid"
    return _with_spare(told, calls)
