"""The packages onnx and onnxruntime, or one sentence that says how to get them."""

from __future__ import annotations

try:
    import onnx
    import onnxruntime
    from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper
    from onnxruntime import InferenceSession
except ImportError as error:
    raise ImportError(
        f"worlds as ONNX graphs need the packages onnx and onnxruntime: pip install 'genie-env[onnx]' ({error})"
    ) from error

__all__ = [
    "InferenceSession",
    "ModelProto",
    "TensorProto",
    "external_data_helper",
    "helper",
    "numpy_helper",
    "onnx",
    "onnxruntime",
]
