"""What a page says about its phone, and the text that it sends."""

import pytest

from mnv4_mobile.measuring.devices.browser.about import About, device_info, text


@pytest.mark.parametrize(
    ("agent", "model", "os_build"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, "
            "like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "iPhone",
            "iOS 17.5.1, Safari 17.5",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
            "Mobile",
            "Android 14, Firefox 127.0",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) "
            "SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36",
            "SM-S911B",
            "Android 13, Samsung Internet 24.0",
        ),
        ("curl/8", "unknown", ""),
    ],
)
def test_a_phone_by_its_user_agent(agent, model, os_build):
    found = device_info("s", About(user_agent=agent, cores=8))
    assert (found.model, found.os_build, found.cores) == (model, os_build, 8)


def test_hints_know_better_and_are_cleaned():
    told = About(
        user_agent="Android 10; K)",
        model="Pixel 8\x1b[31m",
        platform="Android 14",
        browser="Chrome 126",
    )
    found = device_info("s", told)
    assert (found.model, found.os_build, found.cores) == (
        "Pixel 8 [31m",
        "Android 14, Chrome 126",
        None,
    )
    assert found.id == device_info("s", About()).id != device_info("t", About()).id


def test_text_is_fit_for_a_terminal():
    assert text(" a\nb\u202e " * 100, 5) == "a b"
    assert text(None) == "None"
