"""Fills disks."""

import os


def fill(disk, left):
    """Fills a disk but for some bytes."""
    space = os.statvfs(disk)
    (disk / "fill").write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - left)))
