"""How far a command is: a line written over on a terminal; elsewhere a line each time the work has doubled."""

from __future__ import annotations

from typing import TextIO


class ProgressLine:
    """Shows the work's own words; `stream` is where the command's answer goes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown = 0
        self._next = 1

    def show(self, text: object, step: int) -> None:
        """Show how far it is; `step` counts what was shown or could have been, from 1."""
        if self._is_terminal:
            self._stream.write(f"\r{text!s:<{self._shown}}")
            self._stream.flush()
            self._shown = len(str(text))
        elif step >= self._next:
            self._next = step * 2
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def end(self, text: str) -> None:
        """Show what it came to."""
        begin = "\r" if self._is_terminal and self._shown else ""
        self._stream.write(f"{begin}{text:<{self._shown}}\n")
