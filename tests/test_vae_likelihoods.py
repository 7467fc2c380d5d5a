"""What lesson 32's pieces say to bad input, and what its experiment measures with."""

import math

import pytest
import torch

from course_lib import device, settings
from course_lib.built import vae
from course_lib.built import vae_likelihoods as lesson
from course_lib.experiments import factors, vae_likelihoods

LIKELIHOODS = (lesson.gaussian_log_likelihood, lesson.discretised_logistic_log_likelihood)


@pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0, math.nan])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_pixels_out_of_range_are_refused_with_both_ends(likelihood, bad):
    x = torch.full((2, 1, 4, 4), 0.5)
    x[0, 0, 0, 0] = bad
    with pytest.raises(settings.CourseError, match="reach from"):
        likelihood(torch.zeros_like(x), x, torch.tensor(0.0))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("log_scale", [-7.0, 0.0, 7.0])
def test_likelihoods_and_their_slopes_are_finite_at_both_ends(likelihood, log_scale):
    x = torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1, 1)
    mean = torch.full((3, 1, 1, 1), 3.0, requires_grad=True)
    scale = torch.tensor(log_scale, requires_grad=True)
    value = likelihood(mean, x, scale)
    slopes = torch.autograd.grad(value.sum(), (mean, scale))
    assert value.isfinite().all() and all(slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("k", [0, -1])
def test_no_weights_have_no_mean(k):
    model = vae.VAE(vae.Encoder(3, 16, 1), vae.Decoder(3, 16, 1))
    with pytest.raises(settings.CourseError, match=f"k = {k}"):
        lesson.iwae_bound(model, torch.zeros(2, 1, 28, 28), k, device.generator(0))


def test_bounds_leave_the_global_generator_alone():
    model = vae.VAE(vae.Encoder(3, 16, 1), vae.Decoder(3, 16, 1))
    before = torch.get_rng_state()
    lesson.iwae_bound(model, torch.zeros(2, 1, 28, 28), 3, device.generator(0))
    assert torch.equal(before, torch.get_rng_state())


def test_a_conditional_model_has_a_bound_and_samples():
    nets = lesson.ConditionalEncoder(2, 3, width=4), lesson.ConditionalDecoder(2, 3, width=4)
    learnt = lesson.LearnedScale(lesson.discretised_logistic_log_likelihood)
    model, c = lesson.ConditionalVAE(*nets, learnt), torch.eye(3)
    bound = lesson.iwae_bound(model, (torch.zeros(3, 1, 28, 28), c), 2, device.generator(0))
    x = model.sample(c, device.generator(0))
    assert bound.shape == (3,) and bound.isfinite().all() and bound.max() < 0
    assert x.shape == (3, 1, 28, 28) and x.min() >= 0 and x.max() <= 1


def test_an_empty_class_is_named_before_a_training_begins():
    images, codes = torch.zeros(8, 1, 28, 28, dtype=torch.uint8), torch.zeros(8, 3)
    codes[:, [0, 2]] = 1
    with pytest.raises(settings.CourseError, match="condition 1"):
        next(lesson.pair_batches(images, codes, 4, device.generator(0)))


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_out_of_range_are_named(label):
    with pytest.raises(settings.CourseError, match=f"Label {label} is none of 0..9"):
        lesson.class_codes(torch.tensor([3, label]), 10)


@pytest.mark.parametrize("network", [lesson.ConditionalEncoder, lesson.ConditionalDecoder])
def test_a_code_without_numbers_is_refused(network):
    with pytest.raises(settings.CourseError):
        network(0)


def test_a_beta_below_zero_is_refused():
    with pytest.raises(settings.CourseError, match="beta = -1"):
        lesson.beta_loss(-1)


def test_information_is_the_entropy_of_equals_and_nothing_of_strangers():
    rng = device.generator(0)
    a, b = torch.randint(4, (20_000,), generator=rng), torch.rand(20_000, generator=rng)
    assert factors.information(a, a) == pytest.approx(math.log(4), abs=1e-3)
    assert factors.information(a, factors.discretise(b)) < 2e-3
    table = factors.shared(torch.stack([b, b + a], dim=1), {"a": a, "b": b})
    assert table[1, 0] == pytest.approx(1) and table[0, 0] < 0.01
    gaps = factors.information_gap(torch.tensor([[0.1, 0.8, 0.3], [0.5, 0.5, 0.2]]))
    assert gaps.tolist() == pytest.approx([0.5, 0.0])


def test_one_form_is_drawn_from_its_factors():
    images, truth = factors.one_form(20, device.generator(0))
    assert images.shape == (20, 1, 28, 28) and set(truth) == set(factors.FACTORS)
    thick, ink = truth["thickness"], images.float().mean(dim=(1, 2, 3))
    assert torch.corrcoef(torch.stack([thick, ink]))[0, 1] > 0.7


def test_the_strong_decoder_sees_only_the_pixels_before():
    torch.manual_seed(0)
    model = vae_likelihoods.Strong(vae.Encoder(2, 16, 1), vae.Decoder(2, 16, 1))
    seen = []
    model.log_likelihood = lambda logits, x: seen.append(logits) or logits.flatten(1).sum(dim=1)
    model.encode = lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2))
    x = torch.zeros(2, 1, 28, 28)
    x[1, 0, 10, 12] = 1
    for k in range(2):
        model.elbo_terms(x[k : k + 1], device.generator(0))
    changed = (seen[0] - seen[1]).abs().flatten().nonzero().flatten()
    assert len(changed) > 0 and changed.min() > 10 * 28 + 12


def test_every_arm_of_the_experiment_runs(monkeypatch):
    for name, value in {
        "SEEDS": range(2),
        "BETAS": (1,),
        "FORM_TRAIN": 200,
        "FORM_TEST": 100,
    }.items():
        monkeypatch.setattr(vae_likelihoods, name, value)
    monkeypatch.setattr(vae_likelihoods, "STEPS", dict.fromkeys(vae_likelihoods.STEPS, 2))
    found = vae_likelihoods.factors("strokes")
    assert set(found) == {"untrained", "1", "tables"} and len(found["1"]["gap"]) == 2
    assert vae_likelihoods.factors("mnist") == vae_likelihoods.collapse("mnist") == {}
