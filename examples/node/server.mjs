// The server, asked a bounded number of times in one run.

import https from "node:https";
import { X509Certificate } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Ended, LATER, NOT_PINNED, say } from "./ended.mjs";

export const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

const ANSWER_MAX = 65536; // characters
const ANSWER_WITHIN = 60_000; // milliseconds
const WAIT_MAX = 300; // seconds; who asks for more is not waited for
const PAUSE_MAX = 60;

export class Server {
    constructor(url, tries) {
        this.url = url;
        this.tries = tries;
        this.pause = 1;
    }

    /**
     * The root with the pinned fingerprint. Until it is found nothing is verified, so nothing is
     * sent but this one question, and nothing is used but the certificate that matches.
     */
    async findRoot(fingerprint) {
        const unverified = { rejectUnauthorized: false };
        const answer = await this.insist("GET", "/v1/trust-bundle", "", unverified);
        const offered = answer.text.match(CERTIFICATES) ?? [];
        const found = offered.find((pem) => fingerprintOf(pem) === fingerprint);
        if (found) return found;
        const why = `${this.url} offers no root with the fingerprint ${fingerprint}`;
        throw new Ended(NOT_PINNED, `${why}: compare it, and the address`);
    }

    /** Asks the verified server; the answer may be a refusal. `identity` is what we show. */
    post(route, body, root, identity) {
        const shown = identity ? { cert: identity, key: identity } : {};
        return this.insist("POST", route, body, { ca: root, rejectUnauthorized: true, ...shown });
    }

    /** Asks as often as it takes. */
    async insist(method, route, body, tls) {
        for (;;) {
            try {
                const answer = await this.ask(method, route, body, tls);
                if (!answer.isNotNow) return answer;
                await this.later(`${answer}`, answer.retryAfter);
            } catch (fault) {
                if (fault instanceof Ended) throw fault;
                if (isDistrust(fault)) {
                    const why = `${this.url} is not the pinned server, or this clock is wrong`;
                    throw new Ended(NOT_PINNED, `${why}; nothing was sent (${fault.message})`);
                }
                await this.later(`${this.url} has no answer (${fault.message})`);
            }
        }
    }

    /**
     * Waits before the same is tried again, not sooner than asked and not with the whole fleet at
     * once; or ends.
     */
    async later(why, asked = 0) {
        this.tries -= 1;
        if (this.tries <= 0 || asked > WAIT_MAX)
            throw new Ended(LATER, `${why}; nothing is lost, run the same again later`);
        let seconds = asked + 1 + (Math.random() * asked) / 4;
        if (!asked) {
            seconds = (this.pause * (1 + Math.random())) / 2;
            this.pause = Math.min(2 * this.pause, PAUSE_MAX);
        }
        say(`${why}; trying again in ${seconds.toFixed(1)} s`);
        await sleep(seconds * 1000);
    }

    /** One request over a connection of its own. */
    ask(method, route, body, tls) {
        const options = { method, agent: false, minVersion: "TLSv1.2", headers: {}, ...tls };
        options.headers["Content-Length"] = Buffer.byteLength(body);
        if (body) options.headers["Content-Type"] = "application/json";
        return new Promise((resolve, reject) => {
            const request = https.request(new URL(route, this.url), options);
            const giveUp = () => request.destroy(new Error("no answer in time"));
            const timer = setTimeout(giveUp, ANSWER_WITHIN);
            request.on("close", () => clearTimeout(timer));
            request.on("error", reject);
            request.on("response", (response) => {
                let text = "";
                response.setEncoding("utf8");
                response.on("error", reject);
                response.on("data", (part) => {
                    text += part;
                    if (text.length > ANSWER_MAX) request.destroy(new Error("it is too long"));
                });
                response.on("end", () => resolve(new Answer(response, text)));
            });
            request.end(body);
        });
    }
}

/** What the server said: a status, and a JSON object, which may be a problem document. */
class Answer {
    constructor({ statusCode, headers }, text) {
        const asked = headers["retry-after"] ?? "";
        this.status = statusCode;
        this.retryAfter = /^\d+$/.test(asked) ? Number(asked) : 0;
        this.text = text;
        try {
            this.json = JSON.parse(text) ?? {};
        } catch {
            this.json = {};
        }
    }

    get isGood() {
        return this.status >= 200 && this.status < 300;
    }

    get isNotNow() {
        return this.status === 202 || this.status === 429 || this.status >= 500;
    }

    get slug() {
        return String(this.json.type ?? "").split("/").pop();
    }

    toString() {
        const { detail = "", attempt = "" } = this.json;
        const text = `${this.status} ${this.slug}: ${detail} [attempt ${attempt}]`;
        return text.replace(/\p{Cc}/gu, "");
    }
}

/** What OpenSSL found wrong with a certificate, by the names that Node gives to its codes. */
function isDistrust({ code = "" }) {
    const words = "CERT|ISSUER|CHAIN|SIGNATURE|INVALID_CA|PURPOSE|PATH_LENGTH|HOSTNAME|ALTNAME";
    return new RegExp(words).test(code);
}

export function fingerprintOf(pem) {
    try {
        return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
    } catch {
        return "";
    }
}
