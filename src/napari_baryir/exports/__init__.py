"""Networks in the formats of other programs: ONNX, and packages of the BioImage Model Zoo."""
