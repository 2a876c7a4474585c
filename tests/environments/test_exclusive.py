"""Guards environments/exclusive.py."""

from __future__ import annotations

import threading

from stemscribe.environments.exclusive import exclusive


def test_the_second_waits_for_the_first(tmp_path):
    order, waiting = [], threading.Event()

    def second():
        with exclusive(tmp_path / "lock", waiting=waiting.set):
            order.append("second")

    with exclusive(tmp_path / "lock", waiting=lambda: order.append("waited in vain")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_it_is_released_by_an_error(tmp_path):
    for _ in range(2):
        try:
            with exclusive(tmp_path / "lock", waiting=lambda: None):
                raise KeyError
        except KeyError:
            pass
