"""`IwSFTTrainer`: TRL's SFTTrainer with the weighted losses of algos/language.py.

Only the loss of training differs: data preparation, packing, PEFT, checkpoints and evaluation (its loss has no weights) are TRL's own.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from algos.errors import ConfigError, require
from algos.language import OBJECTIVES, Weighting, language_loss, target_mask, token_logprobs, token_weights
from bench.config.extras import require_extra
from bench.errors import RunError
from bench.language.moving import MovingAverage
from bench.language.tokens import Tokens, check_targets, logprobs_of_all, model_digest, stored_logprobs
from bench.storage.tensors import DamagedError, pack, unpack
from envs.files import write_atomic

ROW = "row"  # the column with a row's number, by which its log-probabilities are found
TABLE = "q_logprobs.safetensors"  # in a checkpoint
AVERAGE = "q_parameters.safetensors"  # in a checkpoint


class RowCollator:
    """Batches of `collate`, with the numbers of their rows [B] where the examples have them."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.collate([{k: v for k, v in example.items() if k != ROW} for example in examples])
        return batch | ({ROW: torch.tensor([example[ROW] for example in examples])} if ROW in examples[0] else {})


class WeightedTraining:
    """The part of `IwSFTTrainer` that is not TRL's; `trainer_class` joins both.

    Arguments, beside those of SFTTrainer:
        weighting: a name of algos.language.OBJECTIVES (sft, iw_sft, iw_sft_step, dft) or a Weighting.
        reference: file for the log-probabilities of pi_ref, the model as it is given. An existing one is read, if it is of the same model
            and data. Without it they are computed at every start and kept in memory.
        refresh_q: q is the policy as it was at the last multiple of `weighting.refresh_every` updates. By default q is the present policy.
            Rules whose weights are normalised over all data (tempered, pareto) always refresh.
        ema_rate: with a refreshed q, take a moving average of the policy in its place: q <- (1 - ema_rate) q + ema_rate theta before every
            update. A second copy of the trained parameters is in memory.

    Raises ConfigError or RunError for settings that do not fit together, and for data that cannot be weighted.
    """

    accelerator: Any
    args: Any
    data_collator: Any
    is_deepspeed_enabled: bool
    is_fsdp_enabled: bool
    model: Any
    state: Any
    train_dataset: Any
    _signature_columns: Any

    def __init__(
        self,
        *args: Any,
        weighting: str | Weighting = "iw_sft",
        reference: str | Path | None = None,
        refresh_q: bool = False,
        ema_rate: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if isinstance(weighting, str):
            require(weighting in OBJECTIVES, "weighting", weighting, f"{', '.join(OBJECTIVES)}, or a Weighting")
            weighting = OBJECTIVES[weighting]
        weighting.check("weighting")
        require(0 < ema_rate <= 1, "ema_rate", ema_rate, "a number above 0, at most 1")
        self.weighting = weighting
        self.q_logprobs: Tensor | None = None
        self.weights: Tensor | None = None
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # losses are divided by the target tokens of all micro-batches of an update
        self.refreshed = weighting.kind.is_ratio and (refresh_q or weighting.rule.self_normalised)
        if weighting.kind.is_ratio:
            self._use_reference(None if reference is None else Path(reference))
        require(self.refreshed or ema_rate == 1, "ema_rate", ema_rate, "1 without a refreshed q (refresh_q=True)")
        self.ema_rate = ema_rate
        self.average: MovingAverage | None = None
        if self.refreshed:
            if ema_rate < 1 and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
                raise ConfigError(f"ema_rate = {ema_rate}: expected 1 with sharded parameters, of which no average is kept")
            self.add_callback(_refresher(self))  # type: ignore[attr-defined]

    def _use_reference(self, path: Path | None) -> None:
        """Compute or read log pi_ref, and number the rows of the data, by which a batch finds its own."""
        if not hasattr(self.train_dataset, "add_column"):
            raise ConfigError(f"train_dataset: expected a datasets.Dataset with a length, not {type(self.train_dataset).__name__}")
        if self.args.packing and self.args.packing_strategy == "wrapped":
            raise ConfigError("args.packing_strategy = wrapped: expected bfd or bfd_split, which keep the sequences of a row apart")
        self.tokens = Tokens.of(self.train_dataset)
        check_targets(self.tokens)
        identity = {"model": model_digest(self.model), "data": self.tokens.digest}
        self.ref_logprobs = stored_logprobs(path, identity, len(self.tokens.labels), self.logprobs, write=self.args.should_save)
        self.train_dataset = self.train_dataset.add_column(ROW, range(len(self.train_dataset)))
        self.data_collator = RowCollator(self.data_collator)

    def logprobs(self) -> Tensor:
        """Log-probabilities [N] of all tokens of the training data under the model as it is now; every process computes them all."""
        collate = self.data_collator.collate if isinstance(self.data_collator, RowCollator) else self.data_collator
        data = self.train_dataset.remove_columns(ROW) if ROW in self.train_dataset.column_names else self.train_dataset
        size = self.args.per_device_eval_batch_size
        return logprobs_of_all(self.model, data, self.tokens, collate, size, self.accelerator.autocast)

    def use_q(self, q_logprobs: Tensor) -> None:
        """Take log pi_q [N] of all tokens, and weigh them all, normalised (if the rule does) over all data."""
        self.q_logprobs = q_logprobs
        ref, labels, ids = (t[None] for t in (self.ref_logprobs, self.tokens.labels, self.tokens.sequence))
        self.weights = token_weights(q_logprobs[None], labels, ref, self.weighting, sequence_ids=ids)[0]

    def follow(self) -> None:
        """Move q before an update, and refresh the log-probabilities if they are due."""
        if self.ema_rate < 1:
            self.average = self.average or MovingAverage(self.model, self.ema_rate)
            self.average.follow()
        if self.state.global_step % self.weighting.refresh_every == 0:
            with nullcontext() if self.average is None else self.average.used():
                self.use_q(self.logprobs())

    def _set_signature_columns_if_needed(self) -> None:
        """Keep the column of row numbers when the Trainer removes columns that the model does not use."""
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        self._signature_columns = [*{*self._signature_columns, ROW}]

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The weighted loss of a batch in training, TRL's own in evaluation."""
        rows = inputs.pop(ROW, None)
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        labels = inputs["labels"]
        outputs = model(**{k: v for k, v in inputs.items() if k != "labels"}, use_cache=False)
        ids = (inputs["position_ids"] == 0).cumsum(1) if "position_ids" in inputs else None
        weights = self._weights(outputs.logits, labels, ids, rows)
        loss = language_loss(outputs.logits, labels, weights=weights, sequence_ids=ids, num_items_in_batch=num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        used = weights[target_mask(labels, ids)]
        if len(used) and hasattr(self, "_metrics"):
            for name, value in (("weight_mean", used.mean()), ("weight_min", used.min()), ("weight_max", used.max())):
                self._metrics["train"][name].append(value.item())
        return (loss, outputs) if return_outputs else loss

    def _weights(self, logits: Tensor, labels: Tensor, ids: Tensor | None, rows: Tensor | None) -> Tensor:
        """The weight [B, T] of every token of a batch."""
        found = None if rows is None else rows.tolist()
        if self.weights is not None:
            assert found is not None
            return self.tokens.rows(self.weights, found, labels)
        ref = None if found is None else self.tokens.rows(self.ref_logprobs, found, labels)
        return token_weights(token_logprobs(logits.detach(), labels), labels, ref, self.weighting, sequence_ids=ids)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save log pi_q beside the checkpoint, so that a resumed run continues with the same q."""
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.q_logprobs is not None:
            q, folder = self.q_logprobs, Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            stored_logprobs(folder / TABLE, {"data": self.tokens.digest}, len(q), lambda: q, write=self.args.should_save)
            if self.average is not None and self.args.should_save:
                write_atomic(folder / AVERAGE, pack(self.average.values))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        if self.refreshed:
            path = Path(resume_from_checkpoint) / TABLE
            if not path.exists():
                raise RunError(f"{path}: not found; the checkpoint is of a run that did not refresh q")
            self.use_q(stored_logprobs(path, {"data": self.tokens.digest}, len(self.tokens.labels), self.logprobs))
        if self.ema_rate < 1:
            path = Path(resume_from_checkpoint) / AVERAGE
            self.average = MovingAverage(self.model, self.ema_rate)
            try:
                self.average.load(unpack(path)[0])
            except (DamagedError, OSError):
                raise RunError(f"{path}: holds no average of these parameters; the checkpoint is of a run with another ema_rate") from None


def _refresher(trainer: WeightedTraining) -> Any:
    """A callback that moves q before every update."""
    from transformers import TrainerCallback

    class Refresher(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.follow()

    return Refresher()


@cache
def trainer_class() -> Any:
    """The class `IwSFTTrainer`. Raises RunError if the extra `language` is not installed."""
    require_extra("IwSFTTrainer", "language", "transformers", "trl")
    import trl

    return type("IwSFTTrainer", (WeightedTraining, trl.SFTTrainer), {"__doc__": WeightedTraining.__doc__, "__module__": __name__})
