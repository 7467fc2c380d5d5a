"""Lesson 31's VAE in the leaderboard: what it says of test digits, in nats, and its samples."""

import copy
import time
from dataclasses import replace

import torch

from course_lib import datasets, device, judges, training
from course_lib.built import vae, vae_likelihoods
from course_lib.experiments import leaderboard
from course_lib.experiments.gan import SAMPLES, score

LATENT, HIDDEN = 24, 512  # more than the lesson's: here likelihood counts, not legible samples
IMPORTANCE = 100  # draws of the importance-weighted estimate
AT_ONCE = 1000  # test images of an estimate's batch


def vae_entry(data: str, budget: float, seed: int):
    """Train lesson 31's VAE; measure ELBO and IWAE(100) of the binarised test set, and samples."""
    model, averaged, cpu_s, seen = _train(data, budget, seed)
    rng, judge = device.generator(seed + 1), judges.judge(data)
    with torch.no_grad():
        test = vae.binarise(datasets.load(data, "test").images, rng)
        found = nats(averaged, test, rng)
        samples = torch.cat([averaged.sample(1000, rng) for _ in range(SAMPLES // 1000)])
        samples = (255 * samples).round().to(torch.uint8)
    protocol = (
        f"trained on all {data} training images, binarised anew in each batch; elbo and iwae, "
        f"{IMPORTANCE} draws, in nats, of the averaged weights on the {len(test):,} test images, "
        f"binarised once; {SAMPLES:,} unpicked samples (the decoder's means) against the test "
        f"images, by the {judge.name}"
    )
    told = {"metrics": found | score(samples, data, judge), "protocol": protocol}
    row = leaderboard.row("vae", data, budget, seed, (model,), cpu_s, seen, **told)
    return row, {"samples": samples.numpy()}


@torch.no_grad()
def nats(model, x, rng) -> dict[str, float]:
    """Return the mean ELBO and importance-weighted bound of binary images x (N, 1, 28, 28)."""
    elbo, bound = [], []
    for part in x.split(AT_ONCE):
        log_lik, kl = model.elbo_terms(part, rng)
        elbo.append(log_lik - kl)
        bound.append(vae_likelihoods.iwae_bound(model, part, IMPORTANCE, rng))
    return {"elbo": torch.cat(elbo).mean().item(), "iwae": torch.cat(bound).mean().item()}


def _train(data: str, budget: float, seed: int):
    """Return the VAE, its averaged weights, CPU seconds and images seen."""
    cfg = replace(vae.Config(), steps=leaderboard.NO_LIMIT)
    torch.manual_seed(seed)
    rng, dev = device.generator(seed), torch.device("cpu")
    model = vae.VAE(*(net(LATENT, HIDDEN, cfg.blocks) for net in (vae.Encoder, vae.Decoder)))
    averaged = copy.deepcopy(model)
    batches = vae.binary_batches(datasets.load(data, "train").images, cfg.batch_size, rng)
    with device.fast_autocast(dev):
        stop, start = training.Budget(budget), time.process_time()
        history = vae.train_vae(cfg, model, batches, rng, averaged=averaged, should_stop=stop)
        cpu_s = time.process_time() - start
    return model, averaged, cpu_s, len(history["loss"][0]) * cfg.batch_size


PARTS = {}
ENTRIES = {"vae": vae_entry}
