"""MIL's operators on quantized tensors and compressed weights, in numpy.

The conventions are those of `operators`. A `constexpr` is a weight that Core ML decompresses while
loading. Its form in iOS16 and iOS17 packs indices and masks into bytes and stores the shape; the
iOS18 form has packed types instead.
"""

# numpy's arithmetic on arrays of any type is Any:
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnv4_coreml.mil.operators import Operator
from mnv4_coreml.mil.saved import Array, unpack


def _along(values: Array | float, x: Array, axis: int | None) -> Array:
    """Returns a scalar or per-channel scale or zero point in float32, broadcastable to `x`."""
    array = np.asarray(values, np.float32)
    if axis is None or not array.ndim:
        return array
    return array.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def quantize(
    input: Array,
    scale: Array | float,
    output_dtype: str,
    zero_point: Array | int = 0,
    axis: int | None = None,
) -> Array:
    limits = np.iinfo(output_dtype)
    steps = np.round(input / _along(scale, input, axis)) + _along(zero_point, input, axis)
    return np.clip(steps, limits.min, limits.max)


def dequantize(
    input: Array, scale: Array | float, zero_point: Array | int = 0, axis: int | None = None
) -> Array:
    shifted = input.astype(np.float32) - _along(zero_point, input, axis)
    return shifted * _along(scale, input, axis)


def constexpr_affine_dequantize(
    quantized_data: Array, zero_point: Array | int, scale: Array | float, axis: int
) -> Array:
    return dequantize(quantized_data, scale, zero_point, axis)


def constexpr_blockwise_shift_scale(
    data: Array, scale: Array, offset: Array | float = 0.0
) -> Array:
    """Dequantizes: each scale (and offset) serves a block of data.shape / scale.shape elements."""
    for axis, (size, blocks) in enumerate(zip(data.shape, scale.shape, strict=True)):
        scale = np.repeat(scale, size // blocks, axis)
        if isinstance(offset, np.ndarray):
            offset = np.repeat(offset, size // blocks, axis)
    return (data.astype(np.float32) - offset) * scale


def constexpr_lut_to_dense(
    indices: Array,
    lut: Array,
    shape: Sequence[int] | None = None,
    vector_axis: int | None = None,
) -> Array:
    """Looks indices up in a table.

    In iOS18, `lut` is (groups along each axis of `indices`..., entries, length of an entry).
    """
    if shape is not None:
        return lut[unpack(indices, int(lut.size).bit_length() - 1, shape)]
    *groups, entries, length = lut.shape
    of_element = np.ix_(
        *(
            np.arange(size) * count // size
            for size, count in zip(indices.shape, groups, strict=True)
        )
    )
    table = np.ravel_multi_index(of_element, groups)
    found = lut.reshape(-1, entries, length)[table, indices]
    if vector_axis is None:
        return found[..., 0]
    axis = vector_axis % indices.ndim
    whole = [size * length if i == axis else size for i, size in enumerate(indices.shape)]
    return np.moveaxis(found, -1, axis + 1).reshape(whole)


def constexpr_sparse_to_dense(
    nonzero_data: Array, mask: Array, shape: Sequence[int] | None = None
) -> Array:
    present = (mask if shape is None else unpack(mask, 1, shape)) != 0
    dense = np.zeros(present.shape, nonzero_data.dtype)
    dense[present] = nonzero_data
    return dense


def constexpr_lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: int | None = None
) -> tuple[Array, Array]:
    indices = constexpr_sparse_to_dense(indices_nonzero_data, indices_mask)
    dense = constexpr_lut_to_dense(indices, lut, vector_axis=vector_axis)
    if vector_axis is not None:
        indices_mask = np.repeat(indices_mask, lut.shape[-1], vector_axis)
    return indices_mask, dense[indices_mask != 0]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | float = 0.0
) -> tuple[Array, Array]:
    dense = constexpr_sparse_to_dense(nonzero_data, data_mask)
    return data_mask, constexpr_blockwise_shift_scale(dense, scale, offset)[data_mask != 0]


def constexpr_cast(source_val: Array, output_dtype: str) -> Array:
    return source_val


TABLE: dict[str, Operator] = {
    function.__name__: function
    for function in (
        quantize,
        dequantize,
        constexpr_affine_dequantize,
        constexpr_blockwise_shift_scale,
        constexpr_cast,
        constexpr_lut_to_dense,
        constexpr_lut_to_sparse,
        constexpr_sparse_blockwise_shift_scale,
        constexpr_sparse_to_dense,
    )
}
