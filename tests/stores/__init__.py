"""`make stores`: S3 servers that can be had, or one of the user's own, behind the real edge and signer."""
