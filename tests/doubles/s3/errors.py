"""S3's errors in AWS's words, see "Error responses" in the Amazon S3 API Reference."""

from __future__ import annotations


class S3Error(Exception):
    """One error answer: its HTTP status, its code, AWS's additions to the document, and its headers."""

    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.details = status, code, message, details


def access_denied(message: str = "Access Denied", **details: str) -> S3Error:
    return S3Error(403, "AccessDenied", message, **details)


def conflict(key: str) -> S3Error:
    message = "A conflicting conditional operation is currently in progress against this resource."
    return S3Error(409, "ConditionalRequestConflict", message, Key=key)


def deleted(key: str, version: str) -> S3Error:
    """Makes the 404 of a delete marker ("Working with delete markers", S3 User Guide)."""
    error = no_such_key(key)
    error.headers = (("x-amz-delete-marker", "true"), ("x-amz-version-id", version))
    return error


def key_too_long(key: str) -> S3Error:
    size = str(len(key.encode()))
    return S3Error(400, "KeyTooLongError", "Your key is too long", Size=size, MaxSizeAllowed="1024")


def no_such_key(key: str) -> S3Error:
    return S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)


def not_implemented(header: str) -> S3Error:
    message = "A header you provided implies functionality that is not implemented"
    return S3Error(501, "NotImplemented", message, Header=header)


def precondition_failed(condition: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error(412, "PreconditionFailed", message, Condition=condition)
