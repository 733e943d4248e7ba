"""Trained models for other runtimes: graphs that hold all that lies between a picture and an answer.

exporting: from a model file to the file that is written; tasks: where classifier and detector differ
classifier, detector: the networks as such graphs
targets: ONNX, torch.export's format, OpenVINO's; formats: their files
quantising: weights and activations in eight bits; comparison: whether a file answers as the network does
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
