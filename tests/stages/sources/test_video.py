import cv2
import numpy as np
import pytest

from stages.core.errors import DataError
from tests.stages.sources.readers import kinds, read, write_text

VIDEO = {"format": "video", "folder": ".", "every": 3, "shape": [16, 24]}


def write_video(path, frames=10, size=(48, 32)):
    """Frames that grow brighter, 20 levels each, blue above and red below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
    for number in range(frames):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[: size[1] // 2, :, 0] = pixels[size[1] // 2 :, :, 2] = min(255, 20 * number)
        video.write(pixels)
    video.release()
    return path


def test_every_third_frame_is_a_picture_of_its_folder_and_stays_with_its_video(tmp_path):
    write_video(tmp_path / "cat/a.avi")
    write_video(tmp_path / "dog/b.avi", frames=4)
    write_text(tmp_path / "dog/notes.txt", "")
    rows, findings = read(tmp_path, VIDEO, "classification")
    assert [(row.labels[0], row.where.rpartition(": ")[2]) for row in rows] == [
        *[("cat", f"frame {number}") for number in (0, 3, 6, 9)],
        *[("dog", f"frame {number}") for number in (0, 3)],
    ]
    assert len({row.group for row in rows}) == 2
    assert kinds(findings) == ["stray_file"]
    for row, level in zip(rows, (0, 60, 120, 180, 0, 60), strict=True):
        assert row.picture.shape == (16, 24, 3)
        assert row.picture[2:6].mean(axis=(0, 1)) == pytest.approx([0, 0, level], abs=6)  # RGB
        assert row.picture[10:14].mean(axis=(0, 1)) == pytest.approx([level, 0, 0], abs=6)


def test_splits_by_folder_and_grey(tmp_path):
    for split in ("train", "valid"):
        write_video(tmp_path / split / "cat/a.avi", frames=1)
    rows, _ = read(tmp_path, VIDEO | {"channels": 1}, "classification")
    assert [(row.split, row.picture.shape) for row in rows] == [
        ("train", (16, 24, 1)),
        ("val", (16, 24, 1)),
    ]


def test_a_video_beside_the_splits_does_not_make_classes_of_them(tmp_path):
    for split in ("train_set", "test_set"):
        write_video(tmp_path / split / "cat/a.avi", frames=1)
    for stray in ("a.avi", "train_set/b.avi"):
        write_video(tmp_path / stray, frames=1)
    rows, findings = read(tmp_path, VIDEO, "classification")
    assert [(row.labels, row.split) for row in rows] == [(("cat",), "test"), (("cat",), "train")]
    assert kinds(findings) == ["unlabelled_picture"] * 2
    write_video(tmp_path / "examples/cat/a.avi", frames=1)
    with pytest.raises(DataError, match="test_set, train_set look like splits, examples do not"):
        read(tmp_path, VIDEO, "classification")


def test_what_is_no_video_or_ends_early_is_named(tmp_path, capfd):
    whole = write_video(tmp_path / "cat/a.avi", frames=40).read_bytes()
    write_text(tmp_path / "cat/b.avi", whole[: len(whole) // 2])
    write_text(tmp_path / "cat/c.mp4", "#EXTM3U\n/etc/passwd\n")
    write_text(tmp_path / "cat/d.mp4", b"\0\0\0\x18ftypmp42" + b"x" * 99)
    write_text(tmp_path / "cat/e.avi", "")
    rows, findings = read(tmp_path, VIDEO, "classification")
    named = {found.where.rpartition("/")[2]: found.kind for found in findings}
    assert named["c.mp4"] == named["d.mp4"] == named["e.avi"] == "unreadable"
    assert sum("a.avi" in row.where for row in rows) == 14
    assert sum("b.avi" in row.where for row in rows) < 14
    assert capfd.readouterr() == ("", "")


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no video \(\.avi, .*\) in a folder of it; make one for each class"):
        read(tmp_path, VIDEO, "classification")
