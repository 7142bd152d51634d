"""IwSFTTrainer on a tiny random model: gradients, stored reference log-probabilities, refreshed q, mistakes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="the extra `language` is not installed")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error::RuntimeWarning")]

from algos.errors import ConfigError  # noqa: E402
from algos.language import IGNORED, OBJECTIVES, Kind, Rule, Weighting, language_loss, token_logprobs  # noqa: E402
from bench.errors import RunError  # noqa: E402
from bench.language import IwSFTTrainer  # noqa: E402
from bench.language import trainer as module  # noqa: E402

VOCABULARY, PAD = 24, 0
TEMPERED = Weighting(Kind.trajectory, temperature=8.0, min_ess=0.5, rule=Rule.tempered, refresh_every=2)


def rows(count: int = 4) -> list[dict[str, list[int]]]:
    """Sequences of different lengths, their first two tokens a prompt."""
    rng = random.Random(0)
    ids = [[rng.randrange(1, VOCABULARY) for _ in range(5 + 2 * i)] for i in range(count)]
    return [{"input_ids": seq, "labels": [IGNORED] * 2 + seq[2:]} for seq in ids]


def model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=64, pad_token_id=PAD, initializer_range=0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1")


def trainer(folder: Path, start: Any = None, count: int = 4, given: dict[str, Any] | None = None, **settings: Any) -> Any:
    from datasets import Dataset
    from trl import SFTConfig

    used = {
        "per_device_train_batch_size": 4, "max_steps": 1, "learning_rate": 0.1, "optim": "sgd", "lr_scheduler_type": "constant",
        "report_to": "none", "save_strategy": "no", "use_cpu": True, "bf16": False, "max_grad_norm": 0.0, "logging_steps": 1,
        "max_length": 32, "gradient_checkpointing": False, "disable_tqdm": True, "dataloader_pin_memory": False,
    } | settings  # fmt: skip
    return IwSFTTrainer(
        model=model() if start is None else start, args=SFTConfig(output_dir=str(folder), **used),
        train_dataset=Dataset.from_list(rows(count)), processing_class=tokenizer(), **(given or {}),
    )  # fmt: skip


def moved(net: Any) -> Any:
    """`model()` with other parameters, a policy that has left its reference."""
    with torch.no_grad():
        for i, value in enumerate(net.parameters()):
            value.add_(0.2 * torch.randn(value.shape, generator=torch.Generator().manual_seed(i)))
    return net


def step_by_hand(start: Any, weighting: Weighting) -> list[torch.Tensor]:
    """The parameters after one step on every sequence at once; pi_ref is `model()`."""
    data, reference = rows(), model()
    width = max(len(row["input_ids"]) for row in data)
    ids = torch.tensor([row["input_ids"] + [PAD] * (width - len(row["input_ids"])) for row in data])
    labels = torch.tensor([row["labels"] + [IGNORED] * (width - len(row["labels"])) for row in data])
    with torch.no_grad():
        ref = token_logprobs(reference(ids).logits, labels)
    language_loss(start(ids).logits, labels, ref, weighting).backward()
    return [p.detach() - 0.1 * p.grad for p in start.parameters()]


@pytest.mark.parametrize("name", ["iw_sft", "iw_sft_step", "dft"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}, {"packing": True, "per_device_train_batch_size": 1,
     "gradient_accumulation_steps": 2, "max_length": 16}],
    ids=["padded", "accumulated", "packed"],
)  # fmt: skip
def test_a_step_is_that_of_the_whole_batch(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    """Four sequences, whether they come as one batch, one by one, or packed into rows."""
    found = trainer(tmp_path, given={"weighting": name}, **settings)
    moved(found.model)
    found.train()
    for one, other in zip(found.model.parameters(), step_by_hand(moved(model()), OBJECTIVES[name]), strict=True):
        torch.testing.assert_close(one.detach(), other, rtol=1e-4, atol=1e-5)


def test_the_reference_is_computed_once_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ref.safetensors"
    first = trainer(tmp_path, given={"reference": path})
    monkeypatch.setattr(module.WeightedTraining, "logprobs", lambda self: pytest.fail("computed again"))
    assert torch.equal(trainer(tmp_path, given={"reference": path}).ref_logprobs, first.ref_logprobs)
    with pytest.raises(RunError, match=r"ref.safetensors: its log-probabilities are of another model; remove it"):
        trainer(tmp_path, moved(model()), given={"reference": path})
    with pytest.raises(RunError, match=r"are of another data; remove it"):
        trainer(tmp_path, count=3, given={"reference": path})
    path.write_bytes(b"x" * 100)
    with pytest.raises(RunError, match=r"ref.safetensors: holds no log-probabilities"):
        trainer(tmp_path, given={"reference": path})


def test_refreshed_q_and_tempered_weights_are_of_all_data_and_resume(tmp_path: Path) -> None:
    """Weights normalised over all data, whatever the micro-batch; a resumed run ends as one without interruption."""
    settings = {
        "max_steps": 5, "per_device_train_batch_size": 1, "save_strategy": "steps", "save_steps": 3, "learning_rate": 1.0,
    }  # fmt: skip
    whole = trainer(tmp_path / "a", given={"weighting": TEMPERED}, **settings)
    whole.train()
    targets = whole.tokens.labels != IGNORED
    assert whole.weights[targets].mean().item() == pytest.approx(1.0, abs=1e-5)
    assert whole.weights[targets].std() > 0.01
    resumed = trainer(tmp_path / "b", given={"weighting": TEMPERED}, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    (tmp_path / "a" / "checkpoint-3" / module.TABLE).unlink()
    with pytest.raises(RunError, match=r"q_logprobs.safetensors: not found"):
        trainer(tmp_path / "c", given={"weighting": TEMPERED}, **settings).train(
            resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3")
        )


def test_q_is_a_moving_average_of_the_policy_and_resumes(tmp_path: Path) -> None:
    """q <- (1 - ema_rate) q + ema_rate theta before every update; its log-probabilities are refreshed when they are due."""
    weighting = replace(OBJECTIVES["iw_sft_step"], refresh_every=2)
    given = {"weighting": weighting, "refresh_q": True, "ema_rate": 0.25}
    settings = {"max_steps": 5, "save_strategy": "steps", "save_steps": 3, "learning_rate": 1.0}
    whole = trainer(tmp_path / "a", given=given, **settings)
    seen: list[list[torch.Tensor]] = []
    follow = whole.follow

    def recorded() -> None:
        seen.append([p.detach().clone() for p in whole.model.parameters()])
        follow()

    whole.follow = recorded
    whole.train()
    q = seen[0]
    for theta in seen[1:]:
        q = [0.75 * a + 0.25 * b for a, b in zip(q, theta, strict=True)]
    for one, other in zip(whole.average.values.values(), q, strict=True):
        torch.testing.assert_close(one, other)
    for p, value in zip(whole.model.parameters(), q, strict=True):  # the last update, number 4, refreshed
        p.data = value
    torch.testing.assert_close(whole.q_logprobs, whole.logprobs())
    resumed = trainer(tmp_path / "b", given=given, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    for name, value in whole.average.values.items():
        torch.testing.assert_close(resumed.average.values[name], value)
    (tmp_path / "a" / "checkpoint-3" / module.AVERAGE).unlink()
    with pytest.raises(RunError, match=r"q_parameters.safetensors: holds no average of these parameters"):
        trainer(tmp_path / "c", given=given, **settings).train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))


def test_evaluation_has_no_weights(tmp_path: Path) -> None:
    found = trainer(tmp_path)
    moved(found.model)
    from datasets import Dataset

    loss = found.evaluate(Dataset.from_list(rows()))["eval_loss"]
    sft = trainer(tmp_path, given={"weighting": "sft"})
    moved(sft.model)
    assert loss == pytest.approx(sft.evaluate(Dataset.from_list(rows()))["eval_loss"])


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^weighting = iwsft: expected sft, iw_sft, iw_sft_step, dft"):
        trainer(tmp_path, given={"weighting": "iwsft"})
    with pytest.raises(ConfigError, match=r"^ema_rate = 1.5: expected a number above 0, at most 1"):
        trainer(tmp_path, given={"refresh_q": True, "ema_rate": 1.5})
    with pytest.raises(ConfigError, match=r"^ema_rate = 0.5: expected 1 without a refreshed q"):
        trainer(tmp_path, given={"ema_rate": 0.5})
    with pytest.raises(ConfigError, match=r"^args.packing_strategy = wrapped: expected bfd"):
        trainer(tmp_path, packing=True, packing_strategy="wrapped")
