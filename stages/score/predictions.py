"""Predictions on disk, one row for each input: Parquet files, from which all other files are made.

predictions/000001.parquet   a row an input, in order of `id`; `SCHEMA` says which columns there are
coco/000001.json             the same pictures and boxes as COCO has them, with the boxes' scores
drawn/000001/ID-NAME.jpg     the predictions, drawn into each picture
set_aside/000001/ID-NAME     pictures that could not be read, and ID-NAME.txt with the reason

A file of predictions is replaced in one step by a file with the old and the new rows. So an input gets its
row at this moment, neither earlier nor twice. When the folder is opened, everything else that a kill left is
removed or made again.
"""

import fcntl
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core.errors import DataError
from stages.core.files import write_atomically
from stages.score.inbox import Version
from stages.score.seen import Seen, SeenInputs

FULL = 4096  # rows of a file: replacing it stays cheap, and a million inputs are 250 files
NAME_LENGTH = 60

Row = dict[str, Any]

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),  # counts on from file to file; also COCO's
        ("name", pa.string()),  # path below the inbox
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("changed_ns", pa.int64()),
        ("scored_at", pa.timestamp("s", tz="UTC")),
        ("set_aside", pa.string()),  # why; null: it was scored, and only then the rest is set
        ("width", pa.int32()),  # of the upright picture
        ("height", pa.int32()),
        ("oddities", pa.list_(pa.string())),  # what was mended, by the words of preprocess.policy
        ("label", pa.string()),  # the class that is most probable
        ("probability", pa.float32()),
        ("probabilities", pa.list_(pa.float32())),  # in the order of the file's metadata, `labels`
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),  # xyxy in pixels of the upright picture
        ("box_labels", pa.list_(pa.string())),
        ("box_scores", pa.list_(pa.float32())),
    ]
)
WITH_ATTRIBUTES = SCHEMA.append(pa.field("attributes", pa.list_(pa.string()))).append(
    pa.field("attribute_probabilities", pa.list_(pa.float32()))
)
"""The schema with attributes: those that the picture has, the surest first, and the probability
of each, in the order of the file's metadata, `attributes`."""
METADATA = b"darkroom"


def schema_for(about: dict[str, Any]) -> pa.Schema:
    """The columns of a file of predictions of these models."""
    return WITH_ATTRIBUTES if about.get("attributes") else SCHEMA


class Predictions:
    """The folder, held alone; `opened` makes one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = sorted((folder / "predictions").glob("[0-9]*.parquet"))
        self._part = int(files[-1].stem) if files else 1
        self._table = _read(files[-1]) if files else SCHEMA.empty_table()
        self._seen = SeenInputs(folder, files, lambda file: _seen_in(_read(file)))
        self.next_id = self._table["id"][-1].as_py() + 1 if len(self._table) else 1
        self._trying = folder / ".trying"
        self._last = _last_words(self._trying)
        self._mend()

    def __len__(self) -> int:
        return self.next_id - 1

    def knows(self, version: Version) -> bool:
        """Whether a file of this name, size and time has its row."""
        return self._seen.knows(version)

    def holds(self, version: Version, digest: str) -> bool:
        """Whether this content has its row under this name; such a file is known from now on."""
        if not self._seen.holds(version[0], digest):
            return False
        self._seen.touched(version, digest)
        return True

    def close(self) -> None:
        """Keep what was found out about the inputs."""
        self._seen.close()

    @contextmanager
    def trying(self, name: str, digest: str) -> Iterator[int]:
        """Note that this input is being read, and yield how often a process has died at just that before."""
        *before, times = self._last
        died = times if before == [name, digest] else 0
        self._trying.write_text(json.dumps([name, digest, died + 1]), encoding="utf-8")
        try:
            yield died
        finally:
            self._trying.unlink()

    def place(self, about: dict[str, Any], kind: str, number: int, name: str) -> Path:
        """The path of a file of input `number`, whose `kind` is "drawn" or "set_aside"."""
        safe = re.sub(r"[^\w.-]", "_", name.rpartition("/")[2], flags=re.ASCII)[-NAME_LENGTH:]
        return self._beside(kind, self._part_for(about)) / f"{number:08d}-{safe}"

    def add(self, rows: Sequence[Row], about: dict[str, Any]) -> None:
        """Keep rows, whose ids follow `next_id`; `about`: release, labels and box_labels of the models."""
        schema = schema_for(about)
        part, fresh = self._part_for(about), pa.Table.from_pylist(rows, schema)
        before = self._table if part == self._part and len(self._table) else schema.empty_table()
        described = {METADATA: json.dumps(about).encode()}
        self._table = pa.concat_tables([before.cast(schema), fresh]).replace_schema_metadata(described)
        self._part = part
        buffer = io.BytesIO()
        pq.write_table(self._table, buffer)
        write_atomically(_path(self.folder, self._part), buffer.getvalue())
        self.next_id += len(rows)
        self._seen.added(_path(self.folder, self._part), _seen_in(fresh))
        self._write_coco()

    def _part_for(self, about: dict[str, Any]) -> int:
        """The file that the next rows go to; another release, or enough rows, begin a new one."""
        full = len(self._table) >= FULL or (len(self._table) and _about(self._table) != about)
        return self._part + bool(full)

    def _mend(self) -> None:
        """Remove what belongs to no row, and make COCO's file of the last rows where it is behind."""
        for kind in ("drawn", "set_aside"):
            for part in (self._part, self._part + 1):
                for file in self._beside(kind, part).glob("*"):
                    number = file.name.partition("-")[0]
                    if not number.isdecimal() or int(number) >= self.next_id:
                        file.unlink()
        ids = [row["id"] for row in self._table.to_pylist() if row["set_aside"] is None]
        if len(self._table) and ids != _ids_in(self._coco()):
            self._write_coco()

    def _write_coco(self) -> None:
        text = json.dumps(coco(self._table.to_pylist(), _about(self._table)), allow_nan=False)
        write_atomically(self._coco(), f"{text}\n".encode())

    def _coco(self) -> Path:
        return self.folder / "coco" / f"{self._part:06d}.json"

    def _beside(self, kind: str, part: int) -> Path:
        return self.folder / kind / f"{part:06d}"


