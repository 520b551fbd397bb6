"""The name table: every difference between ppdet's names and ours, and nothing else.

A path such as `backbone.2_1._se.conv1.weight` is read from the left, rule by rule; a rule stands
for one or more whole segments of the path, `{field}` for a number. What no rule speaks of has no
name on the other side: nothing passes through by luck. Within one part of the model no two rules
begin alike on either side, so that every name has one translation, there and back, and so have
the layers' names (`backbone.2_1._se`): conversion and comparison cannot disagree.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """One run of segments, as Paddle's side has it and as ours has it."""

    paddle: str
    ours: str
    of_tensors: bool = True  # or of a layer that holds no tensor


def _same(*names: str, of_tensors: bool = True) -> tuple[Rule, ...]:
    return tuple(Rule(name, name, of_tensors) for name in names)


CONV_BN = (
    Rule("_conv", "conv"),
    Rule("_batch_norm", "bn"),
)
TENSORS = (
    *_same("weight", "bias"),
    Rule("_mean", "running_mean"),
    Rule("_variance", "running_var"),
)

# ppdet/modeling/backbones/esnet.py
ESNET = (
    Rule("_conv1", "stem"),
    Rule("_max_pool", "max_pool", of_tensors=False),
    Rule("{stage}_{block}", "stage{stage}.block{block}"),
    # the first block of a stage
    Rule("_conv_dw_1", "conv_dw1"),
    Rule("_conv_linear_1", "conv_linear1"),
    Rule("_conv_pw_2", "conv_pw2"),
    Rule("_conv_dw_2", "conv_dw2"),
    Rule("_conv_linear_2", "conv_linear2"),
    Rule("_conv_dw_mv1", "conv_dw_merge"),
    Rule("_conv_pw_mv1", "conv_pw_merge"),
    # the others
    Rule("_conv_pw", "conv_pw"),
    Rule("_conv_dw", "conv_dw"),
    Rule("_conv_linear", "conv_linear"),
    # both
    Rule("_se", "se"),
    *_same("avg_pool", of_tensors=False),
    Rule("conv1", "reduce"),
    Rule("conv2", "expand"),
    *CONV_BN,
    *TENSORS,
)

# ppdet/modeling/necks/csp_pan.py
CSP_PAN = (
    *_same("upsample", of_tensors=False),
    *_same("conv_t", "first_top_conv", "second_top_conv"),
    *_same("top_down_blocks.{i}", "downsamples.{i}", "bottom_up_blocks.{i}"),
    *_same("convs.{i}", "main_conv", "short_conv", "final_conv"),
    *_same("blocks", "{i}", "conv1", "conv2"),
    *_same("conv", "bn", "dwconv", "bn1", "pwconv", "bn2"),
    *TENSORS,
)

# ppdet/modeling/heads/pico_head.py
PICO_HEAD = (
    *_same("conv_feat"),
    Rule("cls_conv_dw{level}.{i}", "levels.{level}.dw{i}"),
    Rule("cls_conv_pw{level}.{i}", "levels.{level}.pw{i}"),
    *_same("conv"),
    Rule("norm", "bn"),
    Rule("distribution_project", "integral"),
    *_same("project"),
    Rule("head_cls{level}", "predictors.{level}"),
    *TENSORS,
)

# PaddleClas 2.6 ppcls/arch/backbone/legendary_models/esnet.py numbers all blocks in one list, and
# calls two different layers dw_1, so that here a rule is a block and a layer.
_CLAS_BLOCKS = [
    (stage, i) for stage, depth in ((2, 3), (3, 7), (4, 3)) for i in range(1, depth + 1)
]
_CLAS_SE = {"se.conv1": "se.reduce", "se.conv2": "se.expand"}
_CLAS_FIRST = _CLAS_SE | {
    "dw_1": "conv_dw1",
    "pw_1": "conv_linear1",
    "pw_2_1": "conv_pw2",
    "dw_2": "conv_dw2",
    "pw_2_2": "conv_linear2",
    "concat_dw": "conv_dw_merge",
    "concat_pw": "conv_pw_merge",
}
_CLAS_OTHER = _CLAS_SE | {"pw_1_1": "conv_pw", "dw_1": "conv_dw", "pw_1_2": "conv_linear"}
CLAS_ESNET = (
    Rule("conv1", "stem"),
    *(
        Rule(f"blocks.{n}.{clas}", f"stage{stage}.block{i}.{ours}")
        for n, (stage, i) in enumerate(_CLAS_BLOCKS)
        for clas, ours in (_CLAS_FIRST if i == 1 else _CLAS_OTHER).items()
    ),
    *_same("conv", "bn"),
    *TENSORS,
)


class Translation(NamedTuple):
    """A path on the other side, and the rules that made it."""

    name: str
    rules: frozenset[Rule]


class _Direction:
    """One way through the rules: a path is cut into the runs of segments that they know."""

    def __init__(self, rules: tuple[Rule, ...], froms: list[str], tos: list[str]) -> None:
        patterns = (re.sub(r"\\{\w+\\}", r"(\\d+)", re.escape(run)) for run in froms)
        compiled = [re.compile(pattern + r"(?:\.(?=.)|\Z)", re.ASCII) for pattern in patterns]
        templates = [re.sub(r"{\w+}", "{}", run) for run in tos]
        self.steps = list(zip(rules, compiled, templates, strict=True))

    def translate(self, path: str) -> Translation | None:
        names, used, position = [], set(), 0
        while position < len(path):
            step = self._step(path, position)
            if step is None:
                return None
            rule, name, position = step
            names.append(name)
            used.add(rule)
        return Translation(".".join(names), frozenset(used))

    def _step(self, path: str, position: int) -> tuple[Rule, str, int] | None:
        """The rule that speaks of the path at `position`, its word, and where it ends."""
        for rule, pattern, template in self.steps:
            if match := pattern.match(path, position):
                return rule, template.format(*match.groups()), match.end()
        return None


class NameTable:
    """The rules of a model's parts, both ways; the first segment of a path says which part."""

    def __init__(self, **parts: tuple[Rule, ...]) -> None:
        self.rules = frozenset(rule for rules in parts.values() for rule in rules)
        self._from_paddle: dict[str, _Direction] = {}
        self._from_ours: dict[str, _Direction] = {}
        for part, rules in parts.items():
            paddle, ours = [rule.paddle for rule in rules], [rule.ours for rule in rules]
            self._from_paddle[part] = _Direction(rules, paddle, ours)
            self._from_ours[part] = _Direction(rules, ours, paddle)

    def to_ours(self, path: str) -> Translation | None:
        """Our name of a Paddle tensor or layer; None where the rules have no word for it."""
        return _translate(path, self._from_paddle)

    def to_paddle(self, path: str) -> Translation | None:
        """Paddle's name of a tensor or layer of ours; None where the rules have no word for it."""
        return _translate(path, self._from_ours)


def _translate(path: str, parts: dict[str, _Direction]) -> Translation | None:
    part, dot, rest = path.partition(".")
    if part not in parts or (dot and not rest):
        return None
    found = parts[part].translate(rest)
    return found and Translation(part + dot + found.name, found.rules)


PICODET_2021 = NameTable(backbone=ESNET, neck=CSP_PAN, head=PICO_HEAD)
PPDET_BACKBONE = NameTable(backbone=ESNET)
CLAS_BACKBONE = NameTable(backbone=CLAS_ESNET)
