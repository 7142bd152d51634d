"""Weighted fine-tuning of pretrained language models with transformers and TRL, the extra `language`.

    from bench.language import IwSFTTrainer, load_language_model

Each name is imported when it is first used, and none of the extra's packages before.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: see bench/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from algos.language import OBJECTIVES, Weighting
    from bench.language.models import load_language_model

    IwSFTTrainer: Any

__all__ = ["OBJECTIVES", "IwSFTTrainer", "Weighting", "load_language_model"]


def __getattr__(name: str) -> Any:
    if name == "IwSFTTrainer":
        from bench.language.trainer import trainer_class

        return trainer_class()
    if name == "load_language_model":
        from bench.language.models import load_language_model

        return load_language_model
    if name in ("OBJECTIVES", "Weighting"):
        import algos.language

        return getattr(algos.language, name)
    raise AttributeError(f"module 'bench.language' has no attribute '{name}'; it has {', '.join(__all__)}")
