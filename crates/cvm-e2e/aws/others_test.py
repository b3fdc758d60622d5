"""DynamoDB Local and moto, as far as we lean on them: others_test.py DYNAMODB MOTO"""

import hashlib
import sys
import threading
import uuid

import boto3
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256 as Sha256
from cryptography.hazmat.primitives.serialization import load_der_public_key

DYNAMODB, MOTO = sys.argv[1:]
RACERS = 20
SHA256 = Sha256()


def refusal(call, **parameters):
    """The code of the error, or none."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def dynamodb():
    """Of writers that race under one condition, one wins."""
    client = boto3.client("dynamodb", endpoint_url=DYNAMODB)
    table = f"race-{uuid.uuid4()}"
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    put = {"TableName": table, "Item": {"pk": {"S": "a"}},
           "ConditionExpression": "attribute_not_exists(pk)"}
    outcomes = []

    def race():
        code = refusal(client.transact_write_items, TransactItems=[{"Put": put}])
        outcomes.append(code)

    racers = [threading.Thread(target=race) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert outcomes.count(None) == 1, outcomes
    assert outcomes.count("TransactionCanceledException") == RACERS - 1, outcomes
    client.delete_table(TableName=table)


def s3():
    """A key is written once."""
    client = boto3.client("s3", endpoint_url=MOTO)
    bucket = f"bucket-{uuid.uuid4()}"
    place = {"LocationConstraint": "eu-central-1"}
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    once = {"Bucket": bucket, "Key": "a", "Body": b"1", "IfNoneMatch": "*"}
    assert refusal(client.put_object, **once) is None
    assert refusal(client.put_object, **once) == "PreconditionFailed"
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


def kms():
    """A key signs digests, and what it signed verifies outside."""
    client = boto3.client("kms", endpoint_url=MOTO)
    for spec, algorithm, pad in (
        ("ECC_NIST_P256", "ECDSA_SHA_256", None),
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", padding.PKCS1v15()),
        ("RSA_2048", "RSASSA_PSS_SHA_256", padding.PSS(padding.MGF1(SHA256), 32)),
    ):
        made = client.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        asked = {"KeyId": made, "MessageType": "DIGEST", "SigningAlgorithm": algorithm}
        digest = hashlib.sha256(b"message").digest()
        signature = client.sign(Message=digest, **asked)["Signature"]
        key = load_der_public_key(client.get_public_key(KeyId=made)["PublicKey"])
        arguments = (pad, SHA256) if pad else (ec.ECDSA(SHA256),)
        key.verify(signature, b"message", *arguments)
        assert client.verify(Message=digest, Signature=signature, **asked)["SignatureValid"]
        assert refusal(client.sign, Message=b"short", **asked) == "ValidationException"


dynamodb()
s3()
kms()
