"""The recipe that a model is trained with in a comparison."""

from dataclasses import replace

from picodet.config import Head, ModelConfig
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.schema import Recipe

# for models other than the official ones: the recipe of an official model with the same head
FALLBACK_RECIPES: dict[Head, str] = {
    "pico_head": "picodet_s_416_coco",
    "pico_head_v2": "picodet_s_416_coco_lcnet",
}


def recipe_of(config: ModelConfig) -> Recipe:
    """The official recipe of this name, else that of a model with the same head."""
    found = RECIPES.get(config.name) or RECIPES[FALLBACK_RECIPES[config.head]]
    return replace(found, model=config)
