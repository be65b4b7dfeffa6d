"""MIL's operators on elements, matrices and shapes, in numpy.

An operator is a function whose name and parameters, with their defaults, are MIL's own
(coremltools, `converters/mil/mil/ops/defs`). Tensors have the types of `saved.WORKING`,
scalars are Python's, and several outputs are a tuple. `Program` rounds every result to its declared
type, so `cast` does nothing.

Sums are computed in float64. This costs little, and keeps the interpreter's own error out of the
measured error of an artifact: conv-large agrees with a float64 network to 106 dB instead of 98.
"""

# numpy's arithmetic on arrays of any type is Any:
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mnv4_coreml.mil.saved import MOST_ELEMENTS, Array

Operator = Callable[..., Array | tuple[Array, ...]]


def check_size(shape: Iterable[int]) -> None:
    """Raises ValueError for a result that no program may declare, before it takes memory.

    Operators call it if their result may be far larger than what they are given.
    """
    sizes = [int(size) for size in shape]
    if math.prod(sizes) > MOST_ELEMENTS:
        raise ValueError(f"a result of shape {sizes} has more than {MOST_ELEMENTS} elements")


def _broadcasting(compute: Callable[[Array, Array], Array]) -> Operator:
    """Makes an operator of a function on two arrays, or an array and a scalar."""

    def operator(x: Array, y: Array) -> Array:
        check_size(np.broadcast_shapes(np.shape(x), np.shape(y)))
        return compute(x, y)

    return operator


