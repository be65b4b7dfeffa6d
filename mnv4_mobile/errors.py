"""The errors this package raises on purpose; everything else is a bug."""


class MobileError(Exception):
    """An error with a message for the user; the command prints it and ends with `exit_code`."""

    exit_code = 2


class ConfigError(MobileError):
    """A configuration, a flag or a combination of them that cannot be used."""


class WeightsError(MobileError):
    """A checkpoint that cannot be read or does not fit the model."""


class ImageError(MobileError):
    """A picture that cannot be read."""


class BundleError(MobileError):
    """A bundle that is incomplete, damaged or written by a newer version."""


class LoweringError(MobileError):
    """A target that refuses what was asked of it."""


class ToolchainError(MobileError):
    """A toolchain that is not installed; the message is the command that installs it."""


class ParityError(MobileError):
    """An artifact that does not compute what the PyTorch model computes."""

    exit_code = 3


class DeviceError(MobileError):
    """A device or its runtime that failed."""

    exit_code = 5
