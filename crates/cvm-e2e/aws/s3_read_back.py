"""What lies in a bucket, read back with boto3: each object's encryption and content, as JSON."""

import base64
import json
import sys

import boto3
from botocore.config import Config


def main(endpoint, bucket):
    path_style = Config(s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint, config=path_style)
    objects = {}
    for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        got = s3.get_object(Bucket=bucket, Key=found["Key"])
        objects[found["Key"]] = {
            "encryption": got.get("ServerSideEncryption"),
            "encryptionKey": got.get("SSEKMSKeyId"),
            "content": base64.b64encode(got["Body"].read()).decode(),
        }
    print(json.dumps(objects))


main(*sys.argv[1:])
