"""The reason for which something may not be released."""


class ReleaseError(Exception):
    pass
