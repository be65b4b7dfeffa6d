"""Fixtures of a browser's server and its pages."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from mnv4_mobile.measuring.devices.browser import BrowserKind
from mnv4_mobile.progress import Progress
from tests.measuring.devices.browser_client import PATIENCE, PLAN, Client, Subject
from tests.notes import Notes


@pytest.fixture
def opened():
    """A function that serves, joins with clients, and gives them with their devices."""
    devices = []

    def run(address="", pages=1, cookie=None):
        heard = Notes()
        kind = BrowserKind(patience=PATIENCE)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(kind.connect, address, None, heard)
            while not heard.notes:
                time.sleep(0.01)
            url = next(word for word in heard.notes[0].split() if word.startswith("http"))
            clients = [Client(url, cookie=cookie) for _ in range(pages)]
            assert [client.join()[0] for client in clients] == [200] * pages
            found = waiting.result()
        devices.extend(found)
        return SimpleNamespace(url=url, clients=clients, devices=found, said=heard.notes)

    yield run
    for device in devices:
        device.close()


@pytest.fixture
def measuring(opened, tmp_path):
    """A page with a session: its job, and what will come of it."""
    run = opened()
    with ThreadPoolExecutor() as pool:

        def begin():
            device = run.devices[0]
            found = pool.submit(device.measure, Subject(tmp_path), PLAN, Progress())
            return run.clients[0].job(), found

        job, found = begin()
        yield SimpleNamespace(client=run.clients[0], job=job, found=found, begin=begin, run=run)
