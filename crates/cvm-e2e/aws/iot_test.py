"""The stand-in for AWS IoT by AWS's own client, and its certificates by openssl: iot_test.py URL"""

import datetime
import json
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

URL = sys.argv.pop()
ONE_TRY = {"retries": {"total_max_attempts": 1}}
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": []})
DAY = datetime.timedelta(days=1)


def client(service, **options):
    return boto3.client(service, endpoint_url=URL, config=Config(**ONE_TRY, **options))


IOT, DATA = client("iot"), client("iot-data")


def pem(it):
    return it.public_bytes(serialization.Encoding.PEM).decode()


def name(*parts):
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def csr(key=None, subject=(), digest=hashes.SHA256()):
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(subject_name=name(*subject))
    return pem(builder.sign(key, digest))


def signed(common_name, key, issuer=None, issuer_key=None, ca=False, until=DAY):
    subject = name((NameOID.COMMON_NAME, common_name))
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - 2 * DAY).not_valid_after(now + until)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return builder.sign(issuer_key or key, hashes.SHA256())


def openssl(*arguments, text=""):
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def door(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(f"{URL}{path}", data=data, method=method)
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


class Case(unittest.TestCase):
    def refused(self, code, http, call, *arguments, **parameters):
        with self.assertRaises(ClientError) as caught:
            call(*arguments, **parameters)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], http)
        return caught.exception.response

    def tearDown(self):
        door("POST", "/_settings", {"latencyMs": 0, "quotas": {}, "detachLagMs": 0, "listLagMs": 0})
        self.assertEqual(door("GET", "/_state")["faults"], [])


