"""S3's errors in AWS's words, see "Error responses" in the Amazon S3 API Reference."""

from __future__ import annotations


class S3Error(Exception):
    """One error answer: its HTTP status, its code, and AWS's additions to the document."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.details = status, code, message, details


def access_denied(message: str = "Access Denied", **details: str) -> S3Error:
    return S3Error(403, "AccessDenied", message, **details)


def no_such_key(key: str) -> S3Error:
    return S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)


def not_implemented(header: str) -> S3Error:
    message = "A header you provided implies functionality that is not implemented"
    return S3Error(501, "NotImplemented", message, Header=header)


def precondition_failed(condition: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error(412, "PreconditionFailed", message, Condition=condition)
