"""Seeded randomness: the same (source, key) gives the same draws on every machine and for every date range asked."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

import numpy as np

SEED = 20170101

T = TypeVar("T")


def generator(source: str, *key: object) -> np.random.Generator:
    """A generator of its own for one source and key, such as ("customer", date(2017, 3, 1)).

    The seed is a SHA-256 of the text, not Python's `hash`, which differs from process to process.
    """
    text = "/".join(str(part) for part in (SEED, source, *key))
    return np.random.default_rng(int.from_bytes(sha256(text.encode()).digest()[:16], "big"))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`, each as likely as the other."""
    return options[int(rng.integers(len(options)))]


def pick_weighted(rng: np.random.Generator, weights: Mapping[T, float]) -> T:
    """One key of `weights`, as likely as its weight; the weights add up to one."""
    options = list(weights)
    return options[int(rng.choice(len(options), p=list(weights.values())))]
