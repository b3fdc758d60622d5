// A certificate request (PKCS #10, RFC 2986), which node:crypto cannot make.
//
// In DER each value is a tag, a length, and contents. The request holds an empty subject, since the
// server takes names from its registry, and the public key, which Node exports as it has to be.

import { createPublicKey, sign } from "node:crypto";

const [INTEGER, BIT_STRING, SEQUENCE, ATTRIBUTES] = [0x02, 0x03, 0x30, 0xa0];
/** AlgorithmIdentifier of ecdsa-with-SHA256 (1.2.840.10045.4.3.2), which has no parameters. */
const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");

/** One value. From 128 on a length is the number of its bytes, with the top bit set, and these. */
function der(tag, ...parts) {
    const contents = Buffer.concat(parts);
    const size = contents.length;
    let head = [size];
    if (size >= 0x80) head = [0x81, size];
    if (size >= 0x100) head = [0x82, size >> 8, size & 0xff];
    return Buffer.concat([Buffer.from([tag, ...head]), contents]);
}

/** The request in PEM for a private key on P-256. */
export function certificateRequest(key) {
    const version = der(INTEGER, Buffer.from([0]));
    const subject = der(SEQUENCE);
    const spki = createPublicKey(key).export({ type: "spki", format: "der" });
    const info = der(SEQUENCE, version, subject, spki, der(ATTRIBUTES));
    const unusedBits = Buffer.from([0]);
    const signature = der(BIT_STRING, unusedBits, sign("sha256", info, key));
    const request = der(SEQUENCE, info, ECDSA_WITH_SHA256, signature);
    const lines = request.toString("base64").match(/.{1,64}/g);
    const label = "CERTIFICATE REQUEST-----";
    return [`-----BEGIN ${label}`, ...lines, `-----END ${label}`, ""].join("\n");
}