def sigmoid(x: Array) -> Array:
    """Computes the sigmoid through tanh, which overflows for no argument."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


_STEPS = 2048  # of the table of erf, per unit of its argument
_ERF = np.array([math.erf(i / _STEPS) for i in range(4 * _STEPS + 2)], np.float32)
_ERF_SLOPE = np.diff(_ERF)


def erf(x: Array) -> Array:
    """Interpolates in a table, to 1e-7: numpy has no erf. Beyond 4, erf is 1 in float32."""
    at = np.fmin(np.abs(x), 4) * _STEPS
    index = at.astype(np.int32)
    found = np.copysign(_ERF[index] + _ERF_SLOPE[index] * (at - index), x)
    return np.where(np.isnan(x), x, found)


def gelu(x: Array, mode: str = "EXACT") -> Array:
    match mode:
        case "EXACT":
            return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
        case "TANH_APPROXIMATION":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        case "SIGMOID_APPROXIMATION":
            return x * sigmoid(1.702 * x)
    raise ValueError(f"mode {mode!r}")


def linear(x: Array, weight: Array, bias: Array | float = 0.0) -> Array:
    return matmul(x, weight, transpose_y=True) + bias


def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    x = x.swapaxes(-1, -2) if transpose_x else x
    y = y.swapaxes(-1, -2) if transpose_y else y
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    check_size((*batch, *x.shape[-2:-1], y.shape[-1]))
    return np.matmul(x, y, dtype=np.float64)


def einsum(values: list[Array], equation: str) -> Array:
    return np.einsum(equation, *values, optimize=True, dtype=np.float64)


def softmax(x: Array, axis: int = -1) -> Array:
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None = None
) -> Array:
    scores = matmul(query, key, transpose_y=True) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        if attn_mask.dtype == np.bool_:
            attn_mask = np.where(attn_mask, np.float32(0), np.float32(-np.inf))
        scores = scores + attn_mask
    return matmul(softmax(scores), value)


def reduce_mean(x: Array, axes: Sequence[int] | None = None, keep_dims: bool = False) -> Array:
    axis = None if axes is None else tuple(axes)
    return x.mean(axis=axis, keepdims=keep_dims, dtype=np.float64)


def expand_dims(x: Array, axes: Sequence[int]) -> Array:
    return np.expand_dims(x, tuple(axes))


def squeeze(x: Array, axes: Sequence[int] | None = None) -> Array:
    return np.squeeze(x, None if axes is None else tuple(axes))


def concat(values: list[Array] | Array, axis: int, interleave: bool = False) -> Array:
    if interleave:
        raise ValueError("interleave is not supported")
    arrays = values if isinstance(values, list) else [values]
    check_size([sum(array.size for array in arrays)])
    return np.concatenate(arrays, axis)


def tile(x: Array, reps: Sequence[int]) -> Array:
    check_size((x.size, *reps))
    return np.tile(x, reps)


def split(
    x: Array,
    axis: int,
    num_splits: int | None = None,
    split_sizes: Sequence[int] | None = None,
) -> tuple[Array, ...]:
    if split_sizes is None:
        return tuple(np.split(x, num_splits or 1, axis))
    return tuple(np.split(x, np.cumsum(split_sizes)[:-1], axis))


def slice_by_index(
    x: Array,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Array:
    def marked(mask: Sequence[bool] | None, axis: int) -> bool:
        return mask is not None and bool(mask[axis])

    index: list[int | slice] = []
    for axis in range(x.ndim):
        if marked(squeeze_mask, axis):
            index.append(begin[axis])
            continue
        first = None if marked(begin_mask, axis) else begin[axis]
        last = None if marked(end_mask, axis) else end[axis]
        index.append(slice(first, last, None if stride is None else stride[axis]))
    return x[tuple(index)]


def slice_by_size(x: Array, begin: Sequence[int], size: Sequence[int]) -> Array:
    return x[
        tuple(
            slice(first, None if length == -1 else first + length)
            for first, length in zip(begin, size, strict=True)
        )
    ]


def pad(x: Array, pad: Sequence[int], mode: str = "constant", constant_val: float = 0.0) -> Array:
    widths = list(zip(pad[::2], pad[1::2], strict=True))
    widths = [(0, 0)] * (x.ndim - len(widths)) + widths
    check_size(size + sum(map(int, width)) for size, width in zip(x.shape, widths, strict=True))
    match mode:
        case "constant":
            return np.pad(x, widths, constant_values=constant_val)
        case "reflect":
            return np.pad(x, widths, mode="reflect")
        case "replicate":
            return np.pad(x, widths, mode="edge")
    raise ValueError(f"mode {mode!r}")


def classify(probabilities: Array, classes: list[str | int]) -> tuple[Array, Array]:
    """Returns the label and the probabilities (1, classes), which Core ML gives as a dictionary."""
    return np.array(classes[probabilities.argmax()]), probabilities.reshape(1, -1)


TABLE: dict[str, Operator] = {
    "add": _broadcasting(lambda x, y: x + y),
    "cast": lambda x, dtype: x,
    "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),
    "identity": lambda x: x,
    "leaky_relu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "mul": _broadcasting(lambda x, y: x * y),
    "pow": _broadcasting(lambda x, y: np.power(x, y)),
    "real_div": _broadcasting(lambda x, y: x / y),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "reshape": lambda x, shape: x.reshape([n or x.shape[i] for i, n in enumerate(shape)]),
    "rsqrt": lambda x, epsilon=1e-12: 1 / np.sqrt(x + epsilon),
    "sigmoid_hard": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "silu": lambda x: x * sigmoid(x),
    "sqrt": lambda x: np.sqrt(x),
    "square": lambda x: x * x,
    "sub": _broadcasting(lambda x, y: x - y),
    "tanh": lambda x: np.tanh(x),
    "thresholded_relu": lambda x, alpha=1.0: np.where(x >= alpha, x, 0),
    "transpose": lambda x, perm: x.transpose(perm),
    **{
        function.__name__: function
        for function in (
            erf,
            gelu,
            sigmoid,
            linear,
            matmul,
            einsum,
            softmax,
            scaled_dot_product_attention,
            reduce_mean,
            expand_dims,
            squeeze,
            concat,
            tile,
            split,
            slice_by_index,
            slice_by_size,
            pad,
            classify,
        )
    },
}
