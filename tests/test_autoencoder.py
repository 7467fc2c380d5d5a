"""Lesson 30's pieces beyond its checks: exact identities, and every sentence for a bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.built import autoencoder
from course_lib.settings import CourseError


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 999), count=st.integers(3, 30), pixels=st.integers(2, 20))
def test_the_error_of_pca_is_the_variance_that_it_leaves_out(seed, count, pixels):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, pixels, generator=rng, dtype=torch.float64)
    most = min(count - 1, pixels)
    for k in {1, most}:
        mean, rows, variances = autoencoder.pca(x, k)
        x_hat = mean + (x - mean) @ rows.T @ rows
        left = x.var(dim=0).sum() - variances.sum()
        error = autoencoder.squared_error(x_hat, x).sum() / (count - 1)
        assert abs(error - left) < 1e-9
    with pytest.raises(CourseError, match=f"k must be 1 to {most}, not {most + 1}"):
        autoencoder.pca(x, most + 1)


def test_equal_pictures_have_no_direction():
    with pytest.raises(CourseError, match="span 0 directions"):
        autoencoder.pca(torch.ones(5, 4).double(), 1)


@pytest.mark.parametrize(("channels", "size"), [(1, 7), (1, 28), (3, 32), (3, 64)])
def test_encoder_and_decoder_fit_each_other(channels, size):
    encoder = autoencoder.Encoder(5, 4, channels, size)
    decoder = autoencoder.Decoder(5, 4, channels, size)
    x = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    z = encoder(x)
    assert z.shape == (2, 5) and decoder(z).shape == x.shape
    with torch.autocast("cpu", torch.bfloat16):
        assert decoder(encoder(x)).dtype == torch.float32


@pytest.mark.parametrize("net", [autoencoder.Encoder, autoencoder.Decoder])
@pytest.mark.parametrize(
    ("latent", "size", "words"), [(0, 28, "at least one"), (2, 30, "7 or 8"), (2, 0, "7 or 8")]
)
def test_a_code_or_a_size_that_cannot_be_is_refused(net, latent, size, words):
    with pytest.raises(CourseError, match=words):
        net(latent, size=size)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, torch.nan])
def test_pictures_outside_of_0_and_1_are_refused(wrong):
    with pytest.raises(CourseError, match="must lie in 0..1"):
        autoencoder.require_pictures(torch.tensor([0.0, 0.5, wrong]))


def test_the_loss_of_logits_0_is_ln_2_a_pixel():
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert abs(autoencoder.pixel_loss(torch.zeros_like(x), x) / 16 - 0.693147) < 1e-5
