"""Why something may not be released."""


class ReleaseError(Exception):
    pass