@contextmanager
def opened(folder: Path) -> Iterator[Predictions]:
    """The predictions in `folder`, which nobody else adds to until the block ends.

    Raises:
        DataError: Somebody else is at it, or a file of it is not ours.

    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel's: gone with this process
        except BlockingIOError:
            raise DataError(f"{folder}: another process scores into it; wait for its end") from None
        with closing(Predictions(folder)) as predictions:
            yield predictions


def coco(rows: Sequence[Row], about: dict[str, Any]) -> dict[str, Any]:
    """Scored pictures and their boxes as COCO has them; what it has no words for stands under its own."""
    numbers = {name: number for number, name in enumerate(about["box_labels"], start=1)}
    scored = [row for row in rows if row["set_aside"] is None]
    boxes = [
        (row["id"], numbers[label], box, score)
        for row in scored
        for box, label, score in zip(row["boxes"], row["box_labels"], row["box_scores"], strict=True)
    ]
    return {
        "info": {"release": about["release"]},
        "images": [
            {"id": row["id"], "file_name": row["name"], "width": row["width"], "height": row["height"]}
            | ({"label": row["label"], "probability": row["probability"]} if row["label"] else {})
            | ({"attributes": row["attributes"]} if "attributes" in row else {})
            for row in scored
        ],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "score": score,
            }
            for number, (image, category, (x1, y1, x2, y2), score) in enumerate(boxes, start=1)
        ],
    }


def _path(folder: Path, part: int) -> Path:
    return folder / "predictions" / f"{part:06d}.parquet"


def _read(file: Path) -> pa.Table:
    try:
        stored = pq.read_schema(file)
        schema = WITH_ATTRIBUTES if "attributes" in stored.names else SCHEMA
        return pq.read_table(file, schema=schema).replace_schema_metadata(stored.metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{file}: no file of predictions ({why}); restore it, or name another out") from None


def _seen_in(table: pa.Table) -> Iterator[Seen]:
    columns = (table[name].to_pylist() for name in ("name", "bytes", "changed_ns", "sha256"))
    for name, size, changed, digest in zip(*columns, strict=True):
        yield (name, size, changed), digest


def _about(table: pa.Table) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(table.schema.metadata[METADATA])
    return described


def _ids_in(file: Path) -> list[int]:
    """The ids of the pictures in COCO's file; none where it is missing."""
    if not file.exists():
        return []
    return [image["id"] for image in json.loads(file.read_text(encoding="utf-8"))["images"]]


def _last_words(file: Path) -> tuple[str, str, int]:
    """Name and digest of what a killed process was reading, and how often one has died at it."""
    try:
        name, digest, times = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # nobody was, or died while writing
        return "", "", 0
    return name, digest, times
