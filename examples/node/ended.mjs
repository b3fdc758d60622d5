// How a run ends, and what it says.

export const [REFUSED, USAGE, LATER, NOT_PINNED, LOCAL] = [1, 2, 75, 76, 77];

/** The end of the run: an exit code, and what to say. */
export class Ended extends Error {
    constructor(code, why) {
        super(why);
        this.code = code;
    }
}

export const say = (text) => console.error(text);
