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


def kept(path, make) -> dict[str, torch.Tensor]:
    """Return the tensors in a file of the cache; if it is missing or damaged, make() them again."""
    with suppress(OSError, SafetensorError):
        return safetensors.load(path.read_bytes())
    tensors = make()
    with suppress(settings.CourseError, SafetensorError), settings.atomic(path) as temporary:
        safetensors.save_file(tensors, temporary)
    return tensors
