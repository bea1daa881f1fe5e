"""The policies and the lifecycle rule of envoy/aws: no right too many, none too few, in AWS's own form."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import yaml
from botocore.validate import ParamValidator

from stack.render import CHECKOUT

AWS = CHECKOUT / "envoy" / "aws"
KEYS = "arn:aws:s3:::my-bucket/*"


def statements(name: str) -> list[dict[str, Any]]:
    policy = json.loads((AWS / name).read_text())
    assert policy["Version"] == "2012-10-17"
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return policy["Statement"]


def rights(name: str) -> set[tuple[str, str]]:
    found = set()
    for statement in statements(name):
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            found.add((action, statement["Resource"]))
    return found


def test_the_reader_reads() -> None:
    assert rights("reader.json") == {("s3:GetObject", KEYS), ("s3:ListBucket", "arn:aws:s3:::my-bucket")}


def test_the_writer_writes_objects_and_sees_whether_they_exist() -> None:
    """To AWS all calls that the signer lets through are PutObject's right, except for HEAD and Abort."""
    writes = {"s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"}
    lists = {("s3:ListBucket", "arn:aws:s3:::my-bucket")}
    assert rights("writer.json") == {(action, KEYS) for action in writes} | lists


def test_a_bucket_that_is_read_without_a_signature_is_read_by_a_network() -> None:
    (statement,) = statements("bucket-policy.json")
    assert (statement["Action"], statement["Resource"]) == ("s3:GetObject", KEYS)
    assert statement["Condition"]["StringEquals"]["aws:SourceVpce"]


def test_each_role_takes_the_token_of_its_own_container() -> None:
    overlay = yaml.safe_load((CHECKOUT / "envoy/kubernetes/components/irsa/kustomization.yaml").read_text())
    pod = yaml.safe_load(overlay["patches"][0]["patch"])["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        (source,) = volume["projected"]["sources"]
        (statement,) = statements(f"trust-{volume['name']}.json")
        trusted = statement["Condition"]["StringEquals"]
        audience = next(value for name, value in trusted.items() if name.endswith(":aud"))
        assert source["serviceAccountToken"]["audience"] == audience == f"mirror-on-miss-{volume['name']}"


def test_aws_takes_the_lifecycle_rule() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    shape = model.operation_model("PutBucketLifecycleConfiguration").input_shape
    rule = json.loads((AWS / "lifecycle.json").read_text())
    report = ParamValidator().validate({"Bucket": "my-bucket", "LifecycleConfiguration": rule}, shape)
    assert not report.has_errors(), report.generate_report()
    assert rule["Rules"][0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
