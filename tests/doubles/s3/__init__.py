"""S3 in parts: signatures, operations, objects, multipart uploads, errors and answers."""
