"""Data sets that the course draws: from a seed in blocks, then kept on disk."""

from contextlib import suppress

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from course_lib import settings

SPLITS = ("train", "test")
BLOCK = 500  # pictures with a random stream of their own: a large set begins with the small one


def sample(sample_factors, split: str, n: int, seed: int) -> dict[str, torch.Tensor]:
    """Return the factors of the first `n` pictures of a split: name -> tensor (n, ...).

    sample_factors(count, generator) draws those of one block. Raises CourseError for an unknown
    split.
    """
    if split not in SPLITS:
        raise settings.CourseError(f"There is no split {split!r}: use 'train' or 'test'.")
    keys = ([seed, SPLITS.index(split), block] for block in range(max(1, -(-n // BLOCK))))
    states = [int(np.random.SeedSequence(key).generate_state(1)[0]) for key in keys]
    blocks = [sample_factors(BLOCK, torch.Generator().manual_seed(state)) for state in states]
    return {name: torch.cat([block[name] for block in blocks])[:n] for name in blocks[0]}


def load(name: str, sizes: dict, split: str, size: int | None, seed: int, render):
    """Return (images, factors) of the first `size` of a split, all if None; kept on disk as `name`.

    render(n, seed, split) -> images and factors of the first n; sizes: of the whole splits.
    """
    size = sizes.get(split, 1) if size is None else size
    n = max(1, -(-size // BLOCK)) * BLOCK
    path = settings.cache_dir() / f"{name}-{split}-{seed}-{n}.safetensors"
    try:
        tensors = safetensors.load(path.read_bytes())
    except (OSError, SafetensorError):  # missing or damaged
        images, factors = render(n, seed, split)
        tensors = factors | {"images": images}
        with suppress(settings.CourseError, SafetensorError), settings.atomic(path) as temporary:
            safetensors.save_file(tensors, temporary)
    first = {key: values[:size] for key, values in tensors.items()}
    return first.pop("images"), first
