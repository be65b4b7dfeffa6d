"""`mnv4 devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, show_next

if TYPE_CHECKING:
    from mnv4_mobile.measuring.device import Attached


def devices(as_json: Json = False, quiet: Quiet = False) -> None:
    """Lists the devices that are attached, and what is missing to use them."""
    from mnv4_mobile.measuring.device import all_attached

    found = all_attached()
    if as_json:
        print_json({"devices": found})
        return
    print_table(["device", "model", "SoC", "OS", "state"], [_row(one) for one in found])
    phones = [one.address for one in found if one.address.startswith(("adb:", "ssh:")) and one.info]
    show_next(["sweep", "quick", "-d", phones[0] if phones else "host"], hidden=quiet)


def _row(one: Attached) -> list[str]:
    info = one.info
    about = [info.model, info.soc, info.os_build] if info else ["", "", ""]
    return [one.address, *about, one.missing or "ready"]
