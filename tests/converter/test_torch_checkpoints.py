"""Files of PyTorch: ours, the mmdet port's, bare state_dicts, and directories of Hugging Face."""

import json
from dataclasses import replace

import pytest
import torch
from small_models import V1, V2, differing, model_of, weights_of, written

import picodet
from picodet.config import Preprocessing
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file, convert_model
from picodet.converter.names.mmdet_names import FIRST_MMDET, MMDET
from picodet.converter.to_paddle import rename_tensors
from picodet.converter.torch_checkpoints import LIGHTLY_TENSOR, read_torch_weights
from picodet.errors import CheckpointError, ConversionError
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from scripts.fixtures.named_values import image_values, named_values

NAMED = ConvertOptions(input_size=(96, 128), classes=V1.classes)


@pytest.fixture
def saved(tmp_path):
    def saved(content, name="picodet_s_320.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return saved


def mmdet(table=MMDET):
    arrays = rename_tensors(weights_of(V1), table)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def averaged(state_dict):
    """As mmdet's hook leaves it: the averages under the own names, copies of the others beside."""
    copies = {f"ema_{name.replace('.', '_')}": value for name, value in state_dict.items()}
    return {name: torch.zeros_like(value) for name, value in state_dict.items()} | copies


class TestMMDet:
    @pytest.mark.parametrize("table", [MMDET, FIRST_MMDET])
    def test_both_spellings_are_read(self, saved, table):
        origin, converted = convert_model(
            saved({"state_dict": mmdet(table), "meta": {}}), ConvertOptions()
        )
        assert origin.form == "mmdet port"
        assert not differing(converted.weights, V1)
        assert (converted.config.name, converted.config.input_size) == ("picodet_s_320", (320, 320))
        assert any("resizes images linearly (--interp 1)" in n for n in converted.notes)

    @pytest.mark.parametrize(
        "meta",
        [
            {"CLASSES": ("cat", "dog", "cow"), "epoch": 3},
            {"dataset_meta": {"classes": ["cat", "dog", "cow"], "palette": [1]}},
        ],
    )
    def test_mmdets_meta_names_the_classes(self, saved, meta):
        path = saved({"state_dict": mmdet(), "meta": meta, "optimizer": {}})
        _, converted = convert_model(path, ConvertOptions())
        assert converted.config.classes == ("cat", "dog", "cow")
        assert [one.name for one in converted.skipped] == ["meta", "optimizer"]

    @pytest.mark.slow
    @pytest.mark.parametrize("meta", [{"CLASSES": "abc"}, {"CLASSES": [1, 2, 3]}, {}, {"a": 1}])
    def test_another_meta_names_none(self, saved, meta):
        _, converted = convert_model(saved({"state_dict": mmdet(), "meta": meta}), ConvertOptions())
        assert converted.config.classes == ("class 0", "class 1", "class 2")

    def test_there_and_back(self, tmp_path):
        source = written(V1, tmp_path / "a.pdparams")
        report = convert_file(source, tmp_path / "mmdet.pth", NAMED, output_format="mmdet")
        assert (report.dropped, report.reconstructed) == ((), ())
        content = torch.load(tmp_path / "mmdet.pth", weights_only=True)
        assert content["meta"] == {"CLASSES": ["a", "b", "c"]}
        assert list(content["state_dict"]) == list(mmdet())
        _, back = convert_model(tmp_path / "mmdet.pth", ConvertOptions())
        assert not differing(back.weights, V1)
        assert back.config.classes == V1.classes

    @pytest.mark.slow
    def test_averages_and_the_others_are_distinguished(self, saved):
        path = saved({"state_dict": averaged(mmdet()), "meta": {}})
        _, raw = convert_model(path, NAMED, "raw")
        assert not differing(raw.weights, V1)
        for which in (None, "ema"):
            read = read_torch_weights(path, which)
            assert not any(array.any() for array in read.arrays.values())
            assert any("EMA weights were used; --weight-set raw" in n for n in read.origin.notes)

    def test_there_is_no_third_set(self, saved):
        path = saved({"state_dict": averaged(mmdet()), "meta": {}})
        with pytest.raises(CheckpointError, match="has no weight set best"):
            read_torch_weights(path, "best")

    def test_a_model_that_the_port_does_not_have(self, tmp_path):
        source = written(V2, tmp_path / "a.pdparams")
        with pytest.raises(ConversionError, match="the mmdet port has no PicoDet of lcnet_x0_35"):
            convert_file(source, tmp_path / "b.pth", NAMED, output_format="mmdet")
        assert list(tmp_path.iterdir()) == [source]


class TestStateDict:
    """Somebody's own torch.save, of a model of ours or of ppdet's names."""

    @pytest.mark.parametrize(
        "wrapped",
        [
            lambda state: state,
            lambda state: {"model": state, "optimizer": {}, "epoch": 3},
            lambda state: {"state_dict": {"module." + n: v for n, v in state.items()}},
            lambda state: {"module.model." + n: v for n, v in state.items()},
        ],
    )
    def test_wrappers_and_prefixes_do_not_matter(self, saved, wrapped):
        origin, converted = convert_model(saved(wrapped(model_of(V2).state_dict())), NAMED)
        assert origin.form == "state_dict"
        assert not differing(converted.weights, V2)

    def test_where_the_weights_were_found_is_reported(self, saved):
        path = saved({"model": model_of(V2).state_dict(), "epoch": 3})
        _, converted = convert_model(path, NAMED)
        assert converted.notes == ("the weights were found under 'model'",)
        assert [(one.name, one.reason) for one in converted.skipped] == [
            ("epoch", "not a weight of the model")
        ]

    def test_of_two_sets_one_has_to_be_chosen(self, saved):
        state = model_of(V2).state_dict()
        path = saved({"model": {n: 0 * v for n, v in state.items()}, "model_ema": state})
        with pytest.raises(CheckpointError, match="2 weight sets, model, model_ema"):
            convert_model(path, NAMED)
        assert not differing(convert_model(path, NAMED, "model_ema")[1].weights, V2)

    def test_counters_have_counted(self, saved):
        """Unlike in Paddle, there are such: they are kept, and not set back to 0."""
        state = dict(model_of(V2).state_dict())
        name = next(name for name in state if name.endswith("num_batches_tracked"))
        state[name] = torch.tensor(7)
        _, converted = convert_model(saved(state), NAMED)
        assert converted.weights[name] == 7
        assert converted.initialized == ()

    def test_a_choice_where_there_is_none(self, saved):
        with pytest.raises(CheckpointError, match="has no weight set ema; --weight-set ema and"):
            convert_model(saved(model_of(V2).state_dict()), NAMED, "ema")


class TestOurs:
    CONFIG = replace(
        V2, name="picodet_xs_lcnet_96x128", preprocessing=Preprocessing((0, 0, 0), (1, 1, 1), 1)
    )

    @pytest.fixture(params=[".pth", ".safetensors", ""])
    def path(self, request, tmp_path):
        path = tmp_path / f"x{request.param}"
        meta = make_meta(self.CONFIG, "detector", "x.pdparams", "ab" * 32)
        checkpoint.save(path, weights_of(V2), meta)
        return path

    def test_says_everything_itself(self, path):
        origin, converted = convert_model(path, ConvertOptions())
        assert converted.config == self.CONFIG
        assert not differing(converted.weights, V2)
        assert converted.notes == ()
        expected = f"picodet {path.suffix}" if path.suffix else "directory in Hugging Face's form"
        assert origin.form == expected

    def test_holds_one_set(self, path):
        with pytest.raises(CheckpointError, match=r"--weight-set raw is for|no weight set raw"):
            convert_model(path, ConvertOptions(), "raw")

    def test_goes_on_to_paddle(self, path, tmp_path):
        convert_file(path, tmp_path / "back.pdparams", ConvertOptions())
        _, back = convert_model(tmp_path / "back.pdparams", NAMED)
        assert not differing(back.weights, V2)

    def test_what_was_trained_further_is_still_ours(self, tmp_path):
        """Saved again with what a training adds."""
        meta = make_meta(self.CONFIG, "detector", "x.pdparams", "ab" * 32)
        content = {"state_dict": model_of(V2).state_dict(), "meta": meta, "optimizer": {"lr": 1}}
        torch.save(content, tmp_path / "x.pth")
        _, converted = convert_model(tmp_path / "x.pth", ConvertOptions())
        assert converted.config == self.CONFIG
        assert [one.name for one in converted.skipped] == ["optimizer"]

    def test_a_damaged_meta_is_an_error(self, tmp_path):
        meta = make_meta(self.CONFIG, "detector", "x", "0" * 64) | {"neck": "none"}
        torch.save({"state_dict": model_of(V2).state_dict(), "meta": meta}, tmp_path / "x.pth")
        with pytest.raises(
            CheckpointError, match="invalid picodet meta: ValueError found 'none'; expected one of"
        ):
            convert_model(tmp_path / "x.pth", ConvertOptions())


class TestHubFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        convert_file(written(V2, tmp_path / "a.pdparams"), tmp_path / "folder", NAMED)
        return tmp_path / "folder"

    @staticmethod
    def edit(path, **changed):
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    def test_what_is_edited_there_is_taken(self, folder):
        self.edit(folder / "config.json", id2label={"0": "cat", "1": "dog", "2": "cow"})
        preprocessor = folder / "preprocessor_config.json"
        self.edit(preprocessor, size={"height": 320, "width": 416}, image_mean=[0.5, 0.5, 0.5])
        self.edit(preprocessor, opencv_interp=1, resample=2)
        for config in (
            convert_model(folder, ConvertOptions())[1].config,
            picodet.load(folder).config,
        ):
            assert config.classes == ("cat", "dog", "cow")
            assert config.input_size == (320, 416)
            assert config.preprocessing == Preprocessing(mean=(0.5, 0.5, 0.5), interp=1)

    def test_its_two_interpolations_have_to_agree(self, folder):
        self.edit(folder / "preprocessor_config.json", resample=2)
        message = r"resample is 2 \(PIL\), which is not opencv_interp 2"
        with pytest.raises(CheckpointError, match=message):
            convert_model(folder, ConvertOptions())

    def test_labels_have_to_be_as_many_as_the_weights_have(self, folder):
        self.edit(folder / "config.json", id2label={"0": "cat", "1": "dog"})
        with pytest.raises(ConversionError, match="does not fit"):
            convert_model(folder, ConvertOptions())


class TestLibreYOLO:
    """tests/golden/libreyolo.json is what libreyolo 1.6.0 has and computes."""

    @pytest.fixture
    def recorded(self, golden):
        return json.loads((golden / "libreyolo.json").read_text())

    @pytest.fixture
    def file(self, saved, recorded):
        tensors = {
            name: torch.from_numpy(named_values(name, shape))
            for name, shape in recorded["tensors"].items()
        }
        names = {0: "cat", 1: "dog", 2: "cow"}
        whole = {"model": tensors, "names": names, "imgsz": 64, "model_family": "picodet"}
        return saved(whole, "LibrePICODETs.pt")

    def test_it_computes_the_same(self, file, recorded):
        model = picodet.load(file)
        with torch.no_grad():
            found = model(torch.from_numpy(image_values(64)))
        for name in ("logits", "reg"):
            for level, expected in zip(getattr(found, name), recorded[name], strict=True):
                values = level.ravel()[:8].tolist()
                assert values == pytest.approx(expected, rel=1e-4, abs=1e-5)

    def test_the_report(self, file):
        origin, converted = convert_model(file, ConvertOptions())
        assert origin.form == "LibreYOLO"
        assert (converted.config.name, converted.config.input_size) == ("picodet_s_64", (64, 64))
        assert converted.config.classes == ("cat", "dog", "cow")
        assert converted.tensors == converted.mapped + len(converted.skipped)
        assert [t.name for t in converted.initialized] == ["head.integral.project"]
        assert any("cuts the gates of squeeze-and-excitation at 6" in n for n in converted.notes)

    def test_a_tensor_too_few(self, saved, recorded):
        tensors = {
            n: torch.zeros(s) for n, s in recorded["tensors"].items() if "gfl_cls.3" not in n
        }
        with pytest.raises(ConversionError, match="does not fit picodet_s"):
            convert_model(saved(tensors), ConvertOptions())


@pytest.mark.parametrize("prefix", ["", "model.", "ema_model.model."])
def test_lightly_trains_own_network_is_named(saved, prefix):
    tensors = {f"{prefix}{name}": torch.zeros(96, 1, 5, 5) for name in (LIGHTLY_TENSOR, "head.x")}
    with pytest.raises(CheckpointError, match=r"lightly-train's PicoDet, .* no batch norm"):
        convert_model(saved({"train_model": tensors, "model_init_args": {}}), ConvertOptions())
