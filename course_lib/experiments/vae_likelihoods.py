"""Lesson 32: beta swept, factors found, posteriors collapsed and treated; and its cats.

The networks are lesson 31's, half as wide, and all trainings of a part have equally many steps. The
weights of the cats' VAE are made by `python3 -m course_lib.experiments.vae_likelihoods`.
"""

import copy
import sys
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import datasets, device, metrics, trained, training
from course_lib.built import vae
from course_lib.built import vae_likelihoods as lesson
from course_lib.built.conditional_gan import one_hot
from course_lib.experiments import factors as truths

SEEDS = range(3)  # on strokes; on other data one seed, of the sweep alone
BETAS = (0.5, 1, 2, 4, 8)
STEPS = {"beta": 3000, "factors": 3000, "collapse": 2000}  # of one training, 128 pictures each
LATENT, HIDDEN = 16, 256  # numbers in a code, width of the networks
FORM_TRAIN, FORM_TEST = 20_000, 5_000  # pictures of one letter form
BOUND_PICTURES, BOUND_K = 200, 100
CATS_SECONDS = 1500
CATS_BETAS = {1: 2 / 3, 10: 1 / 3}  # beta: share of the seconds, one after the other
SIZES = {"steps": STEPS, "latent": LATENT, "hidden": HIDDEN, "betas": BETAS}
SIZES |= {"pictures of one form": FORM_TRAIN, "bound pictures": BOUND_PICTURES, "bound k": BOUND_K}
NO_LIMIT = 10**9  # steps: the budget ends the training


class Strong(vae.VAE):
    """A VAE whose decoder also sees the pixels before each one: p(x_i | z, x_<i), 28x28 grey.

    Its masked 7x7 window ends at the left neighbour (lesson 42 builds such networks).
    """

    def __init__(self, encoder, decoder, width=16):
        super().__init__(encoder, decoder)
        self.window, self.out = nn.Conv2d(1, width, 7, padding=3), nn.Conv2d(width, 1, 1)
        before = torch.arange(49).view(7, 7) < 24  # row by row, up to but without the middle
        self.register_buffer("before", before.float())

    def elbo_terms(self, x, rng):
        """Return log p(x | z) and the KL, both (B,) in nats, as lesson 31's VAE does."""
        mu, logvar = self.encode(x)
        seen = F.conv2d(x, self.window.weight * self.before, self.window.bias, padding=3)
        logits = self.decode(vae.reparameterise(mu, logvar, rng)) + self.out(F.silu(seen)).float()
        return self.log_likelihood(logits, x), vae.kl_to_standard_normal(mu, logvar)


HEAVY, FREE = 20, 8.0  # the beta that collapses the posterior; the nats that cost nothing
COLLAPSE = {
    "beta 1": (vae.VAE, lesson.beta_loss(1)),
    "beta 20": (vae.VAE, lesson.beta_loss(HEAVY)),
    "beta 20, warm-up": (vae.VAE, lesson.beta_loss(HEAVY, warm_up=0.5)),
    "beta 20, free bits": (vae.VAE, lesson.beta_loss(HEAVY, free_bits=FREE)),
    "strong": (Strong, lesson.beta_loss(1)),
    "strong, warm-up": (Strong, lesson.beta_loss(1, warm_up=0.5)),
    "strong, free bits": (Strong, lesson.beta_loss(1, free_bits=FREE)),
}


def train(images, loss, steps, seed, *, kind=vae.VAE, latent=LATENT):
    """Train lesson 31's VAE on binarised images; return the averaged model."""
    torch.manual_seed(seed)
    rng = device.generator(seed)
    model = kind(vae.Encoder(latent, HIDDEN), vae.Decoder(latent, HIDDEN))
    averaged, cfg = copy.deepcopy(model), replace(lesson.Config(), steps=steps)
    batches = vae.binary_batches(images, cfg.batch_size, rng)
    with device.fast_autocast("cpu"):
        vae.train_vae(cfg, model, batches, rng, loss=loss, averaged=averaged)
    return averaged.eval()


@torch.no_grad()
def score(model, images) -> dict[str, float]:
    """Return test reconstruction, KL and their difference in nats, and the active units."""
    rng = device.generator(1)
    x = vae.binarise(images, rng)
    terms = [torch.stack(model.elbo_terms(part, rng)) for part in x.split(1000)]
    log_lik, kl = torch.cat(terms, dim=1).double().mean(dim=1).tolist()
    mu = torch.cat([model.encode(part)[0] for part in x.split(1000)])
    active = lesson.active_units(mu).sum().item()
    row = {"reconstruction": -log_lik, "kl": kl, "elbo": log_lik - kl, "active": active}
    return {name: round(value, 3) for name, value in row.items()}


def bound(model, images) -> float:
    """Return the importance-weighted bound on the test likelihood of a few pictures, in nats."""
    rng = device.generator(2)
    x = vae.binarise(images[:BOUND_PICTURES], rng)
    return round(lesson.iwae_bound(model, x, BOUND_K, rng).double().mean().item(), 3)


