"""Writes TFLite metadata, which tells MediaPipe, ML Kit and others what a model's tensors mean.

It is written by hand, as the packages that write it (tflite-support, mediapipe) are heavy or no
longer maintained. Schema: `metadata_schema.fbs` of tflite-support, version 1.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.tensors import CLASSES
from mnv4_tflite.flatbuffer import pack

NAME = "TFLITE_METADATA"
"""Name of the model's metadata entry that points to the buffer."""

LABELS = "labels.txt"
"""Name of the file that is packed after the model, one label per line."""

_SCHEMA: dict[str, tuple[str, ...]] = {
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata", "author", "license"),
        *("associated_files", "min_parser_version"),
    ),
    "SubGraphMetadata": (
        *("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
    ),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content", "process_units", "stats"),
        *("associated_files",),
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type"),
}
"""Fields of the tables that are used, in the schema's order: a field's index is its number."""

_FEATURES, _IMAGE = np.uint8(1), np.uint8(2)  # ContentProperties
_NORMALIZATION = np.uint8(1)  # ProcessUnitOptions
_RGB = np.int8(1)  # ColorSpaceType
_AXIS_LABELS = np.int8(2)  # AssociatedFileType

_DESCRIPTIONS = {
    "logits": "Score of each class, before softmax.",
    "probabilities": "Probability of each class.",
    "embedding": "Pooled features before the classification head.",
}


@dataclass(frozen=True)
class _Table:
    """A table of the schema; its numbers are NumPy scalars of the fields' types."""

    kind: str
    fields: dict[str, Any]


def _put(builder: Any, value: Any) -> int:
    """Writes a string, table or vector and returns its offset."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, list):
        offsets = [_put(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    names = _SCHEMA[value.kind]
    # Numbers are stored in the table; everything else is written before it and pointed to.
    ready = {
        name: field if isinstance(field, np.generic) else _put(builder, field)
        for name, field in value.fields.items()
    }
    builder.StartObject(len(names))
    for name, field in ready.items():
        prepend = {
            np.uint8: builder.PrependUint8Slot,
            np.int8: builder.PrependInt8Slot,
            np.uint32: builder.PrependUint32Slot,
        }.get(type(field), builder.PrependUOffsetTRelativeSlot)
        prepend(names.index(name), int(field), 0)
    return int(builder.EndObject())


def _image(spec: BuildSpec) -> _Table:
    mean, std = np.zeros(3, np.float32), np.ones(3, np.float32)
    if spec.input == "float":  # in units of a pixel's value, 0 to 255
        mean, std = (
            (255 * np.array(values)).astype(np.float32)
            for values in (spec.preprocess.mean, spec.preprocess.std)
        )
    height, width = (np.uint32(side) for side in spec.preprocess.size)
    size = _Table("ImageSize", {"width": width, "height": height})
    properties = _Table("ImageProperties", {"color_space": _RGB, "default_size": size})
    normalization = _Table("NormalizationOptions", {"mean": mean, "std": std})
    return _Table(
        "TensorMetadata",
        {
            "name": "image",
            "description": "RGB image.",
            "content": _Table(
                "Content", {"content_properties_type": _IMAGE, "content_properties": properties}
            ),
            "process_units": [
                _Table("ProcessUnit", {"options_type": _NORMALIZATION, "options": normalization})
            ],
            "stats": _Table("Stats", {"max": (255 - mean) / std, "min": -mean / std}),
        },
    )


def _output(name: str, *, labels: bool) -> _Table:
    fields = {
        "name": name,
        "description": _DESCRIPTIONS.get(name, "Feature map."),
        "content": _Table(
            "Content",
            {
                "content_properties_type": _FEATURES,
                "content_properties": _Table("FeatureProperties", {}),
            },
        ),
    }
    if labels:
        file = {"name": LABELS, "description": "One label per line.", "type": _AXIS_LABELS}
        fields["associated_files"] = [_Table("AssociatedFile", file)]
    return _Table("TensorMetadata", fields)


def labelled(spec: BuildSpec) -> list[str]:
    """Returns the outputs whose last axis the labels name."""
    return [name for name in spec.outputs if spec.labels and name in CLASSES]


def metadata(spec: BuildSpec) -> bytes:
    """Returns the metadata flatbuffer: image size, normalisation and where the labels are."""
    import flatbuffers

    subgraph = _Table(
        "SubGraphMetadata",
        {
            "input_tensor_metadata": [_image(spec)],
            "output_tensor_metadata": [
                _output(name, labels=name in labelled(spec)) for name in spec.outputs
            ],
        },
    )
    model = _Table(
        "ModelMetadata",
        {
            "name": spec.model.name,
            "description": "MobileNetV4 image classification and features.",
            "subgraph_metadata": [subgraph],
            "min_parser_version": "1.0.0",
        },
    )
    builder = flatbuffers.Builder()
    builder.Finish(_put(builder, model), b"M001")
    return bytes(builder.Output())


def pack_labels(model: bytes, labels: tuple[str, ...]) -> bytes:
    """Packs the labels after a model, where readers look for associated files."""
    return pack(model, LABELS, "".join(f"{label}\n" for label in labels).encode())
