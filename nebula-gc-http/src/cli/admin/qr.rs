//! Draws links as QR codes in the terminal.

use clap::ArgMatches;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::Value;

use super::operation::Operation;

const FLAG: &str = "qr";
const LINK: &str = "link";
/// Light modules around the code (ISO/IEC 18004, 5.3.8).
const QUIET: i32 = 4;

/// The flag of a command whose answer has a link.
pub(super) fn flag(operation: &Operation) -> Option<(&'static str, &'static str)> {
    let has_link = operation.answers.contains_key(LINK);
    (has_link && operation.is_creation()).then_some((FLAG, "Also draw the link as a QR code"))
}

pub(super) fn is_requested(matches: &ArgMatches) -> bool {
    matches.try_get_one::<bool>(FLAG).ok().flatten().is_some_and(|asked| *asked)
}

/// Draws the link of an answer.
pub(super) fn draw_link(body: &Value) -> Result<String, String> {
    let link = body.get(LINK).and_then(Value::as_str);
    let link = link.ok_or_else(|| match body.get("warning").and_then(Value::as_str) {
        Some(why) => why.to_owned(),
        None => "there is no link: it is shown only when the token is created".to_owned(),
    })?;
    draw(link)
}

/// Two modules in a character, light ones drawn, so that it reads on a dark terminal.
fn draw(text: &str) -> Result<String, String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|error| error.to_string())?;
    let side = code.size();
    // Outside of the code there is nothing dark.
    let is_light = |x, y| !code.get_module(x, y);
    let mut drawn = String::new();
    for y in (-QUIET..side + QUIET).step_by(2) {
        for x in -QUIET..side + QUIET {
            let below = y + 1 < side + QUIET && is_light(x, y + 1);
            drawn.push(match (is_light(x, y), below) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Ok(drawn)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_all_modules_and_a_margin() {
        let drawn = draw("https://nebula.example.org/join#token=x").unwrap();
        let lines: Vec<_> = drawn.lines().collect();
        let width = lines.first().unwrap().chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines.iter().take(2).all(|line| line.chars().all(|c| c == '█')));
        // The finder pattern's upper edge: seven dark modules over one dark and five light ones.
        let third: String = lines.get(2).unwrap().chars().skip(4).take(7).collect();
        assert_eq!(third, " ▄▄▄▄▄ ");
    }
}
