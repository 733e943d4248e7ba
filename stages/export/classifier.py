"""A trained classifier as a graph for other runtimes."""

from torch import Tensor, float32, nn, stack, tensor

from stages.classifier.network import Classifier, attributes_of, views_of


class ExportedClassifier(nn.Module):
    """Pictures [N, H, W, C] in uint8 to probabilities [N, K], calibrated and averaged over the views.

    Where the classifier tells attributes, theirs follow, [N, A]; where it tells them alone, they are all.
    """

    def __init__(self, network: Classifier) -> None:
        """`network` is in evaluation mode on the CPU."""
        super().__init__()
        self.network = network
        self.views: int = network.config["views"]
        self.temperature: float = network.config.get("temperature", 1.0)

        self.classes = len(network.config["classes"])
        attributes = len(attributes_of(network.config))
        temperatures = network.config.get("attribute_temperatures", [1.0] * attributes)
        self.register_buffer("attribute_temperatures", tensor(temperatures), persistent=False)

    attribute_temperatures: Tensor

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The probabilities of each picture."""
        images = pictures.permute(0, 3, 1, 2).to(float32) / 255
        logits = stack([self.network(view) for view in views_of(images, self.views)]).mean(dim=0)
        outputs: list[Tensor] = []
        if self.classes:
            outputs.append((logits[:, : self.classes] / self.temperature).softmax(dim=1))
        if len(self.attribute_temperatures):
            outputs.append((logits[:, self.classes :] / self.attribute_temperatures).sigmoid())
        return outputs[0] if len(outputs) == 1 else tuple(outputs)
