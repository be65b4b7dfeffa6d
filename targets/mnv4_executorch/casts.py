"""Casts that XNNPACK runs.

XNNPACK converts bytes to floats, and float32 to float16 and back, but ExecuTorch hands it neither
(`ToDimOrderCopyConfig` in executorch/backends/xnnpack/partition/config/generic_node_configs.py):
`Tensor.to` runs outside the delegate, in one thread and without vectors. So our graphs cast with
another operator, which the delegate takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor as TorchTensor

if TYPE_CHECKING:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner


CAST = torch.ops.prims.convert_element_type.default
"""Converts bytes to float32, or between floats, in the delegates of `partitioner`."""


def cast(x: TorchTensor, dtype: torch.dtype) -> TorchTensor:
    """Returns `x` converted to `dtype` by `CAST`, or `x` itself if it has that type."""
    return x if x.dtype == dtype else CAST(x, dtype)


def partitioner() -> XnnpackPartitioner:
    """Returns ExecuTorch's own XNNPACK partitioner, extended to take `CAST`."""
    from executorch.backends.xnnpack.operators.node_visitor import (
        NodeVisitor,
        register_node_visitor,
    )
    from executorch.backends.xnnpack.operators.quant_params import QuantParams
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import (
        GenericNodePartitionerConfig,
    )
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
        XNNConvert,
        XNNDatatype,
        XNode,
    )

    class CastConfig(GenericNodePartitionerConfig):  # type: ignore[misc]
        target_name = "convert_element_type.default"

        def supported_precision_types(self) -> list[ConfigPrecisionType]:
            return [ConfigPrecisionType.FP32]

        def check_constraints(self, node: Any, program: Any) -> bool:
            return True

    class CastVisitor(NodeVisitor):  # type: ignore[misc]
        target = "prims.convert_element_type.default"

        def define_node(
            self, node: Any, graph: Any, ids: dict[Any, int], debug_handle: int
        ) -> None:
            (source,) = node.all_input_nodes
            if source.meta["val"].dtype == torch.uint8:
                # Integers of scale 1 and zero point 0. The serializer would make them signed.
                whole = QuantParams(False, source, 1.0, 0, 0, torch.uint8, 255, 0, False, True)
                self.define_tensor(source, graph, ids, quant_params=whole)
                tensor = graph.xvalues[-1].xvalue_union.tensor_value
                tensor.datatype = XNNDatatype.xnn_datatype_quint8
            else:
                self.define_tensor(source, graph, ids)
            self.define_tensor(node, graph, ids)
            convert = XNNConvert(input_id=ids[source], output_id=ids[node], flags=0)
            graph.xnodes.append(XNode(xnode_union=convert, debug_handle=debug_handle))

    register_node_visitor(CastVisitor)
    return XnnpackPartitioner(configs=[*ALL_PARTITIONER_CONFIGS, CastConfig])
