"""The official models as rows of a list."""

from picodet.commands.model_table import ModelRow
from picodet.models.shapes import shapes_of
from picodet.zoo.official import OFFICIAL


def rows() -> list[ModelRow]:
    """In the order of `picodet.zoo.official`; parameters are counted, not looked up."""
    return [
        ModelRow(
            name=official.config.name,
            generation=official.generation,
            input_size=official.config.input_size,
            num_classes=len(official.config.classes),
            parameters=shapes_of(official.config, "detector")[1],
            ap=official.ap,
            measured_on=official.measured_on,
            url=official.url,
            config=f"configs/picodet/{official.path}",
        )
        for official in OFFICIAL
    ]