class Certificates(Case):
    def test_a_certificate_has_the_key_and_the_subject_of_its_request(self):
        subject = ((NameOID.ORGANIZATION_NAME, "Lamps"), (NameOID.COMMON_NAME, "SN-1"))
        request = csr(subject=subject)
        made = IOT.create_certificate_from_csr(certificateSigningRequest=request)
        certificate = made["certificatePem"]
        self.assertEqual(openssl("x509", "-noout", "-pubkey", text=certificate),
                         openssl("req", "-noout", "-pubkey", text=request))
        self.assertEqual(openssl("x509", "-noout", "-subject", text=certificate),
                         openssl("req", "-noout", "-subject", text=request))
        fingerprint = openssl("x509", "-noout", "-fingerprint", "-sha256", text=certificate)
        self.assertEqual(fingerprint.split("=")[1].strip().replace(":", "").lower(),
                         made["certificateId"])
        self.assertEqual(made["certificateArn"],
                         f"arn:aws:iot:eu-central-1:000000000000:cert/{made['certificateId']}")
        told = IOT.describe_certificate(certificateId=made["certificateId"])
        told = told["certificateDescription"]
        self.assertEqual((told["status"], told["certificatePem"]), ("INACTIVE", certificate))
        self.assertEqual(told["validity"]["notAfter"].astimezone(datetime.UTC).year, 2049)

    def test_the_same_request_again_makes_another_certificate(self):
        request = csr()
        made = {IOT.create_certificate_from_csr(certificateSigningRequest=request)["certificateId"]
                for _ in range(2)}
        self.assertEqual(len(made), 2)

    def test_requests_that_aws_refuses_are_refused(self):
        small = rsa.generate_private_key(65537, 1024)
        lines = csr().splitlines()
        lines[-2] = lines[-2].translate(str.maketrans("abcdefg", "bcdefga"))
        for request in (
            "garbage",
            csr(small),
            csr(ed25519.Ed25519PrivateKey.generate(), digest=None),
            "\n".join(lines),
        ):
            self.refused("InvalidRequestException", 400, IOT.create_certificate_from_csr,
                         certificateSigningRequest=request)

    def test_states_move_and_an_active_or_attached_one_is_not_deleted(self):
        made = IOT.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=True)
        identifier, arn = made["certificateId"], made["certificateArn"]
        self.refused("CertificateStateException", 406, IOT.delete_certificate,
                     certificateId=identifier)
        for status in ("REVOKED", "ACTIVE", "INACTIVE"):
            IOT.update_certificate(certificateId=identifier, newStatus=status)
        self.refused("InvalidRequestException", 400, IOT.update_certificate,
                     certificateId=identifier, newStatus="PENDING_TRANSFER")
        IOT.create_thing(thingName="attached")
        IOT.attach_thing_principal(thingName="attached", principal=arn)
        self.refused("DeleteConflictException", 409, IOT.delete_certificate,
                     certificateId=identifier, forceDelete=True)
        IOT.detach_thing_principal(thingName="attached", principal=arn)
        self.refused("ResourceNotFoundException", 404, IOT.detach_thing_principal,
                     thingName="attached", principal=arn)
        IOT.create_policy(policyName="holds", policyDocument=DOCUMENT)
        IOT.attach_policy(policyName="holds", target=arn)
        self.refused("DeleteConflictException", 409, IOT.delete_certificate,
                     certificateId=identifier)
        IOT.delete_certificate(certificateId=identifier, forceDelete=True)
        self.refused("ResourceNotFoundException", 404, IOT.describe_certificate,
                     certificateId=identifier)
        states = [it for it in door("GET", "/_state")["certificates"] if it["id"] == identifier]
        self.assertEqual(states, [])

    def test_lists_are_newest_first_by_pages_and_may_lag(self):
        made = [IOT.create_certificate_from_csr(certificateSigningRequest=csr())["certificateId"]
                for _ in range(5)]
        first = IOT.list_certificates(pageSize=2)
        second = IOT.list_certificates(pageSize=2, marker=first["nextMarker"])
        listed = [it["certificateId"] for it in first["certificates"] + second["certificates"]]
        self.assertEqual(listed, made[:0:-1])
        pages = IOT.get_paginator("list_certificates").paginate(ascendingOrder=True)
        every = [it["certificateId"] for page in pages for it in page["certificates"]]
        self.assertEqual(every[-5:], made)
        door("POST", "/_settings", {"listLagMs": 600_000})
        late = IOT.create_certificate_from_csr(certificateSigningRequest=csr())["certificateId"]
        newest = IOT.list_certificates(pageSize=1)["certificates"][0]["certificateId"]
        self.assertEqual(newest, made[-1])
        self.assertEqual(IOT.describe_certificate(certificateId=late)
                         ["certificateDescription"]["status"], "INACTIVE")

    def test_certificates_of_others_are_registered_once(self):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed("other", key)
        made = IOT.register_certificate_without_ca(certificatePem=pem(certificate))
        self.assertEqual(made["certificateId"], certificate.fingerprint(hashes.SHA256()).hex())
        again = self.refused("ResourceAlreadyExistsException", 409,
                             IOT.register_certificate_without_ca, certificatePem=pem(certificate))
        self.assertEqual((again["resourceId"], again["resourceArn"]),
                         (made["certificateId"], made["certificateArn"]))
        for bad in ("garbage", pem(signed("old", key, until=-DAY)),
                    pem(certificate) + pem(signed("two", key))):
            self.refused("CertificateValidationException", 400,
                         IOT.register_certificate_without_ca, certificatePem=bad)
        self.refused("InvalidRequestException", 400, IOT.register_certificate_without_ca,
                     certificatePem=pem(signed("new", key)), status="REGISTER_INACTIVE")


class Authorities(Case):
    def test_a_ca_is_registered_with_the_code_and_takes_certificates_while_active(self):
        key, device = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca = signed("our CA", key, ca=True)
        code = IOT.get_registration_code()["registrationCode"]
        wrong = signed("not the code", device, ca.subject, key)
        self.refused("RegistrationCodeValidationException", 400, IOT.register_ca_certificate,
                     caCertificate=pem(ca), verificationCertificate=pem(wrong))
        forged = signed(code, device)
        self.refused("CertificateValidationException", 400, IOT.register_ca_certificate,
                     caCertificate=pem(ca), verificationCertificate=pem(forged))
        proof = signed(code, device, ca.subject, key)
        made = IOT.register_ca_certificate(
            caCertificate=pem(ca), verificationCertificate=pem(proof),
            tags=[{"Key": "verifier", "Value": "records"}])
        self.refused("ResourceAlreadyExistsException", 409, IOT.register_ca_certificate,
                     caCertificate=pem(ca), verificationCertificate=pem(proof))
        leaf = pem(signed("leaf", device, ca.subject, key))
        self.refused("CertificateStateException", 406, IOT.register_certificate,
                     certificatePem=leaf, caCertificatePem=pem(ca))
        IOT.update_ca_certificate(certificateId=made["certificateId"], newStatus="ACTIVE")
        IOT.register_certificate(certificatePem=leaf, caCertificatePem=pem(ca), status="INACTIVE")
        theirs = IOT.list_certificates_by_ca(caCertificateId=made["certificateId"])["certificates"]
        told = IOT.describe_certificate(certificateId=theirs[0]["certificateId"])
        self.assertEqual(told["certificateDescription"]["caCertificateId"], made["certificateId"])
        tags = IOT.list_tags_for_resource(resourceArn=made["certificateArn"])["tags"]
        self.assertEqual(tags, [{"Key": "verifier", "Value": "records"}])
        told = IOT.describe_ca_certificate(certificateId=made["certificateId"])
        self.assertEqual(told["certificateDescription"]["status"], "ACTIVE")
        self.refused("CertificateValidationException", 400, IOT.register_certificate,
                     certificatePem=pem(signed("stranger", device)))
        self.refused("InvalidRequestException", 400, IOT.tag_resource, tags=[{"Key": "a"}],
                     resourceArn=IOT.create_certificate_from_csr(
                         certificateSigningRequest=csr())["certificateArn"])