def gathered(rows: dict[str, list[dict]]) -> dict:
    """Turn name -> rows of one seed each into name -> measure -> list over seeds."""
    return {name: {k: [row[k] for row in runs] for k in runs[0]} for name, runs in rows.items()}


def beta(data: str) -> dict:
    """Return the scores of every beta on all digits."""
    train_images, test = (datasets.load(data, split).images for split in ("train", "test"))
    rows = {str(weight): [] for weight in BETAS}
    for seed in SEEDS if data == "strokes" else [0]:
        for weight in BETAS:
            loss = lesson.beta_loss(weight)
            model = train(train_images, loss, STEPS["beta"], seed)
            row = score(model, test) | {"bound": bound(model, test)}
            print(data, seed, weight, row, flush=True)
            rows[str(weight)].append(row)
    return gathered(rows)


def factors(data: str) -> dict:
    """Return for every beta what its codes tell of the factors of one letter form of strokes."""
    if data != "strokes":
        return {}
    images, _ = truths.one_form(FORM_TRAIN, device.generator(10))
    test, truth = truths.one_form(FORM_TEST, device.generator(11))
    rows, tables = {name: [] for name in ("untrained", *map(str, BETAS))}, {}
    for seed in SEEDS:
        for name in rows:
            loss = lesson.beta_loss(1.0 if name == "untrained" else float(name))
            steps = 0 if name == "untrained" else STEPS["factors"]
            model = train(images, loss, steps, seed, latent=10)
            table = found(model, test, truth)
            gaps = dict(zip(truth, truths.information_gap(table).tolist(), strict=True))
            row = score(model, test) | {"gap": truths.information_gap(table).mean().item()} | gaps
            rows[name].append({measure: round(value, 4) for measure, value in row.items()})
            tables.setdefault(name, (1000 * table).round().div(1000).tolist())
            print(data, seed, name, rows[name][-1], flush=True)
    return gathered(rows) | {"tables": tables}


@torch.no_grad()
def found(model, images, truth) -> torch.Tensor:
    """Return what each code tells of each factor, (F, D), as a share of the factor's entropy."""
    x = vae.binarise(images, device.generator(3))
    return truths.shared(model.encode(x)[0], truth)


def collapse(data: str) -> dict:
    """Return the scores of COLLAPSE on all digits."""
    if data != "strokes":
        return {}
    train_images, test = (datasets.load(data, split).images for split in ("train", "test"))
    rows = {name: [] for name in COLLAPSE}
    for seed in SEEDS:
        for name, (kind, loss) in COLLAPSE.items():
            model = train(train_images, loss, STEPS["collapse"], seed, kind=kind)
            rows[name].append(score(model, test))
            print(data, seed, name, rows[name][-1], flush=True)
    return gathered(rows)


def train_cats(seconds: float, seed: int = 0) -> dict:
    """Train lesson 32's VAE of cats, write its weights; return what is said of them."""
    torch.manual_seed(seed)
    rng, data, model = device.generator(seed), datasets.load("cats", "train"), lesson.cats_vae()
    averaged, steps = copy.deepcopy(model), 0
    codes = one_hot(data.factors, lesson.WISHES)
    cfg = replace(lesson.Config(), steps=NO_LIMIT, batch_size=32, lr=2e-3, average=0.998)
    for weight, share in CATS_BETAS.items():
        model.load_state_dict(averaged.state_dict())
        pairs = lesson.pair_batches(data.images, codes, cfg.batch_size, rng)
        stop, loss = training.Budget(share * seconds), lesson.beta_loss(weight)
        with device.fast_autocast("cpu"):
            history = vae.train_vae(
                cfg, model, pairs, rng, loss=loss, averaged=averaged, should_stop=stop
            )
        steps += len(history["loss"][0])
    facts = {"lesson": "32", "data": "cats", "seed": seed, "steps": steps, "CPU seconds": seconds}
    facts["bits/dim"] = round(cats_bits(averaged.half().float()), 3)
    training.save_weights(trained.shipped_path("catvae", "cats"), averaged.half(), **facts)
    return facts


@torch.no_grad()
def cats_bits(model) -> float:
    """Return minus the ELBO of the test cats in bits/dim."""
    test, rng = datasets.load("cats", "test"), device.generator(1)
    codes = one_hot(test.factors, lesson.WISHES)
    pairs = zip(test.images.split(200), codes.split(200), strict=True)
    terms = [model.elbo_terms((x.float() / 255, c), rng) for x, c in pairs]
    nats = torch.cat([kl - log_lik for log_lik, kl in terms]).double().mean().item()
    return metrics.bits_per_dim(nats, test.images[0].numel())


def main(argv: list[str]) -> int:
    """Train the cats' VAE; the first argument is the CPU seconds."""
    with training.ctrl_c_ends_all():
        print(train_cats(float(argv[0]) if argv else CATS_SECONDS))
    return 0


PARTS = {"nested": truths.nested, "beta": beta, "factors": factors, "collapse": collapse}
ENTRIES = {}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
