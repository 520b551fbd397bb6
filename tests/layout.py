"""Who may import whom, file by file. `errors` is open to all."""

MAY_IMPORT = {
    "": {"detection", "models.checkpoint", "postprocess"},  # the public names
    "cells": {"config"},
    "class_names": set(),
    "config": {"class_names"},
    "errors": set(),
    "command": {"files"},
    "files": set(),
    "meta": {"", "config"},  # of our files, without torch
    "nms": set(),
    "page_markup": set(),
    "paddle_python": {""},
    "versions": {""},
    # weights: checkpoint -> arrays -> rules -> weights, without torch
    "converter.array_pickle": {"converter.pickle_reader"},
    "converter.convert": {"converter.one_sided", "converter.precision", "converter.rules"},
    "converter.configure": {"class_names", "config", "converter.recognise"},
    "converter.one_sided": {"cells", "converter.precision"},
    "converter.pdparams": {"converter.array_pickle", "converter.pickle_reader"},
    "converter.pickle_reader": set(),
    "converter.precision": set(),
    "converter.recognise": {"config", "converter.rules"},
    "converter.rules": set(),
    # models
    "models.layers": set(),
    "models.esnet": {"config", "models.layers"},
    "models.csp_pan": {"models.layers"},
    "models.head": {"models.layers"},
    "models.picodet": {"config", "models.csp_pan", "models.esnet", "models.head"},
    "models.checkpoint": {"files", "meta", "models.esnet", "models.picodet"},
    "models.folding": {"models.picodet"},
    # pictures: file -> preprocess -> model -> decode -> detections
    "data.pictures": {"files"},
    "data.jpeg": set(),
    "data.preprocess": {"config", "data.jpeg"},
    "decoding": {"cells", "models.head"},
    "postprocess": {"cells", "nms"},
    "detection": {
        *("data.preprocess", "inference.detecting", "inference.torch_network", "models.picodet"),
        "postprocess",
    },
    "drawing": {"postprocess"},
    "gallery": {
        *("data.pictures", "data.preprocess", "drawing", "inference.detecting"),
        *("inference.network", "postprocess"),
    },
    # where the streams meet
    "port": {
        *("config", "converter.convert", "converter.configure", "converter.one_sided"),
        *("converter.pdparams", "converter.recognise", "converter.rules", "files", "meta"),
        *("models.checkpoint", "models.esnet", "models.picodet"),
    },
    "conversion_table": {"converter.convert", "port"},
    "detection_table": {"gallery"},
    "__main__": {"cli"},
}
# folders; a name that begins with a dot is of the same folder
ALIGNMENT = {
    # plain values
    ".comparison": set(),
    ".index": set(),
    ".order": {".index"},
    ".paired": {".comparison", ".index"},
    ".probes": {"cells"},
    # recordings
    ".recording": {".index"},
    ".recording_writer": {".index", "files"},
    ".network_input": {"config"},
    ".input_entries": {".index", ".network_input", ".recording_writer"},
    # whatever is a reference -> a recording
    ".session": {
        *(".align", ".compared", ".comparison", ".onnx_model", ".order", ".probes", ".recording"),
        *(".reference", "files", "models.checkpoint"),
    },
    ".reference": {
        *("inference.inference_folder", ".index", ".network_input", ".onnx_recorder", ".order"),
        *(".paddle_process", "config", "data.preprocess"),
    },
    ".paddle_process": {".order", "paddle_python"},
    ".onnx_recorder": {
        *(".network_input", ".onnx_graph", ".order", ".recording_writer", ".static_record"),
        *("versions", "files"),
    },
    ".onnx_graph": {".graph", ".recording_writer", ".static_record"},
    # in Paddle's own process, see test_paddles_process_needs_no_torch
    ".paddle_main": {
        *(".index", ".input_entries", ".network_input", ".order", ".paddle_program"),
        *(".ppdet_model", ".ppdet_recorder", ".probes", ".recording_writer", ".static_record"),
        *("versions", "config", "converter.configure", "converter.pdparams"),
        *("converter.precision", "files", "inference.program_file"),
    },
    ".ppdet_model": {"config"},
    ".ppdet_recorder": {
        *(".index", ".network_input", ".ppdet_model", ".probes", ".recording_writer", "config"),
        "data.preprocess",
    },
    ".paddle_program": {
        *(".paddle_new_program", ".paddle_old_program", ".recording_writer", ".static_record"),
        "inference.program_file",
    },
    ".paddle_new_program": {".graph", ".paddle_old_program"},
    ".paddle_old_program": {".graph"},
    # static graphs
    ".graph": {".index"},
    ".ending": {".graph"},
    ".static_record": {
        *(".ending", ".graph", ".index", ".input_entries", ".network_input", ".order"),
        ".recording_writer",
    },
    # which layer is which
    ".layered": {".comparison", ".index", ".paired", "converter.one_sided", "converter.rules"},
    ".tracing": {".index", "config", "models.layers", "models.picodet"},
    ".matching": {".index"},
    ".places": {".index", ".matching", ".tracing"},
    ".pairing": {".comparison", ".index", ".matching", ".paired", ".tracing", "config"},
    # the rungs
    ".align": {
        *(".compared", ".comparison", ".diagnosis", ".endings", ".gap", ".index", ".layered"),
        *(".layers", ".own_ending", ".pairing", ".preprocessing", ".probing", ".recorded"),
        *(".recording", ".suppression", "versions", ".wording", "config", "converter.rules"),
        *("files", "models.head", "models.picodet"),
    },
    ".compared": {
        *(".comparison", ".gap", ".layers", ".own_ending", ".paired", ".recorded", ".recording"),
        *(".replay", ".weights", "models.picodet"),
    },
    ".gap": {".comparison"},
    ".recorded": {".comparison", ".gap", ".index", ".paired", ".recording"},
    ".lanes": set(),
    ".layers": {
        *(".comparison", ".gap", ".lanes", ".layered", ".paired", ".recorded", "models.picodet"),
    },
    ".weights": {
        *(".comparison", ".gap", ".index", ".paired", ".recording", ".weight_diagnosis"),
        *("converter.one_sided", "models.layers"),
    },
    ".preprocessing": {".comparison", ".index", ".recording", "config", "data.preprocess"},
    ".endings": {
        *(".comparison", ".decoding_diagnosis", ".gap", ".recorded", ".wording", "config"),
        *("decoding", "models.head", "models.picodet"),
    },
    ".own_ending": {
        ".probes",
        *(".comparison", ".decoding_diagnosis", ".endings", ".gap", ".recorded", ".suppression"),
        *("models.head", "models.picodet"),
    },
    ".suppression": {
        *(".comparison", ".recorded", ".wording", "models.head", "models.picodet", "nms"),
        *("decoding", "postprocess"),
    },
    ".probing": {
        *(".comparison", ".decoding_diagnosis", ".gap", ".index", ".probes", ".recording"),
        *(".suppression", "config", "data.preprocess", "decoding", "models.head"),
    },
    # an ONNX in the place of a model
    ".onnx_model": {
        *(".comparison", ".ending", ".gap", ".graph", ".layers", ".onnx_config", ".onnx_ending"),
        *(".onnx_graph", ".onnx_pieces", ".onnx_runs", ".onnx_suspect", ".onnx_weights"),
        *(".own_ending", ".paired", ".pairing", ".places", ".recorded", ".recording", ".replay"),
        *(".tracing", "models.picodet"),
    },
    ".onnx_config": {
        "converter.recognise",
        *(".graph", ".onnx_graph", "class_names", "config", "meta", "models.picodet"),
    },
    ".onnx_weights": {
        *(".comparison", ".gap", ".graph", ".index", ".paired", ".places", ".recording"),
        *(".tracing", ".weight_diagnosis", ".weights", "config", "models.layers", "models.picodet"),
    },
    ".onnx_pieces": {".onnx_graph"},
    ".onnx_runs": {".index", ".lanes", ".onnx_pieces", ".places", ".recorded", ".tracing"},
    ".onnx_ending": {".ending", ".endings", ".onnx_pieces", ".own_ending", "models.head"},
    # why a layer is guilty
    ".weight_diagnosis": {".index"},
    ".decoding_diagnosis": {"config", "models.head"},
    ".diagnosis": {
        *(".block_diagnosis", ".comparison", ".gap", ".lanes", ".recorded", ".replay"),
        *(".weight_diagnosis", "models.picodet"),
    },
    ".replay": {".index", ".lanes", ".leaf_diagnosis", ".recorded", "models.picodet"},
    ".onnx_suspect": {
        *(".index", ".onnx_graph", ".onnx_runs", ".replay", ".tracing", "models.picodet"),
    },
    ".leaf_diagnosis": {"models.layers"},
    ".block_diagnosis": {"models.layers"},
    # how it is shown
    ".wording": {".comparison"},
    ".as_json": {".comparison"},
    ".blocks": {".comparison"},
    ".table": {".blocks", ".comparison", ".wording"},
    ".page": {
        *(".blocks", ".comparison", ".page_depth", ".page_layers", "page_markup", ".page_network"),
        ".wording",
    },
    ".page_depth": {".blocks", ".comparison", "page_markup", ".wording"},
    ".page_layers": {
        *(".blocks", ".comparison", "page_markup", ".page_network", ".page_pictures", ".wording"),
    },
    ".page_network": {".blocks", ".comparison", "page_markup", ".wording"},
    ".page_pictures": {".comparison", ".wording"},
}
INFERENCE = {
    # plain values, and what runs them
    ".network": {"config", "postprocess"},
    ".detecting": {".network", "data.preprocess", "postprocess"},
    ".opening": {
        ".network",
        ".onnxruntime_network",
        ".openvino_network",
        ".paddle_network",
        ".torch_network",
        "models.checkpoint",
        "models.folding",
    },
    # what a file says in which form
    ".forms": {".network", "cells", "config", "postprocess"},
    ".onnx_spec": {".forms", ".network", "class_names", "config", "meta", "postprocess"},
    ".inference_folder": {"config"},
    ".program_file": set(),
    # what runs it
    ".torch_network": {".forms", ".network", "decoding", "models.picodet", "postprocess"},
    ".onnxruntime_network": {".network", ".onnx_spec", "postprocess"},
    ".openvino_network": {".network", ".onnx_spec", "postprocess"},
    ".paddle_network": {
        ".forms",
        ".inference_folder",
        ".network",
        ".program_file",
        ".program_process",
        "class_names",
        "config",
        "postprocess",
    },
    ".program_process": {".pipe", "paddle_python"},
    ".pipe": set(),
    # in Paddle's own process
    ".paddle_server": {".pipe", ".program_file"},
}
EXPORT = {
    # what is wanted -> a graph
    ".wanted": {"config", "postprocess"},
    ".writer": set(),
    ".network": {
        ".writer",
        "alignment.index",
        "alignment.tracing",
        "models.folding",
        "models.layers",
        "models.picodet",
    },
    ".decoding": {".network", ".writer", "cells", "config"},
    ".suppression": {".writer"},
    ".onnx_file": {
        "",
        ".decoding",
        ".network",
        ".suppression",
        ".wanted",
        ".writer",
        "config",
        "meta",
        "models.picodet",
    },
    # a graph -> verified
    ".exported": {".onnx_file", ".runtime", ".trials", ".wanted", "postprocess"},
    ".runtime": set(),
    ".trials": {".wanted", "config", "data.preprocess"},
    ".verification": {
        ".exported",
        ".onnx_file",
        ".trials",
        ".wanted",
        "alignment.comparison",
        "alignment.gap",
        "config",
        "decoding",
        "meta",
        "models.picodet",
    },
    # all together
    ".export": {
        ".onnx_file",
        ".runtime",
        ".trials",
        ".verification",
        ".wanted",
        "files",
        "models.checkpoint",
        "models.picodet",
        "versions",
    },
    ".table": {".export", ".verification"},
}
EVALUATION = {
    # plain values
    ".report": set(),
    ".annotations": {".json_rows"},
    ".results": {".json_rows", "files"},
    ".json_rows": set(),
    # a model and a dataset -> results
    ".setting": {"config", "data.preprocess", "postprocess"},
    ".class_matching": {".annotations", "inference.network"},
    ".checking": {".annotations", "data.preprocess"},
    ".run": {".annotations", ".setting", "data.preprocess", "inference.network", "postprocess"},
    ".ranks": set(),
    ".progress_file": {".run", "files"},
    ".session": {
        "",
        ".annotations",
        ".checking",
        ".class_matching",
        ".progress_file",
        ".ranks",
        ".results",
        ".run",
        ".setting",
        "files",
        "inference.network",
        "inference.opening",
        "postprocess",
    },
    # results -> numbers
    ".evaluators": {".annotations", ".results"},
    ".metrics": {".annotations", ".evaluators", ".report", ".results"},
    ".matching": {".annotations", ".metrics", ".results"},
    ".bootstrap": {".matching", ".metrics", ".report"},
    ".worst": {".matching"},
    ".result_comparison": {
        ".annotations",
        ".bootstrap",
        ".matching",
        ".metrics",
        ".report",
        ".results",
    },
    ".reporting": {
        ".annotations",
        ".bootstrap",
        ".matching",
        ".metrics",
        ".report",
        ".results",
        ".worst",
        "data.preprocess",
    },
    # how it is shown
    ".showing": {
        ".annotations",
        ".as_json",
        ".comparison_table",
        ".page",
        ".ranks",
        ".report",
        ".reporting",
        ".result_comparison",
        ".results",
        ".session",
        ".table",
        "command",
        "files",
        "versions",
    },
    ".wording": {".report"},
    ".table": {".report", ".wording"},
    ".comparison_table": {".report", ".result_comparison", ".table", ".wording"},
    ".as_json": {".report", ".result_comparison"},
    ".page": {
        ".page_classes",
        ".page_curves",
        ".page_stats",
        ".page_what_if",
        ".page_worst",
        ".report",
        ".wording",
        "page_markup",
    },
    ".page_stats": {".report", ".wording", "page_markup"},
    ".page_what_if": {".report", ".wording", "page_markup"},
    ".page_curves": {".report", ".wording", "page_markup"},
    ".page_classes": {".report", ".wording", "page_markup"},
    ".page_worst": {".page_labels", ".report", "page_markup"},
    ".page_labels": {".report"},
}
FOLDERS = {
    "alignment": ALIGNMENT,
    "evaluation": EVALUATION,
    "export": EXPORT,
    "inference": INFERENCE,
}


def in_full(folder: str, name: str) -> str:
    return folder + name if name.startswith(".") else name


for folder, table in FOLDERS.items():
    for name, allowed in table.items():
        MAY_IMPORT[in_full(folder, name)] = {in_full(folder, other) for other in allowed}
