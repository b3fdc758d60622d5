use super::*;

const HEADER: &str = "serial,token\n";

fn serial(text: &str) -> SerialNumber {
    text.parse().unwrap()
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tokens.csv")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn open(&self) -> Tokens {
        Tokens::open(&self.path()).unwrap().0
    }

    fn refusal(&self) -> String {
        let before = std::fs::read(self.path()).unwrap();
        let what = Tokens::open(&self.path()).map(|_| ()).unwrap_err().what;
        assert_eq!(std::fs::read(self.path()).unwrap(), before, "it is left as it is");
        what
    }
}

/// Makes tokens for `serials` and returns them.
fn made(tokens: &mut Tokens, serials: &[&str]) -> Vec<String> {
    let made = serials.iter().map(|text| {
        let (token, origin) = tokens.token_of(&serial(text));
        assert_eq!(origin, Origin::MadeNow);
        token.expose().to_owned()
    });
    let made = made.collect();
    tokens.sync().unwrap();
    made
}

#[test]
fn tokens_are_kept_privately_and_found_again() {
    let scratch = Scratch::new();
    let first = made(&mut scratch.open(), &["SN-1", "SN/2"]);
    let mode = std::fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(scratch.text(), format!("{HEADER}SN-1,{}\nSN/2,{}\n", first[0], first[1]));
    let mut again = scratch.open();
    let (token, origin) = again.token_of(&serial("SN/2"));
    assert_eq!((token.expose(), origin), (first[1].as_str(), Origin::FoundHere));
    let more = made(&mut again, &["SN-3"]);
    assert!(scratch.text().ends_with(&format!("SN-3,{}\n", more[0])));
    assert_eq!(scratch.text().lines().count(), 4);
}

#[test]
fn a_file_that_others_could_read_is_made_private() {
    let scratch = Scratch::new();
    scratch.write(HEADER);
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o644)).unwrap();
    drop(scratch.open());
    assert_eq!(std::fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_cut_anywhere_is_mended_and_loses_no_whole_line() {
    let scratch = Scratch::new();
    made(&mut scratch.open(), &["SN-1", "SN-2"]);
    let whole = scratch.text();
    for length in 0..=whole.len() {
        scratch.write(&whole[..length]);
        let (mut tokens, mended) = Tokens::open(&scratch.path()).unwrap();
        let lines = whole[..length].matches('\n').count();
        // A token that lacks nothing but its line's end is whole.
        let is_complete = whole.as_bytes().get(length) == Some(&b'\n') && lines > 0;
        let kept = lines + usize::from(is_complete);
        let expected: String = whole.split_inclusive('\n').take(kept.max(1)).collect();
        assert_eq!(scratch.text(), expected, "cut at {length}");
        let is_torn = length > 0 && !whole[..length].ends_with('\n') && !is_complete;
        assert_eq!(mended.is_some(), is_torn, "cut at {length}");
        made(&mut tokens, &["SN-9"]);
        assert_eq!(scratch.text().lines().count(), kept.max(1) + 1);
    }
}

#[test]
fn an_end_of_zeros_is_what_a_power_cut_left_and_no_more_than_a_block() {
    let scratch = Scratch::new();
    made(&mut scratch.open(), &["SN-1", "SN-2"]);
    let whole = scratch.text();
    scratch.write(format!("{whole}SN-3,cv\0\0\0\0\n"));
    assert!(Tokens::open(&scratch.path()).unwrap().1.is_some());
    assert_eq!(scratch.text(), whole);
    scratch.write(format!("{whole}{}", "\0".repeat(ROWS_MAX * LINE_BYTES_MAX + 1)));
    assert!(scratch.refusal().contains("zeros"));
}

#[test]
fn a_file_that_was_edited_or_is_another_is_left_alone() {
    let scratch = Scratch::new();
    let token = made(&mut scratch.open(), &["SN-1"]).remove(0);
    let check = |text: String, expected: &str| {
        scratch.write(text);
        let what = scratch.refusal();
        assert!(what.contains(expected) && !what.contains(&token), "{what}");
    };
    check(format!("{HEADER}{token}\nSN-1,{token}\n"), "line 2");
    check(format!("{HEADER}SN-1,{token}x\nSN-2,{token}\n"), "line 2");
    check(format!("{HEADER}SN-1,{token}\nSN-1,another token 0123\n"), "two tokens for SN-1");
    check(String::from("serial,thing_name\nSN-1,x\n"), "first line");
    check(String::from("serial\nSN-1\n"), "first line");
}

#[test]
fn one_import_at_a_time() {
    let scratch = Scratch::new();
    let first = scratch.open();
    assert!(scratch.refusal().contains("another import"));
    drop(first);
    let mut tokens = scratch.open();
    made(&mut tokens, &["SN-1", "SN-2"]);
    tokens.forget(&HashSet::from(["SN-1"])).unwrap();
    assert!(scratch.refusal().contains("another import"), "the new file is locked too");
}

#[test]
fn forgotten_tokens_are_gone_and_all_others_stay() {
    let scratch = Scratch::new();
    let mut tokens = scratch.open();
    let before = made(&mut tokens, &["SN-1", "SN-2", "SN-3"]);
    // Left over by a run that was killed.
    std::fs::write(scratch.0.path().join("tokens.csv.new"), "x").unwrap();
    tokens.forget(&HashSet::from(["SN-2", "SN-8"])).unwrap();
    let expected = format!("{HEADER}SN-1,{}\nSN-3,{}\n", before[0], before[2]);
    assert_eq!(scratch.text(), expected);
    let later = made(&mut tokens, &["SN-4"]);
    assert_eq!(scratch.text(), format!("{expected}SN-4,{}\n", later[0]));
    assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_file_is_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).unwrap();
    assert!(Tokens::open(&scratch.path()).is_err());
    assert!(Tokens::open(Path::new("/dev/null")).is_err());
}
