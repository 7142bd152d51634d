"""A model fine-tuned on solutions by one method, with the optimiser settings of the iw-SFT authors' language code."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from algos.language import OBJECTIVES, target_mask, token_weights
from algos.weights import summarise
from bench.errors import RunError
from bench.language.options import METHODS, Options
from bench.language.solutions import Solution, multiset


class Tuned(NamedTuple):
    """A fine-tuned model, and the importance weights of its data at the end: effective sample size, share at a clip, mean; None without
    weights.
    """

    model: Any
    ess: float | None
    clipped: float | None
    weight: float | None


def finetune(
    start: Any, tokenizer: Any, found: Sequence[Solution], method: str, learning_rate: float, seed: int, options: Options
) -> Tuned:
    """A copy of `start` after `options.updates` updates on batches of the solutions, which are shuffled by `seed`.

    AdamW (betas 0.9 and 0.95, weight decay 1e-4), cosine decay after a warm-up of 5 %, gradients clipped at norm 1.
    """
    import datasets
    from transformers import PrinterCallback
    from trl import SFTConfig

    from bench.language.trainer import trainer_class

    weighting, strata = METHODS[method]
    used = multiset(found, seed) if strata else list(found)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder, max_steps=options.updates, per_device_train_batch_size=options.batch_size, learning_rate=learning_rate,
            lr_scheduler_type="cosine", warmup_steps=max(1, options.updates // 20), weight_decay=1e-4, adam_beta1=0.9, adam_beta2=0.95,
            max_grad_norm=1.0, seed=seed, data_seed=seed, bf16=options.precision == "bf16", use_cpu=not torch.cuda.is_available(),
            per_device_eval_batch_size=32, gradient_checkpointing=False, report_to="none", save_strategy="no", logging_strategy="no",
            disable_tqdm=True, dataloader_pin_memory=False, max_length=None,
        )  # fmt: skip
        trainer = trainer_class()(
            model=_trainable(start, options.layers), args=settings, train_dataset=datasets.Dataset.from_list([s.row for s in used]),
            processing_class=tokenizer, weighting=weighting,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return Tuned(trainer.model, *_weights(trainer, weighting))


def last_layers(model: Any, count: int) -> list[Any]:
    """The last `count` layers of `model`. Raises RunError if it has fewer."""
    stack = list(next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList)))
    if count > len(stack):
        raise RunError(f"--layers {count}: expected at most {len(stack)}, the layers of the model, or 0 for all parameters")
    return stack[len(stack) - count :]


def _trainable(start: Any, layers: int) -> Any:
    """A copy of `start` of which the last `layers` layers are trained, or all parameters if `layers` is 0."""
    model = copy.deepcopy(start)
    if layers:
        model.requires_grad_(False)
        for layer in last_layers(model, layers):
            layer.requires_grad_(True)
    return model


def _weights(trainer: Any, name: str) -> tuple[float | None, float | None, float | None]:
    """Effective sample size (as a share), share at a clip and mean of the weights of all solutions under the present policy."""
    weighting = OBJECTIVES[name]
    if not weighting.kind.is_ratio:
        return None, None, None
    labels, ids = trainer.tokens.labels[None], trainer.tokens.sequence[None]
    weights = token_weights(trainer.logprobs()[None], labels, trainer.ref_logprobs[None], weighting, sequence_ids=ids)
    used = weights[target_mask(labels, ids)][None]
    found = summarise(used, torch.ones_like(used), *(used.new_tensor([v]) for v in (weighting.minimum, weighting.maximum)))
    return found.ess_share.item(), found.clipped_share.item(), used.mean().item()
