"""An interpreter of saved ML Programs: computes what Core ML would, on any system.

`Program` reads an .mlpackage from its bytes on disk and runs it with numpy; neither coremltools'
converters nor torch is imported.
"""

from mnv4_coreml.mil.program import Port, Program

__all__ = ["Port", "Program"]
