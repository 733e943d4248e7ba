"""Trained models for other runtimes: graphs with everything between a picture and an answer.

exporting: from a model file to the exported file
tasks: how exporting a classifier and a detector differ
classifier, detector: the networks as such graphs
targets: ONNX, torch.export's format and OpenVINO's
formats: their files
quantising: weights and activations in eight bits
comparison: whether the exported model gives the same answers as the network
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
