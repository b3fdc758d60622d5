"""What an operator makes before `cvm init`: a bucket and a key that signs. Prints the key's ARN:
s3_and_kms_make.py URL BUCKET KEYSPEC"""

import sys

import boto3
from botocore.config import Config

url, bucket, spec = sys.argv[1:]
config = Config(s3={"addressing_style": "path"})
s3 = boto3.client("s3", endpoint_url=url, config=config)
place = {"LocationConstraint": s3.meta.region_name}
s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
kms = boto3.client("kms", endpoint_url=url)
print(kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"])
