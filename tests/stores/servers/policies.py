"""What an identity with less rights may do, as a policy in AWS's language."""

from __future__ import annotations

import json

from .local import BUCKET

READ = ["s3:GetObject"]
LIST = ["s3:ListBucket"]


def policy(actions: list[str], principal: str | None = None) -> str:
    """Grants actions on the bucket and its objects, in a policy of the bucket or of an identity."""
    resources = {"s3:ListBucket": f"arn:aws:s3:::{BUCKET}"}
    statements = [
        {
            "Effect": "Allow",
            **({"Principal": {"AWS": [principal]}} if principal else {}),
            "Action": [action],
            "Resource": [resources.get(action, f"arn:aws:s3:::{BUCKET}/*")],
        }
        for action in actions
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
