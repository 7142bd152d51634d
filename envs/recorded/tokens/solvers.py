"""Scripted solvers of token tasks (envs/evaluation/tokens), and the exact probabilities of their mixture.

A solver chooses one of the right answers that the task offers, by its habit and temperature, and writes it token by token; each token is
replaced with probability `error` by one drawn from the whole vocabulary, which may be END:

    p(answer a) proportional to exp(habit * (length of a, scaled to 0 .. 1 over the offered ones) / temperature)
    p(token y at position t | a) = (1 - error) 1[y = a_t] + error / V,    a_t = END after the answer's end

A habit above 0 prefers answers with many steps, one below 0 the shortest. The choice of the answer is not recorded, so the probability of a
token sums over the answers, and over the solvers of a data set, in proportion to their posterior: p(y_t | y_<t) = p(y_<=t) / p(y_<t).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, END, encode

LEVELS = 24  # solvers, the weakest first
ERRORS = (0.25, 0.002)  # probability that a token is replaced, of the first and of the last solver
HABITS, TEMPERATURES = (-2.0, 2.0), (0.3, 2.0)  # the solvers' own lie between these
VOCABULARY = len(CHARACTERS)


class Solver(NamedTuple):
    """The traits of a solver."""

    error: float
    habit: float
    temperature: float


def solver(level: int) -> Solver:
    """Solver number `level`."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((0x50F7, level))))
    low, high = np.log(ERRORS)
    return Solver(float(np.exp(low + (high - low) * level / (LEVELS - 1))), rng.uniform(*HABITS), rng.uniform(*TEMPERATURES))


def plans_of(answers: Sequence[str], room: int) -> np.ndarray:
    """The tokens [J, room] of answers, END after each."""
    found = np.full((len(answers), room), END, np.int64)
    for row, answer in zip(found, answers, strict=True):
        row[: len(answer)] = encode(answer)
    return found


def log_choice(solvers: Sequence[Solver], answers: Sequence[str]) -> np.ndarray:
    """log p(answer) [K, J] of each solver."""
    lengths = np.array([len(answer) for answer in answers], float)
    scaled = (lengths - lengths.min()) / max(float(np.ptp(lengths)), 1.0)
    scores = np.array([s.habit / s.temperature for s in solvers])[:, None] * scaled
    found: np.ndarray = scores - logsumexp(scores, axis=1, keepdims=True)
    return found


def write(own: Solver, answers: Sequence[str], room: int, rng: np.random.Generator) -> np.ndarray:
    """The tokens that a solver writes, up to END or to a full context (`room` tokens)."""
    chosen = rng.choice(len(answers), p=np.exp(log_choice([own], answers)[0]))
    replaced, drawn = rng.random(room) < own.error, rng.integers(0, VOCABULARY, room)
    tokens: np.ndarray = np.where(replaced, drawn, plans_of(answers, room)[chosen])
    ends = np.flatnonzero(tokens == END)
    return tokens[: ends[0] + 1] if len(ends) else tokens


def log_probs(solvers: Sequence[Solver], answers: Sequence[str], tokens: np.ndarray) -> np.ndarray:
    """log p(y_t | y_<t) [T] of `tokens` [T] under the mixture of `solvers`, each as likely."""
    right = (plans_of(answers, CONTEXT)[:, : len(tokens)] == tokens).cumsum(1)  # [J, T]
    wrong = np.arange(1, len(tokens) + 1) - right
    error = np.array([s.error for s in solvers])[:, None, None]
    of_right, of_wrong = np.log1p(-error + error / VOCABULARY), np.log(error / VOCABULARY)
    joint = log_choice(solvers, answers)[:, :, None] + of_right * right + of_wrong * wrong  # [K, J, T]
    prefix = logsumexp(joint, axis=(0, 1)) - np.log(len(solvers))
    found: np.ndarray = np.diff(prefix, prepend=0.0)
    return found
