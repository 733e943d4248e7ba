import numpy as np
import pytest

from stages.core.errors import DataError
from stages.training.samples import ClassifierSamples, GeneratorSamples, read_samples, write_samples


def generator_samples(epochs: int) -> GeneratorSamples:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 8, 1), dtype=np.uint8)
    return GeneratorSamples(
        epochs=np.arange(epochs),
        epoch_pictures=pictures[:epochs],
        steps=np.arange(3),
        step_pictures=pictures[1:],
    )


@pytest.mark.parametrize("epochs", [0, 2])
def test_what_is_read_is_what_was_written(tmp_path, epochs):
    samples = generator_samples(epochs)
    for name in ("first", "second"):
        write_samples(tmp_path / name, samples)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    found = read_samples(tmp_path / "first", GeneratorSamples)
    np.testing.assert_array_equal(found.epochs, samples.epochs)
    np.testing.assert_array_equal(found.epoch_pictures, samples.epoch_pictures)
    np.testing.assert_array_equal(found.step_pictures, samples.step_pictures)
    assert found.step_pictures.dtype == np.uint8


def test_arrays_that_lie_otherwise_in_memory_are_written_as_they_read(tmp_path):
    pictures = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(1, 2, 3, 4, 1).transpose(0, 1, 3, 2, 4)
    write_samples(tmp_path / "file", ClassifierSamples(pictures=pictures, labels=np.array([3])))
    np.testing.assert_array_equal(read_samples(tmp_path / "file", ClassifierSamples).pictures, pictures)


def test_a_missing_file_a_damaged_one_and_another_training_s_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file; the training that writes it"):
        read_samples(tmp_path / "none", GeneratorSamples)
    (tmp_path / "damaged").write_bytes(b"no samples")
    with pytest.raises(DataError, match="damaged: cannot be read"):
        read_samples(tmp_path / "damaged", GeneratorSamples)
    write_samples(tmp_path / "other", generator_samples(1))
    with pytest.raises(DataError, match=r"other: holds \['epoch_pictures', .*, not \['labels', 'pictures'\]"):
        read_samples(tmp_path / "other", ClassifierSamples)
