//! PEM that somebody edited by hand.

use super::dice::Dice;

const SNIPPETS: [&[u8]; 26] = [
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\t",
    b"\x0b\x0c",
    b"\0",
    b"-",
    b"-----",
    b"-----BEGIN ",
    b"-----END ",
    b"\n-----END ",
    b"\n-----BEGIN ",
    b"-----BEGIN NEBULA CERTIFICATE-----\n",
    b"\n-----END NEBULA CERTIFICATE-----",
    b"-----BEGIN NEBULA CERTIFICATE V2-----\n-----END NEBULA CERTIFICATE V2-----\n",
    b"Key: value\n",
    b"Key: value\n\n",
    b":",
    b"=",
    b"AAAA",
    b"some text\n",
    "\u{feff}".as_bytes(),
    "\u{a0}\u{85}\u{2003}".as_bytes(),
    b"\xff",
];

/// Edits a text once, and says how.
pub(crate) fn edit(text: &mut Vec<u8>, dice: &mut Dice) -> &'static str {
    match dice.below(9) {
        0..3 => {
            // Most places are in the middle of base64; the ends of lines matter more.
            let starts: Vec<_> = std::iter::once(0).chain(line_ends(text)).collect();
            let mut at = dice.pick(&starts);
            if dice.one_in(3) {
                at = at.saturating_sub(1);
            }
            if dice.one_in(4) {
                at = dice.below(text.len() + 1);
            }
            let snippet = dice.pick(&SNIPPETS);
            text.splice(at..at, snippet.iter().copied());
            "text inserted"
        }
        3 => {
            let mut lines = lines(text);
            let at = dice.below(lines.len());
            let other = dice.below(lines.len());
            match dice.below(3) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                _ => lines.swap(at, other),
            }
            *text = lines.concat();
            "lines moved"
        }
        4 => {
            let end: &[u8] = dice.pick(&[&b"\r\n"[..], b"\r", b" \n", b"\t\r\n", b""]);
            *text = lines(text)
                .iter()
                .map(|line| [line.strip_suffix(b"\n").unwrap_or(line), end].concat())
                .collect::<Vec<_>>()
                .concat();
            "other line ends"
        }
        5 => {
            let width = dice.within(1, 100);
            let mut wrapped = Vec::new();
            for line in lines(text) {
                if line.starts_with(b"-") {
                    wrapped.extend(line);
                } else {
                    let line = line.strip_suffix(b"\n").unwrap_or(&line);
                    line.chunks(width).for_each(|part| wrapped.extend([part, b"\n"].concat()));
                }
            }
            *text = wrapped;
            "wrapped otherwise"
        }
        6 => {
            text.truncate(dice.below(text.len() + 1));
            "cut short"
        }
        7 => {
            text.pop();
            "last byte missing"
        }
        _ => {
            dice.edit(text);
            "bytes edited"
        }
    }
}

/// With their ends.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').map(Vec::from).collect();
    if lines.is_empty() {
        lines.push(Vec::new());
    }
    lines
}

fn line_ends(text: &[u8]) -> impl Iterator<Item = usize> {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1)
}
