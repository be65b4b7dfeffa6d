"""Makes docs/images/android-*.png from the screens that `make android` drew.

    python -m tools.android_screens

The app's tests draw every screen by day and by night into android_demo/check/target; look at the
pictures before you keep them.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
SCREENS = ROOT / "android_demo" / "check" / "target" / "fixtures" / "screens"
UPRIGHT = ("camera", "refused", "models", "photo", "benchmark")
TURNED = ("camera-turned", "photo-turned")
GAP = 48
SCALE = 2
"""The number of screen pixels per page pixel, in each direction."""
BEHIND = {"day": (228, 232, 230), "night": (38, 44, 42)}


def sheet(names: tuple[str, ...], light: str) -> Image.Image:
    """Returns an image of the screens side by side."""
    screens = [Image.open(SCREENS / f"{name}-{light}.png").convert("RGB") for name in names]
    width = sum(screen.width + GAP for screen in screens) + GAP
    page = Image.new("RGB", (width, max(s.height for s in screens) + 2 * GAP), BEHIND[light])
    left = GAP
    for screen in screens:
        page.paste(screen, (left, GAP))
        left += screen.width + GAP
    return page.resize((page.width // SCALE, page.height // SCALE), Image.Resampling.LANCZOS)


def main() -> None:
    for light in BEHIND:
        sheet(UPRIGHT, light).save(ROOT / "docs" / "images" / f"android-{light}.png", optimize=True)
    sheet(TURNED, "day").save(ROOT / "docs" / "images" / "android-turned.png", optimize=True)


if __name__ == "__main__":
    main()
