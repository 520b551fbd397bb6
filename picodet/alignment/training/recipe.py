"""Which recipe a model is trained by."""

from dataclasses import replace

from picodet.config import Head, ModelConfig
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.schema import Recipe

# of models that are none of ppdet's: those of the same head in the size that has been seen most
FALLBACK_RECIPES: dict[Head, str] = {
    "pico_head": "picodet_s_416_coco",
    "pico_head_v2": "picodet_s_416_coco_lcnet",
}


def recipe_of(config: ModelConfig) -> Recipe:
    """ppdet's own of this name, or one of the same generation."""
    found = RECIPES.get(config.name) or RECIPES[FALLBACK_RECIPES[config.head]]
    return replace(found, model=config)
