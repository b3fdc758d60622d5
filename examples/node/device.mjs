#!/usr/bin/env node
// A device's certificate with Node's standard library alone: the first one, and the next one when
// it is time. Run it at boot and every hour; it may be cut off anywhere, and goes on the next time.
//
//   device.mjs SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY
//
// Exit codes: 0 done, 1 refused, 2 usage, 75 try later, 76 not the pinned server, 77 local files.

import { X509Certificate, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { certificateRequest } from "./csr.mjs";
import { Ended, LATER, LOCAL, REFUSED, USAGE, say } from "./ended.mjs";
import { CERTIFICATES, Server, fingerprintOf } from "./server.mjs";
import { Store } from "./store.mjs";

/** Refusals of a certificate that was displaced meanwhile; its key may ask again. */
const OVER = ["certificate-superseded", "certificate-expired", "certificate-unknown"];
/** Refusals of a key that will not be taken another day either. */
const BAD_KEY = ["key-not-acceptable", "weak-key"];

/** One run. */
class Device {
    constructor(server, serial, fingerprint, tokenFile, store) {
        Object.assign(this, { server, serial, fingerprint, tokenFile, store });
    }

    async run() {
        const { store } = this;
        if (store.has(store.device) && !store.has(store.next) && !this.isDue()) {
            say(`nothing to do until ${this.renewAfter()}`);
            return;
        }
        if (!store.has(store.root) || fingerprintOf(store.read(store.root)) !== this.fingerprint)
            store.keep(store.root, await this.server.findRoot(this.fingerprint));
        if (store.has(store.next)) {
            const answer = await this.prove();
            if (answer.isGood) return;
            if (answer.slug === "certificate-revoked") store.remove(store.next, store.key);
            else if (OVER.includes(answer.slug)) store.remove(store.next);
            else this.refused(answer);
        }
        // A key is on the disk before anything is asked for it: the same key is answered the same
        // certificate.
        if (!store.has(store.key)) {
            const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
            store.keep(store.key, privateKey.export({ type: "pkcs8", format: "pem" }));
        }
        const pem = store.read(store.key);
        const key = createPrivateKey(pem);
        this.take(await this.ask(key), key, pem);
        const answer = await this.prove();
        if (!answer.isGood) this.refused(answer);
    }

    /** Asks for a certificate: with the one that works, else with the token. */
    async ask(key) {
        const { server, store } = this;
        const csr = certificateRequest(key);
        const root = store.read(store.root);
        if (store.has(store.device)) {
            say("asking for the next certificate");
            const [body, identity] = [JSON.stringify({ csr }), store.read(store.device)];
            const answer = await server.post("/v1/certificates/renew", body, root, identity);
            if (answer.isGood) return answer;
            if (answer.slug !== "certificate-expired") this.refused(answer);
        }
        say("asking for a certificate with the token");
        const [token] = readFileSync(this.tokenFile, "utf8").split(/\r?\n/);
        const body = JSON.stringify({ serialNumber: this.serial, token, csr });
        const answer = await server.post("/v1/certificates", body, root);
        if (!answer.isGood) this.refused(answer);
        return answer;
    }

    /** Keeps what was answered in one file: when to renew, key, certificate, chain. */
    take(answer, key, keyPem) {
        const { certificate, chain, renewAfter } = answer.json;
        try {
            const root = this.store.read(this.store.root);
            const issuers = [...(chain.match(CERTIFICATES) ?? []), root];
            let below = new X509Certificate(certificate);
            if (!below.checkPrivateKey(key)) throw new Error("the certificate is not for our key");
            for (const above of issuers.map((pem) => new X509Certificate(pem))) {
                if (!below.checkIssued(above) || !below.verify(above.publicKey))
                    throw new Error("the certificate is not under the pinned root");
                below = above;
            }
        } catch (fault) {
            throw new Ended(REFUSED, `the answer is not kept: ${fault.message}: ${answer}`);
        }
        const text = `renew-after: ${renewAfter}\n${keyPem}${certificate}${chain}`;
        this.store.keep(this.store.next, text);
    }

    /** Proves that the next certificate works; then it is the one that is used, by one rename. */
    async prove() {
        const { store } = this;
        const [root, identity] = [store.read(store.root), store.read(store.next)];
        const answer = await this.server.post("/v1/certificates/confirm", "", root, identity);
        if (answer.isGood) {
            // First: a key that stayed behind would be asked for again at the next renewal.
            store.remove(store.key);
            store.rename(store.next, store.device);
            say(`in use: ${store.device}, to be renewed after ${this.renewAfter()}`);
        }
        return answer;
    }

    refused(answer) {
        if (answer.slug === "token-pending") {
            const why = "a certificate asked for with a new token goes first";
            throw new Ended(LATER, `${answer}; ${why}`);
        }
        if (BAD_KEY.includes(answer.slug)) this.store.remove(this.store.key);
        const lines = [
            `refused: ${answer}`,
            `your operator is told why, and what to do, by: cvm explain ${answer.json.attempt}`,
            `where that is a new token (cvm device new-token ${this.serial}):` +
                ` put it into ${this.tokenFile}, remove device.pem`,
        ];
        throw new Ended(REFUSED, lines.join("\n"));
    }

    renewAfter() {
        return this.store.read(this.store.device).split("\n")[0].replace("renew-after: ", "");
    }

    isDue() {
        return !(Date.now() < Date.parse(this.renewAfter())); // damaged is due
    }
}

async function main(values) {
    if (values.length !== 5)
        throw new Ended(USAGE, "usage: device.mjs SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY");
    const [url, serial, typed, tokenFile, directory] = values;
    const fingerprint = typed.replaceAll(":", "").toLowerCase();
    if (!/^https:\/\/[^/]+\/?$/.test(url)) throw new Ended(USAGE, "SERVER is https://host:port");
    if (!/^[0-9a-f]{64}$/.test(fingerprint))
        throw new Ended(USAGE, "FINGERPRINT is 64 hexadecimal digits");
    const server = new Server(url, Number(process.env.CVM_TRIES ?? 6));
    await new Device(server, serial, fingerprint, tokenFile, new Store(directory)).run();
}

try {
    await main(process.argv.slice(2));
} catch (fault) {
    say(fault instanceof Ended ? fault.message : `a local file cannot be used: ${fault.message}`);
    process.exitCode = fault instanceof Ended ? fault.code : LOCAL;
}
