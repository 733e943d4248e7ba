"""A trained classifier as a graph, so that other runtimes can take it."""

from torch import Tensor, float32, nn, stack

from stages.classifier.network import Classifier, views_of


class ExportedClassifier(nn.Module):
    """Pictures [N, H, W, C] in uint8 to probabilities [N, K], calibrated and averaged over the views."""

    def __init__(self, network: Classifier) -> None:
        """`network` is in evaluation mode on the CPU."""
        super().__init__()
        self.network = network
        self.views: int = network.config["views"]
        self.temperature: float = network.config.get("temperature", 1.0)

    def forward(self, pictures: Tensor) -> Tensor:
        """The probabilities of each picture."""
        images = pictures.permute(0, 3, 1, 2).to(float32) / 255
        logits = stack([self.network(view) for view in views_of(images, self.views)]).mean(dim=0)
        return (logits / self.temperature).softmax(dim=1)