class Things(Case):
    def test_a_thing_again_is_the_same_and_with_other_attributes_refused(self):
        attributes = {"attributes": {"RegistrationWay": "CVM"}}
        first = IOT.create_thing(thingName="lamp", attributePayload=attributes)
        again = IOT.create_thing(thingName="lamp", attributePayload=attributes)
        self.assertEqual(first["thingId"], again["thingId"])
        other = self.refused("ResourceAlreadyExistsException", 409, IOT.create_thing,
                             thingName="lamp")
        self.assertEqual(other["resourceArn"], first["thingArn"])
        IOT.update_thing(thingName="lamp", expectedVersion=1, attributePayload={
            "attributes": {"line": "2", "RegistrationWay": ""}, "merge": True})
        told = IOT.describe_thing(thingName="lamp")
        self.assertEqual((told["attributes"], told["version"]), ({"line": "2"}, 2))
        self.refused("VersionConflictException", 409, IOT.update_thing, thingName="lamp",
                     expectedVersion=1)

    def test_names_and_attributes_have_aws_limits(self):
        four = {"attributes": {str(number): "x" for number in range(4)}}
        loose = client("iot", parameter_validation=False)
        for parameters in (
            {"thingName": "a b"},
            {"thingName": "a" * 129},
            {"thingName": "a", "attributePayload": four},
            {"thingName": "a", "attributePayload": {"attributes": {"b": "c d"}}},
            {"thingName": "a", "attributePayload": {"attributes": {"b": "c" * 801}}},
        ):
            self.refused("InvalidRequestException", 400, loose.create_thing, **parameters)
        self.refused("ResourceNotFoundException", 404, IOT.create_thing, thingName="a",
                     thingTypeName="none")
        self.refused("ResourceNotFoundException", 404, IOT.describe_thing, thingName="a")

    def test_principals_hold_a_thing_until_their_detachment_has_spread(self):
        made = IOT.create_certificate_from_csr(certificateSigningRequest=csr())
        arn = made["certificateArn"]
        for thing in ("one", "two"):
            IOT.create_thing(thingName=thing)
        self.refused("ResourceNotFoundException", 404, IOT.attach_thing_principal,
                     thingName="three", principal=arn)
        self.refused("ResourceNotFoundException", 404, IOT.attach_thing_principal,
                     thingName="one", principal=arn[:-1] + "g")
        for _ in range(2):
            IOT.attach_thing_principal(thingName="one", principal=arn,
                                       thingPrincipalType="EXCLUSIVE_THING")
        self.refused("InvalidRequestException", 400, IOT.attach_thing_principal,
                     thingName="two", principal=arn)
        self.assertEqual(IOT.list_thing_principals(thingName="one")["principals"], [arn])
        self.assertEqual(IOT.list_principal_things(principal=arn)["things"], ["one"])
        self.refused("InvalidRequestException", 400, IOT.delete_thing, thingName="one")
        door("POST", "/_settings", {"detachLagMs": 600_000})
        IOT.detach_thing_principal(thingName="one", principal=arn)
        self.refused("InvalidRequestException", 400, IOT.delete_thing, thingName="one")
        for _ in range(2):
            IOT.delete_thing(thingName="two")


