"""What lesson 31's pieces say to bad input, and that its trained parts fit together."""

import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch

from course_lib import device, display, settings
from course_lib.built import vae as lesson

CFG = replace(lesson.Config(), steps=6, batch_size=8, measure_every=2)


@pytest.fixture
def small():
    torch.manual_seed(0)
    return lesson.VAE(lesson.Encoder(3, 16, 1), lesson.Decoder(3, 16, 1))


def pictures(n=8):
    return (torch.rand(n, 1, 28, 28, generator=device.generator(1)) > 0.8).float()


def train(vae, data, cfg=CFG, **options):
    with display.held():
        return lesson.train_vae(cfg, vae, iter(data), device.generator(2), **options)


@pytest.mark.parametrize("latent", [0, -1])
@pytest.mark.parametrize("network", [lesson.Encoder, lesson.Decoder])
def test_a_code_without_numbers_is_refused(network, latent):
    with pytest.raises(settings.CourseError, match=f"latent >= 1, not {latent}"):
        network(latent, 16, 1)


@pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0, math.nan])
def test_data_that_are_no_chances_stop_a_training_with_both_ends(small, bad):
    x = pictures()
    x[0, 0, 0, 0] = bad
    with pytest.raises(settings.CourseError, match=r"needs x in 0\.\.1, not .* to "):
        train(small, [x] * 3)


def test_pictures_that_are_no_bytes_are_refused():
    with pytest.raises(settings.CourseError, match=r"uint8 in 0\.\.255, not torch.float32"):
        next(lesson.binary_batches(pictures(), 4, device.generator(0)))


def test_no_logvar_overflows_whatever_the_weights(small):
    for parameter in small.encoder.parameters():
        parameter.data.mul_(1e4)
    mu, logvar = small.encode(pictures())
    kl = lesson.kl_to_standard_normal(0 * mu, logvar)
    assert logvar.abs().max() <= 10 and kl.isfinite().all()


@pytest.mark.parametrize("first_bad", range(1, 6))
def test_nan_stops_the_training_at_the_last_good_state(small, first_bad):
    averaged, start = copy.deepcopy(small), copy.deepcopy(small.state_dict())
    losses = itertools.count()

    def broken(log_lik, kl, fraction):
        factor = math.nan if next(losses) >= first_bad else 1.0
        return factor * lesson.elbo_loss(log_lik, kl, fraction)

    with pytest.raises(settings.CourseError, match="No finite number any more: loss"):
        train(small, itertools.repeat(pictures()), loss=broken, averaged=averaged)
    assert all(p.isfinite().all() for net in (small, averaged) for p in net.parameters())
    kept = all(torch.equal(p, start[name]) for name, p in small.state_dict().items())
    assert kept == (first_bad < 3)  # looks at steps 0, 2, 4: the states of 0 and 2 are good


def test_the_first_loss_is_784_coins_and_the_history_is_the_elbo(small):
    history = train(small, itertools.repeat(pictures()))
    assert -history["log_lik"][1][0] == pytest.approx(784 * math.log(2), abs=10)
    for loss, log_lik, kl in zip(*(history[k][1] for k in ("loss", "log_lik", "kl")), strict=True):
        assert loss == pytest.approx(kl - log_lik, rel=1e-5) and kl >= 0


def test_the_rate_follows_a_budget_of_time_too(small):
    fractions = []

    def watched(log_lik, kl, fraction):
        fractions.append(fraction)
        return lesson.elbo_loss(log_lik, kl, fraction)

    spent = iter([0.0] + [k / 20 for k in range(100)])
    train(
        small,
        itertools.repeat(pictures()),
        replace(CFG, steps=10**6),
        loss=watched,
        should_stop=lambda: next(spent),
    )
    assert fractions == sorted(fractions) and fractions[-1] > 0.8


def test_nothing_draws_from_the_global_generator(small):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    images = (255 * pictures()).to(torch.uint8)
    train(small, lesson.binary_batches(images, 4, device.generator(0)))
    lesson.measure_elbo(small, pictures(), device.generator(0))
    small.sample(2, device.generator(0))
    assert torch.equal(before, torch.get_rng_state())


def test_the_answers_are_float32_under_autocast(small):
    with torch.autocast("cpu", torch.bfloat16):
        log_lik, kl = small.elbo_terms(pictures(), device.generator(0))
    assert log_lik.dtype == kl.dtype == torch.float32
