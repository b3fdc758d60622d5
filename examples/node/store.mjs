// The device's files. After a power cut there is the old one or the new one, never half of one.

import fs from "node:fs";
import path from "node:path";

export class Store {
    constructor(directory) {
        fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
        this.directory = directory;
        this.root = path.join(directory, "root-ca.pem");
        this.key = path.join(directory, "key.pem");
        this.next = path.join(directory, "next.pem");
        this.device = path.join(directory, "device.pem");
        sync(path.dirname(path.resolve(directory)));
    }

    keep(file, content) {
        const temporary = `${file}.tmp`;
        fs.rmSync(temporary, { force: true });
        const handle = fs.openSync(temporary, "wx", 0o600);
        fs.writeFileSync(handle, content);
        fs.fsyncSync(handle);
        fs.closeSync(handle);
        this.rename(temporary, file);
    }

    rename(from, to) {
        fs.renameSync(from, to);
        sync(this.directory);
    }

    remove(...files) {
        for (const file of files) fs.rmSync(file, { force: true });
        sync(this.directory);
    }

    has(file) {
        return fs.existsSync(file);
    }

    read(file) {
        return fs.readFileSync(file, "utf8");
    }
}

function sync(directory) {
    const handle = fs.openSync(directory, "r");
    fs.fsyncSync(handle);
    fs.closeSync(handle);
}
