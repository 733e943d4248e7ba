import pytest

from stages.evaluate.timing import latency, timed


def test_one_picture_is_looked_at_in_its_turn_after_a_first_that_warms_up():
    pictures, seen = ["a", "b", "c"], []
    assert latency(lambda row: seen.append(pictures[row]), len(pictures), times=4) >= 0
    assert seen == [["a"], ["b"], ["c"], ["a"], ["b"]]


def test_median_of_the_looks(monkeypatch: pytest.MonkeyPatch):
    moments = iter([0.0, 9.0, 10.0, 10.002, 20.0, 20.005, 30.0, 37.0])  # the first takes long, the last too
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    assert latency(lambda _: None, 10, times=3) == pytest.approx(5)


def test_pictures_a_second(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("time.perf_counter", iter([10.0, 10.5]).__next__)
    with timed("sorted", 200):
        pass
    assert capsys.readouterr().out == "200 pictures sorted: 400 a second\n"
