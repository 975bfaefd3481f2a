"""Features of images, galleries to search, thresholds. With an ONNX file this needs no torch and no fast-reid."""
