"""A progress that keeps what the user should know or do."""

from mnv4_mobile.progress import Progress


class Notes(Progress):
    """Puts every note and every request into a list."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    ask = note
