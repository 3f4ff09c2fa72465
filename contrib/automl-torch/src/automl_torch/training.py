"""Train a perceptron: Adam, a schedule of cycles, and a wall clock that the schedule follows."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import torch
from torch import Tensor

from automl_torch.perceptron import Batch, Perceptron

__all__ = ["Plan", "Sample", "limit_threads", "train"]

BETAS = (0.9, 0.95)  # table A.1 of the paper, as the schedules
CHUNK = 8192  # rows that are evaluated at once
USED = 0.93  # of the seconds are planned for steps; the rest is for evaluation, folding and slow steps


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows, their targets, and weights with mean 1 or None."""

    rows: Batch
    target: Tensor
    weight: Tensor | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. `epochs` is what the schedule spans where the clock, `seconds`, does not end it before."""

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    dropout: float
    seconds: float | None


def train(
    network: Perceptron,
    sample: Sample,
    loss: Callable[[Tensor, Tensor], Tensor],
    plan: Plan,
    generator: torch.Generator,
    *,
    watch: Sample | None = None,
    judge: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Train in place; ends with the epoch that `judge` finds best on `watch`, else with the last.

    `loss` and `judge` give one number per row. Takes at least one step, whatever the clock says.
    """
    groups = [
        {"params": [t.requires_grad_() for t in tensors], "factor": factor, "decays": decays}
        for tensors, factor, decays in network.groups()
        if tensors
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=BETAS, fused=True)
    best, best_loss = None, math.inf
    for _ in _epochs(network, optimizer, sample, loss, plan, generator):
        if watch is None:
            continue
        value = _mean(network, watch, judge or loss)
        if value < best_loss:
            best, best_loss = network.state(), value
    if best is not None:
        network.restore(best)


def _epochs(
    network: Perceptron,
    optimizer: torch.optim.Optimizer,
    sample: Sample,
    loss: Callable[[Tensor, Tensor], Tensor],
    plan: Plan,
    generator: torch.Generator,
) -> Iterator[None]:
    """Train, stopping after each epoch for the caller to look."""
    rows = len(sample.target)
    steps = max(1, rows // plan.batch)
    total, done, started = plan.epochs * steps, 0, monotonic()
    while done < total:
        order = torch.randperm(rows, generator=generator)
        for step in range(steps):
            spent = (monotonic() - started) / (USED * plan.seconds) if plan.seconds else float(plan.seconds == 0.0)
            progress = max(done / total, spent)
            if progress >= 1.0 and done:
                yield
                return
            chosen = order[step * plan.batch : (step + 1) * plan.batch]
            _schedule(optimizer, plan, min(progress, 1.0))
            optimizer.zero_grad(set_to_none=True)
            losses = loss(network.forward(sample.rows[chosen], plan.dropout * _fade(progress)), sample.target[chosen])
            weighted = losses if sample.weight is None else losses * sample.weight[chosen]
            weighted.mean().backward()
            optimizer.step()
            done += 1
        yield


def _schedule(optimizer: torch.optim.Optimizer, plan: Plan, progress: float) -> None:
    """Set the rates: four cycles of growing length, the last of which ends at 0 (coslog4)."""
    rate = plan.learning_rate * 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * progress)))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
        group["weight_decay"] = plan.weight_decay * _fade(progress) if group["decays"] else 0.0


def _fade(progress: float) -> float:
    """Return 1 up to half of the way, then a cosine down to 0 (flat_cos)."""
    return 1.0 if progress < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * min(progress, 1.0) - 1)))


def _mean(network: Perceptron, sample: Sample, judge: Callable[[Tensor, Tensor], Tensor]) -> float:
    total, weight = 0.0, 0.0
    with torch.no_grad():
        for start in range(0, len(sample.target), CHUNK):
            rows = torch.arange(start, min(start + CHUNK, len(sample.target)))
            losses = judge(network.forward(sample.rows[rows]), sample.target[rows])
            weights = torch.ones_like(losses) if sample.weight is None else sample.weight[rows]
            total += float((losses * weights).sum())
            weight += float(weights.sum())
    return total / weight if weight > 0 else math.inf


_lock = threading.Lock()
_inside = 0
_outside_threads = 1


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Use `threads` in this thread's operations.

    PyTorch keeps the number per thread, and hands the last one set to threads that are new to it. The number from
    before comes back when the last of overlapping fits has ended.
    """
    global _inside, _outside_threads
    with _lock:
        if _inside == 0:
            _outside_threads = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_outside_threads)
