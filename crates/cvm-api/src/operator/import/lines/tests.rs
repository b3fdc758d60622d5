use super::*;

fn cut(pieces: &[&[u8]]) -> Vec<(u64, String)> {
    let (mut lines, mut taken) = (Lines::default(), Vec::new());
    let mut take = |number, line: Result<&[u8], TooLong>| {
        let line = line.map(|line| String::from_utf8(line.to_vec()).unwrap());
        taken.push((number, line.unwrap_or_else(|TooLong| String::from("too long"))));
    };
    pieces.iter().for_each(|piece| lines.cut(piece, &mut take));
    lines.end(&mut take);
    taken
}

fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    lines.iter().map(|(number, line)| (*number, (*line).to_owned())).collect()
}

#[test]
fn lines_are_the_same_wherever_the_pieces_end() {
    let text = b"one\ntwo\r\n\n  \nfive\nsix";
    let wanted = numbered(&[(1, "one"), (2, "two"), (5, "five"), (6, "six")]);
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            assert_eq!(cut(&pieces), wanted, "{first} {second}");
        }
    }
}

#[test]
fn a_body_of_nothing_has_no_lines() {
    assert_eq!(cut(&[]), []);
    assert_eq!(cut(&[b"\n\n", b"\n"]), []);
}

#[test]
fn a_line_fits_at_its_edge_and_one_that_does_not_harms_no_other() {
    let longest = vec![b'x'; LINE_BYTES_MAX];
    let fits = String::from_utf8(longest.clone()).unwrap();
    for size in [1, 1_000, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * LINE_BYTES_MAX] {
        let mut text = longest.clone();
        text.extend_from_slice(b"\nshort\n");
        text.extend_from_slice(&longest);
        text.extend_from_slice(b"x\nshort\n");
        text.extend_from_slice(&longest);
        text.extend_from_slice(&longest);
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        let wanted =
            [(1, fits.as_str()), (2, "short"), (3, "too long"), (4, "short"), (5, "too long")];
        assert_eq!(cut(&pieces), numbered(&wanted), "{size}");
    }
}

#[test]
fn no_more_is_kept_than_one_line() {
    let mut lines = Lines::default();
    for _ in 0..100 {
        lines.cut(&[b'x'; 10_000], |_, _| panic!("no line ends"));
        assert!(lines.begun.capacity() <= LINE_BYTES_MAX);
    }
}
