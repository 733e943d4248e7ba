import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from darkroom.base.errors import DarkroomError
from darkroom.cli.main import Exit, run_command
from darkroom.raw_data.fetching import NoSourceError, RawDataError, WrongFileError, fetch_all

CONTENTS = {
    "t10k-labels-idx1-ubyte": bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 0]),
    "train-labels-idx1-ubyte": bytes([0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2]),
}


def dvc(repo, *arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=repo, check=True, capture_output=True, text=True).stdout


def git(repo, *arguments):
    return subprocess.run(["git", *arguments], cwd=repo, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A git and DVC repository with one .dvc file, committed, and none of its data."""
    repo = tmp_path_factory.mktemp("template")
    git(repo, "init", "-q")
    dvc(repo, "init", "-q")
    folder = repo / "data/raw/tiny"
    folder.mkdir(parents=True)
    (folder / ".gitignore").write_text("".join(f"/{name}\n" for name in CONTENTS))
    outs = [
        {"md5": hashlib.md5(content).hexdigest(), "size": len(content), "hash": "md5", "path": f"tiny/{name}"}
        for name, content in CONTENTS.items()
    ]
    sources = {"debian": {"package": "no-such-package", "path": "/nowhere/{name}.gz"}}
    document = {"outs": outs, "meta": {"sources": sources}}
    (repo / "data/raw/tiny.dvc").write_text("# why\n" + yaml.safe_dump(document, sort_keys=False))
    git(repo, "add", "-A")
    git(repo, "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "tiny")
    return repo


@pytest.fixture
def repo(template, tmp_path, monkeypatch):
    monkeypatch.delenv("DARKROOM_DATA", raising=False)
    # no apt-get in reach: the tests do not depend on the machine's package archive
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/git").symlink_to(shutil.which("git", path="/usr/bin:/bin:/usr/local/bin"))
    return shutil.copytree(template, tmp_path / "repo")


@pytest.fixture
def folder(tmp_path):
    """What a user may have: one file gzipped, one as it is."""
    given = tmp_path / "given"
    given.mkdir()
    packed, plain = CONTENTS
    (given / f"{packed}.gz").write_bytes(gzip.compress(CONTENTS[packed]))
    (given / plain).write_bytes(CONTENTS[plain])
    return given


def set_debian_path(repo, path):
    dvc_file = repo / "data/raw/tiny.dvc"
    dvc_file.write_text(dvc_file.read_text().replace("/nowhere/{name}.gz", path))


def files(repo):
    return {path.name: path.read_bytes() for path in (repo / "data/raw/tiny").glob("[!.]*")}


def origins(fetched):
    return {one.path.name: one.origin for one in fetched}


@pytest.mark.slow
def test_files_are_found_in_each_place_in_turn(repo, folder, tmp_path):
    remarks = []
    # 1. the user's folder; DVC then knows the files and git sees no change
    assert set(origins(fetch_all(repo, folder=folder)).values()) == {f"folder {folder}"}
    assert files(repo) == CONTENTS
    assert "up to date" in dvc(repo, "status")
    assert git(repo, "status", "--porcelain") == ""
    # 2. in place
    assert set(origins(fetch_all(repo)).values()) == {"in place"}
    # 3. DVC's cache
    shutil.rmtree(repo / "data/raw/tiny")
    git(repo, "checkout", "data/raw/tiny")
    assert set(origins(fetch_all(repo)).values()) == {"DVC's cache"}
    assert files(repo) == CONTENTS
    # 4. a DVC remote, with the cache gone
    dvc(repo, "remote", "add", "-d", "store", str(tmp_path / "store"))
    dvc(repo, "push", "-q")
    for name in CONTENTS:
        (repo / "data/raw/tiny" / name).unlink()
    shutil.rmtree(repo / ".dvc/cache")
    assert set(origins(fetch_all(repo, remark=remarks.append)).values()) == {"a DVC remote"}
    assert files(repo) == CONTENTS
    assert remarks == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "complaint"), [("store-of-nothing", "lacks t10k"), ("http://127.0.0.1:1/store", "")]
)
def test_remote_that_fails_is_remarked_and_the_next_source_asked(
    repo, folder, monkeypatch, address, complaint
):
    dvc(repo, "remote", "add", "-d", "store", address)
    monkeypatch.setenv("DARKROOM_DATA", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    remarks = []
    assert set(origins(fetch_all(repo, remark=remarks.append)).values()) == {f"folder {folder}"}
    assert remarks
    assert all(remark.startswith("a DVC remote: ") for remark in remarks)
    assert complaint in remarks[0]


@pytest.mark.slow
def test_what_dvc_says_of_a_remote_is_remarked(repo, folder):
    dvc(repo, "remote", "add", "store", "store-of-nothing")
    with (repo / ".dvc/config").open("a") as config:
        config.write("[core]\n    remote = nowhere\n")
    remarks = []
    assert set(origins(fetch_all(repo, folder=folder, remark=remarks.append)).values()) == {
        f"folder {folder}"
    }
    assert remarks
    assert all("remote 'nowhere' doesn't exist" in remark for remark in remarks[:2])


@pytest.mark.slow
def test_folder_that_lacks_a_file_is_helped_out_by_the_next_source(repo, folder):
    packed, plain = CONTENTS
    (folder / f"{packed}.gz").rename(folder.parent / f"{packed}.gz")
    set_debian_path(repo, f"{folder.parent}/{{name}}.gz")
    remarks = []
    fetched = fetch_all(repo, folder=folder, remark=remarks.append)
    assert origins(fetched) == {packed: "Debian package no-such-package", plain: f"folder {folder}"}
    assert remarks == [f"folder {folder}: holds neither {packed} nor {packed}.gz"]


@pytest.mark.slow
def test_flipped_bit_in_the_users_folder_ends_it_with_nothing_left(repo, folder):
    packed = next(iter(CONTENTS))
    wrong = bytes([*CONTENTS[packed][:-1], CONTENTS[packed][-1] ^ 4])
    (folder / f"{packed}.gz").write_bytes(gzip.compress(wrong))
    with pytest.raises(WrongFileError) as raised:
        fetch_all(repo, folder=folder)
    for part in (packed, hashlib.md5(wrong).hexdigest(), hashlib.md5(CONTENTS[packed]).hexdigest()):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)
    assert files(repo) == {}


def test_wrong_file_in_place_is_refused_and_left_alone(repo, folder):
    name, right = next(iter(CONTENTS.items()))
    wrong = bytes([right[0] ^ 1]) + right[1:]
    (repo / "data/raw/tiny" / name).write_bytes(wrong)
    with pytest.raises(WrongFileError) as raised:
        fetch_all(repo, folder=folder)
    for part in (name, hashlib.md5(wrong).hexdigest(), hashlib.md5(right).hexdigest(), "delete"):
        assert part in str(raised.value)
    assert files(repo) == {name: wrong}


@pytest.mark.slow
def test_wrong_file_of_a_source_not_chosen_by_the_user_is_remarked(repo, tmp_path):
    for name in CONTENTS:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"wrong"))
    set_debian_path(repo, f"{tmp_path}/{{name}}.gz")
    remarks = []
    with pytest.raises(NoSourceError):
        fetch_all(repo, remark=remarks.append)
    assert [hashlib.md5(b"wrong").hexdigest() in remark for remark in remarks] == [True, True]
    assert files(repo) == {}


@pytest.mark.slow
def test_where_nothing_can_be_reached_the_ways_to_go_are_listed(repo):
    remarks = []
    with pytest.raises(NoSourceError) as raised:
        fetch_all(repo, remark=remarks.append)
    for part in (*CONTENTS, "--from", "no-such-package", "dvc remote add"):
        assert part in str(raised.value)
    assert remarks == ["Debian package no-such-package: not installed, and this system has no apt-get"]


@pytest.mark.slow
def test_folder_that_does_not_exist(repo, tmp_path):
    with pytest.raises(RawDataError, match="no such folder"):
        fetch_all(repo, folder=tmp_path / "absent")


def test_unknown_source_is_named(repo):
    dvc_file = repo / "data/raw/tiny.dvc"
    dvc_file.write_text(dvc_file.read_text().replace("debian:", "debain:"))
    with pytest.raises(RawDataError, match=r"tiny\.dvc: meta\.sources\.debain: "):
        fetch_all(repo)


def test_dvc_file_without_sources_is_nobodys_business(repo):
    (repo / "data/raw/tiny.dvc").write_text("outs:\n- md5: 0123.dir\n  path: tiny\n")
    assert fetch_all(repo) == []


MD5 = "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no .dvc file"),
        (b"- a list\n", "no .dvc file"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"outs: [\n", "line 2: "),
        (b"outs: {a: [}\n", "line 1: "),
        (b"x: 2026-13-45\n", "is no YAML"),
        (b"[" * 5000, "tiny.dvc: "),
        (b"outs: []\nmeta: {sources: {}}\n", "outs: "),
        (b"meta: &m {sources: *m}\nouts: []\n", "outs: "),
        (b"outs: [{md5: 12, path: a}]\nmeta: {sources: {}}\n", "outs.0.md5: "),
        (b"outs: [{md5: %MD5%.dir, path: a}]\nmeta: {sources: {}}\n", "outs.0.md5: "),
        (b"outs: [{md5: %MD5%, path: a, size: -1}]\nmeta: {sources: {}}\n", "outs.0.size: "),
        (b"outs: [{md5: %MD5%, path: a, size: big}]\nmeta: {sources: {}}\n", "outs.0.size: "),
        (b"outs: [{md5: %MD5%, path: ''}]\nmeta: {sources: {}}\n", "outs.0.path: "),
        (b'outs: [{md5: %MD5%, path: "a\\0b"}]\nmeta: {sources: {}}\n', "outs.0.path: "),
        (b'outs: [{md5: %MD5%, path: "a\\nb"}]\nmeta: {sources: {}}\n', "outs.0.path: "),
        (b"outs: [{md5: %MD5%, path: /tmp/a}]\nmeta: {sources: {}}\n", "leaves the repository"),
        (b"outs: [{md5: %MD5%, path: ../../../a}]\nmeta: {sources: {}}\n", "leaves the repository"),
        (b"wdir: ../../..\nouts: [{md5: %MD5%, path: a}]\nmeta: {sources: {}}\n", "leaves the repository"),
        (b"outs: [{md5: %MD5%, path: out/a}]\nmeta: {sources: {}}\n", "leaves the repository"),
        (b"outs: [{md5: %MD5%, path: a}]\nmeta: {sources: {url: 'file:///x'}}\n", "meta.sources.url: "),
        (b"outs: [{md5: %MD5%, path: a}]\nmeta: {sources: {url: 7}}\n", "meta.sources.url: "),
        (
            b"outs: [{md5: %MD5%, path: a}]\nmeta: {sources: {debian: {package: -o, path: /a}}}\n",
            "meta.sources.debian.package: ",
        ),
    ],
)
def test_a_broken_dvc_file_is_one_line_that_names_it(repo, tmp_path, text, said):
    (repo / "data/raw/out").symlink_to(tmp_path)
    (repo / "data/raw/tiny.dvc").write_bytes(text.replace(b"%MD5%", MD5.encode()))
    with pytest.raises(DarkroomError) as raised:
        fetch_all(repo)
    assert said in str(raised.value)
    assert "tiny.dvc: " in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_what_is_no_file_in_place_of_one_is_not_waited_for(repo):
    os.mkfifo(repo / "data/raw/tiny" / next(iter(CONTENTS)))
    with pytest.raises(WrongFileError, match="is no file; move it"):
        fetch_all(repo)
    (repo / "data/raw/folder.dvc").mkdir()
    with pytest.raises(WrongFileError, match="is no file; move it"):
        fetch_all(repo)


@pytest.mark.slow
def test_a_brace_in_an_address_is_a_brace(repo):
    dvc_file = repo / "data/raw/tiny.dvc"
    before, _, _ = dvc_file.read_text().partition("meta:")
    dvc_file.write_text(before + "meta: {sources: {url: 'http://127.0.0.1:1/{x}/{name}?{}'}}\n")
    with pytest.raises(NoSourceError, match=r"make http://127\.0\.0\.1:1/\{x\}/ reachable"):
        fetch_all(repo, folder=None)


@pytest.mark.slow
def test_programs_get_the_files_as_json_and_people_the_remarks_beside_it(repo, folder, monkeypatch, capsys):
    monkeypatch.chdir(repo)
    (folder / "train-labels-idx1-ubyte").unlink()
    assert run_command(["fetch", "--json", "--from", str(folder)]) == Exit.WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert "holds neither train-labels" in err
    (folder / "train-labels-idx1-ubyte").write_bytes(CONTENTS["train-labels-idx1-ubyte"])
    assert run_command(["fetch", "--json", "--from", str(folder)]) == Exit.WELL
    told = {one["path"]: one["origin"] for one in json.loads(capsys.readouterr().out)}
    assert told == {
        "data/raw/tiny/t10k-labels-idx1-ubyte": "in place",
        "data/raw/tiny/train-labels-idx1-ubyte": f"folder {folder}",
    }
