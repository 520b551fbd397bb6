"""Writes a model as an inference folder of PaddleX, without Paddle: program, weights, settings."""

import yaml
from paddle_files import PirBuilder, pdiparams

from picodet.graphs.operators import Source
from picodet.graphs.tracing import trace

KINDS = {"add": "add", "mul": "multiply", "leaky_relu": "leaky_relu"}  # others have the same name
ROLES = ("running_mean", "running_var", "weight", "bias")  # in the order of Paddle's operands
SLOPE = {"slope": 0.1666667014360428, "offset": 0.5}


def write_folder(model, folder):
    """Write inference.json, inference.pdiparams and inference.yml of a model."""
    written = _PirModel(model)
    folder.mkdir()
    (folder / "inference.json").write_bytes(written.content())
    (folder / "inference.pdiparams").write_bytes(pdiparams(written.weights))
    (folder / "inference.yml").write_text(yaml.safe_dump(settings(model.config)), encoding="utf-8")
    return folder


def settings(config):
    """The settings as PaddleX writes them."""
    numbers = config.preprocessing
    size = {"interp": numbers.interp, "keep_ratio": False, "target_size": list(config.input_size)}
    scale = {"is_scale": True, "mean": list(numbers.mean), "std": list(numbers.std)}
    return {
        "Global": {"model_name": config.name},
        "arch": "GFL",
        "Preprocess": [
            {"type": "Resize", **size},
            {"type": "NormalizeImage", **scale},
            {"type": "Permute"},
        ],
        "label_list": list(config.classes),
    }


class _PirModel(PirBuilder):
    """The network up to the scores and the regression of each level."""

    def __init__(self, model):
        super().__init__()
        traced = trace(model.config)
        self.model, self.operators_of_model = model, traced.operators
        self.weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        self.weights = {n: a for n, a in self.weights.items() if a.dtype.kind == "f" and a.ndim}
        del self.weights["head.integral.project"]
        self.numbers_of = {name: self.weight(name, self.weights[name]) for name in self.weights}
        self.values = {Source(-1): self.input("image", (-1, 3, *model.config.input_size))}
        for i, operator in enumerate(traced.operators):
            self.values[Source(i)] = self.written(i, operator)
        (head,) = (call for call in traced.calls if call.path == "head")
        for col, value in enumerate(self.outputs([self.values[s] for s in head.outputs])):
            self.add("1.fetch", [value], name=f"fetch_name_{col}", col=col)

    def written(self, i, operator):
        """Add an operator; returns the number of its value."""
        inputs = [self.values[source] for source in operator.sources]
        weights = {role: self.numbers_of.get(name) for role, name in operator.weights.items()}
        path = operator.weights.get("weight", "").rpartition(".")[0]
        match operator.kind:
            case "conv":
                value = self.conv(inputs, weights, self.model.get_submodule(path))
            case "batch_norm":
                operands = [*inputs, *(weights[role] for role in ROLES)]
                value = self.add("1.batch_norm_", operands, 6, epsilon=1e-5)[0]
            case "hardsigmoid":
                value = self.add("1.hardsigmoid", inputs, **SLOPE)
            case "avg_pool":
                pool = {"pooling_type": "avg", "adaptive": True, "global_pooling": False}
                value = self.add("1.pool2d", [*inputs, self.numbers(1, 1)], **pool)
            case "upsample":
                value = self.add("1.nearest_interp", [*inputs, 0, 0, 0])
            case "concat":
                both = self.add("0.combine", inputs)
                value = self.add("1.concat", [both, self.number(1.0)])
            case "split":
                sections = self.numbers(*self.model.head.split)
                whole = self.add("1.split", [*inputs, sections, self.number(1.0)])
                parts = self.add("0.split", [whole], 2)
                self.values |= {Source(i, k): part for k, part in enumerate(parts)}
                value = parts[0]
            case kind:
                value = self.add(f"1.{KINDS.get(kind, kind)}", inputs)
        return value

    def conv(self, inputs, weights, layer):
        kind = "depthwise_conv2d" if layer.groups > 1 else "conv2d"
        sizes = {"strides": list(layer.stride), "paddings": list(layer.padding)}
        numbers = {**sizes, "dilations": [1, 1], "groups": layer.groups}
        value = self.add(f"1.{kind}", [*inputs, weights["weight"]], **numbers)
        if layer.bias is None:
            return value
        shape = self.numbers(1, layer.out_channels, 1, 1)
        return self.add("1.add", [value, self.add("1.reshape", [weights["bias"], shape])])

    def outputs(self, values):
        """The scores of each level, and then the regression."""
        logits, reg, alignment = values[:4], values[-4:], values[4:-4]
        scores = [self.add("1.sigmoid", [value]) for value in logits]
        for k, value in enumerate(alignment):
            product = self.add("1.multiply", [scores[k], self.add("1.sigmoid", [value])])
            scores[k] = self.add("1.sqrt", [product])
        return scores + reg