class Policies(Case):
    def test_policies_are_made_once_attached_and_listed(self):
        arn = IOT.create_certificate_from_csr(certificateSigningRequest=csr())["certificateArn"]
        IOT.create_policy(policyName="p", policyDocument=DOCUMENT)
        self.refused("ResourceAlreadyExistsException", 409, IOT.create_policy, policyName="p",
                     policyDocument=DOCUMENT)
        self.refused("MalformedPolicyException", 400, IOT.create_policy, policyName="q",
                     policyDocument="{")
        self.refused("ResourceNotFoundException", 404, IOT.attach_policy, policyName="q", target=arn)
        for _ in range(2):
            IOT.attach_policy(policyName="p", target=arn)
        listed = IOT.list_attached_policies(target=arn)["policies"]
        self.assertEqual([it["policyName"] for it in listed], ["p"])
        self.assertEqual(IOT.list_targets_for_policy(policyName="p")["targets"], [arn])
        self.assertEqual(IOT.get_policy(policyName="p")["policyDocument"], DOCUMENT)
        self.refused("DeleteConflictException", 409, IOT.delete_policy, policyName="p")
        for _ in range(2):
            IOT.detach_policy(policyName="p", target=arn)
        IOT.delete_policy(policyName="p")

    def test_a_principal_has_ten_policies_at_most(self):
        arn = IOT.create_certificate_from_csr(certificateSigningRequest=csr())["certificateArn"]
        for number in range(11):
            IOT.create_policy(policyName=f"many-{number}", policyDocument=DOCUMENT)
        for number in range(10):
            IOT.attach_policy(policyName=f"many-{number}", target=arn)
        self.refused("LimitExceededException", 410, IOT.attach_policy, policyName="many-10",
                     target=arn)


class DataPlane(Case):
    def test_connections_end_once(self):
        self.refused("ResourceNotFoundException", 404, DATA.delete_connection, clientId="lamp")
        door("POST", "/_connections", {"clientId": "lamp"})
        DATA.delete_connection(clientId="lamp")
        self.assertEqual(door("GET", "/_state")["disconnected"], ["lamp"])

    def test_shadows_merge_and_have_versions(self):
        self.refused("ResourceNotFoundException", 404, DATA.get_thing_shadow, thingName="s")
        for state in ({"desired": {"a": {"b": 1, "c": 2}}}, {"desired": {"a": {"b": None}}}):
            DATA.update_thing_shadow(thingName="s", payload=json.dumps({"state": state}))
        told = json.load(DATA.get_thing_shadow(thingName="s")["payload"])
        self.assertEqual((told["state"], told["version"]), ({"desired": {"a": {"c": 2}}}, 2))
        self.refused("ConflictException", 409, DATA.update_thing_shadow, thingName="s",
                     payload=json.dumps({"state": {}, "version": 1}))
        self.refused("InvalidRequestException", 400, DATA.update_thing_shadow, thingName="s",
                     payload="{")

    def test_the_endpoint_stays_the_same(self):
        told = {IOT.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
                for _ in range(2)}
        self.assertEqual(told, {"a1b2c3d4e5f6g7-ats.iot.eu-central-1.amazonaws.com"})


class Gate(Case):
    def test_a_call_needs_its_signature(self):
        self.refused("MissingAuthenticationTokenException", 403,
                     client("iot", signature_version=UNSIGNED).list_things)
        session = boto3.Session(aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                                aws_secret_access_key="another", region_name="eu-central-1")
        stranger = session.client("iot", endpoint_url=URL)
        self.refused("InvalidSignatureException", 403, stranger.list_things)

    def test_calls_above_a_quota_are_throttled(self):
        door("POST", "/_settings", {"quotas": {"DescribeEndpoint": 0}})
        self.refused("ThrottlingException", 400, IOT.describe_endpoint)

    def test_a_hundred_callers_at_once_lose_nothing(self):
        before = len(door("GET", "/_state")["certificates"])
        request = csr()

        def make():
            for _ in range(5):
                IOT.create_certificate_from_csr(certificateSigningRequest=request)

        callers = [threading.Thread(target=make) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(len(door("GET", "/_state")["certificates"]), before + 100)


class Models(unittest.TestCase):
    def test_what_the_model_does_not_know_is_a_fault(self):
        # Known to AWS, unknown to the stand-in: told as such, and kept.
        with self.assertRaises(ClientError) as caught:
            client("iot").list_jobs()
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 500)
        self.assertIn("ListJobs", door("GET", "/_state")["faults"][-1])


if __name__ == "__main__":
    # The last one leaves a fault behind, as it should: in the order of the file.
    loader = unittest.TestLoader()
    classes = (Certificates, Authorities, Things, Policies, DataPlane, Gate, Models)
    every = unittest.TestSuite(loader.loadTestsFromTestCase(it) for it in classes)
    done = unittest.TextTestRunner(verbosity=2).run(every)
    sys.exit(not done.wasSuccessful())
