"""A world's step as one ONNX graph: built from a bundle without torch, run by onnxruntime, put into a web page."""
