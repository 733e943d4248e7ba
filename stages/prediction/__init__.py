"""Trained models asked about pictures, from Python or by `darkroom classify` and `darkroom detect`.

    from stages.prediction import load_classifier

    classifier = load_classifier("data/models/classifier.safetensors")
    for found in classifier.predict(["a.jpg", picture]):  # paths, or arrays [H, W, 3] in uint8
        print(found.label, found.probability)

predictors: a model that is asked; answers: what it says; models: model files with the form of their pictures
saliency: where a detector looks for a box; neighbours: the training pictures nearest to a picture
merging: boxes found in several views of a picture; video: frames of videos
pictures: those that files, folders and patterns name; reports: answers as table, JSON, CSV, COCO and YOLO
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
